//! Method and path to handler.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;

use http::{Method, Uri};
use percent_encoding::percent_decode_str;

use super::access::ServiceInfo;
use super::metrics::RouteMetrics;
use super::reply::Response;
use super::request::Request;
use super::stack::App;
use crate::Problem;

pub(crate) type HandlerFuture = Pin<Box<dyn Future<Output = Result<Response, Problem>> + Send>>;
type DynHandler = Box<dyn Fn(Request) -> HandlerFuture + Send + Sync>;

/// What answers a route: an `async fn(State, Request) -> Result<Response, Problem>`.
///
/// A client that goes away drops the future at its next await; whatever must not be torn apart belongs into a task of its own.
pub trait Handler<S>: Send + Sync + 'static {
    /// The answer to come.
    type Future: Future<Output = Result<Response, Problem>> + Send + 'static;

    /// Starts answering.
    fn handle(&self, state: S, request: Request) -> Self::Future;
}

impl<S, F, Fut> Handler<S> for F
where
    F: Fn(S, Request) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<Response, Problem>> + Send + 'static,
{
    type Future = Fut;

    fn handle(&self, state: S, request: Request) -> Fut {
        self(state, request)
    }
}

/// Routes that share a state, which every handler gets a clone of: an `Arc`, as a rule.
///
/// Paths are matched as they came; the parameters of a pattern such as `/v1/products/{id}` are percent-decoded one by one, so
/// `sku:AB%2FC` is one segment. HEAD is answered by GET's handler, OPTIONS with 204 and `Allow`.
pub struct Router<S = ()> {
    state: S,
    endpoints: Vec<(String, Vec<(Method, DynHandler)>)>,
}

impl<S: Clone + Send + Sync + 'static> Router<S> {
    /// No routes.
    pub fn new(state: S) -> Self {
        Self { state, endpoints: Vec::new() }
    }

    /// Adds a handler.
    ///
    /// # Panics
    /// When the method and pattern have a handler already.
    #[must_use]
    pub fn route<H: Handler<S>>(mut self, method: Method, pattern: &str, handler: H) -> Self {
        let state = self.state.clone();
        let handler: DynHandler = Box::new(move |request| Box::pin(handler.handle(state.clone(), request)));
        self.add(method, pattern, handler);
        self
    }

    /// Adds a handler of GET, and so of HEAD.
    #[must_use]
    pub fn get<H: Handler<S>>(self, pattern: &str, handler: H) -> Self {
        self.route(Method::GET, pattern, handler)
    }

    /// Adds a handler of POST.
    #[must_use]
    pub fn post<H: Handler<S>>(self, pattern: &str, handler: H) -> Self {
        self.route(Method::POST, pattern, handler)
    }

    /// Adds a handler of PUT.
    #[must_use]
    pub fn put<H: Handler<S>>(self, pattern: &str, handler: H) -> Self {
        self.route(Method::PUT, pattern, handler)
    }

    /// Adds a handler of PATCH.
    #[must_use]
    pub fn patch<H: Handler<S>>(self, pattern: &str, handler: H) -> Self {
        self.route(Method::PATCH, pattern, handler)
    }

    /// Adds a handler of DELETE.
    #[must_use]
    pub fn delete<H: Handler<S>>(self, pattern: &str, handler: H) -> Self {
        self.route(Method::DELETE, pattern, handler)
    }

    /// Adds the routes of another router, which keep their own state.
    ///
    /// # Panics
    /// When a method and pattern have a handler in both.
    #[must_use]
    pub fn merge<T>(mut self, other: Router<T>) -> Self {
        for (pattern, methods) in other.endpoints {
            for (method, handler) in methods {
                self.add(method, &pattern, handler);
            }
        }
        self
    }

    /// Every method and pattern that has a handler, to hold against a description of the service.
    pub fn routes(&self) -> impl Iterator<Item = (&Method, &str)> {
        self.endpoints
            .iter()
            .flat_map(|(pattern, methods)| methods.iter().map(move |(m, _)| (m, pattern.as_str())))
    }

    /// The service of these routes; `info` is made by [`service!`](crate::service).
    ///
    /// # Panics
    /// When two patterns cannot be told apart.
    pub fn into_app(self, info: ServiceInfo) -> App {
        App::new(Table::new(self.endpoints, &info), info)
    }

    fn add(&mut self, method: Method, pattern: &str, handler: DynHandler) {
        let index = match self.endpoints.iter().position(|(known, _)| known == pattern) {
            Some(index) => index,
            None => {
                self.endpoints.push((pattern.to_owned(), Vec::new()));
                self.endpoints.len() - 1
            }
        };
        let methods = &mut self.endpoints[index].1;
        assert!(methods.iter().all(|(known, _)| *known != method), "{method} {pattern} has two handlers");
        methods.push((method, handler));
    }
}

