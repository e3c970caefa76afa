//! A server of HTTP/1.1 on TCP sockets, on hyper.

use std::convert::Infallible;
use std::fmt;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONNECTION, HeaderValue};
use http::{Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use pin_project_lite::pin_project;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tower_service::Service;

use super::BoxError;
use super::access::Refusal;
use super::connection::{Connection, Socket};
use super::context::RequestId;
use super::head_timer::HeadTimer;
use super::stack::App;
use crate::Problem;
use crate::drain::{Drain, Ticket, accept_until};

/// How long a client that was refused before it had asked may take its answer.
const PARTING: Duration = Duration::from_secs(5);

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
        let connections = Arc::new(Connections {
            make: Arc::new(make),
            http: builder(&config),
            header_timeout: config.header_timeout,
            idle_timeout: config.idle_timeout,
            drain: Drain::default(),
            abort: CancellationToken::new(),
            aborted: AtomicUsize::new(0),
        });
        let _abort_on_drop = connections.abort.clone().drop_guard();
        let mut accepting = JoinSet::new();
        for (listener, local) in listeners {
            let (connections, shutdown) = (connections.clone(), shutdown.clone());
            accepting.spawn(accept_until(listener, shutdown.cancelled_owned(), move |stream, peer| {
                tokio::spawn(serve(stream, peer, local, connections.drain.join(), connections.clone()));
            }));
        }
        shutdown.cancelled().await;
        // They stop at the same word; one that panicked has been reported.
        while accepting.join_next().await.is_some() {}
        connections.drain.start();
        if tokio::time::timeout(config.drain, connections.drain.finished()).await.is_err() {
            connections.abort.cancel();
            connections.drain.finished().await;
        }
        Drained { aborted: connections.aborted.load(Ordering::Relaxed) }
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

fn builder(config: &ServerConfig) -> http1::Builder {
    let mut http = http1::Builder::new();
    // The connection's own timer counts it.
    http.header_read_timeout(config.header_timeout).max_buf_size(config.max_header.max(8 << 10));
    http
}

struct Connections<M> {
    make: Arc<M>,
    http: http1::Builder,
    header_timeout: Duration,
    idle_timeout: Duration,
    drain: Drain,
    abort: CancellationToken,
    aborted: AtomicUsize,
}

async fn serve<M: MakeConnection>(
    stream: TcpStream,
    peer: SocketAddr,
    local: SocketAddr,
    ticket: Ticket,
    connections: Arc<Connections<M>>,
) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(target: "shop_core::http", %error, %peer, "the client is gone already");
        return;
    }
    let connection = Arc::new(Connection::new(peer, local));
    let service =
        Adapter { service: connections.make.connection(connection.clone()), connection: connection.clone() };
    let io = TokioIo::new(Socket::new(stream, connection.clone()));
    let mut http = connections.http.clone();
    http.timer(HeadTimer {
        connection: connection.clone(),
        header_timeout: connections.header_timeout,
        idle_timeout: connections.idle_timeout,
    });
    let mut serving = http.serve_connection(io, service);
    // A token of its own: waiting on a shared one would make every connection take the same lock at every wake.
    let abort = connections.abort.child_token();
    let mut aborted = pin!(abort.cancelled());
    let result = tokio::select! {
        biased;
        result = served(&mut serving, &ticket, &connection) => result,
        () = aborted.as_mut() => {
            connections.aborted.fetch_add(1, Ordering::Relaxed);
            return;
        }
    };
    let Err(error) = result else { return };
    tracing::debug!(target: "shop_core::http", %error, %peer, "a connection ended early");
    let late = error.is_timeout();
    if !late && !error.is_parse() {
        return;
    }
    let http1::Parts { io, read_buf, .. } = serving.into_parts();
    // A client that has sent nothing of a head has asked nothing.
    if late && read_buf.is_empty() {
        return;
    }
    let mut refusal = Refusal {
        status: match (late, error.is_parse_too_large()) {
            (true, _) => StatusCode::REQUEST_TIMEOUT,
            (false, true) => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            (false, false) => StatusCode::BAD_REQUEST,
        },
        duration: connection.waited(),
        request_id: None,
        sent: 0,
    };
    let mut socket = io.into_inner();
    // hyper has answered what it cannot read, but not what is late.
    let answer = late.then(|| late_answer(&mut refusal));
    connections.make.refused(&connection, &refusal);
    connection.body_left_unread();
    let parting = async {
        if let Some(answer) = answer {
            socket.write_all(&answer).await?;
        }
        // Lingers: closing with bytes unread could destroy the answer.
        socket.shutdown().await
    };
    tokio::select! {
        biased;
        () = aborted.as_mut() => {}
        // A client that is gone, or takes no answer, has lost only the answer.
        _ = tokio::time::timeout(PARTING, parting) => {}
    }
}

