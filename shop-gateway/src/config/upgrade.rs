//! `[routes.upgrade]`.

use std::time::Duration;

use http::HeaderName;
use serde::{Deserialize, Serialize};
use shop_core::config::HumanDuration;

use super::ConfigErrors;

/// Which protocols a connection may change to (RFC 9110, 7.8), once the upstream has agreed by 101.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct UpgradeConfig {
    /// Names as in `Upgrade`; case does not count. Others are not passed on: the request is forwarded without. Empty: none.
    /// Not `h2c`, whose requests would reach the upstream past the routes.
    pub protocols: Vec<String>,
    /// Without a byte in either direction for this long, both connections are closed.
    pub idle_timeout: HumanDuration,
}

impl Default for UpgradeConfig {
    fn default() -> Self {
        Self {
            protocols: vec!["websocket".to_owned()],
            idle_timeout: HumanDuration(Duration::from_secs(600)),
        }
    }
}

impl UpgradeConfig {
    pub(super) fn is_default(&self) -> bool {
        *self == Self::default()
    }

    pub(super) fn check(&self, path: &str, faults: &mut ConfigErrors) {
        for (index, protocol) in self.protocols.iter().enumerate() {
            let path = format!("{path}.protocols[{index}]");
            let (name, version) = protocol.split_once('/').unwrap_or((protocol, "1"));
            // A header's name is a token, too.
            if name.parse::<HeaderName>().is_err() || version.parse::<HeaderName>().is_err() {
                faults.push(path, format!("`{protocol}` is not a protocol"));
            } else if name.eq_ignore_ascii_case("h2c") {
                faults.push(path, "`h2c` would carry requests past the routes");
            }
        }
        if self.idle_timeout.0.is_zero() {
            faults.push(format!("{path}.idle_timeout"), "is zero: every tunnel would be closed at once");
        }
    }
}
