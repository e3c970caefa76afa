use std::collections::BTreeSet;

use serde_json::json;

use crate::settings::{Tested, in_every_setting};
use crate::support::client::{Client, path};
use crate::support::{new_id, unique};

in_every_setting!(
    a_request_id_is_taken_or_made_and_returned,
    head_answers_as_get_without_its_body,
    options_and_405_tell_what_is_allowed,
    what_no_service_has_is_404,
    each_service_describes_itself,
    the_admin_address_has_what_the_public_one_has_not,
);

async fn a_request_id_is_taken_or_made_and_returned(shop: Tested) {
    for target in ["/v1/orders?limit=1", "/v1/products?limit=1", "/v1/orders/17", "/v1/products/17"] {
        let id = unique("request");
        let reply = shop.call("GET", target).header("x-request-id", &id).send().await;
        assert_eq!(reply.header("x-request-id"), Some(&*id));
        if reply.status != 200 {
            assert_eq!(reply.problem(400, "invalid_path")["request_id"], *id);
        }
        let (long, made) = ("x".repeat(129), shop.get(target).await);
        assert_ne!(made.header("x-request-id"), shop.get(target).await.header("x-request-id"));
        for bad in ["a b", &long] {
            let reply = shop.call("GET", target).header("x-request-id", bad).send().await;
            let replaced = reply.header("x-request-id").unwrap();
            assert!(replaced != bad && replaced.len() == 36, "{replaced}");
        }
        let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        let status = reply.status;
        for traceparent in [trace, "nonsense", ""] {
            let reply = shop.call("GET", target).header("traceparent", traceparent).send().await;
            assert_eq!(reply.status, status, "{traceparent}");
        }
    }
}

async fn head_answers_as_get_without_its_body(shop: Tested) {
    let sku = unique("HEAD");
    shop.product(&sku, 2).await;
    let order = shop.order(&[(&sku, 1)]).await;
    for target in [path(&order), format!("/v1/products/sku:{sku}"), format!("/v1/products/sku:{sku}/stock")] {
        let (get, head) = (shop.get(&target).await, shop.call("HEAD", &target).send().await);
        head.empty(200);
        for name in ["content-type", "etag", "content-length"] {
            assert_eq!(head.header(name), get.header(name), "{target} {name}");
        }
    }
    shop.call("HEAD", &format!("/v1/orders/{}", new_id())).send().await.empty(404);
}

fn allowed(list: Option<&str>) -> BTreeSet<String> {
    list.unwrap_or_default().split(", ").map(str::to_owned).collect()
}

async fn options_and_405_tell_what_is_allowed(shop: Tested) {
    let id = new_id();
    for (target, methods) in [
        ("/v1/products".to_owned(), "GET, HEAD, POST"),
        (format!("/v1/products/{id}"), "GET, HEAD, PUT, PATCH, DELETE"),
        ("/v1/products/export".to_owned(), "GET, HEAD"),
        (format!("/v1/products/{id}/stock"), "GET, HEAD"),
        (format!("/v1/products/{id}/stock/adjustments"), "GET, HEAD, POST"),
        ("/v1/stock/check".to_owned(), "POST"),
        ("/v1/reservations".to_owned(), "GET, HEAD"),
        (format!("/v1/reservations/{id}"), "GET, HEAD, PUT"),
        (format!("/v1/reservations/{id}/commit"), "POST"),
        (format!("/v1/reservations/{id}/release"), "POST"),
        ("/v1/orders".to_owned(), "GET, HEAD, POST"),
        (format!("/v1/orders/{id}"), "GET, HEAD, PATCH, DELETE"),
        (format!("/v1/orders/{id}/history"), "GET, HEAD"),
        (format!("/v1/orders/{id}/cancel"), "POST"),
        (format!("/v1/orders/{id}/ship"), "POST"),
        (format!("/v1/orders/{id}/deliver"), "POST"),
        ("/v1/events".to_owned(), "GET, HEAD"),
    ] {
        let mut expected = allowed(Some(methods));
        expected.insert("OPTIONS".to_owned());
        let options = shop.call("OPTIONS", &target).send().await;
        options.empty(204);
        assert_eq!(allowed(options.header("allow")), expected, "{target}");
        for method in ["GET", "POST", "PUT", "PATCH", "DELETE", "BREW"] {
            if !expected.contains(method) {
                let refused = shop.call(method, &target).send().await;
                refused.problem(405, "method_not_allowed");
                assert_eq!(allowed(refused.header("allow")), expected, "{method} {target}");
            }
        }
    }
}

async fn what_no_service_has_is_404(shop: Tested) {
    let elsewhere = if shop.setting.gateway { "route_not_found" } else { "not_found" };
    for (target, code) in [
        ("/", elsewhere),
        ("/v1", elsewhere),
        ("/v1/productsx", elsewhere),
        ("/v2/products", elsewhere),
        ("/v1/orders/a/b/c", "not_found"),
        ("/v1/stock", "not_found"),
        ("/v1/products/sku:x/price", "not_found"),
    ] {
        shop.get(target).await.problem(404, code);
        shop.call("POST", target).json(&json!({})).send().await.problem(404, code);
    }
}

async fn each_service_describes_itself(shop: Tested) {
    let running = &shop.shop;
    for (address, path) in [(&running.products, "/v1/products/{id}"), (&running.orders, "/v1/orders/{id}")] {
        let service = Client::new(address, address);
        let document = service.get("/openapi.json").await.ok(200);
        assert!(document["openapi"].as_str().unwrap().starts_with("3.1"), "{}", document["openapi"]);
        assert!(document["paths"][path]["get"].is_object());
        let moved = service.get("/docs").await;
        assert_eq!(moved.status, 308);
        assert_eq!(moved.header("location"), Some("docs/"));
        let page = service.get("/docs/").await;
        assert_eq!(page.status, 200);
        assert!(page.header("content-type").unwrap().starts_with("text/html"));
        let outside = ["src=\"http", "href=\"http", "src=\"//", "href=\"//"];
        assert!(outside.iter().all(|link| !page.text().contains(link)), "it works offline: {}", page.text());
    }
}

async fn the_admin_address_has_what_the_public_one_has_not(shop: Tested) {
    let operator = shop.shop.operator();
    assert_eq!(operator.get("/healthz").await.ok(200)["status"], "ok");
    assert_eq!(operator.get("/readyz").await.ok(200)["status"], "ready");
    let status = operator.get("/status").await.ok(200);
    assert_eq!((&status["service"], &status["version"]), (&json!("shop"), &json!(env!("CARGO_PKG_VERSION"))));
    assert!(status["figures"]["orders"]["orders_in_doubt"].is_u64(), "{status}");
    shop.get("/v1/products?limit=1").await.ok(200);
    let metrics = operator.get("/metrics").await;
    assert!(metrics.header("content-type").unwrap().starts_with("text/plain"));
    assert!(metrics.text().contains("http_requests_total{service=\"products\""), "{}", metrics.text());
    for target in ["/healthz", "/readyz", "/metrics", "/status", "/doctor"] {
        assert_eq!(shop.get(target).await.status, 404, "{target}");
    }
}
