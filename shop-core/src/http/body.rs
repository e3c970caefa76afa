//! What an answer carries: nothing, bytes at hand, or a stream.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use http_body_util::BodyExt as _;
use tokio::sync::mpsc;

use super::BoxError;
use super::access::Tracker;

/// The body of an answer.
///
/// Bytes at hand are sent as they are, with a `Content-Length`; a stream is sent chunk by chunk as it comes.
pub struct Body {
    kind: Kind,
    tracker: Option<Box<Tracker>>,
}

enum Kind {
    Empty,
    Full(Bytes),
    Channel(mpsc::Receiver<Part>),
    Boxed(Pin<Box<dyn http_body::Body<Data = Bytes, Error = BoxError> + Send>>),
}

enum Part {
    Data(Bytes),
    Fault(BoxError),
    End,
}

/// The client no longer wants the rest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the receiver of the body is gone")]
pub struct ReceiverGone;

/// The sending end of a [`Body::channel`].
///
/// Dropped without [`finish`](Self::finish), as by a panic, it breaks the answer off, so that a client cannot mistake a part
/// for the whole.
#[derive(Debug)]
pub struct BodySender(mpsc::Sender<Part>);

impl BodySender {
    /// Sends a chunk; waits while the client is slower than we are.
    ///
    /// # Errors
    /// [`ReceiverGone`] when the client has gone away: stop producing.
    ///
    /// # Cancel safety
    /// Dropped before it is done, nothing was sent.
    pub async fn send(&self, chunk: impl Into<Bytes>) -> Result<(), ReceiverGone> {
        let chunk = chunk.into();
        if chunk.is_empty() {
            return Ok(());
        }
        self.0.send(Part::Data(chunk)).await.map_err(|_| ReceiverGone)
    }

    /// Says that the answer is whole.
    pub async fn finish(self) {
        // A receiver that is gone needs no end.
        let _ = self.0.send(Part::End).await;
    }

    /// Breaks the answer off; the client sees a truncated body.
    pub async fn abort(self, reason: impl Into<BoxError>) {
        let _ = self.0.send(Part::Fault(reason.into())).await;
    }
}

impl Body {
    /// No body.
    pub const fn empty() -> Self {
        Self { kind: Kind::Empty, tracker: None }
    }

    /// Bytes at hand.
    pub fn full(bytes: impl Into<Bytes>) -> Self {
        let bytes = bytes.into();
        Self { kind: if bytes.is_empty() { Kind::Empty } else { Kind::Full(bytes) }, tracker: None }
    }

    /// A stream fed by a task; at most `capacity` chunks (at least 1) wait for the client.
    pub fn channel(capacity: usize) -> (BodySender, Self) {
        let (sender, receiver) = mpsc::channel(capacity.max(1));
        (BodySender(sender), Self { kind: Kind::Channel(receiver), tracker: None })
    }

    /// Any other body.
    pub fn boxed<B>(body: B) -> Self
    where
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        Self { kind: Kind::Boxed(Box::pin(body.map_err(Into::into))), tracker: None }
    }

    pub(crate) fn track(&mut self, tracker: Box<Tracker>) {
        self.tracker = Some(tracker);
    }

    fn poll_kind(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match &mut self.kind {
            Kind::Empty => Poll::Ready(None),
            Kind::Full(bytes) => {
                let bytes = std::mem::take(bytes);
                self.kind = Kind::Empty;
                Poll::Ready(Some(Ok(Frame::data(bytes))))
            }
            Kind::Channel(parts) => Poll::Ready(match ready!(parts.poll_recv(cx)) {
                Some(Part::Data(chunk)) => Some(Ok(Frame::data(chunk))),
                Some(Part::End) => None,
                Some(Part::Fault(error)) => Some(Err(error)),
                None => Some(Err("the body's sender was dropped before the end".into())),
            }),
            Kind::Boxed(body) => body.as_mut().poll_frame(cx),
        }
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        let frame = ready!(self.poll_kind(cx));
        match &frame {
            Some(Ok(frame)) => {
                if let (Some(tracker), Some(data)) = (&mut self.tracker, frame.data_ref()) {
                    tracker.sent(data.len());
                }
                if matches!(self.kind, Kind::Empty)
                    && let Some(tracker) = self.tracker.take()
                {
                    tracker.complete();
                }
            }
            None => {
                self.kind = Kind::Empty;
                if let Some(tracker) = self.tracker.take() {
                    tracker.complete();
                }
            }
            // Dropped unfinished, the tracker says that the answer was broken off.
            Some(Err(_)) => {
                self.kind = Kind::Empty;
                self.tracker = None;
            }
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        match &self.kind {
            Kind::Empty => true,
            Kind::Full(_) | Kind::Channel(_) => false,
            Kind::Boxed(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.kind {
            Kind::Empty => SizeHint::with_exact(0),
            Kind::Full(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Kind::Channel(_) => SizeHint::default(),
            Kind::Boxed(body) => body.size_hint(),
        }
    }
}

impl Drop for Body {
    fn drop(&mut self) {
        // A boxed body that says it is at its end need not be polled again by the server.
        if http_body::Body::is_end_stream(self)
            && let Some(tracker) = self.tracker.take()
        {
            tracker.complete();
        }
    }
}

impl Default for Body {
    fn default() -> Self {
        Self::empty()
    }
}

impl<T: Into<Bytes>> From<T> for Body {
    fn from(bytes: T) -> Self {
        Self::full(bytes)
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            Kind::Empty => f.write_str("Body(empty)"),
            Kind::Full(bytes) => write!(f, "Body({} bytes)", bytes.len()),
            Kind::Channel(_) | Kind::Boxed(_) => f.write_str("Body(stream)"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_channel_is_whole_only_when_it_is_finished() {
        let (sender, body) = Body::channel(4);
        sender.send("a").await.unwrap();
        sender.send("").await.unwrap();
        sender.send("b").await.unwrap();
        sender.finish().await;
        assert_eq!(body.collect().await.unwrap().to_bytes(), "ab");

        let (sender, body) = Body::channel(4);
        sender.send("a").await.unwrap();
        drop(sender);
        assert!(body.collect().await.is_err());

        let (sender, body) = Body::channel(1);
        drop(body);
        assert_eq!(sender.send("a").await, Err(ReceiverGone));
    }
}
