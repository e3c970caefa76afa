//! A request as a handler sees it.

use std::fmt::Display;
use std::str::FromStr;
use std::sync::Arc;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::request::Parts;
use http::{HeaderMap, HeaderName, Method, Uri};
use serde::de::DeserializeOwned;

use super::conditional::{self, IfMatch, IfNoneMatch};
use super::context::{RequestContext, RequestId};
use super::json::{Json, from_json_slice};
use super::query::from_query_str;
use super::request_body::RequestBody;
use super::router::Route;
use crate::idempotency::{Fingerprint, Idempotency, IdempotencyKey};
use crate::{Cursor, Problem};

/// How long a body may be unless the handler says otherwise: 1 MiB.
pub const DEFAULT_BODY_LIMIT: usize = 1 << 20;

static IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// A request that a route took: its head, its path's parameters, its body still to be read.
#[derive(Debug)]
pub struct Request {
    head: Parts,
    body: RequestBody,
    route: Arc<Route>,
    params: Vec<String>,
    context: Arc<RequestContext>,
    limit: usize,
}

impl Request {
    pub(crate) fn new(
        head: Parts,
        body: RequestBody,
        route: Arc<Route>,
        params: Vec<String>,
        context: Arc<RequestContext>,
    ) -> Self {
        Self { head, body, route, params, context, limit: DEFAULT_BODY_LIMIT }
    }

    /// The method; HEAD where a GET handler answers it.
    pub fn method(&self) -> &Method {
        &self.head.method
    }

    /// The target as it came.
    pub fn uri(&self) -> &Uri {
        &self.head.uri
    }

    /// The path as it came, percent-encoded.
    pub fn path(&self) -> &str {
        self.head.uri.path()
    }

    /// The pattern of the route that took the request.
    pub fn route(&self) -> &str {
        self.route.pattern()
    }

    /// All headers.
    pub fn headers(&self) -> &HeaderMap {
        &self.head.headers
    }

    /// A header that may stand once at most.
    ///
    /// # Errors
    /// 400 `invalid_header` when it stands twice or is not visible ASCII.
    pub fn header(&self, name: &HeaderName) -> Result<Option<&str>, Problem> {
        let mut values = self.head.headers.get_all(name).iter();
        let Some(value) = values.next() else { return Ok(None) };
        let refuse = |what| {
            Problem::new(400, "invalid_header", "A header is malformed").detail(format!("{name} {what}"))
        };
        if values.next().is_some() {
            return Err(refuse("must not be repeated"));
        }
        value.to_str().map(Some).map_err(|_| refuse("must be visible ASCII"))
    }

    /// A parameter of the path, percent-decoded.
    ///
    /// # Panics
    /// When the route's pattern has no such parameter.
    pub fn param(&self, name: &str) -> &str {
        let index = self.route.param_index(name);
        let index = index.unwrap_or_else(|| panic!("{} has no parameter {name}", self.route.pattern()));
        &self.params[index]
    }

    /// A parameter of the path, parsed.
    ///
    /// # Errors
    /// 400 `invalid_path` when it does not parse.
    ///
    /// # Panics
    /// When the route's pattern has no such parameter.
    pub fn param_as<T: FromStr<Err: Display>>(&self, name: &str) -> Result<T, Problem> {
        self.param(name).parse().map_err(|error| {
            Problem::new(400, "invalid_path", "The path is not valid").detail(format!("{name}: {error}"))
        })
    }

    /// The query, typed; see [`from_query_str`]. `query::<()>()` refuses any parameter.
    ///
    /// # Errors
    /// 400 `invalid_query` that names every parameter that is unknown, repeated or does not fit.
    pub fn query<T: DeserializeOwned>(&self) -> Result<T, Problem> {
        from_query_str(self.head.uri.query().unwrap_or_default())
    }

    /// The target of the page that follows this one: this target with another `cursor`.
    pub fn next_page(&self, cursor: &Cursor) -> String {
        let query = self.head.uri.query().unwrap_or_default();
        let mut next = form_urlencoded::Serializer::new(format!("{}?", self.path()));
        next.extend_pairs(form_urlencoded::parse(query.as_bytes()).filter(|(name, _)| name != "cursor"));
        next.append_pair("cursor", &cursor.0);
        next.finish()
    }

