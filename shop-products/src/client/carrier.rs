use std::fmt;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header::RETRY_AFTER;
use http::{HeaderMap, Method, Request, Response};
use http_body::Body;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use reqwest::{Client, Url};
use tower_service::Service;

use super::fault::ClientFault;

type BoxError = Box<dyn std::error::Error + Send + Sync>;
type BoxResponse = Response<UnsyncBoxBody<Bytes, BoxError>>;
type BoxFuture = Pin<Box<dyn Future<Output = Result<BoxResponse, BoxError>> + Send>>;

/// What carries one request there and its answer back.
pub(super) enum Carrier {
    /// Connections of our own.
    Reqwest(Client),
    /// Somebody else's.
    Service(Transport),
}

/// A tower service that carries requests, boxed once when the client is built.
#[derive(Clone)]
pub(super) struct Transport(Arc<dyn Fn(Request<Full<Bytes>>) -> BoxFuture + Send + Sync>);

/// One attempt, as it is sent.
pub(super) struct Attempt<'a> {
    pub(super) method: &'a Method,
    pub(super) url: &'a Url,
    pub(super) headers: &'a HeaderMap,
    pub(super) body: Option<Bytes>,
}

/// An answer, whole.
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) retry_after: Option<Duration>,
    pub(super) body: Bytes,
}

impl Transport {
    pub(super) fn new<S, B>(service: S) -> Self
    where
        S: Service<Request<Full<Bytes>>, Response = Response<B>> + Clone + Send + Sync + 'static,
        S::Error: Into<BoxError>,
        S::Future: Send,
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        Self(Arc::new(move |request| {
            let mut service = service.clone();
            Box::pin(async move {
                poll_fn(|cx| service.poll_ready(cx)).await.map_err(Into::into)?;
                let response = service.call(request).await.map_err(Into::into)?;
                Ok(response.map(|body| body.map_err(Into::into).boxed_unsync()))
            })
        }))
    }
}

impl Carrier {
    /// Sends a request and reads its answer, of which it takes at most `max` bytes.
    pub(super) async fn exchange(&self, attempt: Attempt<'_>, max: usize) -> Result<Answer, ClientFault> {
        let Attempt { method, url, headers, body } = attempt;
        match self {
            Self::Reqwest(client) => {
                let failed = |error: reqwest::Error| match error.is_timeout() {
                    true => ClientFault::Timeout,
                    false => ClientFault::Transport(Box::new(error)),
                };
                let mut request = client.request(method.clone(), url.clone()).headers(headers.clone());
                if let Some(body) = body {
                    request = request.body(body);
                }
                let response = request.send().await.map_err(failed)?;
                whole(response.into(), max, failed).await
            }
            Self::Service(transport) => {
                let mut request = Request::new(Full::new(body.unwrap_or_default()));
                *request.method_mut() = method.clone();
                *request.uri_mut() =
                    url.as_str().parse().map_err(|error| ClientFault::Transport(Box::new(error)))?;
                *request.headers_mut() = headers.clone();
                let response = (transport.0)(request).await.map_err(ClientFault::Transport)?;
                whole(response, max, ClientFault::Transport).await
            }
        }
    }
}

/// Reads an answer to its end.
async fn whole<B: Body<Data = Bytes>>(
    response: Response<B>,
    max: usize,
    failed: impl Fn(B::Error) -> ClientFault,
) -> Result<Answer, ClientFault> {
    let (head, incoming) = response.into_parts();
    let mut incoming = pin!(incoming);
    if incoming.size_hint().lower() > max as u64 {
        return Err(ClientFault::TooLarge(max));
    }
    let mut body = BytesMut::new();
    while let Some(frame) = incoming.frame().await {
        // Trailers carry nothing for us.
        let Ok(chunk) = frame.map_err(&failed)?.into_data() else { continue };
        if body.len() + chunk.len() > max {
            return Err(ClientFault::TooLarge(max));
        }
        body.extend_from_slice(&chunk);
    }
    let seconds = head.headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
    Ok(Answer {
        status: head.status.as_u16(),
        retry_after: seconds.map(Duration::from_secs),
        body: body.freeze(),
    })
}

impl fmt::Debug for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Transport")
    }
}
