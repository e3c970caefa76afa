//! HTTP/2 connections of clients: by ALPN inside TLS, or by prior knowledge on the port of HTTP/1.1.

mod answer;
mod watch;

use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use http::{Request, Response, header};
use hyper::body::Incoming;
use hyper::rt::bounds::Http2ServerConnExec;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use shop_core::drain::Ticket;
use tokio::time::{Instant, sleep_until};

use answer::Answer;
use watch::{End, Watch};

use super::conn::ConnSettings;
use crate::body::RequestBody;
use crate::client::Client;
use crate::gateway::Handler;
use crate::upstream::{Io, Pool};

/// What every client of HTTP/2 sends first (RFC 9113, 3.4).
pub(super) const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Requests at once on one connection.
const MAX_STREAMS: u32 = 128;
/// What a client may send ahead of the upstream's reading, of one request and of all.
const STREAM_WINDOW: u32 = 256 * 1024;
const CONNECTION_WINDOW: u32 = 1024 * 1024;
/// Of one answer, what waits for the client to take it.
const SEND_BUFFER: usize = 64 * 1024;
/// Streams that break rules, before the connection is closed.
const MAX_ERRORS: usize = 128;
/// Streams that were begun and given up before anybody looked at them.
const MAX_PENDING_RESETS: usize = 32;
/// For an answer to a ping, when the client has been silent.
const PING_TIMEOUT: Duration = Duration::from_secs(20);
/// After the word that a connection at rest ends.
const LAST: Duration = Duration::from_secs(5);

/// What a connection is served with.
pub(crate) struct Http2Conn {
    settings: ConnSettings,
    shared: Arc<Shared>,
}

/// What a connection's requests share. Each holds a reference until its answer has ended.
struct Shared {
    client: Client,
    ticket: Ticket,
    watch: Watch,
}

impl Http2Conn {
    pub(super) fn new(client: Client, settings: ConnSettings, ticket: Ticket) -> Self {
        Self { settings, shared: Arc::new(Shared { client, ticket, watch: Watch::default() }) }
    }

    /// Serves the connection to its end, with requests in tasks of the executor.
    ///
    /// # Cancel safety
    /// Dropping the future closes the connection, which ends the tasks.
    pub(crate) async fn run<H, E, F, P>(
        self,
        handler: H,
        stream: Box<dyn Io>,
        executor: E,
        answer: impl Fn(H, Request<Incoming>, Http2Request) -> F,
    ) where
        H: Handler<Pool = P>,
        P: Pool,
        E: Http2ServerConnExec<F, Answer<P>>,
        F: Future<Output = Result<Response<Answer<P>>, Infallible>> + 'static,
    {
        let Self { settings, shared } = self;
        let idle = settings.idle_timeout();
        let service = {
            let shared = shared.clone();
            service_fn(move |req| answer(handler.clone(), req, Http2Request::begin(&shared)))
        };
        let conn = http2::Builder::new(executor)
            .timer(TokioTimer::default())
            .max_concurrent_streams(MAX_STREAMS)
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .max_send_buf_size(SEND_BUFFER)
            .max_header_list_size(settings.max_head() as u32)
            .max_local_error_reset_streams(MAX_ERRORS)
            .max_pending_accept_reset_streams(MAX_PENDING_RESETS)
            .keep_alive_interval(idle)
            .keep_alive_timeout(PING_TIMEOUT)
            .serve_connection(TokioIo::new(stream), service);
        let at_rest = Arc::strong_count(&shared);

        let mut conn = pin!(conn);
        let mut timer = pin!(sleep_until(Instant::now() + settings.header_timeout()));
        let (mut registered, mut told) = (false, false);
        let end = poll_fn(|cx| {
            if !registered {
                shared.ticket.register(cx.waker());
                registered = true;
            }
            if !told && shared.ticket.is_draining() {
                conn.as_mut().graceful_shutdown();
                shared.watch.rest_again();
                told = true;
            }
            loop {
                if let Poll::Ready(outcome) = conn.as_mut().poll(cx) {
                    return Poll::Ready(End::Hyper(outcome));
                }
                let busy = Arc::strong_count(&shared) > at_rest;
                let rest = match (told, shared.watch.is_new()) {
                    (true, _) => LAST,
                    (false, true) => settings.header_timeout(),
                    (false, false) => idle,
                };
                match shared.watch.look(Instant::now(), busy, rest, idle) {
                    Ok(next) => {
                        if next < timer.deadline() || timer.is_elapsed() {
                            timer.as_mut().reset(next);
                        }
                        if timer.as_mut().poll(cx).is_pending() {
                            return Poll::Pending;
                        }
                    }
                    Err(Some(end)) => return Poll::Ready(end),
                    Err(None) if told => return Poll::Ready(End::Idle),
                    // At rest for long enough: it is told, and has a moment for what is on its way.
                    Err(None) => {
                        conn.as_mut().graceful_shutdown();
                        shared.watch.rest_again();
                        told = true;
                    }
                }
            }
        })
        .await;
        match end {
            End::Hyper(Ok(())) => {}
            End::Hyper(Err(e)) => {
                tracing::debug!(target: "shop_gateway::serve", error = &e as &dyn std::error::Error, "connection ended");
            }
            End::Idle => {}
            End::Stalled => {
                tracing::debug!(target: "shop_gateway::serve", "the client takes no byte of an answer")
            }
            End::Resets => {
                tracing::debug!(target: "shop_gateway::serve", "the client gives up too many requests")
            }
        }
    }
}

/// One request of a connection.
pub(crate) struct Http2Request {
    shared: Arc<Shared>,
    answered: bool,
}

impl Http2Request {
    fn begin(shared: &Arc<Shared>) -> Self {
        shared.watch.begun();
        Self { shared: shared.clone(), answered: false }
    }

    /// Has it answered.
    pub(crate) async fn answer<H: Handler>(
        mut self,
        handler: H,
        req: Request<Incoming>,
    ) -> Result<Response<Answer<H::Pool>>, Infallible> {
        let mut slot = Some(req.map(RequestBody::incoming));
        let mut res = handler.engine().handle(&mut slot, &self.shared.client).await;
        self.answered = true;
        // A word of HTTP/1.1's.
        res.headers_mut().remove(header::CONNECTION);
        let shared = self.shared.clone();
        Ok(res.map(|body| Answer::new(body, shared)))
    }
}

impl Drop for Http2Request {
    fn drop(&mut self) {
        if !self.answered {
            self.shared.watch.given_up();
        }
    }
}
