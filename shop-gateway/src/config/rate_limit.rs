//! `[routes.rate_limit]`.

use std::time::Duration;

use http::HeaderName;
use serde::{Deserialize, Serialize};
use shop_core::config::HumanDuration;

use super::ConfigErrors;

/// How many requests a route takes; more are answered 429. Counted over all workers of the process, evenly in time (GCRA): after
/// `burst` at once, one each `per / rate`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RateLimitConfig {
    /// Requests.
    pub rate: u32,
    /// In this time.
    #[serde(default = "second")]
    pub per: HumanDuration,
    /// Requests at once. None: `rate`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub burst: Option<u32>,
    /// What is counted apart: `client`, by address, of IPv6 by its first 64 bits; `route`, all together; or `header:NAME`, by the
    /// values of a header, where a request without it counts by its client. Who may choose the value has as many limits as they like.
    #[serde(default = "client")]
    pub by: String,
    /// How many are counted apart at most, some 40 bytes each. Those above it share what one has, until others are at rest.
    #[serde(default = "max_keys")]
    pub max_keys: u32,
}

fn second() -> HumanDuration {
    HumanDuration(Duration::from_secs(1))
}

fn client() -> String {
    "client".to_owned()
}

fn max_keys() -> u32 {
    1 << 16
}

impl RateLimitConfig {
    /// So many requests a second of each client.
    pub fn new(rate: u32) -> Self {
        Self { rate, per: second(), burst: None, by: client(), max_keys: max_keys() }
    }

    /// The header that counts, if `by` names one. None: it names something that is none.
    pub(crate) fn header(&self) -> Option<HeaderName> {
        self.by.strip_prefix("header:")?.parse().ok()
    }

    pub(crate) fn check(&self, path: &str, faults: &mut ConfigErrors) {
        if self.rate == 0 || self.burst == Some(0) {
            let name = if self.rate == 0 { "rate" } else { "burst" };
            faults.push(format!("{path}.{name}"), "is zero: every request would be refused");
        }
        if self.per.0.is_zero() || self.per.0 > Duration::from_secs(86_400) {
            faults.push(format!("{path}.per"), "is not within a day");
        } else if self.rate > 0 && self.per.0.as_nanos() < u128::from(self.rate) {
            faults.push(format!("{path}.rate"), "is more than one each nanosecond");
        }
        if self.by != "client" && self.by != "route" && self.header().is_none() {
            faults.push(format!("{path}.by"), format!("`{}` is not client, route or header:NAME", self.by));
        }
        if self.max_keys == 0 {
            faults.push(format!("{path}.max_keys"), "is zero: nothing would be counted");
        }
    }
}
