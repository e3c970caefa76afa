//! An upstream on the network.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use bytes::Bytes;
use http::header::{self, HeaderValue};
#[cfg(feature = "http2")]
use http::uri::Scheme;
use http::{Request, Response};
use hyper::body::Incoming;
use tokio::time::Instant;

use super::conn::{Conn, ExchangeFault};
use super::connect::{ConnectFault, Socket};
use super::connector::Connector;
use super::{EndpointAddr, Health, NetworkBody, Pool};
use crate::body::{BodyFault, BodyProgress, RequestBody};
use crate::config::UpstreamConfig;
#[cfg(feature = "http2")]
use crate::config::UpstreamProtocol;
use crate::fault::Fault;
use crate::rescue::cause;

/// An upstream on the network: endpoints that take requests in turn.
#[derive(Debug)]
pub(crate) struct Network<P: Pool> {
    endpoints: Vec<Endpoint<P>>,
    next: AtomicUsize,
    /// Of several endpoints.
    health: Option<Arc<Health>>,
    connect_timeout: Duration,
    response_timeout: Duration,
    /// The application's, if it opens connections itself.
    connector: Option<Connector>,
    /// The scheme of its requests, if they go by HTTP/2.
    #[cfg(feature = "http2")]
    http2: Option<Scheme>,
}

#[derive(Debug)]
struct Endpoint<P> {
    addr: EndpointAddr,
    /// For a request that names no host.
    host: HeaderValue,
    pool: P,
}

impl<P: Pool> Network<P> {
    /// An upstream of a checked configuration.
    pub(crate) fn new(
        config: &UpstreamConfig,
        connector: Option<&Connector>,
        health: Option<Arc<Health>>,
    ) -> Self {
        let endpoint = |text: &String| {
            let addr: EndpointAddr = text.parse().ok()?;
            let host = match &addr {
                EndpointAddr::Unix(_) => HeaderValue::from_static("localhost"),
                other => HeaderValue::try_from(other.to_string()).ok()?,
            };
            Some(Endpoint { addr, host, pool: P::new(config.max_idle, config.idle_timeout.0) })
        };
        Self {
            endpoints: config.endpoints.iter().filter_map(endpoint).collect(),
            next: AtomicUsize::new(0),
            health,
            connect_timeout: config.connect_timeout.0,
            response_timeout: config.response_timeout.0,
            connector: connector.cloned(),
            #[cfg(feature = "http2")]
            http2: match config.protocol {
                UpstreamProtocol::Http1 => None,
                UpstreamProtocol::Http2 if config.tls.is_some() => Some(Scheme::HTTPS),
                UpstreamProtocol::Http2 => Some(Scheme::HTTP),
            },
        }
    }

    /// Whether requests go by HTTP/2.
    pub(crate) fn is_http2(&self) -> bool {
        #[cfg(feature = "http2")]
        return self.http2.is_some();
        #[cfg(not(feature = "http2"))]
        false
    }

    /// Sends the request, taken from its slot so that it is moved once only, to the endpoint whose turn it is. Nothing is ever sent
    /// twice: a request moves to another connection, or to another endpoint, only while nothing of it was written.
    ///
    /// # Cancel safety
    /// Dropping the future closes the connection; of HTTP/2, the request's stream.
    pub(crate) async fn call(
        &self,
        slot: &mut Option<Request<RequestBody>>,
        has_host: bool,
        upload: Option<BodyProgress>,
        now: Instant,
    ) -> Result<(Response<Incoming>, NetworkBodyParts<P>), Fault> {
        match self.endpoints.as_slice() {
            [] => Err(Fault::NoEndpoint(None)),
            [only] => self.call_at(only, slot, has_host, upload, now).await,
            // Larger: on the heap, so that every request's future is not as large.
            several => Box::pin(self.call_any(several, slot, has_host, upload, now)).await,
        }
    }

