//! One connection to an endpoint: of HTTP/1.1, driven by the request that uses it, or a hold on one of HTTP/2.
//!
//! hyper gives a connection as two halves: one that takes requests and a future that does the I/O, meant to be
//! spawned as a task of its own. Here the request polls that future itself. What the two halves tell each other
//! then happens inside one poll of one task: no second task, no wake-ups between tasks. An idle connection is polled
//! by nobody; the runtime still notes that its socket became readable, so the first poll of the next request sees
//! a peer that has closed before anything is written.

use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
#[cfg(feature = "http2")]
use http::uri::Scheme;
use http::{Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, Connection, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::task::unconstrained;
use tokio::time::{Instant, Sleep};

use super::EndpointAddr;
use super::connect::{ConnectFault, Socket, Stream, connect};
use super::connector::Connector;
#[cfg(feature = "http2")]
use super::http2::Http2;
use super::relay::Relay;
#[cfg(feature = "http2")]
use crate::body::BodyFault;
use crate::body::{BodyProgress, RequestBody};

/// The longest head that an upstream may answer with, and the largest piece of a body taken at once.
const MAX_BUF: usize = 64 * 1024;

/// Why an exchange gave no response.
pub(crate) enum ExchangeFault {
    /// The connection was dead before anything was written: the request is whole, and back in its slot.
    Unsent,
    /// No byte for too long.
    Timeout,
    /// The connection failed, or the request's body did.
    Failed(hyper::Error),
    /// The request's body failed, which ended its stream.
    #[cfg(feature = "http2")]
    Body(BodyFault),
    /// The connection ended without an answer.
    Closed,
}

/// A connection, idle or in use.
pub(crate) struct Conn {
    link: Link,
    clock: Clock,
    pub(super) last_used: Instant,
}

#[cfg_attr(
    feature = "http2",
    expect(clippy::large_enum_variant, reason = "the large one is the usual one, and on the heap")
)]
enum Link {
    Http1 {
        send: SendRequest<RequestBody>,
        driver: Driver,
    },
    /// One that other requests use meanwhile.
    #[cfg(feature = "http2")]
    Http2(Http2),
}

/// hyper's I/O future, and the waker that it is always polled with.
struct Driver {
    /// None soon after it has ended: dropping it is what gives back a request that it has not taken. Only after a 101 it is
    /// kept, for the socket.
    io: Option<Connection<TokioIo<Stream>, RequestBody>>,
    ended: bool,
    relay: Arc<Relay>,
    waker: Waker,
    /// The identity of the relay's task: it holds that waker, so the addresses are nobody else's meanwhile.
    task: Option<(usize, usize)>,
}

impl Driver {
    /// Does I/O, and lets the current task be woken for more.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), hyper::Error>> {
        let Some(io) = &mut self.io else { return Poll::Ready(Ok(())) };
        if self.ended {
            return Poll::Ready(Ok(()));
        }
        let task = (cx.waker().data().addr(), std::ptr::from_ref(cx.waker().vtable()).addr());
        if self.task != Some(task) {
            self.relay.set_task(cx.waker());
            self.task = Some(task);
        }
        self.relay.arm();
        let polled = Pin::new(io).poll(&mut Context::from_waker(&self.waker));
        self.ended = polled.is_ready();
        polled
    }

    /// Gives back what an ended connection still holds.
    fn clear(&mut self) {
        if self.ended {
            self.io = None;
        }
    }
}

impl Conn {
    pub(super) async fn open(
        addr: &EndpointAddr,
        connector: Option<&Connector>,
        timeout: Duration,
    ) -> Result<Box<Self>, ConnectFault> {
        let relay = Arc::new(Relay::default());
        let stream = connect(addr, connector, relay.clone()).await?;
        let (send, io) = http1::Builder::new()
            // Also how much of a request's body waits to be sent, in memory that the connection keeps.
            .max_buf_size(MAX_BUF)
            .handshake(TokioIo::new(stream))
            .await
            .map_err(|e| ConnectFault::Io(std::io::Error::other(e)))?;
        let now = Instant::now();
        let driver =
            Driver { io: Some(io), ended: false, waker: Waker::from(relay.clone()), relay, task: None };
        Ok(Self::new(Link::Http1 { send, driver }, timeout, now))
    }

