//! The layers around every handler, composed in one place.
//!
//! ```text
//!   request                                                             answer
//!      │  1 ids        request id and trace: everything below names them   ▲  X-Request-Id on every answer
//!      │  2 tracker    one access event and one count, from here to the    │  ends with the answer's body,
//!      │               body's end; above routing, so refusals count too    │  or where it is dropped
//!      │  3 host       RFC 9112, 3.2; only for what came on a socket       │
//!      │  4 route      404, 405, OPTIONS; below the tracker                │
//!      │  5 panic      a handler's panic is a 500; below the tracker and   │
//!      │               above the context, so that its event names the      │
//!      │               request                                             │
//!      │  6 context    `current_request()` while the handler is polled     │
//!      ▼  7 handler    the one boxed future of a request                   │  8 HEAD: the body goes, its length stays
//! ```

use std::any::Any;
use std::convert::Infallible;
use std::fmt;
use std::net::IpAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use bytes::Bytes;
use http::header::{ALLOW, HOST};
use http::request::Parts;
use http::{HeaderValue, Method, Version};

use super::BoxError;
use super::access::{self, Refusal, ServiceInfo, Tracker};
use super::connection::Connection;
use super::context::{CURRENT, RequestContext, X_REQUEST_ID};
use super::metrics::RouteMetrics;
use super::reply::{self, Response};
use super::request::Request;
use super::request_body::RequestBody;
use super::router::{HandlerFuture, Routed, Table};
use crate::Problem;

/// A service: the routes of a [`Router`](super::Router) inside the layers that every service has.
///
/// It is a `tower_service::Service` of requests with any body, cheap to clone and always ready. A [`Server`](super::Server)
/// serves it on a socket; in process it is called as it is, and takes `X-Request-Id`, `traceparent` and `X-Forwarded-For`
/// from the headers.
#[derive(Clone)]
pub struct App {
    shared: Arc<Shared>,
    connection: Option<Arc<Connection>>,
}

struct Shared {
    info: ServiceInfo,
    table: Table,
    unmatched: Arc<RouteMetrics>,
    tracked: bool,
}

impl App {
    pub(crate) fn new(table: Table, info: ServiceInfo) -> Self {
        // A method that nobody routes is whatever a client likes, so it must not become a label.
        let unmatched = Arc::new(RouteMetrics::new(info.name, "any", "unmatched"));
        Self { shared: Arc::new(Shared { info, table, unmatched, tracked: true }), connection: None }
    }

    /// The same service without access events and metrics, for an operator's own socket.
    pub(crate) fn untracked(self) -> Self {
        match Arc::try_unwrap(self.shared) {
            Ok(shared) => Self { shared: Arc::new(Shared { tracked: false, ..shared }), ..self },
            Err(shared) => Self { shared, ..self },
        }
    }

    pub(crate) fn on(&self, connection: Arc<Connection>) -> Self {
        Self { shared: self.shared.clone(), connection: Some(connection) }
    }

    /// Tells of a request that the server refused before it was one.
    pub(crate) fn refused(&self, client: IpAddr, refusal: &Refusal) {
        if self.shared.tracked {
            access::refused(&self.shared.info, &self.shared.unmatched, client, refusal);
        }
    }

    /// The service's name and version.
    pub fn info(&self) -> &ServiceInfo {
        &self.shared.info
    }

    /// Answers one request.
    ///
    /// # Cancel safety
    /// Dropping the future drops the handler's at its current await; the access event then says `shop.aborted`.
    pub fn handle(&self, head: Parts, body: RequestBody) -> ResponseFuture {
        let shared = &*self.shared;
        // 1 ids
        let context = Arc::new(RequestContext::new(shared.info.name, &head.headers, self.connection.clone()));
        // 2 tracker
        let mut tracker = shared
            .tracked
            .then(|| Tracker::start(shared.info, &head, &context, &shared.unmatched, Instant::now()));
        let head_only = head.method == Method::HEAD;
        let body = body.attach(&context);
        // 3 host, 4 route
        let routed = match self.host_fault(&head) {
            Some(problem) => Routed::Refused(problem),
            None => shared.table.route(&head.method, &head.uri),
        };
        let state = match routed {
            Routed::To(route, params) => {
                if let Some(tracker) = &mut tracker {
                    tracker.matched(&route.metrics);
                }
                let request = Request::new(head, body, route.clone(), params, context.clone());
                match guarded(&context, || route.call(request)) {
                    Ok(handler) => State::Running(handler),
                    Err(problem) => State::Done(Some(Err(problem))),
                }
            }
            Routed::Options(allow) => State::Done(Some(Ok(options(&allow)))),
            Routed::Refused(problem) => State::Done(Some(Err(problem))),
        };
        ResponseFuture { state, context, tracker, head_only }
    }

