//! Errors on the wire: RFC 9457 `application/problem+json`.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// One fault of a request's content.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FieldError {
    /// Where: an RFC 6901 JSON pointer into the body, such as `/lines/0/quantity`.
    pub pointer: String,
    /// What, for a machine: `out_of_range`, `unknown_field`…
    pub code: Cow<'static, str>,
    /// What, for a person.
    pub detail: String,
}

impl FieldError {
    /// A fault at a place.
    pub fn new(pointer: impl Into<String>, code: &'static str, detail: impl Into<String>) -> Self {
        Self { pointer: pointer.into(), code: Cow::Borrowed(code), detail: detail.into() }
    }
}

/// How a request is answered whose body was broken off on purpose, by whoever hands it on: a limit of a gateway in the same
/// process, say. As the [`source`](std::error::Error::source) of the body's error, however deep, it is the answer that the
/// request gets, with the text of the error that it is the source of as its detail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BodyRefusal {
    /// The HTTP status, 413 or 408.
    pub status: u16,
    /// The problem's code.
    pub code: &'static str,
    /// The problem's title.
    pub title: &'static str,
}

impl BodyRefusal {
    /// What an error asks for, if it or any of its sources does.
    pub fn of(error: &(dyn std::error::Error + 'static)) -> Option<Problem> {
        let (mut error, mut detail) = (error, String::new());
        loop {
            if let Some(refusal) = error.downcast_ref::<Self>() {
                return Some(Problem::new(refusal.status, refusal.code, refusal.title).detail(detail));
            }
            detail = error.to_string();
            error = error.source()?;
        }
    }
}

impl std::fmt::Display for BodyRefusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.title)
    }
}

impl std::error::Error for BodyRefusal {}

/// A refusal or failure as a client sees it. It never carries internals: those go to the log.
#[derive(Debug, Clone, PartialEq)]
pub struct Problem {
    /// The HTTP status.
    pub status: u16,
    /// Stable and machine-readable, `insufficient_stock`; the `type` is `urn:shop:problem:<code>`.
    pub code: Cow<'static, str>,
    /// A short sentence that is the same for every problem of this code.
    pub title: Cow<'static, str>,
    /// What happened this time.
    pub detail: String,
    /// Whether the same request may succeed later.
    pub retryable: bool,
    /// `Retry-After`, in seconds.
    pub retry_after: Option<u32>,
    /// Every fault of the content, all at once.
    pub errors: Vec<FieldError>,
    /// Further members, such as the short lines of an `insufficient_stock`.
    pub extensions: Map<String, Value>,
    /// Methods for `Allow`, on a 405.
    pub allow: Option<String>,
}

impl Problem {
    /// A problem of a code; retryable if the status says so (408, 425, 429, 502, 503, 504).
    pub fn new(status: u16, code: &'static str, title: &'static str) -> Self {
        Self {
            status,
            code: code.into(),
            title: title.into(),
            detail: String::new(),
            retryable: matches!(status, 408 | 425 | 429 | 502 | 503 | 504),
            retry_after: None,
            errors: Vec::new(),
            extensions: Map::new(),
            allow: None,
        }
    }

    /// 422 `invalid` with every fault.
    pub fn invalid(errors: Vec<FieldError>) -> Self {
        let detail = match errors.as_slice() {
            [only] => format!("{}: {}", only.pointer, only.detail),
            all => format!("{} faults", all.len()),
        };
        Self { errors, ..Self::new(422, "invalid", "The content is not valid").detail(detail) }
    }

    /// 404 of a thing.
    pub fn not_found(detail: impl Into<String>) -> Self {
        Self::new(404, "not_found", "Not found").detail(detail)
    }

    /// 500: the cause is in the log, under the request's id.
    pub fn internal() -> Self {
        Self::new(500, "internal", "Internal error").detail("the cause is in the log, under this request id")
    }

    /// The same problem with what happened this time.
    #[must_use]
    pub fn detail(mut self, detail: impl Into<String>) -> Self {
        self.detail = detail.into();
        self
    }

    /// The same problem with a `Retry-After`, which makes it retryable.
    #[must_use]
    pub fn retry_after(mut self, seconds: u32) -> Self {
        self.retry_after = Some(seconds);
        self.retryable = true;
        self
    }

    /// The same problem with a further member.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: impl Serialize) -> Self {
        let value = serde_json::to_value(value).expect("problem members are plain data");
        self.extensions.insert(name.to_owned(), value);
        self
    }

    /// The body, with the id of the request that it answers.
    pub fn to_json(&self, request_id: &str) -> Vec<u8> {
        #[derive(Serialize)]
        struct Wire<'a> {
            r#type: String,
            title: &'a str,
            status: u16,
            #[serde(skip_serializing_if = "str::is_empty")]
            detail: &'a str,
            code: &'a str,
            request_id: &'a str,
            retryable: bool,
            #[serde(skip_serializing_if = "<[_]>::is_empty")]
            errors: &'a [FieldError],
            #[serde(flatten)]
            extensions: &'a Map<String, Value>,
        }
        let wire = Wire {
            r#type: format!("urn:shop:problem:{}", self.code),
            title: &self.title,
            status: self.status,
            detail: &self.detail,
            code: &self.code,
            request_id,
            retryable: self.retryable,
            errors: &self.errors,
            extensions: &self.extensions,
        };
        serde_json::to_vec(&wire).expect("problems are plain data")
    }
}