    /// Takes bodies of at most so many bytes, instead of [`DEFAULT_BODY_LIMIT`].
    pub fn limit_body(&mut self, bytes: usize) {
        self.limit = bytes;
    }

    /// The whole body, of whatever type; empty when it was read already.
    ///
    /// # Errors
    /// 413 `body_too_large`, 408 `body_timeout`, 400 `incomplete_body`.
    pub async fn bytes(&mut self) -> Result<Bytes, Problem> {
        self.body.bytes(self.limit).await
    }

    /// The body as JSON (`application/json`). `T` should carry `#[serde(deny_unknown_fields)]`.
    ///
    /// # Errors
    /// 415 for another content type, those of [`bytes`](Self::bytes) and of [`from_json_slice`].
    pub async fn json<T: DeserializeOwned>(&mut self) -> Result<Json<T>, Problem> {
        self.json_of("application/json").await
    }

    /// The body as a JSON merge patch (`application/merge-patch+json`, RFC 7396).
    ///
    /// # Errors
    /// As [`json`](Self::json).
    pub async fn merge_patch<T: DeserializeOwned>(&mut self) -> Result<Json<T>, Problem> {
        self.json_of("application/merge-patch+json").await
    }

    async fn json_of<T: DeserializeOwned>(&mut self, content_type: &'static str) -> Result<Json<T>, Problem> {
        if self.content_type()? != Some(content_type) {
            return Err(Problem::new(415, "unsupported_media_type", "This type of content is not taken")
                .detail(format!("the content type must be {content_type}")));
        }
        let raw = self.bytes().await?;
        Ok(Json { value: from_json_slice(&raw)?, raw })
    }

    /// The content type without its parameters, if it is one that is spelt in lower case or is JSON.
    ///
    /// # Errors
    /// 400 `invalid_header` when it is repeated.
    pub fn content_type(&self) -> Result<Option<&str>, Problem> {
        let Some(value) = self.header(&CONTENT_TYPE)? else { return Ok(None) };
        let essence = value.split(';').next().unwrap_or_default().trim();
        const KNOWN: [&str; 4] =
            ["application/json", "application/merge-patch+json", "application/x-ndjson", "text/csv"];
        Ok(Some(KNOWN.into_iter().find(|known| essence.eq_ignore_ascii_case(known)).unwrap_or(essence)))
    }

    /// The body to be read piece by piece, without a limit.
    pub fn body_stream(&mut self) -> RequestBody {
        std::mem::replace(&mut self.body, RequestBody::empty())
    }

    /// `If-Match`.
    ///
    /// # Errors
    /// 400 `invalid_header`.
    pub fn if_match(&self) -> Result<Option<IfMatch>, Problem> {
        conditional::if_match(&self.head.headers)
    }

    /// `If-None-Match`.
    ///
    /// # Errors
    /// 400 `invalid_header`.
    pub fn if_none_match(&self) -> Result<Option<IfNoneMatch>, Problem> {
        conditional::if_none_match(&self.head.headers)
    }

    /// `Idempotency-Key`.
    ///
    /// # Errors
    /// 400 `invalid_idempotency_key`.
    pub fn idempotency_key(&self) -> Result<Option<IdempotencyKey>, Problem> {
        let refuse = |detail: String| {
            Problem::new(400, "invalid_idempotency_key", "The Idempotency-Key is not valid").detail(detail)
        };
        let value = self.header(&IDEMPOTENCY_KEY).map_err(|problem| refuse(problem.detail))?;
        value
            .map(|text| text.parse::<IdempotencyKey>().map_err(|error| refuse(error.to_string())))
            .transpose()
    }

    /// `Idempotency-Key` with the fingerprint of this request's method, path and body.
    ///
    /// # Errors
    /// 400 `invalid_idempotency_key`.
    pub fn idempotency(&self, body: &[u8]) -> Result<Option<Idempotency>, Problem> {
        Ok(self.idempotency_key()?.map(|key| Idempotency {
            key,
            fingerprint: Fingerprint::of_request(self.method().as_str(), self.path(), body),
        }))
    }

    /// The request's ids.
    pub fn context(&self) -> &Arc<RequestContext> {
        &self.context
    }

    /// `X-Request-Id`.
    pub fn request_id(&self) -> &RequestId {
        &self.context.request_id
    }
}
