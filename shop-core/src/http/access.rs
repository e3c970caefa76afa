//! Exactly one access event a request, whatever becomes of it.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use http::header::USER_AGENT;
use http::request::Parts;
use http::{HeaderName, HeaderValue, Method, StatusCode, Uri};

use super::context::{RequestContext, RequestId};
use super::metrics::RouteMetrics;
use super::trace::{SpanId, TraceId};

/// What nginx too calls a client that went away before it was answered.
const CLIENT_GONE: u16 = 499;

static X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// A service's name and version, and the place where its access events come from; made by [`service!`](crate::service).
#[derive(Debug, Clone, Copy)]
pub struct ServiceInfo {
    /// `orders`, `products`…
    pub name: &'static str,
    /// The version of the crate that calls the macro.
    pub version: &'static str,
    /// Where access events come from.
    pub access: AccessSite,
}

/// A `tracing` call site of the target `<service>::access`; a site's target must be known when it is compiled, so
/// [`service!`](crate::service) makes it.
#[derive(Debug, Clone, Copy)]
pub struct AccessSite {
    /// Whether anybody listens.
    pub enabled: fn() -> bool,
    /// Emits one event.
    pub emit: fn(&AccessRecord<'_>),
}

/// One request, answered or not. One that was refused before its head was read, since it is no HTTP or came too slowly, has
/// neither method nor path, and no id but what its answer has.
#[derive(Debug)]
pub struct AccessRecord<'a> {
    /// `http.request.method`
    pub method: Option<&'a str>,
    /// `url.path`, as it came.
    pub path: Option<&'a str>,
    /// `url.query`, as it came.
    pub query: Option<&'a str>,
    /// `http.version`, `1.1`.
    pub version: Option<&'static str>,
    /// `http.response.status_code`; 499 when the client went away before.
    pub status: u16,
    /// `event.duration`, in nanoseconds when emitted: from the head of the request to the end of the answer.
    pub duration: Duration,
    /// `http.request.body.bytes`: what was read.
    pub request_bytes: u64,
    /// `http.response.body.bytes`: what was sent.
    pub response_bytes: u64,
    /// `http.request.id`
    pub request_id: Option<&'a str>,
    /// `trace.id`
    pub trace_id: Option<TraceId>,
    /// `span.id`
    pub span_id: Option<SpanId>,
    /// `client.ip`: the peer's, or what a gateway in the same process wrote last into `X-Forwarded-For`.
    pub client_ip: Option<IpAddr>,
    /// `network.forwarded_ip`: the first of `X-Forwarded-For`, which anybody can write.
    pub forwarded_ip: Option<&'a str>,
    /// `user_agent.original`
    pub user_agent: Option<&'a str>,
    /// `labels.route`: the pattern that matched.
    pub route: Option<&'a str>,
    /// `shop.aborted`: the answer did not get to its end.
    pub aborted: bool,
}

/// Names a service: `service!("orders")` is a [`ServiceInfo`](crate::http::ServiceInfo) with the version of the crate that it
/// stands in.
#[macro_export]
macro_rules! service {
    ($name:literal) => {
        $crate::http::ServiceInfo {
            name: $name,
            version: env!("CARGO_PKG_VERSION"),
            access: $crate::http::AccessSite {
                enabled: || {
                    $crate::http::__private::tracing::enabled!(
                        target: concat!($name, "::access"),
                        $crate::http::__private::tracing::Level::INFO
                    )
                },
                emit: |record| {
                    use $crate::http::__private::tracing;
                    tracing::event!(
                        target: concat!($name, "::access"),
                        tracing::Level::INFO,
                        event.dataset = concat!($name, ".access"),
                        event.duration = record.duration.as_nanos() as u64,
                        http.version = record.version,
                        http.request.method = record.method,
                        http.request.id = record.request_id,
                        http.request.body.bytes = record.request_bytes,
                        http.response.status_code = record.status,
                        http.response.body.bytes = record.response_bytes,
                        url.path = record.path,
                        url.query = record.query,
                        trace.id = record.trace_id.map(tracing::field::display),
                        span.id = record.span_id.map(tracing::field::display),
                        client.ip = record.client_ip.map(tracing::field::display),
                        network.forwarded_ip = record.forwarded_ip,
                        user_agent.original = record.user_agent,
                        labels.route = record.route,
                        shop.aborted = record.aborted,
                        "{} {} {}",
                        record.method.unwrap_or("-"),
                        record.path.unwrap_or("-"),
                        record.status
                    );
                },
            },
        }
    };
}

