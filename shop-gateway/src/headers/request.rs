//! A request's head on its way to the upstream.

use std::time::Instant;

use http::header::{self, HeaderName, HeaderValue};
use http::{HeaderMap, Method, Request, Uri, Version, uri};

use super::{
    TRACEPARENT, TRACESTATE, X_FORWARDED_FOR, X_FORWARDED_HOST, X_FORWARDED_PROTO, X_REQUEST_ID, child_of,
    connection_options, is_host, is_request_id, new_request_id, new_trace,
};
use crate::client::Client;

/// Why a head is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum HeadFault {
    /// It breaks a rule of HTTP.
    Bad(&'static str),
    /// Names and values are longer than the limit.
    TooLarge,
    /// An `Expect` that is not `100-continue`.
    Expectation,
}

/// What the gateway keeps of a head, after it has made it the upstream's.
#[derive(Debug)]
pub(crate) struct Inbound {
    /// The id, taken or made.
    pub(crate) request_id: HeaderValue,
    /// The request's host; empty only for HTTP/1.0.
    pub(crate) host: Option<HeaderValue>,
    /// It came by HTTP/2, where a body may have no length without being chunked.
    pub(crate) http2: bool,
    /// The protocols that the client would change to, on a request that may ask for it.
    pub(crate) upgrade: Option<HeaderValue>,
}

/// Headers that do not go on, whatever `Connection` says: those of one hop (RFC 9110, 7.6.1), `Expect`, which the
/// server has answered, and what only a trusted proxy may say of a client.
const DROPPED: [HeaderName; 11] = [
    header::CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    header::TE,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    header::PROXY_AUTHORIZATION,
    HeaderName::from_static("http2-settings"),
    header::EXPECT,
    header::FORWARDED,
    HeaderName::from_static("x-real-ip"),
];

/// What one pass over the headers found.
#[derive(Default)]
struct Scan<'a> {
    size: usize,
    dropped: u16,
    hosts: u32,
    lengths: u32,
    encodings: u32,
    chunked: bool,
    te_trailers: bool,
    expectation: bool,
    tracestate: bool,
    unfit: bool,
    host: Option<&'a HeaderValue>,
    request_id: Once<'a>,
    traceparent: Once<'a>,
    upgrade: Once<'a>,
    connection: Vec<HeaderValue>,
}

/// A header that counts only if it is there once.
#[derive(Default)]
enum Once<'a> {
    #[default]
    None,
    One(&'a HeaderValue),
    Several,
}

impl<'a> Once<'a> {
    fn see(&mut self, value: &'a HeaderValue) {
        *self = match self {
            Self::None => Self::One(value),
            _ => Self::Several,
        };
    }

    fn value(&self) -> Option<&'a HeaderValue> {
        if let Self::One(value) = self { Some(value) } else { None }
    }
}

impl<'a> Scan<'a> {
    fn of(headers: &'a HeaderMap) -> Self {
        let mut scan = Self::default();
        for (name, value) in headers {
            scan.size += name.as_str().len() + value.len() + 4;
            match name.as_str() {
                "host" => {
                    scan.hosts += 1;
                    scan.host = Some(value);
                }
                "content-length" => scan.lengths += 1,
                "traceparent" => scan.traceparent.see(value),
                "tracestate" => scan.tracestate = true,
                "x-request-id" => scan.request_id.see(value),
                "connection" => {
                    scan.dropped |= 1;
                    // The two words that name no header are nearly all there is.
                    if value != "keep-alive" && value != "close" {
                        scan.connection.push(value.clone());
                    }
                }
                "keep-alive" => scan.dropped |= 1 << 1,
                "proxy-connection" => scan.dropped |= 1 << 2,
                "te" => {
                    scan.dropped |= 1 << 3;
                    let accepts = value.as_bytes().split(|&b| b == b',');
                    scan.te_trailers |=
                        accepts.map(<[u8]>::trim_ascii).any(|t| t.eq_ignore_ascii_case(b"trailers"));
                }
                "transfer-encoding" => {
                    scan.dropped |= 1 << 4;
                    scan.encodings += 1;
                    scan.chunked = value.as_bytes().eq_ignore_ascii_case(b"chunked");
                }
                "upgrade" => {
                    scan.dropped |= 1 << 5;
                    scan.upgrade.see(value);
                }
                "proxy-authorization" => scan.dropped |= 1 << 6,
                "http2-settings" => scan.dropped |= 1 << 7,
                "expect" => {
                    scan.dropped |= 1 << 8;
                    scan.expectation |= !value.as_bytes().eq_ignore_ascii_case(b"100-continue");
                }
                "forwarded" => scan.dropped |= 1 << 9,
                "x-real-ip" => scan.dropped |= 1 << 10,
                "x-forwarded-for" | "x-forwarded-host" | "x-forwarded-proto" => {}
                other => scan.unfit |= is_unfit(other),
            }
        }
        scan
    }

