//! A request's body, with the limits that a client must keep.

use std::any::Any;
use std::error::Error;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt;
use http_body_util::combinators::UnsyncBoxBody;
use hyper::body::Incoming;
use shop_core::BodyRefusal;
use tokio::time::{Instant, Sleep};

use super::{BodyProgress, BoxError};
use crate::headers::clean_trailers;

/// How long a body may be slower than the minimum rate.
const GRACE: Duration = Duration::from_secs(10);

/// What a body must keep.
#[derive(Debug, Clone, Copy)]
pub(crate) struct BodyLimits {
    pub(crate) max: u64,
    pub(crate) timeout: Duration,
    pub(crate) min_rate: u64,
}

/// Why a request's body ended before its end.
#[derive(Debug)]
pub(crate) enum BodyFault {
    TooLarge { max: u64 },
    TooSlow,
    Client(BoxError),
}

#[cfg(feature = "http2")]
impl BodyFault {
    /// The same, without what the client's connection said of it.
    pub(super) fn without_cause(&self) -> Self {
        match self {
            Self::TooLarge { max } => Self::TooLarge { max: *max },
            Self::TooSlow => Self::TooSlow,
            Self::Client(cause) => Self::Client(cause.to_string().into()),
        }
    }
}

impl fmt::Display for BodyFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLarge { max } => write!(f, "the body is larger than {max} bytes"),
            Self::TooSlow => f.write_str("the body came too slowly"),
            Self::Client(_) => f.write_str("the client left, or sent what is not a body"),
        }
    }
}

impl Error for BodyFault {
    /// A service of this process answers by itself; this tells it how.
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        static TOO_LARGE: BodyRefusal =
            BodyRefusal { status: 413, code: "body_too_large", title: "The body is too large" };
        static TOO_SLOW: BodyRefusal =
            BodyRefusal { status: 408, code: "request_timeout", title: "The request did not come in time" };
        match self {
            Self::TooLarge { .. } => Some(&TOO_LARGE),
            Self::TooSlow => Some(&TOO_SLOW),
            Self::Client(cause) => Some(&**cause),
        }
    }
}

/// A request's body on its way to an upstream. Streams; ends with an error when the client breaks a limit.
pub struct RequestBody {
    inner: Inner,
    watch: Option<Box<Watch>>,
}

enum Inner {
    Empty,
    Incoming(Incoming),
    Boxed(UnsyncBoxBody<Bytes, BoxError>),
}

struct Watch {
    limits: BodyLimits,
    progress: BodyProgress,
    /// Time spent waiting for the client, without the wait that goes on.
    waited: Duration,
    waiting_since: Option<Instant>,
    timer: Option<Pin<Box<Sleep>>>,
}

impl RequestBody {
    /// No body.
    pub fn empty() -> Self {
        Self { inner: Inner::Empty, watch: None }
    }

    /// A body of any kind. One that hyper received is taken as it is; others are boxed, but empty ones.
    pub fn new<B>(body: B) -> Self
    where
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        if body.is_end_stream() {
            return Self::empty();
        }
        let mut slot = Some(body);
        let inner = match (&mut slot as &mut dyn Any)
            .downcast_mut::<Option<Incoming>>()
            .and_then(Option::take)
        {
            Some(incoming) => Inner::Incoming(incoming),
            None => slot.map_or(Inner::Empty, |body| Inner::Boxed(body.map_err(Into::into).boxed_unsync())),
        };
        Self { inner, watch: None }
    }

    /// A body that hyper received.
    pub(crate) fn incoming(body: Incoming) -> Self {
        Self { inner: if body.is_end_stream() { Inner::Empty } else { Inner::Incoming(body) }, watch: None }
    }

    /// Holds a body that is watched to other limits.
    pub(crate) fn set_limits(&mut self, limits: BodyLimits) {
        if let Some(watch) = &mut self.watch {
            watch.limits = limits;
        }
    }

    /// Holds the body to limits from here on; nothing for one that is empty.
    pub(crate) fn watch(&mut self, limits: BodyLimits) -> Option<BodyProgress> {
        if let Some(watch) = &self.watch {
            return Some(watch.progress.clone());
        }
        if self.is_end_stream() {
            return None;
        }
        let progress = BodyProgress::default();
        self.watch = Some(Box::new(Watch {
            limits,
            progress: progress.clone(),
            waited: Duration::ZERO,
            waiting_since: None,
            timer: None,
        }));
        Some(progress)
    }
}