    /// The endpoints in turn, those last that are left alone, until one takes the request.
    async fn call_any(
        &self,
        endpoints: &[Endpoint<P>],
        slot: &mut Option<Request<RequestBody>>,
        has_host: bool,
        upload: Option<BodyProgress>,
        now: Instant,
    ) -> Result<(Response<Incoming>, NetworkBodyParts<P>), Fault> {
        let first = self.next.fetch_add(1, Relaxed);
        let turn = |step: usize| first.wrapping_add(step) % endpoints.len();
        let mut order: Vec<usize> = (0..endpoints.len()).map(turn).collect();
        if let Some(health) = &self.health {
            // Stable: the turn is kept.
            order.sort_by_key(|index| !health.takes(*index, now));
        }
        let mut last = Fault::NoEndpoint(None);
        for index in order {
            // The time that others have taken is not this one's.
            let begun = Instant::now();
            let outcome = self.call_at(&endpoints[index], slot, has_host, upload.clone(), begun).await;
            if let Some(health) = &self.health {
                match &outcome {
                    Ok(_) => health.answered(index, begun),
                    Err(fault) if cause::<BodyFault>(fault).is_some() => {} // The client's doing.
                    Err(_) => health.failed(index, begun),
                }
            }
            match outcome {
                Err(
                    fault @ (Fault::NoEndpoint(_) | Fault::Connect { .. } | Fault::ConnectTimeout { .. }),
                ) => {
                    last = fault;
                }
                outcome => return outcome,
            }
        }
        Err(last)
    }

    async fn call_at(
        &self,
        endpoint: &Endpoint<P>,
        slot: &mut Option<Request<RequestBody>>,
        has_host: bool,
        upload: Option<BodyProgress>,
        now: Instant,
    ) -> Result<(Response<Incoming>, NetworkBodyParts<P>), Fault> {
        if !has_host && let Some(req) = slot {
            req.headers_mut().insert(header::HOST, endpoint.host.clone());
        }
        while let Some(mut conn) = endpoint.pool.take(now) {
            match conn.exchange(slot, upload.clone(), now).await {
                Ok(res) => return Ok((res, NetworkBodyParts { conn, pool: endpoint.pool.clone() })),
                Err(ExchangeFault::Unsent) => {}
                Err(fault) => return Err(Fault::from_exchange(fault)),
            }
        }
        // Rare, and large: on the heap, so that every request's future is not as large.
        let mut conn = Box::pin(self.connect(endpoint)).await?;
        if let Some(shared) = conn.share() {
            endpoint.pool.put(shared);
        }
        match conn.exchange(slot, upload, Instant::now()).await {
            Ok(res) => Ok((res, NetworkBodyParts { conn, pool: endpoint.pool.clone() })),
            Err(fault) => Err(Fault::from_exchange(fault)),
        }
    }

    async fn connect(&self, endpoint: &Endpoint<P>) -> Result<Box<Conn>, Fault> {
        let opening = self.open(endpoint);
        match tokio::time::timeout(self.connect_timeout, opening).await {
            Ok(Ok(conn)) => Ok(conn),
            Ok(Err(ConnectFault::NoAddress(source))) => Err(Fault::NoEndpoint(source)),
            Ok(Err(ConnectFault::Io(source))) => {
                Err(Fault::Connect { endpoint: endpoint.addr.to_string(), source })
            }
            Err(_elapsed) => Err(Fault::ConnectTimeout { endpoint: endpoint.addr.to_string() }),
        }
    }

    async fn open(&self, endpoint: &Endpoint<P>) -> Result<Box<Conn>, ConnectFault> {
        let (addr, connector, timeout) = (&endpoint.addr, self.connector.as_ref(), self.response_timeout);
        #[cfg(feature = "http2")]
        if let Some(scheme) = &self.http2 {
            return Conn::open_http2(addr, connector, scheme.clone(), timeout).await;
        }
        Conn::open(addr, connector, timeout).await
    }

    /// Closes idle connections that have waited too long.
    pub(crate) fn sweep(&self, now: Instant) {
        for endpoint in &self.endpoints {
            endpoint.pool.sweep(now);
        }
    }

    /// How many connections are idle.
    pub(crate) fn idle(&self) -> usize {
        self.endpoints.iter().map(|endpoint| endpoint.pool.idle()).sum()
    }
}

/// What a response's body needs beside hyper's own.
#[derive(Debug)]
pub(crate) struct NetworkBodyParts<P: Pool> {
    conn: Box<Conn>,
    pool: P,
}

impl<P: Pool> NetworkBodyParts<P> {
    /// The connection itself, after a 101, and what has come by it since.
    pub(crate) fn into_socket(self) -> Option<(Socket, Bytes)> {
        self.conn.into_socket()
    }

    pub(crate) fn body(self, incoming: Incoming) -> NetworkBody<P> {
        NetworkBody::new(incoming, self.conn, self.pool)
    }
}
