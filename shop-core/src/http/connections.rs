//! The connections of a server, whoever accepts them.

use std::convert::Infallible;
use std::fmt;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use http::header::{CONNECTION, HeaderValue};
use http::{Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use pin_project_lite::pin_project;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_util::sync::{CancellationToken, DropGuard};
use tower_service::Service;

use super::BoxError;
use super::access::Refusal;
use super::connection::{Connection, Socket};
use super::context::RequestId;
use super::head_timer::HeadTimer;
use super::server::{Drained, MakeConnection, ServerConfig};
use crate::Problem;
use crate::drain::{Arrived, Drain, Ticket, nothing_arrived, read_arrived};

/// How long a client that was refused before it had asked may take its answer.
const PARTING: Duration = Duration::from_secs(5);

/// Serves connections that somebody else accepts: what a [`Server`](super::Server) does with those of its TCP sockets, for
/// anything that reads and writes. A Unix socket, a stream inside TLS, one end of a simulated network.
///
/// ```
/// use shop_core::http::{App, Connections, Request, Response, Router, ServerConfig, StatusCode, reply};
/// # use shop_core::Problem;
/// use tokio::io::{AsyncReadExt, AsyncWriteExt};
///
/// # async fn hello(_: (), _: Request) -> Result<Response, Problem> {
/// #     Ok(reply::json(StatusCode::OK, &"hello")?)
/// # }
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> std::io::Result<()> {
/// let app: App = Router::new(()).get("/", hello).into_app(shop_core::service!("greeter"));
/// let connections = Connections::new(app, &ServerConfig::default());
/// let (mut client, accepted) = tokio::io::duplex(1024);
/// connections.serve(accepted, ([192, 0, 2, 7], 4711).into(), ([192, 0, 2, 1], 80).into());
///
/// client.write_all(b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").await?;
/// let mut answer = String::new();
/// client.read_to_string(&mut answer).await?;
/// assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"));
/// connections.drain().await;
/// # Ok(())
/// # }
/// ```
///
/// Dropped, it breaks off every connection.
pub struct Connections<M> {
    shared: Arc<Shared<M>>,
    patience: Duration,
    _abort_on_drop: DropGuard,
}

/// What all connections have in common.
pub(super) struct Shared<M> {
    make: M,
    http: http1::Builder,
    header_timeout: Duration,
    idle_timeout: Duration,
    drain: Drain,
    abort: CancellationToken,
    aborted: AtomicUsize,
}

impl<M: MakeConnection> Connections<M> {
    /// None yet. What a configuration says of listening is of no use here.
    pub fn new(make: M, config: &ServerConfig) -> Self {
        let mut http = http1::Builder::new();
        // The connection's own timer counts it.
        http.header_read_timeout(config.header_timeout).max_buf_size(config.max_header.max(8 << 10));
        let abort = CancellationToken::new();
        let shared = Shared {
            make,
            http,
            header_timeout: config.header_timeout,
            idle_timeout: config.idle_timeout,
            drain: Drain::default(),
            abort: abort.clone(),
            aborted: AtomicUsize::new(0),
        };
        Self { shared: Arc::new(shared), patience: config.drain, _abort_on_drop: abort.drop_guard() }
    }

    /// Serves a connection from `peer` to `local` in a task of its own.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn serve<S>(&self, stream: S, peer: SocketAddr, local: SocketAddr)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        self.shared.serve(stream, nothing_arrived, peer, local);
    }

    /// Finishes what runs or has begun to come, and breaks off what still does after the configured time. To be called once
    /// no more connections are handed in.
    ///
    /// # Cancel safety
    /// Dropped, it breaks nothing off yet; the connections go on finishing.
    pub async fn drain(&self) -> Drained {
        let Shared { drain, abort, aborted, .. } = &*self.shared;
        drain.start();
        if tokio::time::timeout(self.patience, drain.finished()).await.is_err() {
            abort.cancel();
            drain.finished().await;
        }
        Drained { aborted: aborted.load(Ordering::Relaxed) }
    }

    pub(super) fn shared(&self) -> &Arc<Shared<M>> {
        &self.shared
    }
}

impl<M> fmt::Debug for Connections<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connections").field("patience", &self.patience).finish_non_exhaustive()
    }
}

impl<M: MakeConnection> Shared<M> {
    /// Serves a connection of the kernel's.
    pub(super) fn serve_tcp(self: &Arc<Self>, stream: TcpStream, peer: SocketAddr, local: SocketAddr) {
        match stream.set_nodelay(true) {
            Ok(()) => self.serve(stream, read_arrived, peer, local),
            Err(error) => {
                tracing::debug!(target: "shop_core::http", %error, %peer, "the client is gone already");
            }
        }
    }

    fn serve<S>(self: &Arc<Self>, stream: S, arrived: Arrived<S>, peer: SocketAddr, local: SocketAddr)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let connection = Arc::new(Connection::new(peer, local));
        let socket = Socket::new(stream, arrived, connection.clone());
        tokio::spawn(serve(socket, connection, self.drain.join(), self.clone()));
    }
}

async fn serve<M, S>(
    socket: Socket<S>,
    connection: Arc<Connection>,
    ticket: Ticket,
    connections: Arc<Shared<M>>,
) where
    M: MakeConnection,
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service =
        Adapter { service: connections.make.connection(connection.clone()), connection: connection.clone() };
    let io = TokioIo::new(socket);
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
    tracing::debug!(target: "shop_core::http", %error, peer = %connection.peer, "a connection ended early");
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
async fn served<I, S, B>(
    serving: &mut http1::Connection<TokioIo<Socket<I>>, Adapter<S>>,
    ticket: &Ticket,
    connection: &Connection,
) -> hyper::Result<()>
where
    I: AsyncRead + AsyncWrite + Unpin,
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
