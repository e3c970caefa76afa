//! One HTTP/1.1 connection to an endpoint, driven by the request that uses it.
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

use http::{Request, Response};
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, Connection, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::time::{Instant, Sleep};

use super::EndpointAddr;
use super::connect::{ConnectFault, Stream, connect};
use super::relay::Relay;
use crate::body::{BodyProgress, RequestBody};

/// Why an exchange gave no response.
pub(crate) enum ExchangeFault {
    /// The connection was dead before anything was written: the request is whole.
    Unsent(Box<Request<RequestBody>>),
    /// No byte for too long.
    Timeout,
    /// The connection failed, or the request's body did.
    Failed(hyper::Error),
    /// The connection ended without an answer.
    Closed,
}

/// A connection, idle or in use.
pub(crate) struct Conn {
    send: SendRequest<RequestBody>,
    driver: Driver,
    timeout: Duration,
    deadline: Instant,
    /// Armed at or before `deadline`, and moved only when it fires: a request costs no timer.
    timer: Option<Pin<Box<Sleep>>>,
    upload: Option<(BodyProgress, u64)>,
    pub(super) last_used: Instant,
}

/// hyper's I/O future, and the waker that it is always polled with.
struct Driver {
    /// None once it has ended: dropping it is what gives back a request that it has not taken.
    io: Option<Connection<TokioIo<Stream>, RequestBody>>,
    relay: Arc<Relay>,
    waker: Waker,
}

impl Driver {
    /// Does I/O, and lets the current task be woken for more.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), hyper::Error>> {
        let Some(io) = &mut self.io else { return Poll::Ready(Ok(())) };
        self.relay.arm(cx.waker());
        let polled = Pin::new(io).poll(&mut Context::from_waker(&self.waker));
        if polled.is_ready() {
            self.io = None;
        }
        polled
    }
}

impl Conn {
    pub(super) async fn open(addr: &EndpointAddr, timeout: Duration) -> Result<Box<Self>, ConnectFault> {
        let stream = connect(addr).await?;
        let (send, io) = http1::Builder::new()
            .handshake(TokioIo::new(stream))
            .await
            .map_err(|e| ConnectFault::Io(std::io::Error::other(e)))?;
        let now = Instant::now();
        let relay = Arc::new(Relay::default());
        let driver = Driver { io: Some(io), waker: Waker::from(relay.clone()), relay };
        Ok(Box::new(Self {
            send,
            driver,
            timeout,
            deadline: now + timeout,
            timer: None,
            upload: None,
            last_used: now,
        }))
    }

    /// Sends a request and waits for the head of its response.
    pub(super) fn exchange(
        &mut self,
        req: Request<RequestBody>,
        upload: Option<BodyProgress>,
        now: Instant,
    ) -> impl Future<Output = Result<Response<Incoming>, ExchangeFault>> {
        self.last_used = now;
        self.deadline = now + self.timeout;
        self.upload = upload.map(|progress| (progress, 0));
        let answer = self.send.try_send_request(req);
        let Self { driver, timeout, deadline, timer, upload, .. } = self;
        let mut clock = Clock { timeout: *timeout, deadline, timer, upload };
        async move {
            // Unconstrained, since a budget spent here would be told to a waker that wakes nobody.
            let mut answer = pin!(tokio::task::unconstrained(answer));
            poll_fn(|cx| {
                let ended = driver.poll(cx);
                // Only the driver can have made this ready, and it was just polled.
                if let Poll::Ready(outcome) = answer.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
                    driver.relay.mute();
                    return Poll::Ready(outcome.map_err(|mut fault| match fault.take_message() {
                        Some(req) => ExchangeFault::Unsent(Box::new(req)),
                        None => ExchangeFault::Failed(fault.into_error()),
                    }));
                }
                match ended {
                    Poll::Ready(Ok(())) => Poll::Ready(Err(ExchangeFault::Closed)),
                    Poll::Ready(Err(e)) => Poll::Ready(Err(ExchangeFault::Failed(e))),
                    Poll::Pending => clock.poll(cx).map(|()| Err(ExchangeFault::Timeout)),
                }
            })
            .await
        }
    }

    /// Does I/O, for a response's body. Ready when the connection has ended.
    pub(super) fn poll_io(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), hyper::Error>> {
        self.driver.poll(cx)
    }

    /// While something is done that would wake the task for its own doing.
    pub(super) fn mute(&self) {
        self.driver.relay.mute();
    }

    /// Nothing of the kind was done: what woke in between came from outside.
    pub(super) fn unmute(&self) {
        self.driver.relay.unmute();
    }

    /// Ready when no byte has come for too long.
    pub(super) fn poll_timeout(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        Clock {
            timeout: self.timeout,
            deadline: &mut self.deadline,
            timer: &mut self.timer,
            upload: &mut self.upload,
        }
        .poll(cx)
    }

    /// A byte has come.
    pub(super) fn touch(&mut self) {
        self.deadline = Instant::now() + self.timeout;
    }

    /// Whether the connection can take another request, now that a response has ended.
    pub(super) fn is_reusable(&mut self) -> bool {
        self.upload = None;
        if !self.send.is_ready() && self.poll_io(&mut Context::from_waker(Waker::noop())).is_ready() {
            return false;
        }
        self.driver.relay.disarm();
        self.send.is_ready()
    }
}

/// The response timeout.
struct Clock<'a> {
    timeout: Duration,
    deadline: &'a mut Instant,
    timer: &'a mut Option<Pin<Box<Sleep>>>,
    upload: &'a mut Option<(BodyProgress, u64)>,
}

impl Clock<'_> {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let timer = self.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(*self.deadline)));
        while timer.as_mut().poll(cx).is_ready() {
            let now = Instant::now();
            if now >= *self.deadline {
                // An upstream owes nothing while it is the client that everybody waits for, or while it still reads.
                let Some((progress, seen)) = self.upload else { return Poll::Ready(()) };
                let bytes = progress.bytes();
                if !progress.is_waiting() && bytes == *seen {
                    return Poll::Ready(());
                }
                *seen = bytes;
                *self.deadline = now + self.timeout;
            }
            timer.as_mut().reset(*self.deadline);
        }
        Poll::Pending
    }
}

impl fmt::Debug for Conn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Conn").field("last_used", &self.last_used).finish_non_exhaustive()
    }
}
