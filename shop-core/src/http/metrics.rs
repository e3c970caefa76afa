//! Requests counted and timed, by route and status, through the `metrics` facade.

use std::sync::OnceLock;
use std::time::Duration;

use metrics::{Counter, Histogram, Label};
use metrics_exporter_prometheus::PrometheusBuilder;
pub use metrics_exporter_prometheus::PrometheusHandle;

/// The statuses whose counters are kept at hand, in order; 499 is a client that went away.
const STATUSES: [u16; 37] = [
    200, 201, 202, 204, 206, 301, 302, 303, 304, 307, 308, 400, 401, 403, 404, 405, 406, 408, 409, 410, 411,
    412, 413, 414, 415, 416, 422, 425, 426, 428, 429, 431, 499, 500, 502, 503, 504,
];

/// Bounds of the duration histograms, in seconds.
const BUCKETS: [f64; 14] =
    [0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0];

/// `http_requests_total` and `http_request_duration_seconds` of one method of one route.
///
/// The handles are made at the first use and kept, so a recorder must be installed before requests come.
#[derive(Debug)]
pub(crate) struct RouteMetrics {
    service: &'static str,
    method: String,
    route: String,
    counters: [OnceLock<Counter>; STATUSES.len()],
    duration: OnceLock<Histogram>,
}

impl RouteMetrics {
    pub(crate) fn new(service: &'static str, method: &str, route: &str) -> Self {
        Self {
            service,
            method: method.to_owned(),
            route: route.to_owned(),
            counters: [const { OnceLock::new() }; STATUSES.len()],
            duration: OnceLock::new(),
        }
    }

    pub(crate) fn route(&self) -> &str {
        &self.route
    }

    pub(crate) fn record(&self, status: u16, duration: Duration) {
        match STATUSES.binary_search(&status) {
            Ok(index) => self.counters[index].get_or_init(|| self.counter(status)).increment(1),
            Err(_) => self.counter(status).increment(1),
        }
        let histogram = || metrics::histogram!("http_request_duration_seconds", self.labels());
        self.duration.get_or_init(histogram).record(duration.as_secs_f64());
    }

    fn counter(&self, status: u16) -> Counter {
        let mut labels = self.labels();
        labels.push(Label::new("status", status.to_string()));
        metrics::counter!("http_requests_total", labels)
    }

    fn labels(&self) -> Vec<Label> {
        vec![
            Label::from_static_parts("service", self.service),
            Label::new("method", self.method.clone()),
            Label::new("route", self.route.clone()),
        ]
    }
}

/// Installs a Prometheus recorder for the whole process, once; later calls give the same handle.
///
/// Call it before the first request is served. Whoever holds the handle must call its `run_upkeep` every few seconds, or
/// histograms grow; [`Admin`](super::Admin) does.
///
/// # Errors
/// When another recorder was installed by somebody else.
pub fn install_prometheus() -> Result<PrometheusHandle, super::BoxError> {
    static HANDLE: OnceLock<Result<PrometheusHandle, String>> = OnceLock::new();
    let handle = HANDLE.get_or_init(|| {
        let builder = PrometheusBuilder::new().set_buckets(&BUCKETS).map_err(|e| e.to_string())?;
        let recorder = builder.build_recorder();
        let handle = recorder.handle();
        metrics::set_global_recorder(recorder).map_err(|e| e.to_string())?;
        metrics::describe_counter!("http_requests_total", "Requests answered, by route and status.");
        metrics::describe_histogram!(
            "http_request_duration_seconds",
            "From a request's head to its answer's end."
        );
        #[cfg(feature = "log")]
        {
            metrics::describe_counter!("log_events_total", "Log events by what became of them at an output.");
            metrics::describe_gauge!("log_events_waiting", "Log events on their way to an output.");
        }
        Ok(handle)
    });
    handle.clone().map_err(Into::into)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_are_in_order() {
        assert!(STATUSES.is_sorted());
    }

    #[test]
    fn requests_are_counted_by_status_even_by_one_that_is_rare() {
        let recorder = PrometheusBuilder::new().set_buckets(&BUCKETS).unwrap().build_recorder();
        metrics::with_local_recorder(&recorder, || {
            let route = RouteMetrics::new("orders", "GET", "/v1/orders/{id}");
            for status in [200, 200, 418] {
                route.record(status, Duration::from_micros(300));
            }
        });
        let text = recorder.handle().render();
        for line in [
            r#"http_requests_total{service="orders",method="GET",route="/v1/orders/{id}",status="200"} 2"#,
            r#"http_requests_total{service="orders",method="GET",route="/v1/orders/{id}",status="418"} 1"#,
            r#"http_request_duration_seconds_bucket{service="orders",method="GET",route="/v1/orders/{id}",le="0.00025"} 0"#,
            r#"http_request_duration_seconds_count{service="orders",method="GET",route="/v1/orders/{id}"} 3"#,
        ] {
            assert!(text.contains(line), "{line}\n{text}");
        }
    }
}
