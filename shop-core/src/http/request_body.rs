//! What a request carries, from a socket or from the same process.

use std::any::Any;
use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body::{Body as _, Frame, SizeHint};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;

use super::BoxError;
use super::context::RequestContext;
use crate::{BodyRefusal, Problem};

/// No byte of a body for this long ends the request with 408.
const IDLE: Duration = Duration::from_secs(30);

/// The body of a request. Boxes only what is neither hyper's own body nor bytes at hand.
pub struct RequestBody {
    kind: Kind,
    context: Option<Arc<RequestContext>>,
}

enum Kind {
    Empty,
    Full(Bytes),
    Incoming(Incoming),
    Boxed(Pin<Box<dyn http_body::Body<Data = Bytes, Error = BoxError> + Send>>),
}

impl RequestBody {
    /// Takes any body.
    pub fn new<B>(body: B) -> Self
    where
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        let mut body = Some(body);
        let any: &mut dyn Any = &mut body;
        if let Some(own) = any.downcast_mut::<Option<Self>>().and_then(Option::take) {
            return own;
        }
        let kind = if let Some(incoming) = any.downcast_mut::<Option<Incoming>>().and_then(Option::take) {
            if incoming.is_end_stream() { Kind::Empty } else { Kind::Incoming(incoming) }
        } else {
            match body {
                Some(body) if !body.is_end_stream() => Kind::Boxed(Box::pin(body.map_err(Into::into))),
                _ => Kind::Empty,
            }
        };
        Self { kind, context: None }
    }

    /// No body.
    pub const fn empty() -> Self {
        Self { kind: Kind::Empty, context: None }
    }

    pub(crate) fn attach(mut self, context: &Arc<RequestContext>) -> Self {
        self.context = Some(context.clone());
        self
    }

    /// The next chunk; `None` at the end.
    ///
    /// # Errors
    /// 408 when the client sends nothing for 30 s, what a [`BodyRefusal`] says when the body was broken off by one, and
    /// otherwise 400 `incomplete_body` when it breaks off.
    ///
    /// # Cancel safety
    /// No byte is lost when it is dropped.
    pub async fn data(&mut self) -> Option<Result<Bytes, Problem>> {
        loop {
            let frame = match poll_now(self).await {
                Some(frame) => frame,
                None => {
                    match tokio::time::timeout(IDLE, poll_fn(|cx| Pin::new(&mut *self).poll_frame(cx))).await
                    {
                        Ok(frame) => frame,
                        Err(_) => {
                            let detail = format!("no byte of the body for {} s", IDLE.as_secs());
                            return Some(Err(Problem::new(
                                408,
                                "body_timeout",
                                "The body did not arrive in time",
                            )
                            .detail(detail)));
                        }
                    }
                }
            };
            match frame? {
                Ok(frame) => match frame.into_data() {
                    Ok(data) if data.is_empty() => {}
                    Ok(data) => return Some(Ok(data)),
                    // Trailers carry nothing for us.
                    Err(_) => {}
                },
                Err(error) => {
                    if let Some(problem) = BodyRefusal::of(&*error) {
                        return Some(Err(problem));
                    }
                    tracing::debug!(target: "shop_core::http", %error, "a request's body broke off");
                    return Some(Err(Problem::new(400, "incomplete_body", "The body broke off")));
                }
            }
        }
    }

    /// The whole body, which is refused as soon as it is known to be longer than `limit` bytes.
    ///
    /// # Errors
    /// 413 `body_too_large`, and those of [`data`](Self::data).
    pub async fn bytes(&mut self, limit: usize) -> Result<Bytes, Problem> {
        if self.size_hint().lower() > limit as u64 {
            return Err(too_large(limit));
        }
        let Some(first) = self.data().await.transpose()? else {
            return Ok(Bytes::new());
        };
        if first.len() > limit {
            return Err(too_large(limit));
        }
        if self.is_end_stream() {
            return Ok(first);
        }
        let Some(second) = self.data().await.transpose()? else {
            return Ok(first);
        };
        let expected = self.size_hint().lower() as usize;
        let mut whole = BytesMut::with_capacity((first.len() + second.len() + expected).min(limit));
        whole.extend_from_slice(&first);
        let mut next = Some(second);
        while let Some(chunk) = next {
            if whole.len() + chunk.len() > limit {
                return Err(too_large(limit));
            }
            whole.extend_from_slice(&chunk);
            next = self.data().await.transpose()?;
        }
        Ok(whole.freeze())
    }
}

