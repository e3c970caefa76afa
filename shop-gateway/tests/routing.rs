//! Which upstream a request reaches, over real sockets.
#![allow(clippy::unwrap_used)]

mod support;

use std::convert::Infallible;

use http::{Request, Response};
use shop_gateway::{Gateway, GatewayConfig, RequestBody, RouteConfig};
use support::Running;
use tower::service_fn;

async fn gateway(routes: &str) -> Running {
    let config: GatewayConfig = toml::from_str(routes).unwrap();
    let mut builder = Gateway::builder(config.clone());
    let names: std::collections::BTreeSet<_> =
        config.routes.iter().map(|route| route.upstream.clone()).collect();
    for name in names {
        builder = builder.service(
            name.clone(),
            service_fn(move |_: Request<RequestBody>| {
                let name = name.clone();
                async move { Ok::<_, Infallible>(Response::new(name)) }
            }),
        );
    }
    Running::with(builder.build().unwrap(), config).await
}

#[tokio::test]
async fn the_most_specific_route_wins_wherever_it_stands() {
    let running = gateway(
        r#"
        [[routes]]
        upstream = "rest"
        [[routes]]
        path = "/v1/orders"
        upstream = "orders"
        [[routes]]
        path = "/v1/orders/export"
        method = "GET"
        upstream = "export"
        [[routes]]
        path = "/v1/orders"
        headers = { x-canary = "yes" }
        upstream = "canary"
        [[routes]]
        host = "*.shop.example"
        upstream = "tenant"
        [[routes]]
        host = "admin.shop.example"
        path = "/v1"
        method = ["GET", "HEAD"]
        upstream = "admin"
        "#,
    )
    .await;
    let mut client = running.client().await;
    for (method, host, path, more, upstream) in [
        ("GET", "a", "/", "", "rest"),
        ("GET", "a", "/v1/orders", "", "orders"),
        ("GET", "a", "/v1/orders?x=/v1/orders/export", "", "orders"),
        ("GET", "a", "/v1/orders/7", "", "orders"),
        ("GET", "a", "/v1/orders-archive", "", "rest"),
        ("GET", "a", "/v1/orders/export/all", "", "export"),
        ("POST", "a", "/v1/orders/export", "", "orders"),
        ("GET", "a", "/v1/orders", "x-canary: yes\r\n", "canary"),
        ("GET", "a", "/v1/orders", "x-canary: no\r\n", "orders"),
        ("GET", "eu.shop.example:8080", "/v1/orders", "", "tenant"),
        ("GET", "ADMIN.shop.example", "/v1/orders", "", "admin"),
        ("POST", "admin.shop.example", "/v1/orders", "", "tenant"),
        ("GET", "shop.example", "/v1/orders", "", "orders"),
    ] {
        let request = format!("{method} {path} HTTP/1.1\r\nhost: {host}\r\n{more}content-length: 0\r\n\r\n");
        assert_eq!(client.ask(&request).await.text(), upstream, "{request}");
    }
}

#[tokio::test]
async fn no_route_is_404_and_no_method_is_405() {
    let running = gateway(
        r#"
        [[routes]]
        path = "/v1/orders"
        method = ["POST", "GET"]
        upstream = "a"
        [[routes]]
        path = "/v1"
        method = "PUT"
        upstream = "b"
        "#,
    )
    .await;
    let mut client = running.client().await;
    let missing = client.get("/v2").await;
    assert_eq!((missing.status(), missing.code().as_str()), (404, "route_not_found"));
    let refused = client.ask("DELETE /v1/orders/7 HTTP/1.1\r\nhost: a\r\n\r\n").await;
    assert_eq!((refused.status(), refused.code().as_str()), (405, "method_not_allowed"));
    assert_eq!(refused.header("allow").unwrap(), "GET, POST, PUT");
    let trace = client.ask("TRACE /v1/orders HTTP/1.1\r\nhost: a\r\n\r\n").await;
    assert_eq!(trace.status(), 405);
    // The connection has lived through all of it.
    assert_eq!(client.get("/v1/orders").await.text(), "a");
}

#[tokio::test]
async fn a_path_that_two_may_read_differently_is_refused() {
    let running = gateway("[[routes]]\npath = \"/v1/orders\"\nupstream = \"a\"").await;
    for path in ["/v1/orders/../admin", "/v1/orders/%2e%2E/admin", "/v1/orders/.%2e/x"] {
        let refused = running.client().await.get(path).await;
        assert_eq!((refused.status(), refused.code().as_str()), (400, "bad_request"), "{path}");
    }
}

#[tokio::test]
async fn services_of_the_same_process_see_what_an_upstream_would() {
    let config = GatewayConfig { routes: vec![RouteConfig::new("/", "local")], ..GatewayConfig::default() };
    let service = service_fn(|req: Request<RequestBody>| async move {
        let headers = req.headers();
        assert!(headers.contains_key("x-request-id") && headers.contains_key("traceparent"));
        let body = http_body_util::BodyExt::collect(req.into_body()).await?.to_bytes();
        if body.is_empty() {
            return Err(shop_gateway::BoxError::from("no body"));
        }
        Ok(Response::builder()
            .header("connection", "x-gone")
            .header("x-gone", "1")
            .body(http_body_util::Full::new(body))?)
    });
    let running =
        Running::with(Gateway::builder(config.clone()).service("local", service).build().unwrap(), config)
            .await;
    let mut client = running.client().await;
    let res = client
        .ask("POST / HTTP/1.1\r\nhost: a\r\nconnection: keep-alive\r\ncontent-length: 5\r\n\r\nhello")
        .await;
    assert_eq!((res.status(), res.text().as_str()), (200, "hello"));
    assert!(res.header("x-gone").is_none() && res.header("x-request-id").is_some());
    let failed = client.get("/").await;
    assert_eq!((failed.status(), failed.code().as_str()), (502, "bad_upstream_response"));
}
