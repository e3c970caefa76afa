//! The gateway's typed configuration and its validation.

mod faults;
mod limits;
mod listen;
mod listener;
mod policy;
mod rate_limit;
mod route;
mod tls;
mod upgrade;
mod upstream;

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

pub use faults::{ConfigErrors, ConfigFault};
pub use limits::LimitsConfig;
pub use listen::ListenConfig;
pub use listener::{ListenAddr, ListenAddrError, ListenerConfig};
pub(crate) use listener::{Peer, peer};
pub use policy::AddressesConfig;
pub use rate_limit::RateLimitConfig;
pub use route::RouteConfig;
pub use tls::{CertificateConfig, ClientAuth, TlsConfig, TlsVersion, UpstreamTlsConfig};
pub use upgrade::UpgradeConfig;
pub use upstream::{PassiveConfig, UpstreamConfig, UpstreamProtocol};

/// Everything that the gateway is told: where it listens, its limits, its upstreams and its routes.
///
/// An application that keeps more sections in the same file holds the three fields in a struct of its own
/// and builds this one from them.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct GatewayConfig {
    /// `[gateway]`: addresses, workers and limits.
    pub gateway: ListenConfig,
    /// `[upstreams.NAME]`: where requests go.
    pub upstreams: BTreeMap<String, UpstreamConfig>,
    /// `[[routes]]`: which requests go to which upstream. Their order does not matter.
    pub routes: Vec<RouteConfig>,
}

impl GatewayConfig {
    /// Checks everything, without upstreams that are services of the same process.
    ///
    /// # Errors
    /// Every fault found, each with its path, such as `routes[2].upstream`.
    pub fn validate(&self) -> Result<(), ConfigErrors> {
        self.validate_with(&BTreeSet::new())
    }

    /// Checks everything, given the names of the upstreams that are services of the same process.
    ///
    /// # Errors
    /// Every fault found, each with its path.
    pub fn validate_with(&self, services: &BTreeSet<String>) -> Result<(), ConfigErrors> {
        let mut faults = ConfigErrors::default();
        self.gateway.check("gateway", &mut faults);
        for (name, upstream) in &self.upstreams {
            upstream.check(&format!("upstreams.{name}"), services.contains(name), &mut faults);
        }
        let mut seen = BTreeMap::new();
        for (index, route) in self.routes.iter().enumerate() {
            let path = format!("routes[{index}]");
            route.check(&path, &mut faults);
            if !self.upstreams.contains_key(&route.upstream) && !services.contains(&route.upstream) {
                faults.push(format!("{path}.upstream"), format!("there is no upstream `{}`", route.upstream));
            }
            if let Some(first) = seen.insert(route.identity(), index) {
                faults.push(path, format!("matches the same requests as routes[{first}]"));
            }
        }
        if faults.is_empty() { Ok(()) } else { Err(faults) }
    }
}
