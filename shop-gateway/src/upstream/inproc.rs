//! An upstream that is a service of the same process.

use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use http_body_util::BodyExt;
use http_body_util::combinators::UnsyncBoxBody;
use tower_service::Service;

use crate::body::{BoxError, RequestBody};

type BoxResponse = Response<UnsyncBoxBody<Bytes, BoxError>>;
type BoxFuture = Pin<Box<dyn Future<Output = Result<BoxResponse, BoxError>> + Send>>;

/// A service of the same process, boxed once when the gateway is built.
#[derive(Clone)]
pub(crate) struct InProcess(Arc<dyn Fn(Request<RequestBody>) -> BoxFuture + Send + Sync>);

impl InProcess {
    pub(crate) fn new<S, B>(service: S) -> Self
    where
        S: Service<Request<RequestBody>, Response = Response<B>> + Clone + Send + Sync + 'static,
        S::Error: Into<BoxError>,
        S::Future: Send,
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        Self(Arc::new(move |req| {
            let mut service = service.clone();
            Box::pin(async move {
                poll_fn(|cx| service.poll_ready(cx)).await.map_err(Into::into)?;
                let res = service.call(req).await.map_err(Into::into)?;
                Ok(res.map(|body| body.map_err(Into::into).boxed_unsync()))
            })
        }))
    }

    pub(crate) fn call(&self, req: Request<RequestBody>) -> BoxFuture {
        (self.0)(req)
    }
}

impl fmt::Debug for InProcess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("InProcess")
    }
}