    /// The protocols asked for: by HTTP/1.1, once, named in `Connection`, and by a request without a body.
    fn upgrade(&self, version: Version) -> Option<HeaderValue> {
        let asked = self.upgrade.value()?;
        let named = connection_options(&self.connection).any(|name| name == header::UPGRADE);
        let bodiless = self.lengths == 0 && self.encodings == 0;
        (named && bodiless && version == Version::HTTP_11).then(|| asked.clone())
    }

    fn fault(&self, max_header: u64, version: Version, named: bool) -> Option<HeadFault> {
        let http1 = version == Version::HTTP_11 || version == Version::HTTP_10;
        if self.size as u64 > max_header {
            Some(HeadFault::TooLarge)
        } else if self.hosts > 1 {
            Some(HeadFault::Bad("the Host header is there more than once"))
        } else if version >= Version::HTTP_11 && self.hosts == 0 && !named {
            Some(HeadFault::Bad("the Host header is missing"))
        } else if self.lengths > 1 {
            Some(HeadFault::Bad("the Content-Length header is there more than once"))
        } else if http1 && self.encodings > 0 && (self.encodings > 1 || !self.chunked) {
            Some(HeadFault::Bad("a transfer coding other than chunked"))
        } else if self.expectation {
            Some(HeadFault::Expectation)
        } else {
            None
        }
    }
}

/// Makes a client's head the upstream's, in place: one request, one hop on.
///
/// The ids come back even when the head is refused, since the refusal carries them.
pub(crate) fn prepare<B>(
    req: &mut Request<B>,
    client: &Client,
    max_header: u64,
    now: Instant,
) -> (Inbound, Result<(), HeadFault>) {
    let scan = Scan::of(req.headers());
    let taken_id = scan.request_id.value().filter(|id| is_request_id(id)).cloned();
    let followed = scan.traceparent.value().and_then(child_of);
    let host = scan.host.cloned();
    let fault = scan
        .fault(max_header, req.version(), req.uri().authority().is_some())
        .or_else(|| line_fault(req.method(), req.uri()));
    let upgrade = scan.upgrade(req.version());
    let http2 = req.version() == Version::HTTP_2;
    let Scan { mut dropped, te_trailers, chunked, tracestate, unfit, connection, .. } = scan;

    // What Connection names goes first, so that it cannot take away what is added below; Host is not its to name.
    for name in connection_options(&connection) {
        if name != header::HOST && name != header::CONTENT_LENGTH && name != header::TRANSFER_ENCODING {
            req.headers_mut().remove(name);
        }
    }
    let headers = req.headers_mut();
    let request_id = taken_id.unwrap_or_else(|| new_request_id(now));
    headers.insert(X_REQUEST_ID, request_id.clone());
    let traceparent = followed.unwrap_or_else(|| {
        if tracestate {
            headers.remove(TRACESTATE);
        }
        new_trace()
    });
    headers.insert(TRACEPARENT, traceparent);
    let mut inbound = Inbound { request_id, host, http2, upgrade };
    if let Some(fault) = fault {
        return (inbound, Err(fault));
    }

    if unfit {
        remove_unfit(headers);
    }
    while dropped != 0 {
        headers.remove(&DROPPED[dropped.trailing_zeros() as usize]);
        dropped &= dropped - 1;
    }
    if te_trailers {
        headers.insert(header::TE, const { HeaderValue::from_static("trailers") });
    }
    if chunked {
        // Said outright, since without it a body of unknown length on a GET would not be sent at all.
        headers.insert(header::TRANSFER_ENCODING, const { HeaderValue::from_static("chunked") });
    }

    if inbound.http2 {
        join_cookies(req.headers_mut());
    }
    match to_origin_form(req) {
        Ok(None) => {}
        Ok(authority) => inbound.host = authority,
        Err(fault) => return (inbound, Err(fault)),
    }
    let headers = req.headers_mut();
    match &inbound.host {
        Some(host) if !is_host(host) => {
            return (inbound, Err(HeadFault::Bad("the Host header is not a host")));
        }
        Some(host) => headers.insert(X_FORWARDED_HOST, host.clone()),
        None => headers.remove(X_FORWARDED_HOST),
    };
    match &client.forwarded_for {
        Some(ip) => headers.insert(X_FORWARDED_FOR, ip.clone()),
        None => headers.remove(X_FORWARDED_FOR),
    };
    headers.insert(X_FORWARDED_PROTO, client.proto.clone());
    *req.version_mut() = Version::HTTP_11;
    (inbound, Ok(()))
}