impl<S: fmt::Debug> fmt::Debug for Router<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let patterns: Vec<_> = self.endpoints.iter().map(|(pattern, _)| pattern).collect();
        f.debug_struct("Router").field("state", &self.state).field("patterns", &patterns).finish()
    }
}

/// One method of one pattern.
pub(crate) struct Route {
    params: Vec<String>,
    pub(crate) metrics: Arc<RouteMetrics>,
    handler: DynHandler,
}

impl Route {
    pub(crate) fn pattern(&self) -> &str {
        self.metrics.route()
    }

    pub(crate) fn param_index(&self, name: &str) -> Option<usize> {
        self.params.iter().position(|known| known == name)
    }

    pub(crate) fn call(&self, request: Request) -> HandlerFuture {
        (self.handler)(request)
    }
}

impl fmt::Debug for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.pattern())
    }
}

struct Endpoint {
    methods: Vec<(Method, Arc<Route>)>,
    allow: String,
}

/// Where a request goes.
pub(crate) enum Routed {
    /// To a handler, with the path's parameters decoded.
    To(Arc<Route>, Vec<String>),
    /// OPTIONS: the methods that there are.
    Options(String),
    /// Nowhere.
    Refused(Problem),
}

/// The compiled routes.
pub(crate) struct Table {
    matcher: matchit::Router<Endpoint>,
}

impl Table {
    fn new(endpoints: Vec<(String, Vec<(Method, DynHandler)>)>, info: &ServiceInfo) -> Self {
        let mut matcher = matchit::Router::new();
        for (pattern, handlers) in endpoints {
            let params = param_names(&pattern);
            let methods: Vec<_> = handlers
                .into_iter()
                .map(|(method, handler)| {
                    let metrics = Arc::new(RouteMetrics::new(info.name, method.as_str(), &pattern));
                    (method, Arc::new(Route { params: params.clone(), metrics, handler }))
                })
                .collect();
            let mut allow: Vec<&str> = methods.iter().map(|(method, _)| method.as_str()).collect();
            if allow.contains(&"GET") && !allow.contains(&"HEAD") {
                allow.push("HEAD");
            }
            if !allow.contains(&"OPTIONS") {
                allow.push("OPTIONS");
            }
            let allow = allow.join(", ");
            if let Err(error) = matcher.insert(pattern.as_str(), Endpoint { methods, allow }) {
                panic!("the pattern {pattern} cannot be added: {error}");
            }
        }
        Self { matcher }
    }

    pub(crate) fn route(&self, method: &Method, uri: &Uri) -> Routed {
        if uri.path() == "*" && method == Method::OPTIONS {
            return Routed::Options("GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS".into());
        }
        let Ok(found) = self.matcher.at(uri.path()) else {
            let detail = format!("there is nothing at {}", uri.path());
            return Routed::Refused(Problem::new(404, "not_found", "Not found").detail(detail));
        };
        let endpoint = found.value;
        let by = |wanted: &Method| endpoint.methods.iter().find(|(known, _)| known == wanted).map(|(_, r)| r);
        let route = by(method).or_else(|| if method == Method::HEAD { by(&Method::GET) } else { None });
        let Some(route) = route else {
            if method == Method::OPTIONS {
                return Routed::Options(endpoint.allow.clone());
            }
            let detail = format!("{method} is not one of {}", endpoint.allow);
            let problem = Problem::new(405, "method_not_allowed", "Method not allowed").detail(detail);
            return Routed::Refused(Problem { allow: Some(endpoint.allow.clone()), ..problem });
        };
        let mut params = Vec::with_capacity(found.params.len());
        for (name, raw) in found.params.iter() {
            match percent_decode_str(raw).decode_utf8() {
                Ok(value) => params.push(value.into_owned()),
                Err(_) => {
                    let problem = Problem::new(400, "invalid_path", "The path is not valid");
                    return Routed::Refused(problem.detail(format!("{name} must be UTF-8")));
                }
            }
        }
        Routed::To(route.clone(), params)
    }
}

/// The names in `{…}` and `{*…}`, in order; `{{` is a brace.
fn param_names(pattern: &str) -> Vec<String> {
    let mut names = Vec::new();
    let mut rest = pattern;
    while let Some(open) = rest.find('{') {
        rest = &rest[open + 1..];
        if let Some(escaped) = rest.strip_prefix('{') {
            rest = escaped;
        } else if let Some(close) = rest.find('}') {
            names.push(rest[..close].trim_start_matches('*').to_owned());
            rest = &rest[close + 1..];
        }
    }
    names
}
