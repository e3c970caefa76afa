//! The operator's socket.
#![allow(clippy::unwrap_used, reason = "a test's helpers may")]

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::json;
use shop_core::http::{Admin, Router, install_prometheus, reply};
use support::{Events, ask, serve};

#[tokio::test]
async fn the_operators_socket_tells_health_readiness_metrics_and_status() {
    let (events, _guard) = Events::capture();
    let handle = install_prometheus().unwrap();
    let public = Router::new(())
        .get("/v1/x/{id}", |(), _| async { Ok(reply::no_content()) })
        .into_app(shop_core::service!("demo"));
    let public = serve(public).await;
    for path in ["/v1/x/1", "/v1/x/2", "/nothing"] {
        ask(public.address, &format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n")).await;
    }

    let fit = Arc::new(AtomicBool::new(false));
    let store = fit.clone();
    let admin = Admin::new(shop_core::service!("demo"))
        .check("store", move || {
            let fit = store.load(Ordering::Relaxed);
            async move { if fit { Ok(()) } else { Err("no connection".to_owned()) } }
        })
        .check("always", || async { Ok(()) })
        .figure("orders_open", || json!(3))
        .config_source("file demo.toml")
        .metrics(handle);
    let draining = admin.draining();
    let admin = serve(admin.into_app()).await;
    let get = async |path: &str| ask(admin.address, &format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n")).await;

    assert_eq!(get("/healthz").await.status, 200);
    let answer = get("/readyz").await;
    assert_eq!((answer.status, &answer.json()["failing"]), (503, &json!({"store": "no connection"})));
    fit.store(true, Ordering::Relaxed);
    assert_eq!(get("/readyz").await.status, 200);
    draining.store(true, Ordering::Relaxed);
    let answer = get("/readyz").await;
    assert_eq!((answer.status, &answer.json()["failing"]), (503, &json!({"process": "shutting down"})));
    assert_eq!(get("/healthz").await.status, 200, "alive while it drains");

    let status = get("/status").await.json();
    assert_eq!((&status["service"], &status["version"]), (&json!("demo"), &json!(env!("CARGO_PKG_VERSION"))));
    assert_eq!(
        (&status["figures"]["orders_open"], &status["config"]["source"]),
        (&json!(3), &json!("file demo.toml"))
    );

    let metrics = get("/metrics").await.body;
    for line in [
        r#"http_requests_total{service="demo",method="GET",route="/v1/x/{id}",status="204"} 2"#,
        r#"http_requests_total{service="demo",method="any",route="unmatched",status="404"} 1"#,
    ] {
        assert!(metrics.contains(line), "{line}\n{metrics}");
    }
    for _ in 0..3 {
        events.next("demo::access").await;
    }
    assert_eq!(events.left("demo::access"), 0, "the operator's own requests leave no access event");
}
