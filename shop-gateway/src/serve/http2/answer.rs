//! An answer's body, with an eye on whether its client takes it.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use super::Shared;
use crate::body::{BoxError, GatewayBody};
use crate::upstream::Pool;

/// hyper asks it for more only when the client has room for it.
pub(crate) struct Answer<P: Pool> {
    body: GatewayBody<P>,
    shared: Arc<Shared>,
    /// Its place among those whose last piece was given out and that were not asked since.
    untaken: Option<u64>,
}

impl<P: Pool> Answer<P> {
    pub(super) fn new(body: GatewayBody<P>, shared: Arc<Shared>) -> Self {
        let untaken = (!body.is_end_stream()).then(|| shared.watch.gave());
        Self { body, shared, untaken }
    }

    fn taken(&mut self) {
        if let Some(place) = self.untaken.take() {
            self.shared.watch.taken(place);
        }
    }
}

impl<P: Pool> Body for Answer<P> {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        self.taken();
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        if matches!(polled, Poll::Ready(Some(Ok(_)))) {
            self.untaken = Some(self.shared.watch.gave());
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl<P: Pool> Drop for Answer<P> {
    fn drop(&mut self) {
        self.taken();
    }
}