fn too_large(limit: usize) -> Problem {
    Problem::new(413, "body_too_large", "The body is too large")
        .detail(format!("at most {limit} bytes are taken"))
}

/// A frame if one is at hand, without a timer.
async fn poll_now(body: &mut RequestBody) -> Option<Option<Result<Frame<Bytes>, BoxError>>> {
    poll_fn(|cx| {
        Poll::Ready(match Pin::new(&mut *body).poll_frame(cx) {
            Poll::Ready(frame) => Some(frame),
            Poll::Pending => None,
        })
    })
    .await
}

impl http_body::Body for RequestBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        let frame = match &mut self.kind {
            Kind::Empty => None,
            Kind::Full(bytes) => {
                let bytes = std::mem::take(bytes);
                self.kind = Kind::Empty;
                Some(Ok(Frame::data(bytes)))
            }
            Kind::Incoming(body) => ready!(Pin::new(body).poll_frame(cx)).map(|f| f.map_err(Into::into)),
            Kind::Boxed(body) => ready!(body.as_mut().poll_frame(cx)),
        };
        match &frame {
            Some(Ok(frame)) => {
                if let (Some(context), Some(data)) = (&self.context, frame.data_ref()) {
                    context.received.fetch_add(data.len() as u64, Ordering::Relaxed);
                }
            }
            None | Some(Err(_)) => self.kind = Kind::Empty,
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        match &self.kind {
            Kind::Empty => true,
            Kind::Full(_) => false,
            Kind::Incoming(body) => body.is_end_stream(),
            Kind::Boxed(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.kind {
            Kind::Empty => SizeHint::with_exact(0),
            Kind::Full(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Kind::Incoming(body) => body.size_hint(),
            Kind::Boxed(body) => body.size_hint(),
        }
    }
}

impl Drop for RequestBody {
    fn drop(&mut self) {
        if let Kind::Incoming(body) = &self.kind
            && !body.is_end_stream()
            && let Some(connection) = self.context.as_ref().and_then(|c| c.connection())
        {
            connection.body_left_unread();
        }
    }
}

impl From<Bytes> for RequestBody {
    fn from(bytes: Bytes) -> Self {
        Self { kind: if bytes.is_empty() { Kind::Empty } else { Kind::Full(bytes) }, context: None }
    }
}

impl From<Incoming> for RequestBody {
    fn from(body: Incoming) -> Self {
        Self::new(body)
    }
}

impl fmt::Debug for RequestBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RequestBody({:?})", self.size_hint())
    }
}

#[cfg(test)]
mod tests {
    use super::super::Body;
    use super::*;

    #[tokio::test]
    async fn a_body_is_counted_while_it_streams() {
        let (sender, body) = Body::channel(8);
        for _ in 0..3 {
            sender.send("abcd").await.unwrap();
        }
        sender.finish().await;
        assert_eq!(RequestBody::new(body).bytes(12).await.unwrap(), "abcdabcdabcd");

        let (sender, body) = Body::channel(8);
        for _ in 0..3 {
            sender.send("abcd").await.unwrap();
        }
        // Refused on the third chunk: the sender has not even finished.
        assert_eq!(RequestBody::new(body).bytes(11).await.unwrap_err().status, 413);
        drop(sender);
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_client_is_given_up() {
        let (_sender, body) = Body::channel(1);
        assert_eq!(RequestBody::new(body).bytes(10).await.unwrap_err().status, 408);
    }

    #[tokio::test]
    async fn a_body_that_breaks_off_is_not_taken_for_whole() {
        let (sender, body) = Body::channel(1);
        sender.send("{}").await.unwrap();
        drop(sender);
        assert_eq!(RequestBody::new(body).bytes(10).await.unwrap_err().code, "incomplete_body");
    }

    #[tokio::test]
    async fn who_broke_it_off_on_purpose_says_how_it_is_answered() {
        #[derive(Debug, thiserror::Error)]
        #[error("at most 7 bytes")]
        struct Limit(#[source] BodyRefusal);
        #[derive(Debug, thiserror::Error)]
        #[error("somebody else's words")]
        struct Outer(#[source] Limit);

        let refusal = BodyRefusal { status: 413, code: "body_too_large", title: "The body is too large" };
        let (sender, body) = Body::channel(2);
        sender.send("{}").await.unwrap();
        sender.abort(Outer(Limit(refusal))).await;
        let problem = RequestBody::new(body).bytes(10).await.unwrap_err();
        assert_eq!((problem.status, &*problem.code), (413, "body_too_large"));
        assert_eq!((&*problem.title, &*problem.detail), ("The body is too large", "at most 7 bytes"));
    }
}
