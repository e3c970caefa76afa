//! One HTTP/2 connection to an endpoint, shared by requests.
//!
//! Unlike one of HTTP/1.1 it has a task of its own, since requests come and go while others wait for their answers.

use std::future::{Future, poll_fn};
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use http::header;
use http::uri::{Authority, Scheme, Uri};
use http::{Request, Response, Version};
use hyper::body::Incoming;
use hyper::client::conn::http2::{self, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};

use super::conn::ExchangeFault;
use super::connect::Socket;
use super::relay::Relay;
use crate::body::RequestBody;

/// What an upstream may send ahead of the client's reading, of one answer and of all.
const STREAM_WINDOW: u32 = 256 * 1024;
const CONNECTION_WINDOW: u32 = 4 * 1024 * 1024;
/// Of one request's body, what waits for the upstream to take it.
const SEND_BUFFER: usize = 64 * 1024;
/// The longest head that an upstream may answer with.
const MAX_HEAD: u32 = 64 * 1024;
/// An upstream that is silent while it owes an answer is asked whether it is there, and has as long again to say so.
const PING: Duration = Duration::from_secs(10);

/// A request's hold on the connection.
pub(super) struct Http2 {
    send: SendRequest<RequestBody>,
    scheme: Scheme,
    pub(super) relay: Arc<Relay>,
    pub(super) waker: Waker,
}

impl Http2 {
    pub(super) async fn open(socket: Socket, scheme: Scheme) -> io::Result<Self> {
        let (send, driver) = http2::Builder::new(TokioExecutor::new())
            .timer(TokioTimer::default())
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .max_send_buf_size(SEND_BUFFER)
            .max_header_list_size(MAX_HEAD)
            .keep_alive_interval(PING)
            .keep_alive_timeout(PING)
            .handshake(TokioIo::new(socket))
            .await
            .map_err(io::Error::other)?;
        tokio::spawn(async move {
            if let Err(e) = driver.await {
                let error = &e as &dyn std::error::Error;
                tracing::debug!(target: "shop_gateway::upstream", error, "an HTTP/2 connection ended");
            }
        });
        Ok(Self::of(send, scheme))
    }

    fn of(send: SendRequest<RequestBody>, scheme: Scheme) -> Self {
        let relay = Arc::new(Relay::default());
        Self { send, scheme, waker: Waker::from(relay.clone()), relay }
    }

    /// Another request's hold on it.
    pub(super) fn share(&self) -> Self {
        Self::of(self.send.clone(), self.scheme.clone())
    }

    /// Whether it takes requests still.
    pub(super) fn is_open(&self) -> bool {
        !self.send.is_closed()
    }

    /// Lets the task be woken by the timeouts.
    pub(super) fn listen(&self, cx: &Context<'_>) {
        self.relay.set_task(cx.waker());
        self.relay.arm();
    }

    /// Sends the request in the slot and waits for the head of its response, or until `late`.
    pub(super) async fn exchange(
        &mut self,
        slot: &mut Option<Request<RequestBody>>,
        mut late: impl FnMut(&Waker) -> Poll<()>,
    ) -> Result<Response<Incoming>, ExchangeFault> {
        let mut req = slot.take().ok_or(ExchangeFault::Closed)?;
        name_authority(&mut req, &self.scheme);
        let mut answer = pin!(self.send.try_send_request(req));
        let (relay, waker) = (&self.relay, &self.waker);
        poll_fn(|cx| {
            if let Poll::Ready(outcome) = answer.as_mut().poll(cx) {
                return Poll::Ready(outcome.map_err(|mut fault| {
                    *slot = fault.take_message();
                    if slot.is_some() {
                        ExchangeFault::Unsent
                    } else {
                        ExchangeFault::Failed(fault.into_error())
                    }
                }));
            }
            relay.set_task(cx.waker());
            relay.arm();
            late(waker).map(|()| Err(ExchangeFault::Timeout))
        })
        .await
    }
}

/// `Host` becomes `:authority` (RFC 9113, 8.3.1).
fn name_authority<B>(req: &mut Request<B>, scheme: &Scheme) {
    *req.version_mut() = Version::HTTP_2;
    // One that moves from another connection has it already.
    if req.uri().authority().is_some() {
        return;
    }
    let host = req.headers().get(header::HOST).and_then(|host| Authority::try_from(host.as_bytes()).ok());
    let Some(authority) = host else { return };
    let mut parts = std::mem::take(req.uri_mut()).into_parts();
    let target = parts.path_and_query.clone();
    (parts.scheme, parts.authority) = (Some(scheme.clone()), Some(authority));
    match Uri::from_parts(parts) {
        Ok(uri) => {
            *req.uri_mut() = uri;
            req.headers_mut().remove(header::HOST);
        }
        // It goes with its Host, then, and without an authority.
        Err(_) => *req.uri_mut() = target.map(Uri::from).unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_becomes_the_authority() {
        let mut req = Request::get("/a?b").header("host", "shop.example:81").body(()).unwrap();
        for _ in 0..2 {
            name_authority(&mut req, &Scheme::HTTPS);
            assert_eq!(req.uri(), "https://shop.example:81/a?b");
            assert!(!req.headers().contains_key("host"));
            assert_eq!(req.version(), Version::HTTP_2);
        }
        let mut req = Request::options("*").header("host", "a").body(()).unwrap();
        name_authority(&mut req, &Scheme::HTTP);
        assert_eq!((req.uri().path(), req.uri().host()), ("*", Some("a")));
        let mut req = Request::get("/").header("host", "a b").body(()).unwrap();
        name_authority(&mut req, &Scheme::HTTP);
        assert_eq!((req.uri().to_string().as_str(), req.headers().len()), ("/", 1));
    }
}