/// Methods are upper-case: a `get` that a route takes for any method may be a GET to the upstream.
fn line_fault(method: &Method, uri: &Uri) -> Option<HeadFault> {
    if method.as_str().bytes().any(|b| b.is_ascii_lowercase()) {
        return Some(HeadFault::Bad("the method is not upper-case"));
    }
    if uri.path() == "*" && method != Method::OPTIONS {
        return Some(HeadFault::Bad("the target `*` is for OPTIONS"));
    }
    None
}

/// `x_user` and `x-user` are one name to whoever reads headers as variables (RFC 3875, 4.1.18): the gateway's own could be
/// given twice. What else of the way is said by `x-forwarded-` (`port`, `prefix`, `ssl`) is the client's word alone; the three that
/// the gateway sets are not seen here.
fn is_unfit(name: &str) -> bool {
    name.contains('_') || name.starts_with("x-forwarded-")
}

fn remove_unfit(headers: &mut HeaderMap) {
    // Those that the gateway sets are set after this.
    let names: Vec<_> = headers.keys().filter(|name| is_unfit(name.as_str())).cloned().collect();
    for name in names {
        headers.remove(name);
    }
}

/// In HTTP/2 cookies may come in several lines, which an upstream of HTTP/1.1 would not put together (RFC 9113, 8.2.3).
fn join_cookies(headers: &mut HeaderMap) {
    let mut lines = headers.get_all(header::COOKIE).iter();
    let (Some(first), Some(second)) = (lines.next(), lines.next()) else { return };
    let mut joined = first.as_bytes().to_vec();
    for line in std::iter::once(second).chain(lines) {
        joined.extend_from_slice(b"; ");
        joined.extend_from_slice(line.as_bytes());
    }
    if let Ok(joined) = HeaderValue::from_maybe_shared(bytes::Bytes::from(joined)) {
        headers.insert(header::COOKIE, joined);
    }
}

