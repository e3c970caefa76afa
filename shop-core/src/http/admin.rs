//! The operator's socket: `/healthz`, `/readyz`, `/metrics` and `/status`.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use http::{HeaderValue, StatusCode};
use metrics_exporter_prometheus::PrometheusHandle;
use serde_json::{Map, Value, json};

use super::access::ServiceInfo;
use super::body::Body;
use super::reply::{self, Response};
use super::request::Request;
use super::router::Router;
use super::stack::App;
use crate::Problem;

/// A check that answers later than this has failed.
const CHECK_TIMEOUT: Duration = Duration::from_secs(2);
/// How often the metrics' histograms are folded together.
const UPKEEP: Duration = Duration::from_secs(5);

/// Whether a part is fit to serve, or why not.
pub type CheckResult = Result<(), String>;

type Check = Box<dyn Fn() -> Pin<Box<dyn Future<Output = CheckResult> + Send>> + Send + Sync>;
type Figure = Box<dyn Fn() -> Value + Send + Sync>;

/// What the operator's socket tells.
pub struct Admin {
    info: ServiceInfo,
    started: Instant,
    config_source: String,
    checks: Vec<(String, Check)>,
    figures: Vec<(String, Figure)>,
    metrics: Option<PrometheusHandle>,
    draining: Arc<AtomicBool>,
    routes: Router<()>,
}

impl Admin {
    /// A healthy service that is ready, until [`draining`](Self::draining) is set.
    pub fn new(info: ServiceInfo) -> Self {
        Self {
            info,
            started: Instant::now(),
            config_source: "defaults".into(),
            checks: Vec::new(),
            figures: Vec::new(),
            metrics: None,
            draining: Arc::default(),
            routes: Router::new(()),
        }
    }

    /// Adds a check to `/readyz`; it fails too when it takes longer than 2 s.
    #[must_use]
    pub fn check<F, Fut>(mut self, name: &str, check: F) -> Self
    where
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output = CheckResult> + Send + 'static,
    {
        self.checks.push((name.to_owned(), Box::new(move || Box::pin(check()))));
        self
    }

    /// Adds a figure to `/status`.
    #[must_use]
    pub fn figure(mut self, name: &str, figure: impl Fn() -> Value + Send + Sync + 'static) -> Self {
        self.figures.push((name.to_owned(), Box::new(figure)));
        self
    }

    /// Says in `/status` where the configuration came from.
    #[must_use]
    pub fn config_source(mut self, source: impl Into<String>) -> Self {
        self.config_source = source.into();
        self
    }

    /// Adds the service's own routes for its operator.
    ///
    /// # Panics
    /// When a method and pattern have a handler already.
    #[must_use]
    pub fn routes<S: Clone + Send + Sync + 'static>(mut self, routes: Router<S>) -> Self {
        self.routes = self.routes.merge(routes);
        self
    }

    /// Serves `/metrics`, and does the recorder's upkeep.
    #[must_use]
    pub fn metrics(mut self, handle: PrometheusHandle) -> Self {
        self.metrics = Some(handle);
        self
    }

    /// The flag that makes `/readyz` answer 503, for a shutdown.
    pub fn draining(&self) -> Arc<AtomicBool> {
        self.draining.clone()
    }

    /// The service, which emits no access events and counts no requests.
    ///
    /// # Panics
    /// Outside a tokio runtime, when it has metrics to keep up.
    pub fn into_app(mut self) -> App {
        if let Some(handle) = &self.metrics {
            spawn_upkeep(handle.clone(), Arc::downgrade(&self.draining));
        }
        let info = self.info;
        let routes = std::mem::replace(&mut self.routes, Router::new(()));
        Router::new(Arc::new(self))
            .get("/healthz", healthz)
            .get("/readyz", readyz)
            .get("/metrics", metrics)
            .get("/status", status)
            .merge(routes)
            .into_app(info)
            .untracked()
    }
}

impl fmt::Debug for Admin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Admin").field("service", &self.info.name).finish_non_exhaustive()
    }
}

/// Goes on for as long as the service is there.
fn spawn_upkeep(handle: PrometheusHandle, alive: std::sync::Weak<AtomicBool>) {
    tokio::spawn(async move {
        while alive.strong_count() > 0 {
            handle.run_upkeep();
            tokio::time::sleep(UPKEEP).await;
        }
    });
}

async fn healthz(_: Arc<Admin>, request: Request) -> Result<Response, Problem> {
    request.query::<()>()?;
    reply::json(StatusCode::OK, &json!({"status": "ok"}))
}

async fn readyz(admin: Arc<Admin>, request: Request) -> Result<Response, Problem> {
    request.query::<()>()?;
    let mut failing = Map::new();
    if admin.draining.load(Ordering::Relaxed) {
        failing.insert("process".into(), json!("shutting down"));
    }
    // All at once: together they take as long as the slowest.
    let mut running = Vec::with_capacity(admin.checks.len());
    for (name, check) in &admin.checks {
        running.push((name, tokio::spawn(tokio::time::timeout(CHECK_TIMEOUT, check()))));
    }
    for (name, check) in running {
        let fault = match check.await {
            Ok(Ok(Ok(()))) => continue,
            Ok(Ok(Err(fault))) => fault,
            Ok(Err(_)) => format!("no answer within {} s", CHECK_TIMEOUT.as_secs()),
            Err(_) => "the check panicked".into(),
        };
        failing.insert(name.clone(), fault.into());
    }
    if failing.is_empty() {
        reply::json(StatusCode::OK, &json!({"status": "ready"}))
    } else {
        reply::json(StatusCode::SERVICE_UNAVAILABLE, &json!({"status": "not_ready", "failing": failing}))
    }
}

async fn metrics(admin: Arc<Admin>, request: Request) -> Result<Response, Problem> {
    request.query::<()>()?;
    let Some(handle) = &admin.metrics else { return Err(Problem::not_found("no metrics are recorded")) };
    let text = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    Ok(reply::raw(StatusCode::OK, text, Body::full(handle.render())))
}

async fn status(admin: Arc<Admin>, request: Request) -> Result<Response, Problem> {
    request.query::<()>()?;
    let figures: Map<String, Value> =
        admin.figures.iter().map(|(name, figure)| (name.clone(), figure())).collect();
    let status = json!({
        "service": admin.info.name,
        "version": admin.info.version,
        "uptime_seconds": admin.started.elapsed().as_secs(),
        "config": {"source": admin.config_source},
        "figures": figures,
    });
    reply::json(StatusCode::OK, &status)
}
