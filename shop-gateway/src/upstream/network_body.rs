//! The body of a response from the network, and the connection that it comes by.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;

use super::{Conn, Pool};

/// Why a response's body ended before its end.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TruncatedResponse {
    #[error("the upstream's answer broke off")]
    Broken(#[source] hyper::Error),
    #[error("the upstream sent no byte of its answer for too long")]
    Timeout,
}

/// Drives its connection while it is read, and gives it back to the pool when it has ended. Dropped before, it
/// closes the connection.
pub(crate) struct NetworkBody<P: Pool> {
    incoming: Incoming,
    lease: Option<(Box<Conn>, P)>,
}

impl<P: Pool> NetworkBody<P> {
    pub(super) fn new(incoming: Incoming, conn: Box<Conn>, pool: P) -> Self {
        let mut body = Self { incoming, lease: Some((conn, pool)) };
        if body.incoming.is_end_stream() {
            body.give_back();
        }
        body
    }

    fn give_back(&mut self) {
        if let Some((mut conn, pool)) = self.lease.take()
            && conn.is_reusable()
        {
            pool.put(conn);
        }
    }

    pub(crate) fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, TruncatedResponse>>> {
        if self.lease.as_ref().is_some_and(|(conn, _)| conn.is_driven()) {
            return self.poll_driven(cx);
        }
        // What has come is taken first; it can only come by polling the connection, so nobody need be woken for it.
        let mut item = Pin::new(&mut self.incoming).poll_frame(&mut Context::from_waker(Waker::noop()));
        if item.is_pending()
            && let Some((conn, _)) = &mut self.lease
        {
            let ended = conn.poll_io(cx);
            conn.mute();
            item = Pin::new(&mut self.incoming).poll_frame(&mut Context::from_waker(Waker::noop()));
            if item.is_pending() {
                if let Poll::Ready(Err(e)) = ended {
                    return self.fail(TruncatedResponse::Broken(e));
                }
                if conn.poll_timeout().is_ready() {
                    return self.fail(TruncatedResponse::Timeout);
                }
                conn.unmute();
                return Poll::Pending;
            }
        }
        match item {
            Poll::Ready(Some(Ok(frame))) => {
                if self.incoming.is_end_stream() {
                    self.give_back();
                } else if let Some((conn, _)) = &mut self.lease {
                    conn.touch();
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(None) => {
                self.give_back();
                Poll::Ready(None)
            }
            Poll::Ready(Some(Err(e))) => self.fail(TruncatedResponse::Broken(e)),
            Poll::Pending => Poll::Pending,
        }
    }

    /// The same of a connection that somebody else drives.
    fn poll_driven(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, TruncatedResponse>>> {
        match Pin::new(&mut self.incoming).poll_frame(cx) {
            Poll::Ready(Some(Ok(frame))) => {
                if let Some((conn, _)) = &mut self.lease {
                    conn.touch();
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(None) => {
                self.lease = None;
                Poll::Ready(None)
            }
            Poll::Ready(Some(Err(e))) => self.fail(TruncatedResponse::Broken(e)),
            Poll::Pending => {
                let Some((conn, _)) = &mut self.lease else { return Poll::Pending };
                let ended = conn.poll_io(cx);
                if ended.is_ready() || conn.poll_timeout().is_ready() {
                    return self.fail(TruncatedResponse::Timeout);
                }
                Poll::Pending
            }
        }
    }

    fn fail(&mut self, fault: TruncatedResponse) -> Poll<Option<Result<Frame<Bytes>, TruncatedResponse>>> {
        self.lease = None;
        tracing::warn!(target: "shop_gateway::upstream", error = &fault as &dyn std::error::Error, "{fault}");
        Poll::Ready(Some(Err(fault)))
    }

    pub(crate) fn is_end_stream(&self) -> bool {
        self.incoming.is_end_stream()
    }

    pub(crate) fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }
}

impl<P: Pool> fmt::Debug for NetworkBody<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NetworkBody").field("lease", &self.lease).finish_non_exhaustive()
    }
}
