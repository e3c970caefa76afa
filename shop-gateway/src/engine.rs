//! The gateway's parts, put together from a configuration.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::body::BodyLimits;
use crate::config::{GatewayConfig, UpgradeConfig};
use crate::policy::AddressPolicy;
use crate::route::RouteTable;
use crate::upstream::{Connector, InProcess, Network, Pool, Upstream, UpstreamKind};

/// What all workers share: the checked configuration and what is derived from it.
#[derive(Debug)]
pub(crate) struct Blueprint {
    pub(crate) config: GatewayConfig,
    pub(crate) services: BTreeMap<String, InProcess>,
    pub(crate) connector: Option<Connector>,
    #[cfg(feature = "tls")]
    pub(crate) tls: Arc<crate::tls::TlsStore>,
}

impl Blueprint {
    /// What opens the connections of an upstream. None: sockets, as they are.
    fn connector(&self, upstream: &str) -> Option<Connector> {
        #[cfg(feature = "tls")]
        return self.tls.connector(upstream, self.connector.as_ref());
        #[cfg(not(feature = "tls"))]
        return Some(upstream).and(self.connector.clone());
    }
}

/// One gateway: the routes, and upstreams with pools of one kind.
#[derive(Debug)]
pub(crate) struct Engine<P: Pool> {
    pub(crate) table: RouteTable,
    pub(crate) routes: Vec<Route>,
    pub(crate) upstreams: Vec<Upstream<P>>,
    pub(crate) body_limits: BodyLimits,
    pub(crate) max_uri: u64,
    pub(crate) max_header: u64,
}

/// Where a route leads and what it is called.
#[derive(Debug)]
pub(crate) struct Route {
    pub(crate) label: Arc<str>,
    pub(crate) upstream: usize,
    pub(crate) upgrade: UpgradeConfig,
    pub(crate) addresses: Option<AddressPolicy>,
    /// Bytes.
    pub(crate) max_body: u64,
}

impl<P: Pool> Engine<P> {
    /// An engine with pools of its own. Does no I/O.
    pub(crate) fn new(blueprint: &Blueprint) -> Self {
        let Blueprint { config, services, .. } = blueprint;
        let limits = &config.gateway.limits;
        let in_process = services.iter().map(|(name, service)| Upstream {
            name: name.as_str().into(),
            kind: UpstreamKind::InProcess(service.clone()),
        });
        let network = config.upstreams.iter().filter(|(name, _)| !services.contains_key(*name)).map(
            |(name, upstream)| Upstream {
                name: name.as_str().into(),
                kind: UpstreamKind::Network(Network::new(upstream, blueprint.connector(name).as_ref())),
            },
        );
        let upstreams: Vec<_> = in_process.chain(network).collect();
        let routes = config
            .routes
            .iter()
            .map(|route| Route {
                label: match &route.host {
                    Some(host) => format!("{host}{}", route.path).into(),
                    None => route.path.as_str().into(),
                },
                upstream: upstreams
                    .iter()
                    .position(|upstream| *upstream.name == *route.upstream)
                    .expect("a checked route names an upstream that is there"),
                upgrade: route.upgrade.clone(),
                addresses: route
                    .addresses
                    .as_ref()
                    .map(|addresses| AddressPolicy::new(addresses).expect("the configuration was checked")),
                max_body: route.max_body.unwrap_or(limits.max_body).0,
            })
            .collect();
        Self {
            table: RouteTable::new(&config.routes),
            routes,
            upstreams,
            body_limits: BodyLimits {
                max: limits.max_body.0,
                timeout: limits.body_timeout.0,
                min_rate: limits.min_body_rate.0,
            },
            max_uri: limits.max_uri.0,
            max_header: limits.max_header.0,
        }
    }

    /// Closes idle connections that have waited too long.
    pub(crate) fn sweep(&self) {
        let now = tokio::time::Instant::now();
        for upstream in &self.upstreams {
            if let UpstreamKind::Network(network) = &upstream.kind {
                network.sweep(now);
            }
        }
    }

    /// How many upstream connections are idle.
    pub(crate) fn idle_connections(&self) -> usize {
        let idle = |upstream: &Upstream<P>| match &upstream.kind {
            UpstreamKind::Network(network) => network.idle(),
            UpstreamKind::InProcess(_) => 0,
        };
        self.upstreams.iter().map(idle).sum()
    }
}
