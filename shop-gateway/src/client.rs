//! Who sent a request.

use std::net::{IpAddr, SocketAddr};

use http::{Extensions, HeaderValue};

/// The address of a request's client: put into a request's extensions by a server that mounts the gateway as a
/// [`Service`](tower_service::Service). Without it no `X-Forwarded-For` is sent and none is let through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClientAddr(pub SocketAddr);

/// What the gateway knows of a client: made once a connection.
#[derive(Debug, Clone)]
pub(crate) struct Client {
    pub(crate) ip: Option<IpAddr>,
    pub(crate) forwarded_for: Option<HeaderValue>,
    pub(crate) proto: HeaderValue,
}

impl Client {
    pub(crate) fn new(addr: SocketAddr) -> Self {
        let ip = addr.ip().to_canonical();
        Self { ip: Some(ip), forwarded_for: HeaderValue::try_from(ip.to_string()).ok(), ..Self::unknown() }
    }

    /// One on a socket; none for a Unix socket, whose clients have no address.
    pub(crate) fn at(addr: Option<SocketAddr>) -> Self {
        addr.map_or_else(Self::unknown, Self::new)
    }

    /// It came by TLS.
    pub(crate) fn set_https(&mut self) {
        self.proto = HeaderValue::from_static("https");
    }

    pub(crate) fn unknown() -> Self {
        Self { ip: None, forwarded_for: None, proto: HeaderValue::from_static("http") }
    }

    pub(crate) fn of(extensions: &Extensions, scheme: Option<&str>) -> Self {
        let mut client = extensions.get::<ClientAddr>().map_or_else(Self::unknown, |addr| Self::new(addr.0));
        if scheme == Some("https") {
            client.set_https();
        }
        client
    }
}
