//! A server of HTTP/1.1 on TCP sockets, on hyper.

use std::convert::Infallible;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use hyper::body::Incoming;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tower_service::Service;

use super::BoxError;
use super::access::Refusal;
use super::connection::Connection;
use super::connections::Connections;
use super::stack::App;
use crate::drain::accept_until;

/// How a [`Server`] treats its connections.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ServerConfig {
    /// A request's head must be whole within this, counted from its first byte; on a new connection from its first moment, so
    /// that it must send something too. Default 30 s.
    pub header_timeout: Duration,
    /// How long a connection is kept that sends nothing after an answer. Whoever keeps connections to this server must close
    /// them sooner, or a request may meet their end on its way, and it is not known then whether it was done: the gateway
    /// keeps its own for 55 s (`upstreams.NAME.idle_timeout`). Default 75 s.
    pub idle_timeout: Duration,
    /// How much of a request's head is taken, and the size of the read buffer, in bytes; at least 8 KiB. Default 32 KiB.
    pub max_header: usize,
    /// How long what runs may go on after the shutdown. Default 30 s.
    pub drain: Duration,
    /// Connections that wait to be accepted. Default 1024.
    pub backlog: u32,
    /// Lets several servers, as a rule one a core, share the address (Linux `SO_REUSEPORT`). Default no.
    pub reuse_port: bool,
}

impl Default for ServerConfig {
    fn default() -> Self {
        Self {
            header_timeout: Duration::from_secs(30),
            idle_timeout: Duration::from_secs(75),
            max_header: 32 << 10,
            drain: Duration::from_secs(30),
            backlog: 1024,
            reuse_port: false,
        }
    }
}

/// Makes the service of a connection.
///
/// Implemented by [`App`], and by any closure from a connection to a tower service whose answers are any bodies of bytes.
pub trait MakeConnection: Send + Sync + 'static {
    /// The service.
    type Service: Service<Request<Incoming>, Response = Response<Self::Body>, Error = Infallible, Future: Send>
        + Clone
        + Send
        + 'static;
    /// The body of its answers.
    type Body: http_body::Body<Data = Bytes, Error: Into<BoxError>> + Send + 'static;

    /// The service of one connection.
    fn connection(&self, connection: Arc<Connection>) -> Self::Service;

    /// Told of every request on a connection that was refused before there was a request that a service could be given. Does
    /// nothing unless it is implemented; [`App`] emits an access event and counts it.
    fn refused(&self, _connection: &Connection, _refusal: &Refusal) {}
}

impl MakeConnection for App {
    type Service = App;
    type Body = super::Body;

    fn connection(&self, connection: Arc<Connection>) -> App {
        self.on(connection)
    }

    fn refused(&self, connection: &Connection, refusal: &Refusal) {
        App::refused(self, connection.peer.ip(), refusal);
    }
}

impl<F, S, B> MakeConnection for F
where
    F: Fn(Arc<Connection>) -> S + Send + Sync + 'static,
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible, Future: Send>
        + Clone
        + Send
        + 'static,
    B: http_body::Body<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
{
    type Service = S;
    type Body = B;

    fn connection(&self, connection: Arc<Connection>) -> S {
        self(connection)
    }
}

/// What a shutdown found running.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Drained {
    /// Connections that were broken off at the deadline.
    pub aborted: usize,
}

/// Bound sockets, and what answers on them.
pub struct Server<M> {
    listeners: Vec<(TcpListener, SocketAddr)>,
    make: M,
    config: ServerConfig,
}

impl<M: MakeConnection> Server<M> {
    /// Binds an address (port 0: any that is free), with the default configuration.
    ///
    /// # Errors
    /// When the address cannot be bound.
    ///
    /// # Panics
    /// Outside a tokio runtime with I/O enabled.
    pub async fn bind(address: SocketAddr, make: M) -> io::Result<Self> {
        Self::bind_all(&[address], make, ServerConfig::default()).await
    }

    /// Binds all the addresses, or none.
    ///
    /// # Errors
    /// When one cannot be bound; the error's text names it.
    ///
    /// # Panics
    /// Outside a tokio runtime with I/O enabled.
    pub async fn bind_all(addresses: &[SocketAddr], make: M, config: ServerConfig) -> io::Result<Self> {
        let mut listeners = Vec::with_capacity(addresses.len());
        for address in addresses {
            let listener = listen(*address, &config)
                .map_err(|e| io::Error::new(e.kind(), format!("cannot listen on {address}: {e}")))?;
            let local = listener.local_addr()?;
            listeners.push((listener, local));
        }
        if listeners.is_empty() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "no address to listen on"));
        }
        Ok(Self { listeners, make, config })
    }

    /// The first address, with the port that was really bound.
    pub fn local_addr(&self) -> SocketAddr {
        self.listeners[0].1
    }

    /// All addresses.
    pub fn local_addrs(&self) -> impl Iterator<Item = SocketAddr> {
        self.listeners.iter().map(|(_, address)| *address)
    }

    /// Serves until `shutdown` is cancelled; then accepts nothing more, finishes what runs or has begun to come, and after the
    /// configured time breaks off what still does.
    ///
    /// # Cancel safety
    /// Dropped, it accepts nothing more and breaks off every connection.
    pub async fn run(self, shutdown: CancellationToken) -> Drained {
        let Self { listeners, make, config } = self;
        let connections = Connections::new(make, &config);
        let mut accepting = JoinSet::new();
        for (listener, local) in listeners {
            let (shared, shutdown) = (connections.shared().clone(), shutdown.clone());
            accepting.spawn(accept_until(listener, shutdown.cancelled_owned(), move |stream, peer| {
                shared.serve_tcp(stream, peer, local);
            }));
        }
        shutdown.cancelled().await;
        // They stop at the same word; one that panicked has been reported.
        while accepting.join_next().await.is_some() {}
        connections.drain().await
    }
}

impl<M> fmt::Debug for Server<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server")
            .field("listeners", &self.listeners)
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}

fn listen(address: SocketAddr, config: &ServerConfig) -> io::Result<TcpListener> {
    let domain = socket2::Domain::for_address(address);
    let socket = socket2::Socket::new(domain, socket2::Type::STREAM, Some(socket2::Protocol::TCP))?;
    // A restart must not wait for the old connections' TIME_WAIT.
    socket.set_reuse_address(true)?;
    #[cfg(unix)]
    if config.reuse_port {
        socket.set_reuse_port(true)?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(i32::try_from(config.backlog).unwrap_or(i32::MAX))?;
    TcpListener::from_std(socket.into())
}
