//! Trailers on their way through.

use http::HeaderMap;

/// What may not come after a body: what frames or routes the message, says who asks or how to read it (RFC 9110, 6.5.1), and
/// what of the headers the gateway alone says. Whoever merges trailers into headers would take them for those.
fn is_kept(name: &str) -> bool {
    !matches!(
        name,
        "authorization"
            | "cache-control"
            | "connection"
            | "content-encoding"
            | "content-length"
            | "content-range"
            | "content-type"
            | "cookie"
            | "expect"
            | "forwarded"
            | "host"
            | "keep-alive"
            | "location"
            | "max-forwards"
            | "proxy-authorization"
            | "proxy-connection"
            | "range"
            | "set-cookie"
            | "te"
            | "traceparent"
            | "tracestate"
            | "trailer"
            | "transfer-encoding"
            | "upgrade"
            | "x-real-ip"
            | "x-request-id"
    ) && !name.starts_with("x-forwarded-")
        && !name.contains('_')
}

/// Removes what may not be a trailer, in either direction.
pub(crate) fn clean_trailers(trailers: &mut HeaderMap) {
    let names: Vec<_> = trailers.keys().filter(|name| !is_kept(name.as_str())).cloned().collect();
    for name in names {
        trailers.remove(name);
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn what_is_no_trailer_goes() {
        let mut trailers = HeaderMap::new();
        for name in ["grpc-status", "x-sum", "content-length", "x-forwarded-for", "host", "x_sum"] {
            trailers.append(name, HeaderValue::from_static("1"));
            trailers.append(name, HeaderValue::from_static("2"));
        }
        clean_trailers(&mut trailers);
        let mut kept: Vec<_> = trailers.keys().map(|name| name.as_str()).collect();
        kept.sort_unstable();
        assert_eq!(kept, ["grpc-status", "x-sum"]);
        assert_eq!(trailers.len(), 4);
    }
}