    fn new(link: Link, timeout: Duration, now: Instant) -> Box<Self> {
        let clock = Clock { timeout, deadline: now + timeout, timer: None, armed: false, upload: None };
        Box::new(Self { link, clock, last_used: now })
    }

    /// A connection of HTTP/2.
    #[cfg(feature = "http2")]
    pub(super) async fn open_http2(
        addr: &EndpointAddr,
        connector: Option<&Connector>,
        scheme: Scheme,
        timeout: Duration,
    ) -> Result<Box<Self>, ConnectFault> {
        // The socket itself: the connection's task is woken like any other.
        let socket = connect(addr, connector, Arc::default()).await?.into_socket();
        let http2 = Http2::open(socket, scheme).await.map_err(ConnectFault::Io)?;
        Ok(Self::new(Link::Http2(http2), timeout, Instant::now()))
    }

    /// Another hold on a connection that takes requests beside each other.
    pub(super) fn share(&self) -> Option<Box<Self>> {
        match &self.link {
            Link::Http1 { .. } => None,
            #[cfg(feature = "http2")]
            Link::Http2(http2) => {
                Some(Self::new(Link::Http2(http2.share()), self.clock.timeout, self.last_used))
            }
        }
    }

    /// Whether its peer has not ended it, as far as is known.
    pub(super) fn is_open(&self) -> bool {
        match &self.link {
            Link::Http1 { send, .. } => !send.is_closed(),
            #[cfg(feature = "http2")]
            Link::Http2(http2) => http2.is_open(),
        }
    }

    /// Sends the request in the slot and waits for the head of its response.
    pub(super) async fn exchange(
        &mut self,
        slot: &mut Option<Request<RequestBody>>,
        upload: Option<BodyProgress>,
        now: Instant,
    ) -> Result<Response<Incoming>, ExchangeFault> {
        self.last_used = now;
        self.clock.start(now, upload);
        let Self { link, clock, .. } = self;
        let (send, driver) = match link {
            Link::Http1 { send, driver } => (send, driver),
            #[cfg(feature = "http2")]
            // On the heap, so that a request by HTTP/1.1 is not as large.
            Link::Http2(http2) => {
                let outcome = Box::pin(http2.exchange(slot, |waker| clock.poll(waker))).await;
                let broken = clock.upload.as_ref().and_then(|(progress, _)| progress.fault());
                return match (outcome, broken) {
                    (Err(ExchangeFault::Failed(_)), Some(fault)) => Err(ExchangeFault::Body(fault)),
                    (outcome, _) => outcome,
                };
            }
        };
        let req = slot.take().ok_or(ExchangeFault::Closed)?;
        // Unconstrained, since a budget spent here would be told to a waker that wakes nobody.
        let mut answer = pin!(unconstrained(send.try_send_request(req)));
        poll_fn(|cx| {
            let ended = driver.poll(cx);
            // Only the driver can have made this ready, and it was just polled.
            let mut polled = answer.as_mut().poll(&mut Context::from_waker(Waker::noop()));
            if ended.is_ready() && !is_switching(&polled) {
                driver.clear();
                if polled.is_pending() {
                    polled = answer.as_mut().poll(&mut Context::from_waker(Waker::noop()));
                }
            }
            if let Poll::Ready(outcome) = polled {
                driver.relay.mute();
                return Poll::Ready(outcome.map_err(|mut fault| {
                    *slot = fault.take_message();
                    if slot.is_some() {
                        ExchangeFault::Unsent
                    } else {
                        ExchangeFault::Failed(fault.into_error())
                    }
                }));
            }
            match ended {
                Poll::Ready(Ok(())) => Poll::Ready(Err(ExchangeFault::Closed)),
                Poll::Ready(Err(e)) => Poll::Ready(Err(ExchangeFault::Failed(e))),
                Poll::Pending => clock.poll(&driver.waker).map(|()| Err(ExchangeFault::Timeout)),
            }
        })
        .await
    }

    /// Does I/O, for a response's body. Ready when the connection has ended.
    pub(super) fn poll_io(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), hyper::Error>> {
        match &mut self.link {
            Link::Http1 { driver, .. } => {
                let ended = driver.poll(cx);
                driver.clear();
                ended
            }
            #[cfg(feature = "http2")]
            Link::Http2(http2) => {
                // Its task does it; here only the timeouts are listened to.
                http2.listen(cx);
                Poll::Pending
            }
        }
    }