/// What a server says of a request that it refused itself, since there was no head to make a request of.
#[derive(Debug)]
#[non_exhaustive]
pub struct Refusal {
    /// 400 when it is no HTTP, 431 when its head is too large, 408 when its head did not come in time.
    pub status: StatusCode,
    /// Since the head was waited for: since the connection was accepted, or its last answer was done.
    pub duration: Duration,
    /// The id that the answer has; none on those that hyper makes.
    pub request_id: Option<RequestId>,
    /// Bytes of the answer's body.
    pub sent: u64,
}

/// What an access event needs of a head that the handler takes away.
struct Head {
    method: Method,
    uri: Uri,
    version: http::Version,
    user_agent: Option<HeaderValue>,
    forwarded: Option<HeaderValue>,
}

/// Follows a request to its end, wherever that is, and says so once: when it is dropped.
pub(crate) struct Tracker {
    info: ServiceInfo,
    context: Arc<RequestContext>,
    metrics: Arc<RouteMetrics>,
    matched: bool,
    started: Instant,
    head: Option<Head>,
    status: u16,
    sent: u64,
    complete: bool,
}

impl Tracker {
    pub(crate) fn start(
        info: ServiceInfo,
        head: &Parts,
        context: &Arc<RequestContext>,
        unmatched: &Arc<RouteMetrics>,
        started: Instant,
    ) -> Box<Self> {
        let head = (info.access.enabled)().then(|| Head {
            method: head.method.clone(),
            uri: head.uri.clone(),
            version: head.version,
            user_agent: head.headers.get(USER_AGENT).cloned(),
            forwarded: head.headers.get_all(&X_FORWARDED_FOR).iter().next_back().cloned(),
        });
        Box::new(Self {
            info,
            context: context.clone(),
            metrics: unmatched.clone(),
            matched: false,
            started,
            head,
            status: CLIENT_GONE,
            sent: 0,
            complete: false,
        })
    }

    pub(crate) fn matched(&mut self, metrics: &Arc<RouteMetrics>) {
        self.metrics = metrics.clone();
        self.matched = true;
    }

    pub(crate) fn answered(&mut self, status: u16) {
        self.status = status;
    }

    pub(crate) fn sent(&mut self, bytes: usize) {
        self.sent += bytes as u64;
    }

    pub(crate) fn complete(mut self: Box<Self>) {
        self.complete = true;
    }

    fn emit(&self, head: &Head, duration: Duration) {
        let forwarded = head.forwarded.as_ref().and_then(|value| value.to_str().ok());
        let last = || forwarded?.rsplit(',').next()?.trim().parse().ok();
        (self.info.access.emit)(&AccessRecord {
            method: Some(head.method.as_str()),
            path: Some(head.uri.path()),
            query: head.uri.query(),
            version: Some(match head.version {
                http::Version::HTTP_10 => "1.0",
                http::Version::HTTP_2 => "2",
                http::Version::HTTP_3 => "3",
                _ => "1.1",
            }),
            status: self.status,
            duration,
            request_bytes: self.context.received.load(Ordering::Relaxed),
            response_bytes: self.sent,
            request_id: Some(self.context.request_id.as_str()),
            trace_id: Some(self.context.trace.trace_id),
            span_id: Some(self.context.trace.span_id),
            client_ip: self.context.connection().map(|c| c.peer.ip()).or_else(last),
            forwarded_ip: forwarded.and_then(|list| list.split(',').next()).map(str::trim),
            user_agent: head.user_agent.as_ref().and_then(|value| value.to_str().ok()),
            route: self.matched.then(|| self.metrics.route()),
            aborted: !self.complete,
        });
    }
}

/// Tells of a request that was refused before its head was read.
pub(crate) fn refused(info: &ServiceInfo, metrics: &RouteMetrics, client: IpAddr, refusal: &Refusal) {
    metrics.record(refusal.status.as_u16(), refusal.duration);
    if (info.access.enabled)() {
        (info.access.emit)(&AccessRecord {
            method: None,
            path: None,
            query: None,
            version: None,
            status: refusal.status.as_u16(),
            duration: refusal.duration,
            request_bytes: 0,
            response_bytes: refusal.sent,
            request_id: refusal.request_id.as_ref().map(RequestId::as_str),
            trace_id: None,
            span_id: None,
            client_ip: Some(client),
            forwarded_ip: None,
            user_agent: None,
            route: None,
            aborted: false,
        });
    }
}

impl Drop for Tracker {
    fn drop(&mut self) {
        let duration = self.started.elapsed();
        self.metrics.record(self.status, duration);
        if let Some(head) = &self.head {
            self.emit(head, duration);
        }
    }
}
