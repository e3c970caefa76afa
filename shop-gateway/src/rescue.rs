//! The one place where a fault becomes an answer: RFC 9457 `application/problem+json`.

use std::error::Error;

use http::header::{self, HeaderValue};
use http::{Response, StatusCode};
use shop_core::Problem;

use crate::body::{BodyFault, GatewayBody};
use crate::fault::Fault;
use crate::headers::X_REQUEST_ID;
use crate::upstream::Pool;

/// A cause of some type in an error's chain.
/// The first error of a kind among an error and its sources.
pub(crate) fn cause<'a, T: Error + 'static>(error: &'a (dyn Error + 'static)) -> Option<&'a T> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref() {
            return Some(found);
        }
        // An error boxed into another is that error's source only by its own account.
        next = error.source();
    }
    None
}

/// The problem of a fault.
fn problem(fault: &Fault) -> Problem {
    // A body that failed on its way fails the exchange with the upstream; it is still the client's doing.
    match cause::<BodyFault>(fault) {
        Some(BodyFault::TooLarge { max }) => return problem(&Fault::BodyTooLarge { max: *max }),
        Some(BodyFault::TooSlow) => {
            return Problem::new(408, "request_timeout", "The request did not come in time")
                .detail("the body came too slowly");
        }
        Some(BodyFault::Client(_)) => {
            return problem(&Fault::BadRequest("the body broke off, or is not framed as it should be"));
        }
        None => {}
    }
    match fault {
        Fault::BadRequest(why) => {
            Problem::new(400, "bad_request", "The request is not valid HTTP").detail(*why)
        }
        Fault::Expectation => {
            Problem::new(417, "expectation_failed", "The expectation cannot be met").detail(fault.to_string())
        }
        Fault::UriTooLong { .. } => {
            Problem::new(414, "uri_too_long", "The target is too long").detail(fault.to_string())
        }
        Fault::HeadersTooLarge { .. } => {
            Problem::new(431, "headers_too_large", "The headers are too large").detail(fault.to_string())
        }
        Fault::BodyTooLarge { .. } => {
            Problem::new(413, "body_too_large", "The body is too large").detail(fault.to_string())
        }
        Fault::RouteNotFound => Problem::new(404, "route_not_found", "Not found").detail(fault.to_string()),
        Fault::MethodNotAllowed { allow } => Problem {
            allow: Some(allow.clone()),
            ..Problem::new(405, "method_not_allowed", "Method not allowed").detail(fault.to_string())
        },
        Fault::AddressDenied => {
            Problem::new(403, "address_denied", "Not for this client").detail(fault.to_string())
        }
        Fault::RateLimited { retry_after } => Problem::new(429, "rate_limited", "Too many requests")
            .detail(fault.to_string())
            .retry_after(*retry_after),
        Fault::NoEndpoint(_) => Problem::new(503, "no_endpoint", "No upstream is available")
            .detail("the upstream has no endpoint to ask")
            .retry_after(1),
        Fault::Connect { .. } => Problem::new(502, "upstream_unreachable", "The upstream cannot be reached")
            .detail("no connection to the upstream"),
        Fault::ConnectTimeout { .. } => Problem::new(504, "upstream_timeout", "The upstream is too slow")
            .detail("no connection to the upstream in time"),
        Fault::Timeout => {
            Problem::new(504, "upstream_timeout", "The upstream is too slow").detail(fault.to_string())
        }
        Fault::Closed | Fault::Exchange(_) | Fault::BadResponse(_) | Fault::Service(_) => {
            Problem::new(502, "bad_upstream_response", "The upstream gave no proper answer")
                .detail("the upstream broke off, or its answer is not HTTP as it should be")
        }
    }
}

/// The client's answer to a fault. What is the upstream's doing is also told to the log, with its causes, of
/// which the client is told nothing.
pub(crate) fn respond<P: Pool>(
    fault: &Fault,
    request_id: HeaderValue,
    upstream: Option<&str>,
) -> Response<GatewayBody<P>> {
    let problem = problem(fault);
    if problem.status >= 500 {
        tracing::warn!(
            target: "shop_gateway::upstream",
            code = &*problem.code,
            shop.upstream = upstream,
            http.request.id = request_id.to_str().ok(),
            error = fault as &dyn Error,
            "{fault}"
        );
    }
    let body = problem.to_json(request_id.to_str().unwrap_or_default());
    let mut res = Response::new(GatewayBody::full(body));
    *res.status_mut() = StatusCode::from_u16(problem.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = res.headers_mut();
    headers.insert(header::CONTENT_TYPE, const { HeaderValue::from_static("application/problem+json") });
    headers.insert(header::CACHE_CONTROL, const { HeaderValue::from_static("no-store") });
    headers.insert(X_REQUEST_ID, request_id);
    if let Some(seconds) = problem.retry_after {
        headers.insert(header::RETRY_AFTER, seconds.into());
    }
    if let Some(allow) = problem.allow.and_then(|allow| HeaderValue::try_from(allow).ok()) {
        headers.insert(header::ALLOW, allow);
    }
    // After these the connection's state is in doubt, or holds a body that nobody will read.
    if matches!(problem.status, 400 | 408 | 413 | 414 | 417 | 431) {
        headers.insert(header::CONNECTION, const { HeaderValue::from_static("close") });
    }
    res
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;
    use crate::headers::BadResponse;

    #[test]
    fn each_fault_has_its_status_and_code() {
        let io = || io::Error::other("secret detail");
        let endpoint = || "10.0.0.7:1".to_owned();
        for (fault, status, code) in [
            (Fault::BadRequest("x"), 400, "bad_request"),
            (Fault::Expectation, 417, "expectation_failed"),
            (Fault::UriTooLong { max: 1 }, 414, "uri_too_long"),
            (Fault::HeadersTooLarge { max: 1 }, 431, "headers_too_large"),
            (Fault::BodyTooLarge { max: 1 }, 413, "body_too_large"),
            (Fault::RouteNotFound, 404, "route_not_found"),
            (Fault::MethodNotAllowed { allow: "GET".into() }, 405, "method_not_allowed"),
            (Fault::AddressDenied, 403, "address_denied"),
            (Fault::RateLimited { retry_after: 1 }, 429, "rate_limited"),
            (Fault::NoEndpoint(None), 503, "no_endpoint"),
            (Fault::Connect { endpoint: endpoint(), source: io() }, 502, "upstream_unreachable"),
            (Fault::ConnectTimeout { endpoint: endpoint() }, 504, "upstream_timeout"),
            (Fault::Timeout, 504, "upstream_timeout"),
            (Fault::Closed, 502, "bad_upstream_response"),
            (Fault::BadResponse(BadResponse::ContentLengths), 502, "bad_upstream_response"),
            (Fault::Service("secret".into()), 502, "bad_upstream_response"),
            (Fault::Service(BodyFault::TooLarge { max: 9 }.into()), 413, "body_too_large"),
            (Fault::Service(BodyFault::TooSlow.into()), 408, "request_timeout"),
            (Fault::Service(BodyFault::Client("gone".into()).into()), 400, "bad_request"),
        ] {
            let problem = problem(&fault);
            assert_eq!((problem.status, &*problem.code), (status, code), "{fault:?}");
            assert!(
                !problem.detail.contains("secret") && !problem.detail.contains("10.0.0.7"),
                "{problem:?}"
            );
        }
    }
}