    fn host_fault(&self, head: &Parts) -> Option<Problem> {
        self.connection.as_ref()?;
        let mut hosts = head.headers.get_all(HOST).iter();
        let detail = match (hosts.next(), hosts.next()) {
            (None, _) if head.version == Version::HTTP_11 => "HTTP/1.1 needs a Host",
            (Some(_), Some(_)) => "Host must not be repeated",
            _ => return None,
        };
        Some(Problem::new(400, "invalid_host", "The Host is not valid").detail(detail))
    }
}

fn options(allow: &str) -> Response {
    let mut response = reply::no_content();
    if let Ok(allow) = HeaderValue::from_str(allow) {
        response.headers_mut().insert(ALLOW, allow);
    }
    response
}

/// 5 panic, 6 context
fn guarded<T>(context: &Arc<RequestContext>, work: impl FnOnce() -> T) -> Result<T, Problem> {
    // What a handler shares with others is behind locks of its own; the handler itself is never polled again.
    catch_unwind(AssertUnwindSafe(|| CURRENT.sync_scope(context.clone(), work))).map_err(|panic| {
        CURRENT.sync_scope(context.clone(), || {
            tracing::error!(target: "shop_core::http", panic = text_of(&*panic), "a handler panicked");
        });
        Problem::internal()
    })
}

fn text_of(panic: &(dyn Any + Send)) -> &str {
    panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("not a text")
}

impl fmt::Debug for App {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("App").field("service", &self.shared.info.name).finish_non_exhaustive()
    }
}

impl<B> tower_service::Service<http::Request<B>> for App
where
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    type Response = Response;
    type Error = Infallible;
    type Future = ResponseFuture;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<B>) -> ResponseFuture {
        let (head, body) = request.into_parts();
        self.handle(head, RequestBody::new(body))
    }
}

enum State {
    Running(HandlerFuture),
    Done(Option<Result<Response, Problem>>),
}

/// The answer of an [`App`] to come.
pub struct ResponseFuture {
    state: State,
    context: Arc<RequestContext>,
    tracker: Option<Box<Tracker>>,
    head_only: bool,
}

impl Future for ResponseFuture {
    type Output = Result<Response, Infallible>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        let result = match &mut this.state {
            State::Running(handler) => match guarded(&this.context, || handler.as_mut().poll(cx)) {
                Ok(Poll::Pending) => return Poll::Pending,
                Ok(Poll::Ready(result)) => result,
                Err(problem) => Err(problem),
            },
            State::Done(result) => result.take().expect("a future is not polled after it is ready"),
        };
        // The handler goes first: a body that it left unread must be known before the answer is sent.
        this.state = State::Done(None);
        Poll::Ready(Ok(this.finish(result)))
    }
}

impl ResponseFuture {
    fn finish(&mut self, result: Result<Response, Problem>) -> Response {
        let mut response = match result {
            Ok(response) => response,
            Err(problem) => reply::problem(&problem, self.context.request_id.as_str()),
        };
        response.headers_mut().insert(X_REQUEST_ID.clone(), self.context.request_id.header_value());
        // 8 HEAD
        if self.head_only {
            reply::without_body(&mut response);
        }
        if let Some(mut tracker) = self.tracker.take() {
            tracker.answered(response.status().as_u16());
            if http_body::Body::is_end_stream(response.body()) {
                tracker.complete();
            } else {
                response.body_mut().track(tracker);
            }
        }
        response
    }
}

impl fmt::Debug for ResponseFuture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture").field("context", &self.context).finish_non_exhaustive()
    }
}
