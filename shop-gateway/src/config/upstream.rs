//! `[upstreams.NAME]`.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use shop_core::config::HumanDuration;

use super::{ConfigErrors, UpstreamTlsConfig};
use crate::upstream::EndpointAddr;

/// How requests are written to an upstream.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum UpstreamProtocol {
    /// HTTP/1.1.
    #[default]
    #[serde(rename = "http1")]
    Http1,
    /// HTTP/2: by ALPN inside TLS, by prior knowledge without. Needs the feature `http2`.
    #[serde(rename = "h2")]
    Http2,
}

impl UpstreamProtocol {
    fn is_http1(&self) -> bool {
        *self == Self::Http1
    }
}

/// Where requests go.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct UpstreamConfig {
    /// `host:port` or `unix:/path`. Requests go to them in turn. Empty only for a service of the same process.
    pub endpoints: Vec<String>,
    /// To open a connection: else 504.
    pub connect_timeout: HumanDuration,
    /// No byte from the upstream for this long: 504, or an aborted answer when it had begun.
    pub response_timeout: HumanDuration,
    /// When an endpoint that fails gets no requests for a while.
    pub passive: PassiveConfig,
    /// Idle connections kept for each endpoint, in each worker. Zero keeps none.
    pub max_idle: usize,
    /// How long an idle connection is kept. Less than the upstream's own time, so that it does not close first and a request
    /// meets the end on its way, which is 502 when it must not be sent twice. Default 55 s: the shop's servers keep theirs
    /// for 75 s.
    pub idle_timeout: HumanDuration,
    /// `http1` or `h2`.
    #[serde(skip_serializing_if = "UpstreamProtocol::is_http1")]
    pub protocol: UpstreamProtocol,
    /// `[upstreams.NAME.tls]`: connections are inside TLS. Needs the feature `tls`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls: Option<UpstreamTlsConfig>,
}

/// `[upstreams.NAME.passive]`: an endpoint that fails is left alone for a while. Where there is one endpoint alone it is asked
/// always.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PassiveConfig {
    /// After this many faults in a row: no connection, no answer, or none in time. An answer of any status is none. 0: never.
    pub eject_after: u32,
    /// For so long; for twice as long, three times, up to ten times, if it fails again as soon as it is back.
    pub eject_for: HumanDuration,
    /// The most endpoints that are left alone at once, in per cent: rather one that fails than all load on few.
    pub max_ejected: usize,
}

impl Default for PassiveConfig {
    fn default() -> Self {
        Self { eject_after: 3, eject_for: HumanDuration(Duration::from_secs(30)), max_ejected: 50 }
    }
}

impl Default for UpstreamConfig {
    fn default() -> Self {
        Self {
            endpoints: Vec::new(),
            connect_timeout: HumanDuration(Duration::from_secs(5)),
            response_timeout: HumanDuration(Duration::from_secs(30)),
            passive: PassiveConfig::default(),
            max_idle: 64,
            idle_timeout: HumanDuration(Duration::from_secs(55)),
            protocol: UpstreamProtocol::Http1,
            tls: None,
        }
    }
}

impl UpstreamConfig {
    pub(super) fn check(&self, path: &str, in_process: bool, faults: &mut ConfigErrors) {
        if self.endpoints.is_empty() && !in_process {
            faults.push(format!("{path}.endpoints"), "has no endpoint");
        }
        if !self.endpoints.is_empty() && in_process {
            faults.push(format!("{path}.endpoints"), "is a service of this process: it has no endpoints");
        }
        for (index, endpoint) in self.endpoints.iter().enumerate() {
            if let Err(why) = endpoint.parse::<EndpointAddr>() {
                faults.push(format!("{path}.endpoints[{index}]"), why.to_string());
            } else if self.endpoints[..index].contains(endpoint) {
                faults.push(format!("{path}.endpoints[{index}]"), format!("`{endpoint}` is there twice"));
            }
        }
        if cfg!(not(feature = "http2")) && self.protocol == UpstreamProtocol::Http2 {
            faults.push(format!("{path}.protocol"), "this gateway was built without the feature `http2`");
        }
        if let Some(tls) = &self.tls {
            tls.check(&format!("{path}.tls"), &self.endpoints, faults);
        }
        if self.passive.max_ejected > 100 {
            faults.push(format!("{path}.passive.max_ejected"), "is above 100 per cent");
        }
        for (name, span) in [
            ("connect_timeout", self.connect_timeout),
            ("response_timeout", self.response_timeout),
            ("idle_timeout", self.idle_timeout),
            ("passive.eject_for", self.passive.eject_for),
        ] {
            if span.0.is_zero() {
                faults.push(format!("{path}.{name}"), "is zero: no request would be in time");
            }
        }
    }
}
