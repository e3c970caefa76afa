//! A response's body on its way to the client.

use std::any::Any;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::combinators::UnsyncBoxBody;

use super::BoxError;
use crate::access::AccessGuard;
use crate::headers::clean_trailers;
use crate::tunnel::Tunnel;
use crate::upstream::{NetworkBody, Pool, SharedPool};

/// A response's body. It streams from the upstream, gives the connection back when it has ended, and reports the
/// request when it has ended or was dropped.
///
/// # Cancel safety
/// Dropping it before its end closes the upstream's connection.
pub struct GatewayBody<P: Pool = SharedPool> {
    kind: Kind<P>,
    access: Option<Box<AccessGuard>>,
    /// Told at the next poll, so that the server sends on first what had come before it.
    failed: Option<BoxError>,
    /// Dropped with the body: how a server knows that the answer has ended.
    _held: Option<Arc<dyn Any + Send + Sync>>,
}

enum Kind<P: Pool> {
    Empty,
    Full(Bytes),
    Network(NetworkBody<P>),
    Boxed(UnsyncBoxBody<Bytes, BoxError>),
    /// No body: what becomes of the connection after a 101.
    Tunnel(Box<Tunnel>),
}

impl<P: Pool> GatewayBody<P> {
    fn new(kind: Kind<P>) -> Self {
        Self { kind, access: None, failed: None, _held: None }
    }

    pub(crate) fn full(bytes: impl Into<Bytes>) -> Self {
        Self::new(Kind::Full(bytes.into()))
    }

    pub(crate) fn network(body: NetworkBody<P>) -> Self {
        Self::new(if body.is_end_stream() { Kind::Empty } else { Kind::Network(body) })
    }

    pub(crate) fn boxed(body: UnsyncBoxBody<Bytes, BoxError>) -> Self {
        Self::new(Kind::Boxed(body))
    }

    pub(crate) fn tunnel(tunnel: Tunnel) -> Self {
        Self::new(Kind::Tunnel(Box::new(tunnel)))
    }

    /// The tunnel that a connection becomes after its 101; from here on the request's event is its own.
    pub(crate) fn take_tunnel(&mut self) -> Option<Box<Tunnel>> {
        if !matches!(self.kind, Kind::Tunnel(_)) {
            return None;
        }
        let Kind::Tunnel(mut tunnel) = std::mem::replace(&mut self.kind, Kind::Empty) else { return None };
        tunnel.report_to(self.access.take());
        Some(tunnel)
    }

    pub(crate) fn hold(&mut self, held: Arc<dyn Any + Send + Sync>) {
        self._held = Some(held);
    }

    pub(crate) fn report_to(&mut self, access: Box<AccessGuard>) {
        self.access = Some(access);
    }
}

impl<P: Pool> Body for GatewayBody<P> {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = &mut *self;
        if let Some(fault) = this.failed.take() {
            this.kind = Kind::Empty;
            return Poll::Ready(Some(Err(fault)));
        }
        let mut polled = match &mut this.kind {
            Kind::Empty | Kind::Tunnel(_) => Poll::Ready(None),
            Kind::Full(bytes) => {
                let frame = Frame::data(std::mem::take(bytes));
                this.kind = Kind::Empty;
                Poll::Ready(Some(Ok(frame)))
            }
            Kind::Network(body) => {
                body.poll_frame(cx).map(|item| item.map(|frame| frame.map_err(BoxError::from)))
            }
            Kind::Boxed(body) => Pin::new(body).poll_frame(cx),
        };
        if let Poll::Ready(Some(Ok(frame))) = &mut polled
            && let Some(trailers) = frame.trailers_mut()
        {
            clean_trailers(trailers);
        }
        if let (Some(access), Poll::Ready(item)) = (&mut this.access, &polled) {
            match item {
                Some(Ok(frame)) => access.add_sent(frame.data_ref().map_or(0, Bytes::len)),
                Some(Err(_)) => access.set_aborted(),
                None => access.set_complete(),
            }
        }
        if let Poll::Ready(Some(Err(fault))) = polled {
            this.failed = Some(fault);
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        match &self.kind {
            _ if self.failed.is_some() => false,
            Kind::Empty | Kind::Tunnel(_) => true,
            Kind::Full(_) => false,
            Kind::Network(body) => body.is_end_stream(),
            Kind::Boxed(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.kind {
            Kind::Empty | Kind::Tunnel(_) => SizeHint::with_exact(0),
            Kind::Full(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Kind::Network(body) => body.size_hint(),
            Kind::Boxed(body) => body.size_hint(),
        }
    }
}

impl<P: Pool> Drop for GatewayBody<P> {
    fn drop(&mut self) {
        // A body of known length is not asked for its end once all its bytes are there.
        if self.access.is_some()
            && self.is_end_stream()
            && let Some(access) = &mut self.access
        {
            access.set_complete();
        }
    }
}

impl<P: Pool> fmt::Debug for GatewayBody<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GatewayBody").field("size_hint", &self.size_hint()).finish_non_exhaustive()
    }
}
