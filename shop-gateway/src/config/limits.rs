//! `[gateway.limits]`.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use shop_core::config::{ByteSize, HumanDuration};

use super::ConfigErrors;

/// What a client may cost.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LimitsConfig {
    /// A request's head is whole within this time of its first byte, or of the connection's start: else 408.
    pub header_timeout: HumanDuration,
    /// No byte of a request's body for this long: 408.
    pub body_timeout: HumanDuration,
    /// Bytes of a body a second, on average over the time spent waiting for the client, after a grace of 10 s:
    /// else 408. Zero turns it off.
    pub min_body_rate: ByteSize,
    /// A connection without a request for this long is closed; so is one whose client takes no byte of an
    /// answer for this long.
    pub idle_timeout: HumanDuration,
    /// The names and values of a request's headers: else 431.
    pub max_header: ByteSize,
    /// A request's target: else 414.
    pub max_uri: ByteSize,
    /// A request's body, by its `Content-Length` before a byte is read, and as it arrives: else 413.
    pub max_body: ByteSize,
}

impl Default for LimitsConfig {
    fn default() -> Self {
        Self {
            header_timeout: HumanDuration(Duration::from_secs(30)),
            body_timeout: HumanDuration(Duration::from_secs(30)),
            min_body_rate: ByteSize(1 << 10),
            idle_timeout: HumanDuration(Duration::from_secs(75)),
            max_header: ByteSize(32 << 10),
            max_uri: ByteSize(8 << 10),
            max_body: ByteSize(100 << 20),
        }
    }
}

impl LimitsConfig {
    pub(super) fn check(&self, path: &str, faults: &mut ConfigErrors) {
        for (name, span) in [
            ("header_timeout", self.header_timeout),
            ("body_timeout", self.body_timeout),
            ("idle_timeout", self.idle_timeout),
        ] {
            if span.0.is_zero() {
                faults.push(format!("{path}.{name}"), "is zero: nothing would ever arrive in time");
            }
        }
        for (name, size, most) in [
            ("max_header", self.max_header, ByteSize(1 << 20)),
            // A target is at most 65,534 bytes in the `http` crate.
            ("max_uri", self.max_uri, ByteSize(65_534)),
        ] {
            if size.0 == 0 {
                faults.push(format!("{path}.{name}"), "is zero: every request would be refused");
            } else if size > most {
                faults.push(format!("{path}.{name}"), format!("is above {most}"));
            }
        }
        if self.max_body.0 == 0 {
            faults.push(format!("{path}.max_body"), "is zero: every body would be refused");
        }
    }
}
