//! Upstreams: services of this process, and endpoints on the network with their pools.

mod conn;
mod connect;
mod connector;
mod ear;
mod endpoint;
mod health;
#[cfg(feature = "http2")]
mod http2;
mod inproc;
mod network;
mod network_body;
mod pool;
mod relay;

use std::sync::Arc;

pub(crate) use conn::{Conn, ExchangeFault};
pub(crate) use connect::Socket;
#[cfg(feature = "tls")]
pub(crate) use connect::open;
pub(crate) use connector::{Connector, Io};
pub use endpoint::{EndpointAddr, EndpointError};
pub use health::EndpointStatus;
pub(crate) use health::Health;
pub(crate) use inproc::InProcess;
pub(crate) use network::{Network, NetworkBodyParts};
pub(crate) use network_body::NetworkBody;
pub use pool::{LocalPool, Pool, SharedPool};

/// Where a route leads.
#[derive(Debug)]
pub(crate) struct Upstream<P: Pool> {
    pub(crate) name: Arc<str>,
    pub(crate) kind: UpstreamKind<P>,
}

#[derive(Debug)]
pub(crate) enum UpstreamKind<P: Pool> {
    Network(Network<P>),
    InProcess(InProcess),
}
