use std::sync::atomic::Ordering;
use std::time::Duration;

use serde_json::json;
use shop_core::StoreErrorKind;
use shop_orders::http::HttpConfig;
use shop_products::ReservationState;

use crate::support::{On, eventually, lines_of, on_every_store, target};

on_every_store!(
    products_out_of_reach_are_503_and_nothing_is_taken,
    an_order_that_recovery_gave_up_is_not_placed,
    a_store_out_of_reach_is_503,
    a_fault_is_500_and_says_nothing_of_its_cause,
);

async fn products_out_of_reach_are_503_and_nothing_is_taken(on: On) {
    let shop =
        on.shop_with(HttpConfig::default(), |config| config.place_deadline = Duration::from_millis(50)).await;
    shop.product("A", 10, "1 EUR").await;
    let order = shop.order(&[("A", 1)]).await;
    let before = shop.state(&["A"]).await;
    shop.catalog.down.store(true, Ordering::Relaxed);
    let body = json!({"lines": lines_of(&[("A", 1)])});
    let grown = json!({"lines": lines_of(&[("A", 2)])});
    for call in [shop.post("/v1/orders", &body), shop.patch(&order, &grown)] {
        let reply = call.send().await;
        let problem = reply.problem(503, "products_unavailable");
        assert_eq!(problem["retryable"], true);
        assert!(reply.header("retry-after").unwrap().parse::<u32>().unwrap() > 0);
        assert!(!problem.to_string().contains("secret"), "{problem}");
    }
    assert_eq!(shop.state(&["A"]).await, before);
    // What needs no products goes on.
    shop.action(&order, "cancel").send().await.ok(200);
    shop.catalog.down.store(false, Ordering::Relaxed);
    shop.stock_becomes("A", (10, 0)).await;
    shop.post("/v1/orders", &body).send().await.ok(201);
}

async fn an_order_that_recovery_gave_up_is_not_placed(on: On) {
    let shop = on.shop().await;
    shop.product("A", 10, "1 EUR").await;
    shop.catalog.shut();
    let body = json!({"lines": lines_of(&[("A", 4)])});
    let call = tokio::spawn(shop.post("/v1/orders", &body).send());
    let reservation = shop.catalog.arrival().await;
    shop.wait(3_600);
    eventually("given up", async || {
        shop.products.reservation(reservation).await.unwrap().state == ReservationState::Released
    })
    .await;
    shop.catalog.open();
    let reply = call.await.unwrap();
    assert_eq!(reply.problem(503, "not_placed")["retryable"], true);
    assert!(reply.header("retry-after").is_some());
    assert_eq!(shop.stock("A").await, (10, 0));
    assert_eq!(shop.get("/v1/orders").send().await.ok(200)["data"], json!([]));
    shop.post("/v1/orders", &body).send().await.ok(201);
}

async fn a_store_out_of_reach_is_503(on: On) {
    let shop = on.shop().await;
    shop.product("A", 10, "1 EUR").await;
    let order = shop.order(&[("A", 1)]).await;
    shop.store.fail_with(Some(StoreErrorKind::Unavailable));
    let body = json!({"lines": lines_of(&[("A", 1)])});
    let history = format!("{}/history", target(&order));
    for call in [
        shop.post("/v1/orders", &body),
        shop.get("/v1/orders"),
        shop.get("/v1/orders?include=total"),
        shop.get(&target(&order)),
        shop.get(&history),
        shop.get("/v1/events"),
        shop.patch(&order, &json!({"reference": "x"})),
        shop.delete(&order),
        shop.action(&order, "ship"),
    ] {
        let reply = call.send().await;
        let problem = reply.problem(503, "unavailable");
        assert_eq!(problem["retryable"], true);
        assert!(reply.header("retry-after").is_some());
        assert!(!problem.to_string().contains("secret"), "{problem}");
    }
    shop.store.fail_with(None);
    assert_eq!(shop.again(&order).await, order);
}

async fn a_fault_is_500_and_says_nothing_of_its_cause(on: On) {
    let shop = on.shop().await;
    shop.product("A", 10, "1 EUR").await;
    let order = shop.order(&[("A", 1)]).await;
    shop.store.fail_with(Some(StoreErrorKind::Corrupt));
    for call in [shop.get("/v1/orders"), shop.get(&target(&order)), shop.action(&order, "ship")] {
        let problem = call.send().await.problem(500, "internal");
        assert!(
            !problem.to_string().contains("secret") && !problem.to_string().contains("store"),
            "{problem}"
        );
        assert_eq!(problem["retryable"], false);
    }
    shop.store.fail_with(None);
    assert_eq!(shop.again(&order).await, order);
}
