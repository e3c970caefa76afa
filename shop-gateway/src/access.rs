//! One event for each request, whatever becomes of it.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use http::header::{self, HeaderValue};
use http::{Method, Request, StatusCode, Uri};
use tracing::Level;

use crate::body::BodyProgress;
use crate::client::Client;
use crate::headers::trace_id;

/// The `tracing` target of access events.
pub const ACCESS_TARGET: &str = "gateway::access";

/// A request being served. Emits its event when dropped: at the end of the answer's body, or when the client has
/// gone, whichever comes.
#[derive(Debug)]
pub(crate) struct AccessGuard {
    start: Instant,
    method: Method,
    uri: Uri,
    client_ip: Option<IpAddr>,
    user_agent: Option<HeaderValue>,
    request_id: Option<HeaderValue>,
    traceparent: Option<HeaderValue>,
    route: Option<(Arc<str>, Arc<str>)>,
    request_body: Option<BodyProgress>,
    status: Option<StatusCode>,
    expected: Option<u64>,
    sent: u64,
    /// Bytes from the client through a tunnel.
    tunnelled: u64,
    complete: bool,
    aborted: bool,
}

/// Whether anybody listens; asked first, so that nothing is collected when nobody does.
pub(crate) fn enabled() -> bool {
    tracing::enabled!(target: ACCESS_TARGET, Level::INFO)
}

impl AccessGuard {
    pub(crate) fn start<B>(req: &Request<B>, client: &Client, now: Instant) -> Option<Box<Self>> {
        enabled().then(|| {
            Box::new(Self {
                start: now,
                method: req.method().clone(),
                uri: req.uri().clone(),
                client_ip: client.ip,
                user_agent: req.headers().get(header::USER_AGENT).cloned(),
                request_id: None,
                traceparent: None,
                route: None,
                request_body: None,
                status: None,
                expected: None,
                sent: 0,
                tunnelled: 0,
                complete: false,
                aborted: false,
            })
        })
    }

    /// The request's id, and the span that the upstream is called in.
    pub(crate) fn set_ids(&mut self, request_id: HeaderValue, traceparent: Option<HeaderValue>) {
        self.request_id = Some(request_id);
        self.traceparent = traceparent;
    }

    pub(crate) fn set_route(&mut self, route: Arc<str>, upstream: Arc<str>) {
        self.route = Some((route, upstream));
    }

    pub(crate) fn set_request_body(&mut self, progress: Option<BodyProgress>) {
        self.request_body = progress;
    }

    /// The head is decided. `no_body` for HEAD, 204 and 304; `expected` is a `Content-Length`.
    pub(crate) fn set_response(&mut self, status: StatusCode, no_body: bool, expected: Option<u64>) {
        self.status = Some(status);
        self.complete = no_body;
        self.expected = expected;
    }

    pub(crate) fn add_sent(&mut self, bytes: usize) {
        self.sent += bytes as u64;
        if Some(self.sent) == self.expected {
            self.complete = true;
        }
    }

    /// What a tunnel has carried so far.
    pub(crate) fn set_tunnelled(&mut self, received: u64, sent: u64) {
        (self.tunnelled, self.sent) = (received, sent);
    }

    pub(crate) fn set_complete(&mut self) {
        self.complete = true;
    }

    pub(crate) fn set_aborted(&mut self) {
        self.aborted = true;
    }
}

impl Drop for AccessGuard {
    fn drop(&mut self) {
        let method = self.method.as_str();
        let path = self.uri.path();
        // Nobody answered: the client left before (nginx calls it 499).
        let status = self.status.map_or(499, |status| status.as_u16());
        tracing::event!(
            target: ACCESS_TARGET,
            Level::INFO,
            event.dataset = "gateway.access",
            http.request.method = method,
            url.path = path,
            url.query = self.uri.query(),
            http.response.status_code = status,
            event.duration = self.start.elapsed().as_nanos() as u64,
            http.request.body.bytes = self.request_body.as_ref().map_or(self.tunnelled, BodyProgress::bytes),
            http.response.body.bytes = self.sent,
            http.request.id = self.request_id.as_ref().and_then(|id| id.to_str().ok()),
            trace.id = self.traceparent.as_ref().map(trace_id),
            client.ip = self.client_ip.map(tracing::field::display),
            user_agent.original = self.user_agent.as_ref().and_then(|agent| agent.to_str().ok()),
            labels.route = self.route.as_ref().map(|(route, _)| &**route),
            shop.upstream = self.route.as_ref().map(|(_, upstream)| &**upstream),
            shop.aborted = self.aborted || !self.complete,
            "{method} {path} {status}"
        );
    }
}

/// The event of what never became a request: bytes that are no HTTP, or a head that did not come in time.
pub(crate) fn refused_before_routing(client: &Client, status: StatusCode, start: Instant) {
    if !enabled() {
        return;
    }
    tracing::event!(
        target: ACCESS_TARGET,
        Level::INFO,
        event.dataset = "gateway.access",
        http.response.status_code = status.as_u16(),
        event.duration = start.elapsed().as_nanos() as u64,
        http.request.body.bytes = 0u64,
        http.response.body.bytes = 0u64,
        client.ip = client.ip.map(tracing::field::display),
        shop.aborted = false,
        "- - {}",
        status.as_u16()
    );
}
