//! One client's connection.

use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;
use std::time::{Duration, Instant};

use http::header::{self, HeaderValue};
use http::{Request, StatusCode};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use shop_core::Problem;
use shop_core::drain::{Arrived, Ticket, read_arrived};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;

#[cfg(feature = "http2")]
use super::http2::{Http2Conn, PREFACE};
use super::io::{ClientIo, Traffic};
#[cfg(feature = "http2")]
use super::prefixed::Prefixed;
use super::watchdog::{Expired, Watchdog};
use crate::access::refused_before_routing;
use crate::body::{BodyLimits, BodyProgress, RequestBody};
use crate::client::Client;
use crate::config::ListenConfig;
use crate::gateway::Handler;
use crate::headers::new_request_id;
use crate::tunnel::Tunnel;
use crate::upstream::Io;

/// How long a client may go on sending after its answer, before its connection is reset.
const LINGER: Duration = Duration::from_secs(2);

/// What is the same for all connections.
#[derive(Debug, Clone)]
pub(super) struct ConnSettings {
    builder: http1::Builder,
    header_timeout: Duration,
    idle_timeout: Duration,
    body_limits: BodyLimits,
    #[cfg(feature = "http2")]
    max_head: usize,
}

impl ConnSettings {
    pub(super) fn new(config: &ListenConfig) -> Self {
        let limits = &config.limits;
        // The target and the headers are held to their own limits once the head is whole, with a proper answer.
        let max_head = (limits.max_header.0 + limits.max_uri.0) as usize + 1024;
        let mut builder = http1::Builder::new();
        builder
            .half_close(config.half_close)
            // The watchdog's: hyper's own would also end idle connections, and takes a new timer for each request.
            .header_read_timeout(None)
            .max_header_size(max_head)
            .max_buf_size(256 * 1024);
        Self {
            builder,
            header_timeout: limits.header_timeout.0,
            idle_timeout: limits.idle_timeout.0,
            #[cfg(feature = "http2")]
            max_head,
            body_limits: BodyLimits {
                max: limits.max_body.0,
                timeout: limits.body_timeout.0,
                min_rate: limits.min_body_rate.0,
            },
        }
    }
}

impl ConnSettings {
    /// What comes before the first request is held to it, too.
    pub(super) fn header_timeout(&self) -> Duration {
        self.header_timeout
    }

    #[cfg(feature = "http2")]
    pub(super) fn idle_timeout(&self) -> Duration {
        self.idle_timeout
    }

    /// The longest head that is read at all, in bytes.
    #[cfg(feature = "http2")]
    pub(super) fn max_head(&self) -> usize {
        self.max_head
    }
}

/// What a connection's requests share. Each request holds a reference until its answer has ended, which is how the
/// watchdog knows that one is being answered.
struct Shared {
    client: Client,
    ticket: Ticket,
    requests: AtomicU32,
    upload: Mutex<Option<BodyProgress>>,
    /// What the connection becomes after a 101.
    tunnel: Mutex<Option<Box<Tunnel>>>,
}

