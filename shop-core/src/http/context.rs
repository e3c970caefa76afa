//! Who a request is: its id and its place in a trace, for the handler and for whatever it calls.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};

use super::connection::Connection;
use super::trace::TraceContext;
use crate::chance;

pub(crate) static X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// `X-Request-Id`: the caller's if it is 1 to 128 visible ASCII characters, otherwise a new UUIDv7.
#[derive(Clone, PartialEq, Eq)]
pub struct RequestId(HeaderValue);

impl RequestId {
    /// Takes the caller's id, or makes one.
    pub fn from_headers(headers: &HeaderMap) -> Self {
        let mut values = headers.get_all(&X_REQUEST_ID).iter();
        match (values.next(), values.next()) {
            (Some(value), None) if acceptable(value.as_bytes()) => Self(value.clone()),
            _ => Self::generate(),
        }
    }

    /// A new id.
    pub fn generate() -> Self {
        let mut buffer = [0; uuid::fmt::Hyphenated::LENGTH];
        let text = chance::id_of_now().hyphenated().encode_lower(&mut buffer);
        let value = Bytes::copy_from_slice(text.as_bytes());
        Self(HeaderValue::from_maybe_shared(value).expect("hexadecimal digits and dashes"))
    }

    /// The id's text.
    pub fn as_str(&self) -> &str {
        self.0.to_str().expect("only visible ASCII is taken or made")
    }

    /// The id as a header's value.
    pub fn header_value(&self) -> HeaderValue {
        self.0.clone()
    }
}

fn acceptable(text: &[u8]) -> bool {
    (1..=128).contains(&text.len()) && text.iter().all(u8::is_ascii_graphic)
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What identifies the request that is being answered.
#[derive(Debug)]
pub struct RequestContext {
    /// `X-Request-Id`.
    pub request_id: RequestId,
    /// The request's place in its trace.
    pub trace: TraceContext,
    /// The name of the service that answers.
    pub service: &'static str,
    pub(crate) connection: Option<Arc<Connection>>,
    pub(crate) received: AtomicU64,
}

impl RequestContext {
    pub(crate) fn new(
        service: &'static str,
        headers: &HeaderMap,
        connection: Option<Arc<Connection>>,
    ) -> Self {
        Self {
            request_id: RequestId::from_headers(headers),
            trace: TraceContext::from_headers(headers),
            connection,
            received: AtomicU64::new(0),
            service,
        }
    }

    /// The connection that the request came on; `None` when it was handed over in process.
    pub fn connection(&self) -> Option<&Connection> {
        self.connection.as_deref()
    }

    /// Writes `X-Request-Id`, `traceparent` and `tracestate` into the headers of a request that this one makes.
    pub fn inject(&self, headers: &mut HeaderMap) {
        headers.insert(X_REQUEST_ID.clone(), self.request_id.header_value());
        self.trace.inject(headers);
    }
}

tokio::task_local! {
    pub(crate) static CURRENT: Arc<RequestContext>;
}

/// The request that the running task is answering, if any. A task spawned by a handler has none, unless its future is wrapped by
/// [`in_current_request`].
pub fn current_request() -> Option<Arc<RequestContext>> {
    CURRENT.try_with(Arc::clone).ok()
}

/// The same future, which goes on being part of the request that is answered here and now, in whatever task it runs: what it asks
/// of other services has the request's id and trace.
pub fn in_current_request<F: Future>(work: F) -> impl Future<Output = F::Output> {
    let request = current_request();
    async move {
        match request {
            Some(request) => CURRENT.scope(request, work).await,
            None => work.await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(values: &[&str]) -> RequestId {
        let headers =
            values.iter().map(|v| (X_REQUEST_ID.clone(), HeaderValue::from_str(v).unwrap())).collect();
        RequestId::from_headers(&headers)
    }

    #[test]
    fn a_fit_id_is_taken_and_any_other_replaced() {
        assert_eq!(id(&["abc-1"]).as_str(), "abc-1");
        let longest = "x".repeat(128);
        assert_eq!(id(&[&longest]).as_str(), longest);
        for bad in [&[][..], &[""], &["a b"], &["a\tb"], &["a", "b"], &[&"x".repeat(129)]] {
            assert_eq!(id(bad).as_str().parse::<uuid::Uuid>().unwrap().get_version_num(), 7, "{bad:?}");
        }
    }
}
