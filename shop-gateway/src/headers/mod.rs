//! What happens to headers on their way through: read in one pass, then changed in place.

mod host;
mod ids;
mod request;
mod response;
mod trace;
mod trailers;

use host::is_host;
pub(crate) use ids::{is_request_id, new_request_id};
pub(crate) use request::{HeadFault, Inbound, prepare};
pub(crate) use response::{BadResponse, clean_response, clean_switching};
pub(crate) use trace::{child_of, new_trace, trace_id};
pub(crate) use trailers::clean_trailers;

use http::header::{HeaderName, HeaderValue};

pub(crate) const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
pub(crate) const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
pub(crate) const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
pub(crate) const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
pub(crate) const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
pub(crate) const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

/// The names in the values of `Connection` lines: the other hop-by-hop headers (RFC 9110, 7.6.1).
fn connection_options(lines: &[HeaderValue]) -> impl Iterator<Item = HeaderName> + '_ {
    lines
        .iter()
        .flat_map(|line| line.as_bytes().split(|&b| b == b','))
        .filter_map(|name| HeaderName::from_bytes(name.trim_ascii()).ok())
}