enum End {
    Hyper(Result<(), hyper::Error>),
    Expired(Expired),
    /// A head that must not be answered otherwise.
    Refused(&'static str),
}

/// Serves a TCP connection to its end; see [`serve_connection`].
pub(super) fn serve_tcp<H: Handler>(
    stream: TcpStream,
    peer: SocketAddr,
    handler: H,
    settings: ConnSettings,
    ticket: Ticket,
) -> impl Future<Output = ()> {
    // Fails only for a socket that is gone; reading from it will say so.
    let _ = stream.set_nodelay(true);
    serve_connection(stream, read_arrived, Client::new(peer), handler, settings, ticket)
}

/// Serves a connection to its end.
///
/// # Cancel safety
/// Dropping the future closes the connection; a request that runs is given up.
pub(super) async fn serve_connection<H: Handler, S: Io + 'static>(
    stream: S,
    arrived: Arrived<S>,
    client: Client,
    handler: H,
    settings: ConnSettings,
    ticket: Ticket,
) {
    let accepted = Instant::now();
    let traffic = Arc::new(Traffic::default());
    let body_limits = settings.body_limits;
    #[cfg(feature = "http2")]
    let http2 = handler.clone();
    let shared = Arc::new(Shared {
        client,
        ticket,
        requests: AtomicU32::new(0),
        upload: Mutex::new(None),
        tunnel: Mutex::new(None),
    });
    let service = {
        let shared = shared.clone();
        service_fn(move |req: Request<Incoming>| {
            let (shared, engine) = (shared.clone(), handler.engine());
            shared.requests.store(shared.requests.load(Relaxed).wrapping_add(1), Relaxed);
            let mut slot = Some(req.map(RequestBody::incoming));
            async move {
                if let Some(progress) = slot.as_mut().and_then(|req| req.body_mut().watch(body_limits)) {
                    *shared.upload.lock().unwrap_or_else(PoisonError::into_inner) = Some(progress);
                }
                let mut res = engine.handle(&mut slot, &shared.client).await;
                if let Some(tunnel) = res.body_mut().take_tunnel() {
                    *shared.tunnel.lock().unwrap_or_else(PoisonError::into_inner) = Some(tunnel);
                } else if shared.ticket.is_draining() {
                    // hyper would not say so of an answer that is there before it is told.
                    res.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
                }
                res.body_mut().hold(shared);
                Ok::<_, Infallible>(res)
            }
        })
    };
    let io = TokioIo::new(ClientIo::new(stream, arrived, traffic.clone()));
    let mut conn = settings.builder.serve_connection(io, service);
    let at_rest = Arc::strong_count(&shared);

    let mut watchdog = Watchdog::new(settings.header_timeout, settings.idle_timeout);
    let (mut registered, mut told) = (false, false);
    let end = poll_fn(|cx| {
        if !registered {
            shared.ticket.register(cx.waker());
            registered = true;
        }
        let draining = shared.ticket.is_draining();
        if draining && !told {
            traffic.look_closely();
        }
        loop {
            if let Poll::Ready(outcome) = Pin::new(&mut conn).poll(cx) {
                return Poll::Ready(End::Hyper(outcome));
            }
            let busy = Arc::strong_count(&shared) > at_rest;
            if let Some(refused) = traffic.refused()
                && !busy
                && !traffic.is_blocked()
                && refused.after == shared.requests.load(Relaxed)
            {
                return Poll::Ready(End::Refused(refused.why));
            }
            if let Poll::Ready(expired) = watchdog.poll(cx, shared.requests.load(Relaxed), busy, &traffic) {
                return Poll::Ready(End::Expired(expired));
            }
            // A connection at rest is closed when hyper is told: not before all that has come was read, nor under a head
            // that is half there.
            if !draining || told || watchdog.is_in_head(&traffic) {
                return Poll::Pending;
            }
            Pin::new(&mut conn).graceful_shutdown();
            told = true;
        }
    })
    .await;

    let unread = || {
        let upload = shared.upload.lock().unwrap_or_else(PoisonError::into_inner);
        upload.as_ref().is_some_and(|progress| !progress.is_ended())
    };
    let tunnel = shared.tunnel.lock().unwrap_or_else(PoisonError::into_inner).take();
    match end {
        End::Hyper(Ok(())) if let Some(tunnel) = tunnel => {
            let parts = conn.into_parts();
            let io = parts.io.into_inner();
            if io.is_stopped() {
                // Sent ahead of the 101, read as HTTP, and found to be none: the protocol's bytes are not whole.
                return;
            }
            // On the heap: a connection that is none shall not be as large. The ticket is kept, so a drain waits for it.
            Box::pin(tunnel.run(io.stream, parts.read_buf)).await;
        }
        End::Hyper(Ok(())) if traffic.is_eof() || !unread() => {}
        End::Hyper(Ok(())) => linger(conn.into_parts().io).await,
        End::Hyper(Err(e)) if e.is_parse() => {
            let parts = conn.into_parts();
            #[cfg(feature = "http2")]
            if parts.read_buf.starts_with(PREFACE) && !parts.io.inner().is_stopped() {
                // hyper has seen that it is HTTP/2, and not answered.
                let stream = Box::new(Prefixed::new(parts.read_buf, parts.io.into_inner().stream));
                drop(parts.service);
                if let Some(Shared { client, ticket, .. }) = Arc::into_inner(shared) {
                    let conn = Http2Conn::new(client, settings, ticket);
                    Box::pin(http2.serve_http2(stream, conn)).await;
                }
                return;
            }
            // hyper has answered.
            let status = if e.is_parse_too_large() {
                StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE
            } else {
                StatusCode::BAD_REQUEST
            };
            refused_before_routing(&shared.client, status, accepted);
            linger(parts.io).await;
        }
        End::Hyper(Err(e)) => {
            tracing::debug!(target: "shop_gateway::serve", error = &e as &dyn std::error::Error, "connection ended");
        }
        End::Expired(Expired::Head) => {
            refused_before_routing(&shared.client, StatusCode::REQUEST_TIMEOUT, accepted);
            let problem = Problem::new(408, "request_timeout", "The request did not come in time")
                .detail("the head of the request was not whole in time");
            refuse(conn.into_parts().io, "408 Request Timeout", problem).await;
        }
        End::Refused(why) => {
            refused_before_routing(&shared.client, StatusCode::BAD_REQUEST, accepted);
            let problem = Problem::new(400, "bad_request", "The request is not valid HTTP").detail(why);
            refuse(conn.into_parts().io, "400 Bad Request", problem).await;
        }
        End::Expired(Expired::Idle | Expired::Stalled) => {}
    }
}

/// The last answer on a connection, to what never became a request.
async fn refuse<S: AsyncRead + AsyncWrite + Unpin>(
    mut io: TokioIo<ClientIo<S>>,
    status: &str,
    problem: Problem,
) {
    let id = new_request_id(Instant::now());
    let id = id.to_str().unwrap_or_default();
    let problem = problem.to_json(id);
    let mut answer = format!(
        "HTTP/1.1 {status}\r\ncontent-type: application/problem+json\r\ncontent-length: {}\r\n\
         cache-control: no-store\r\nx-request-id: {id}\r\nconnection: close\r\n\r\n",
        problem.len()
    )
    .into_bytes();
    answer.extend(problem);
    if let Ok(Ok(())) = tokio::time::timeout(LINGER, io.inner_mut().write_all(&answer)).await {
        linger(io).await;
    }
}

/// Closes the sending side, then takes what the client still sends, for a while: closing with bytes unread would
/// reset the connection, and the client might lose the answer (RFC 9112, 9.6).
async fn linger<S: AsyncRead + AsyncWrite + Unpin>(io: TokioIo<ClientIo<S>>) {
    // The stream itself: what is read of it is for nobody.
    let mut io = io.into_inner().stream;
    if io.shutdown().await.is_err() {
        return;
    }
    let mut sink = [0; 4096];
    let drained = async { while matches!(io.read(&mut sink).await, Ok(n) if n > 0) {} };
    // Late or not, the connection is closed now.
    let _ = tokio::time::timeout(LINGER, drained).await;
}
