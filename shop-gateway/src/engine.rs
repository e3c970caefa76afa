//! The gateway's parts, put together from a configuration.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::body::BodyLimits;
use crate::config::{ConfigErrors, GatewayConfig, RouteConfig, UpgradeConfig, UpstreamConfig};
use crate::policy::{AddressPolicy, RateLimiter};
use crate::route::RouteTable;
use crate::upstream::{Connector, Health, InProcess, Network, Pool, Upstream, UpstreamKind};

/// What all workers share: the checked configuration and what is derived from it.
#[derive(Debug)]
pub(crate) struct Blueprint {
    pub(crate) config: GatewayConfig,
    pub(crate) services: BTreeMap<String, InProcess>,
    pub(crate) connector: Option<Connector>,
    /// Of each route, by its position: what all workers count in.
    pub(crate) limiters: Vec<Option<Arc<RateLimiter>>>,
    pub(crate) health: BTreeMap<String, Arc<Health>>,
    /// Of each upstream, the same for as long as it is unchanged: one that was changed and changed back is another.
    pub(crate) marks: BTreeMap<String, Arc<()>>,
    #[cfg(feature = "tls")]
    pub(crate) tls: Arc<crate::tls::TlsStore>,
}

impl Blueprint {
    /// The same services with another configuration, which was checked; of an upstream that is unchanged what was read from files
    /// is kept. Blocks where files are read.
    pub(crate) fn renewed(&self, config: GatewayConfig) -> Result<Self, ConfigErrors> {
        let same = |name: &str| self.config.upstreams.get(name) == config.upstreams.get(name);
        Ok(Self {
            #[cfg(feature = "tls")]
            tls: Arc::new(self.tls.renewed(&self.config, &config)?),
            limiters: Self::limiters(&config, Some(self)),
            health: health(&config, |name| self.health.get(name).filter(|_| same(name)).cloned()),
            marks: marks(&config, |name| self.marks.get(name).filter(|_| same(name)).cloned()),
            config,
            services: self.services.clone(),
            connector: self.connector.clone(),
        })
    }

    /// The limiters of routes, taken over from `previous` where neither the route nor its limit has changed.
    pub(crate) fn limiters(config: &GatewayConfig, previous: Option<&Self>) -> Vec<Option<Arc<RateLimiter>>> {
        let taken_over = |route: &RouteConfig| {
            let previous = previous?;
            let same =
                |old: &RouteConfig| old.rate_limit == route.rate_limit && old.identity() == route.identity();
            previous.limiters[previous.config.routes.iter().position(same)?].clone()
        };
        let limiter = |route: &RouteConfig| {
            let limit = route.rate_limit.as_ref()?;
            let new = || Arc::new(RateLimiter::new(limit).expect("the configuration was checked"));
            Some(taken_over(route).unwrap_or_else(new))
        };
        config.routes.iter().map(limiter).collect()
    }

    /// What opens the connections of an upstream. None: sockets, as they are.
    fn connector(&self, upstream: &str) -> Option<Connector> {
        #[cfg(feature = "tls")]
        return self.tls.connector(upstream, self.connector.as_ref());
        #[cfg(not(feature = "tls"))]
        return Some(upstream).and(self.connector.clone());
    }
}

/// What is known of the endpoints of each upstream that has several.
pub(crate) fn health(
    config: &GatewayConfig,
    kept: impl Fn(&str) -> Option<Arc<Health>>,
) -> BTreeMap<String, Arc<Health>> {
    let of = |(name, upstream): (&String, &UpstreamConfig)| {
        let health = kept(name).or_else(|| Health::new(upstream).map(Arc::new))?;
        Some((name.clone(), health))
    };
    config.upstreams.iter().filter_map(of).collect()
}

pub(crate) fn marks(
    config: &GatewayConfig,
    kept: impl Fn(&str) -> Option<Arc<()>>,
) -> BTreeMap<String, Arc<()>> {
    config.upstreams.keys().map(|name| (name.clone(), kept(name).unwrap_or_default())).collect()
}

/// One gateway: the routes, and upstreams with pools of one kind.
#[derive(Debug)]
pub(crate) struct Engine<P: Pool> {
    pub(crate) table: RouteTable,
    pub(crate) routes: Vec<Route>,
    /// Shared with the engine before, where they are unchanged: their pools live on.
    pub(crate) upstreams: Vec<Arc<Upstream<P>>>,
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
    pub(crate) rate_limit: Option<Arc<RateLimiter>>,
    /// Bytes.
    pub(crate) max_body: u64,
}

impl<P: Pool> Engine<P> {
    /// An engine with pools of its own. Does no I/O.
    pub(crate) fn new(blueprint: &Blueprint) -> Self {
        Self::build(blueprint, |_| None)
    }

    /// An engine that takes the place of this one, made from the blueprint `before`; upstreams that are unchanged are the same.
    /// Does no I/O.
    pub(crate) fn renew(&self, before: &Blueprint, blueprint: &Blueprint) -> Self {
        Self::build(blueprint, |name| {
            let same = match (before.marks.get(name), blueprint.marks.get(name)) {
                (Some(before), Some(now)) => Arc::ptr_eq(before, now),
                (before, now) => before.is_none() && now.is_none(),
            };
            same.then(|| self.upstreams.iter().find(|upstream| &*upstream.name == name).cloned()).flatten()
        })
    }

    fn build(blueprint: &Blueprint, kept: impl Fn(&str) -> Option<Arc<Upstream<P>>>) -> Self {
        let Blueprint { config, services, .. } = blueprint;
        let limits = &config.gateway.limits;
        let made = |name: &String| match (services.get(name), config.upstreams.get(name)) {
            (Some(service), _) => Some(UpstreamKind::InProcess(service.clone())),
            (None, Some(upstream)) => Some(UpstreamKind::Network(Network::new(
                upstream,
                blueprint.connector(name).as_ref(),
                blueprint.health.get(name).cloned(),
            ))),
            (None, None) => None,
        };
        let names: BTreeSet<&String> = services.keys().chain(config.upstreams.keys()).collect();
        let upstreams: Vec<_> = names
            .into_iter()
            .filter_map(|name| {
                kept(name)
                    .or_else(|| Some(Arc::new(Upstream { name: name.as_str().into(), kind: made(name)? })))
            })
            .collect();
        let routes = config
            .routes
            .iter()
            .zip(&blueprint.limiters)
            .map(|(route, limiter)| Route {
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
                rate_limit: limiter.clone(),
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
        let idle = |upstream: &Arc<Upstream<P>>| match &upstream.kind {
            UpstreamKind::Network(network) => network.idle(),
            UpstreamKind::InProcess(_) => 0,
        };
        self.upstreams.iter().map(idle).sum()
    }
}
