//! Making answers.

use std::cell::RefCell;

use bytes::Bytes;
use http::header::{ALLOW, CONTENT_LENGTH, CONTENT_TYPE, ETAG, HeaderName, LINK, LOCATION, RETRY_AFTER};
use http::{HeaderValue, StatusCode};
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use serde::Serialize;

use super::body::Body;
use crate::Problem;
use crate::idempotency::StoredAnswer;

/// An answer.
pub type Response = http::Response<Body>;

const JSON: HeaderValue = HeaderValue::from_static("application/json");
const PROBLEM: HeaderValue = HeaderValue::from_static("application/problem+json");
static REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");

/// What must not stand in a URI, or could end it.
const URI: &AsciiSet = &CONTROLS.add(b' ').add(b'"').add(b'<').add(b'>').add(b'\\').add(b'^').add(b'`');

thread_local! {
    static SCRATCH: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// A value as JSON bytes of exactly their size, by way of a buffer that the thread keeps.
fn encode<T: Serialize + ?Sized>(value: &T) -> serde_json::Result<Bytes> {
    SCRATCH.with_borrow_mut(|scratch| {
        scratch.clear();
        serde_json::to_writer(&mut *scratch, value)?;
        let bytes = Bytes::copy_from_slice(scratch);
        scratch.shrink_to(64 << 10);
        Ok(bytes)
    })
}

/// A JSON answer.
///
/// # Errors
/// 500 when the value has no JSON form, such as a map whose keys are not strings.
pub fn json<T: Serialize + ?Sized>(status: StatusCode, value: &T) -> Result<Response, Problem> {
    match encode(value) {
        Ok(bytes) => Ok(raw(status, JSON, Body::full(bytes))),
        Err(error) => {
            tracing::error!(target: "shop_core::http", %error, "an answer has no JSON form");
            Err(Problem::internal())
        }
    }
}

/// A JSON answer of bytes that are JSON already.
pub fn json_bytes(status: StatusCode, bytes: impl Into<Bytes>) -> Response {
    raw(status, JSON, Body::full(bytes))
}

/// An answer of any type; a stream too, see [`Body::channel`].
pub fn raw(status: StatusCode, content_type: HeaderValue, body: Body) -> Response {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response.headers_mut().reserve(4);
    response.headers_mut().insert(CONTENT_TYPE, content_type);
    response
}

/// 204.
pub fn no_content() -> Response {
    empty(StatusCode::NO_CONTENT)
}

/// 304 of this version.
pub fn not_modified(version: u64) -> Response {
    empty(StatusCode::NOT_MODIFIED).with_etag(version)
}

/// An answer without a body.
pub fn empty(status: StatusCode) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    response
}

/// The answer that a key got before, with `Idempotency-Replayed: true`.
pub fn replayed(answer: &StoredAnswer) -> Response {
    let status = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = if answer.body.is_empty() {
        empty(status)
    } else {
        json_bytes(status, Bytes::copy_from_slice(answer.body.as_bytes()))
    };
    if let Some(location) = &answer.location {
        response = response.with_location(location);
    }
    if let Some(etag) = answer.etag.as_ref().and_then(|etag| HeaderValue::from_str(etag).ok()) {
        response.headers_mut().insert(ETAG, etag);
    }
    response.headers_mut().insert(REPLAYED.clone(), HeaderValue::from_static("true"));
    response
}

/// A problem as an answer.
pub fn problem(problem: &Problem, request_id: &str) -> Response {
    let status = StatusCode::from_u16(problem.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = raw(status, PROBLEM, Body::full(problem.to_json(request_id)));
    if let Some(seconds) = problem.retry_after {
        response = response.with_retry_after(seconds);
    }
    if let Some(allow) = problem.allow.as_ref().and_then(|allow| HeaderValue::from_str(allow).ok()) {
        response.headers_mut().insert(ALLOW, allow);
    }
    response
}

/// Drops the body but keeps its length, for HEAD.
pub(crate) fn without_body(response: &mut Response) {
    if let Some(length) = http_body::Body::size_hint(response.body()).exact()
        && length > 0
    {
        response.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(length));
    }
    *response.body_mut() = Body::empty();
}

/// Headers of an answer.
pub trait ResponseExt: Sized {
    /// `ETag: "<version>"`, a strong tag.
    #[must_use]
    fn with_etag(self, version: u64) -> Self;

    /// `Location`; what a URI cannot hold is percent-encoded.
    #[must_use]
    fn with_location(self, uri: &str) -> Self;

    /// `Link: <uri>; rel="next"`.
    #[must_use]
    fn with_next(self, uri: &str) -> Self;

    /// `Retry-After`.
    #[must_use]
    fn with_retry_after(self, seconds: u32) -> Self;

    /// Any header, in place of what it was.
    #[must_use]
    fn with_header(self, name: HeaderName, value: HeaderValue) -> Self;
}

impl ResponseExt for Response {
    fn with_etag(self, version: u64) -> Self {
        self.with_header(ETAG, ascii(format!("\"{version}\"")))
    }

    fn with_location(self, uri: &str) -> Self {
        self.with_header(LOCATION, ascii(utf8_percent_encode(uri, URI).to_string()))
    }

    fn with_next(self, uri: &str) -> Self {
        self.with_header(LINK, ascii(format!("<{}>; rel=\"next\"", utf8_percent_encode(uri, URI))))
    }

    fn with_retry_after(self, seconds: u32) -> Self {
        self.with_header(RETRY_AFTER, HeaderValue::from(seconds))
    }

    fn with_header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers_mut().insert(name, value);
        self
    }
}

fn ascii(text: String) -> HeaderValue {
    HeaderValue::from_maybe_shared(text).expect("percent-encoded, so visible ASCII")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_uri_in_a_header_is_always_a_uri() {
        let response = no_content().with_location("/v1/products/sku:é \r\nx").with_next("/a?b=>\"");
        assert_eq!(response.headers()[LOCATION], "/v1/products/sku:%C3%A9%20%0D%0Ax");
        assert_eq!(response.headers()[LINK], "</a?b=%3E%22>; rel=\"next\"");
    }

    #[test]
    fn a_replay_is_the_stored_answer() {
        let stored = StoredAnswer {
            status: 201,
            location: Some("/v1/orders/1".into()),
            etag: Some("\"1\"".into()),
            body: "{}".into(),
        };
        let response = replayed(&stored);
        assert_eq!(response.status(), 201);
        assert_eq!(response.headers()["idempotency-replayed"], "true");
        assert_eq!(response.headers()[LOCATION], "/v1/orders/1");
        assert_eq!(response.headers()[ETAG], "\"1\"");
    }
}