/// An absolute target becomes a path and query, and its authority, which is returned, the host (RFC 9112, 3.2.2).
fn to_origin_form<B>(req: &mut Request<B>) -> Result<Option<HeaderValue>, HeadFault> {
    // CONNECT's is nothing but an authority; it is refused further on, by its method.
    if req.uri().authority().is_none() || req.method() == Method::CONNECT {
        return Ok(None);
    }
    if !matches!(req.uri().scheme_str(), Some("http" | "https")) {
        return Err(HeadFault::Bad("the target is not a path, nor a URL of HTTP"));
    }
    let mut parts = std::mem::take(req.uri_mut()).into_parts();
    let authority = parts.authority.take();
    // A user name in it is refused with what else is no host (RFC 9110, 4.2.4).
    let host = HeaderValue::from_str(authority.as_ref().map_or("", |authority| authority.as_str()))
        .map_err(|_| HeadFault::Bad("the target's authority is not a host"))?;
    req.headers_mut().insert(header::HOST, host.clone());
    *req.uri_mut() = Uri::from(parts.path_and_query.unwrap_or_else(|| uri::PathAndQuery::from_static("/")));
    Ok(Some(host))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(lines: &[(&str, &str)]) -> Request<()> {
        let mut builder = Request::builder().uri("/x?y=1");
        for (name, value) in lines {
            builder = builder.header(*name, *value);
        }
        builder.body(()).unwrap()
    }

    fn prepared(lines: &[(&str, &str)]) -> Request<()> {
        let mut req = request(lines);
        let (_, outcome) = prepare(&mut req, &Client::unknown(), 1 << 15, Instant::now());
        outcome.unwrap();
        req
    }

    fn fault(lines: &[(&str, &str)]) -> HeadFault {
        prepare(&mut request(lines), &Client::unknown(), 1 << 15, Instant::now()).1.unwrap_err()
    }

    #[test]
    fn what_any_connection_line_names_is_of_one_hop() {
        let req = prepared(&[
            ("host", "a"),
            ("connection", "x-one, Host, traceparent"),
            ("connection", " X-Two ,,close"),
            ("x-one", "1"),
            ("x-two", "2"),
            ("x-three", "3"),
            ("te", "gzip, trailers"),
            ("upgrade", "websocket"),
            ("keep-alive", "timeout=5"),
            ("proxy-connection", "keep-alive"),
            ("trailer", "x-sum"),
        ]);
        for gone in ["x-one", "x-two", "connection", "upgrade", "keep-alive", "proxy-connection"] {
            assert!(!req.headers().contains_key(gone), "{gone}");
        }
        assert_eq!(req.headers()["x-three"], "3");
        assert_eq!(req.headers()["te"], "trailers");
        assert_eq!(req.headers()["trailer"], "x-sum");
        assert_eq!(req.headers()["host"], "a");
        assert!(req.headers().contains_key("traceparent"));
    }

    #[test]
    fn an_untrusted_client_does_not_say_who_it_is() {
        let req = prepared(&[
            ("host", "a:1"),
            ("x-forwarded-for", "6.6.6.6"),
            ("x-forwarded-for", "7.7.7.7"),
            ("x-forwarded-host", "evil"),
            ("x-forwarded-proto", "https"),
            ("forwarded", "for=6.6.6.6"),
            ("x-real-ip", "6.6.6.6"),
        ]);
        assert!(!req.headers().contains_key("x-forwarded-for"));
        assert!(!req.headers().contains_key("forwarded") && !req.headers().contains_key("x-real-ip"));
        assert_eq!(req.headers()["x-forwarded-host"], "a:1");
        assert_eq!(req.headers()["x-forwarded-proto"], "http");
    }

    #[test]
    fn heads_that_break_the_rules() {
        assert!(matches!(fault(&[]), HeadFault::Bad(_)));
        assert!(matches!(fault(&[("host", "a"), ("host", "a")]), HeadFault::Bad(_)));
        assert!(matches!(fault(&[("host", "")]), HeadFault::Bad(_)));
        assert!(matches!(fault(&[("host", "a/b")]), HeadFault::Bad(_)));
        assert!(matches!(
            fault(&[("host", "a"), ("content-length", "1"), ("content-length", "1")]),
            HeadFault::Bad(_)
        ));
        assert!(matches!(fault(&[("host", "a"), ("transfer-encoding", "gzip, chunked")]), HeadFault::Bad(_)));
        assert_eq!(fault(&[("host", "a"), ("expect", "a miracle")]), HeadFault::Expectation);
        assert_eq!(fault(&[("host", "a"), ("x", &"x".repeat(1 << 15))]), HeadFault::TooLarge);
    }

    #[test]
    fn an_absolute_target_names_the_host() {
        let mut req = request(&[("host", "other")]);
        *req.uri_mut() = "http://shop.example:81/x?y=1".parse().unwrap();
        prepare(&mut req, &Client::unknown(), 1 << 15, Instant::now()).1.unwrap();
        assert_eq!(req.uri(), "/x?y=1");
        assert_eq!(req.headers()["host"], "shop.example:81");
        for target in ["http://user@shop.example/", "shop.example", "shop.example:80", "ftp://shop.example/"]
        {
            let mut req = request(&[("host", "other")]);
            *req.uri_mut() = target.parse().unwrap();
            let outcome = prepare(&mut req, &Client::unknown(), 1 << 15, Instant::now()).1;
            assert!(matches!(outcome, Err(HeadFault::Bad(_))), "{target}");
        }
    }

    #[test]
    fn names_that_others_may_take_for_others_are_dropped() {
        let req = prepared(&[("host", "a"), ("x_user", "1"), ("content_length", "2"), ("x-user", "3")]);
        assert!(!req.headers().contains_key("x_user") && !req.headers().contains_key("content_length"));
        assert_eq!(req.headers()["x-user"], "3");
    }

    #[test]
    fn methods_are_upper_case_and_a_star_is_for_options() {
        for (method, target, taken) in [
            ("get", "/", false),
            ("GeT", "/", false),
            ("M-SEARCH", "/", true),
            ("OPTIONS", "*", true),
            ("GET", "*", false),
        ] {
            let mut req = request(&[("host", "a")]);
            *req.method_mut() = method.parse().unwrap();
            *req.uri_mut() = target.parse().unwrap();
            let outcome = prepare(&mut req, &Client::unknown(), 1 << 15, Instant::now()).1;
            assert_eq!(outcome.is_ok(), taken, "{method} {target}");
        }
    }
}