impl Watch {
    fn received(&mut self, frame: Option<&Frame<Bytes>>) -> Result<(), BodyFault> {
        if let Some(since) = self.waiting_since.take() {
            self.waited += since.elapsed();
            self.progress.set_waiting(false);
        }
        match frame {
            None => self.progress.set_ended(),
            Some(frame) => {
                let seen = self.progress.add(frame.data_ref().map_or(0, Bytes::len));
                if seen > self.limits.max {
                    return Err(BodyFault::TooLarge { max: self.limits.max });
                }
                if self.waited > GRACE && self.is_slow(self.waited) {
                    return Err(BodyFault::TooSlow);
                }
            }
        }
        Ok(())
    }

    fn is_slow(&self, waited: Duration) -> bool {
        (self.progress.bytes() as f64) < self.limits.min_rate as f64 * waited.as_secs_f64()
    }

    /// Nothing is there: when has the client had its time?
    fn poll_late(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let now = Instant::now();
        let since = *self.waiting_since.get_or_insert(now);
        self.progress.set_waiting(true);
        let silent_at = since + self.limits.timeout;
        loop {
            let now = Instant::now();
            let waited = self.waited + now.duration_since(since);
            if now >= silent_at || (waited >= GRACE && self.is_slow(waited)) {
                return Poll::Ready(());
            }
            // The rate cannot be too low before the grace is over, nor before what has come is used up.
            let earned = match self.limits.min_rate {
                0 => self.limits.timeout,
                rate => Duration::from_secs_f64(self.progress.bytes() as f64 / rate as f64),
            };
            let slow_at = since + (GRACE.max(earned) + Duration::from_millis(1)).saturating_sub(self.waited);
            let next = silent_at.min(slow_at).max(now + Duration::from_millis(1));
            let timer = self.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(next)));
            if timer.deadline() != next {
                timer.as_mut().reset(next);
            }
            if timer.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
        }
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = &mut *self;
        let polled = match &mut this.inner {
            Inner::Empty => return Poll::Ready(None),
            Inner::Incoming(body) => Pin::new(body).poll_frame(cx).map_err(|e| BodyFault::Client(e.into())),
            Inner::Boxed(body) => Pin::new(body).poll_frame(cx).map_err(BodyFault::Client),
        };
        let polled = polled.map_ok(|mut frame| {
            if let Some(trailers) = frame.trailers_mut() {
                clean_trailers(trailers);
            }
            frame
        });
        let outcome = match (polled, &mut this.watch) {
            (Poll::Ready(Some(Ok(frame))), Some(watch)) => watch.received(Some(&frame)).map(|()| Some(frame)),
            (Poll::Ready(Some(Ok(frame))), None) => Ok(Some(frame)),
            (Poll::Ready(Some(Err(fault))), _) => Err(fault),
            (Poll::Ready(None), Some(watch)) => watch.received(None).map(|()| None),
            (Poll::Ready(None), None) => Ok(None),
            (Poll::Pending, Some(watch)) => match watch.poll_late(cx) {
                Poll::Ready(()) => Err(BodyFault::TooSlow),
                Poll::Pending => return Poll::Pending,
            },
            (Poll::Pending, None) => return Poll::Pending,
        };
        #[cfg(feature = "http2")]
        if let (Err(fault), Some(watch)) = (&outcome, &this.watch) {
            watch.progress.set_fault(fault);
        }
        Poll::Ready(outcome.map_err(BoxError::from).transpose())
    }

    fn is_end_stream(&self) -> bool {
        match &self.inner {
            Inner::Empty => true,
            Inner::Incoming(body) => body.is_end_stream(),
            Inner::Boxed(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.inner {
            Inner::Empty => SizeHint::with_exact(0),
            Inner::Incoming(body) => body.size_hint(),
            Inner::Boxed(body) => body.size_hint(),
        }
    }
}

impl Drop for RequestBody {
    fn drop(&mut self) {
        // A body of known length is not asked for its end once all its bytes are there.
        if self.is_end_stream()
            && let Some(watch) = &self.watch
        {
            watch.progress.set_ended();
        }
    }
}

impl fmt::Debug for RequestBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RequestBody").field("size_hint", &self.size_hint()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use http_body_util::Full;
    use tokio::sync::mpsc;

    use super::*;

    const LIMITS: BodyLimits = BodyLimits { max: 1 << 20, timeout: Duration::from_secs(30), min_rate: 1024 };

    struct Channel(mpsc::UnboundedReceiver<Bytes>);

    impl Body for Channel {
        type Data = Bytes;
        type Error = Infallible;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            cx: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
            self.0.poll_recv(cx).map(|item| item.map(|bytes| Ok(Frame::data(bytes))))
        }
    }

    fn channel(limits: BodyLimits) -> (mpsc::UnboundedSender<Bytes>, RequestBody, BodyProgress) {
        let (tx, rx) = mpsc::unbounded_channel();
        let mut body = RequestBody::new(Channel(rx));
        let progress = body.watch(limits).unwrap();
        (tx, body, progress)
    }

    #[tokio::test(start_paused = true)]
    async fn silence_ends_after_the_body_timeout() {
        let (_tx, mut body, progress) = channel(BodyLimits { min_rate: 0, ..LIMITS });
        let start = Instant::now();
        let fault = body.frame().await.unwrap().unwrap_err();
        assert!(matches!(fault.downcast_ref(), Some(BodyFault::TooSlow)));
        assert_eq!(start.elapsed().as_secs(), 30);
        assert!(!progress.is_ended());
    }

    #[tokio::test(start_paused = true)]
    async fn a_trickle_is_cut_off_after_the_grace() {
        let (tx, mut body, progress) = channel(LIMITS);
        let start = Instant::now();
        tokio::spawn(async move {
            while tx.send(Bytes::from_static(b"x")).is_ok() {
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        });
        let fault = loop {
            match body.frame().await.unwrap() {
                Ok(_) => {}
                Err(fault) => break fault,
            }
        };
        assert!(matches!(fault.downcast_ref(), Some(BodyFault::TooSlow)));
        assert!((10..=11).contains(&start.elapsed().as_secs()), "{:?}", start.elapsed());
        assert!(progress.bytes() <= 11);
    }

    #[tokio::test(start_paused = true)]
    async fn a_steady_client_may_take_its_time() {
        let (tx, mut body, progress) = channel(LIMITS);
        tokio::spawn(async move {
            for _ in 0..120 {
                tx.send(Bytes::from(vec![0; 1100])).unwrap();
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        });
        while let Some(frame) = body.frame().await {
            frame.unwrap();
        }
        assert!(progress.is_ended());
        assert_eq!(progress.bytes(), 120 * 1100);
    }

    #[tokio::test]
    async fn the_byte_over_the_limit_is_an_error() {
        let mut body = RequestBody::new(Full::new(Bytes::from_static(b"12345")));
        body.watch(BodyLimits { max: 4, ..LIMITS }).unwrap();
        let fault = body.frame().await.unwrap().unwrap_err();
        assert!(matches!(fault.downcast_ref(), Some(BodyFault::TooLarge { max: 4 })));
    }
}