/// Serves a connection to its end, which comes with the server's, once all that had come by then is answered.
async fn served<S, B>(
    serving: &mut http1::Connection<TokioIo<Socket>, Adapter<S>>,
    ticket: &Ticket,
    connection: &Connection,
) -> hyper::Result<()>
where
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible> + Clone,
    B: http_body::Body<Error: Into<BoxError>> + 'static,
{
    let (mut registered, mut told) = (false, false);
    poll_fn(|cx| {
        if !registered {
            ticket.register(cx.waker());
            registered = true;
        }
        let draining = ticket.is_draining();
        if draining {
            connection.drain();
        }
        loop {
            if let Poll::Ready(result) = Pin::new(&mut *serving).poll(cx) {
                return Poll::Ready(result);
            }
            // A connection at rest is closed when hyper is told: not before all that has come was read, nor under a head
            // that is half there.
            if !draining || told || connection.is_in_head() {
                return Poll::Pending;
            }
            Pin::new(&mut *serving).graceful_shutdown();
            told = true;
        }
    })
    .await
}

/// The answer to a head that did not come in time, which hyper does not make.
fn late_answer(refusal: &mut Refusal) -> Vec<u8> {
    let id = RequestId::generate();
    let problem = Problem::new(408, "request_timeout", "The request did not come in time")
        .detail("the head of the request was not whole in time")
        .to_json(id.as_str());
    let mut answer = format!(
        "HTTP/1.1 408 Request Timeout\r\nContent-Type: application/problem+json\r\nContent-Length: {}\r\n\
         Cache-Control: no-store\r\nX-Request-Id: {id}\r\nConnection: close\r\n\r\n",
        problem.len()
    )
    .into_bytes();
    refusal.sent = problem.len() as u64;
    refusal.request_id = Some(id);
    answer.extend(problem);
    answer
}

/// A tower service as hyper calls it: made ready first, then called, without a box. When the server ends, its answers say
/// that they are the last, which hyper would not say of one that is there before it is told.
struct Adapter<S> {
    service: S,
    connection: Arc<Connection>,
}

impl<S, B> hyper::service::Service<Request<Incoming>> for Adapter<S>
where
    S: Service<Request<Incoming>, Response = Response<B>> + Clone,
{
    type Response = Response<B>;
    type Error = S::Error;
    type Future = Answering<S>;

    fn call(&self, request: Request<Incoming>) -> Answering<S> {
        self.connection.head_whole();
        let ready = Ready::Waiting { service: self.service.clone(), request: Some(request) };
        Answering { ready, connection: self.connection.clone() }
    }
}

pin_project! {
    struct Answering<S: Service<Request<Incoming>>> {
        #[pin]
        ready: Ready<S>,
        connection: Arc<Connection>,
    }
}

impl<S, B> Future for Answering<S>
where
    S: Service<Request<Incoming>, Response = Response<B>>,
{
    type Output = Result<Response<B>, S::Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let mut answer = std::task::ready!(this.ready.poll(cx))?;
        if this.connection.is_draining() {
            answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        Poll::Ready(Ok(answer))
    }
}

pin_project! {
    #[project = ReadyProj]
    enum Ready<S: Service<Request<Incoming>>> {
        Waiting { service: S, request: Option<Request<Incoming>> },
        Called { #[pin] future: S::Future },
    }
}

impl<S: Service<Request<Incoming>>> Future for Ready<S> {
    type Output = Result<S::Response, S::Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        loop {
            let future = match self.as_mut().project() {
                ReadyProj::Called { future } => return future.poll(cx),
                ReadyProj::Waiting { service, request } => {
                    std::task::ready!(service.poll_ready(cx))?;
                    let request = request.take().expect("called once, then no longer waiting");
                    service.call(request)
                }
            };
            self.set(Self::Called { future });
        }
    }
}