    /// Whether a response's body is fed by somebody else, and wakes by itself.
    pub(super) fn is_driven(&self) -> bool {
        match &self.link {
            Link::Http1 { .. } => false,
            #[cfg(feature = "http2")]
            Link::Http2(_) => true,
        }
    }

    /// The socket, after a 101, and what has come by it since.
    pub(super) fn into_socket(self) -> Option<(Socket, Bytes)> {
        match self.link {
            Link::Http1 { driver, .. } => {
                let parts = driver.io?.into_parts();
                Some((parts.io.into_inner().into_socket(), parts.read_buf))
            }
            #[cfg(feature = "http2")]
            Link::Http2(_) => None,
        }
    }

    fn relay(&self) -> &Relay {
        match &self.link {
            Link::Http1 { driver, .. } => &driver.relay,
            #[cfg(feature = "http2")]
            Link::Http2(http2) => &http2.relay,
        }
    }

    /// While something is done that would wake the task for its own doing.
    pub(super) fn mute(&self) {
        self.relay().mute();
    }

    /// Nothing of the kind was done: what woke in between came from outside.
    pub(super) fn unmute(&self) {
        self.relay().unmute();
    }

    /// Ready when no byte has come for too long.
    pub(super) fn poll_timeout(&mut self) -> Poll<()> {
        let Self { link, clock, .. } = self;
        match link {
            Link::Http1 { driver, .. } => clock.poll(&driver.waker),
            #[cfg(feature = "http2")]
            Link::Http2(http2) => clock.poll(&http2.waker),
        }
    }

    /// A byte has come.
    pub(super) fn touch(&mut self) {
        self.clock.deadline = Instant::now() + self.clock.timeout;
    }

    /// Whether the connection can take another request, now that a response has ended. One that others use meanwhile is in
    /// the pool already.
    pub(super) fn is_reusable(&mut self) -> bool {
        self.clock.upload = None;
        if self.is_driven() {
            return false;
        }
        if !self.is_ready() && self.poll_io(&mut Context::from_waker(Waker::noop())).is_ready() {
            return false;
        }
        self.mute();
        self.is_ready()
    }

    fn is_ready(&self) -> bool {
        match &self.link {
            Link::Http1 { send, .. } => send.is_ready(),
            #[cfg(feature = "http2")]
            Link::Http2(_) => false,
        }
    }
}

fn is_switching<E>(polled: &Poll<Result<Response<Incoming>, E>>) -> bool {
    matches!(polled, Poll::Ready(Ok(res)) if res.status() == StatusCode::SWITCHING_PROTOCOLS)
}

/// The response timeout.
struct Clock {
    timeout: Duration,
    deadline: Instant,
    /// Set to `deadline` or before, and moved only when it fires: a request costs no timer.
    timer: Option<Pin<Box<Sleep>>>,
    /// Whether the timer knows whom to wake: always the connection's one waker, so it is told once.
    armed: bool,
    upload: Option<(BodyProgress, u64)>,
}

impl Clock {
    fn start(&mut self, now: Instant, upload: Option<BodyProgress>) {
        self.deadline = now + self.timeout;
        self.upload = upload.map(|progress| (progress, 0));
    }

    /// `waker` is the same every time.
    fn poll(&mut self, waker: &Waker) -> Poll<()> {
        let timer = self.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(self.deadline)));
        loop {
            if self.armed && !timer.is_elapsed() {
                return Poll::Pending;
            }
            // Unconstrained: a poll refused for want of budget would leave the timer with nobody to wake.
            if pin!(unconstrained(timer.as_mut())).poll(&mut Context::from_waker(waker)).is_pending() {
                self.armed = true;
                return Poll::Pending;
            }
            let now = Instant::now();
            if now >= self.deadline {
                // An upstream owes nothing while it is the client that everybody waits for, or while it still reads.
                let Some((progress, seen)) = &mut self.upload else { return Poll::Ready(()) };
                let bytes = progress.bytes();
                if !progress.is_waiting() && bytes == *seen {
                    return Poll::Ready(());
                }
                *seen = bytes;
                self.deadline = now + self.timeout;
            }
            timer.as_mut().reset(self.deadline);
            self.armed = false;
        }
    }
}

impl fmt::Debug for Conn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Conn").field("last_used", &self.last_used).finish_non_exhaustive()
    }
}
