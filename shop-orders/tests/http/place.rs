use std::collections::BTreeSet;

use serde_json::json;
use shop_products::ProductStatus;

use crate::support::{On, eventually, lines_of, on_every_store, target};

on_every_store!(
    an_order_is_placed_with_the_products_names_and_prices,
    a_line_may_name_its_product_by_id,
    an_expected_total_is_held_to,
    every_short_line_is_listed,
    every_unknown_line_is_listed,
    one_order_has_one_currency,
    a_thousand_lines_are_one_order,
);

async fn an_order_is_placed_with_the_products_names_and_prices(on: On) {
    let shop = on.shop().await;
    let mug = shop.product("MUG", 10, "4.95 EUR").await;
    shop.product("TEA", 5, "12.5 EUR").await;
    let body = json!({
        "lines": [{"sku": "MUG", "quantity": 2}, {"sku": "TEA", "quantity": 1}, {"sku": "MUG", "quantity": 1}],
        "customer_id": "c-7",
        "reference": "web/é",
        "metadata": {"gift": "yes"},
    });
    let reply = shop.post("/v1/orders", &body).send().await;
    let order = reply.ok(201);
    assert_eq!(reply.header("location").unwrap(), target(&order));
    assert_eq!(reply.header("etag"), Some("\"1\""));
    assert_eq!(reply.header("idempotency-replayed"), None);
    let now = shop.now().to_string();
    let (id, tea) = (order["id"].clone(), order["lines"][1]["product_id"].clone());
    let expected = json!({
        "id": id, "number": 1, "status": "placed", "customer_id": "c-7", "reference": "web/é",
        "metadata": {"gift": "yes"},
        "lines": [
            {"line": 1, "product_id": mug.id, "sku": "MUG", "name": "The MUG", "quantity": 2,
             "unit_price": {"amount": "4.95", "currency": "EUR"}, "total": {"amount": "9.90", "currency": "EUR"}},
            {"line": 2, "product_id": tea, "sku": "TEA", "name": "The TEA", "quantity": 1,
             "unit_price": {"amount": "12.50", "currency": "EUR"}, "total": {"amount": "12.50", "currency": "EUR"}},
            {"line": 3, "product_id": mug.id, "sku": "MUG", "name": "The MUG", "quantity": 1,
             "unit_price": {"amount": "4.95", "currency": "EUR"}, "total": {"amount": "4.95", "currency": "EUR"}},
        ],
        "total": {"amount": "27.35", "currency": "EUR"},
        "version": 1, "placed_at": now, "updated_at": now,
        "shipped_at": null, "delivered_at": null, "cancelled_at": null,
    });
    assert_eq!(order, expected, "this and nothing more");
    assert_eq!((shop.stock("MUG").await, shop.stock("TEA").await), ((10, 3), (5, 1)));
    let read = shop.get(reply.header("location").unwrap()).send().await;
    assert_eq!(read.ok(200), order);
    assert_eq!(read.header("etag"), Some("\"1\""));
    // Its reservation is committed: nothing is left to be decided.
    eventually("settled", async || shop.orders.doctor().await.unwrap().is_empty()).await;
}

async fn a_line_may_name_its_product_by_id(on: On) {
    let shop = on.shop().await;
    let mug = shop.product("MUG", 10, "4.95 EUR").await;
    let body = json!({"lines": [{"product_id": mug.id, "quantity": 1}, {"sku": "MUG", "quantity": 4}]});
    let order = shop.post("/v1/orders", &body).send().await.ok(201);
    assert_eq!(order["lines"][0]["sku"], "MUG");
    assert_eq!(
        (&order["customer_id"], &order["reference"], &order["metadata"]),
        (&json!(null), &json!(null), &json!({}))
    );
    assert_eq!(shop.stock("MUG").await, (10, 5));
}

async fn an_expected_total_is_held_to(on: On) {
    let shop = on.shop().await;
    shop.product("MUG", 10, "4.95 EUR").await;
    let order = |amount: &str| json!({"lines": lines_of(&[("MUG", 2)]), "expected_total": {"amount": amount, "currency": "EUR"}});
    let before = shop.state(&["MUG"]).await;
    let problem = shop.post("/v1/orders", &order("9.89")).send().await.problem(409, "price_changed");
    assert_eq!(problem["expected_total"], json!({"amount": "9.89", "currency": "EUR"}));
    assert_eq!(problem["total"], json!({"amount": "9.90", "currency": "EUR"}));
    assert_eq!(problem["retryable"], false);
    assert_eq!(shop.state(&["MUG"]).await, before, "nothing was taken");
    let other =
        json!({"lines": lines_of(&[("MUG", 2)]), "expected_total": {"amount": "9.90", "currency": "USD"}});
    shop.post("/v1/orders", &other).send().await.problem(409, "price_changed");
    shop.post("/v1/orders", &order("9.9")).send().await.ok(201);
}

async fn every_short_line_is_listed(on: On) {
    let shop = on.shop().await;
    let a = shop.product("A", 3, "1 EUR").await;
    shop.product("B", 100, "1 EUR").await;
    let c = shop.product("C", 0, "1 EUR").await;
    let before = shop.state(&["A", "B", "C"]).await;
    let body = json!({"lines": lines_of(&[("A", 2), ("B", 1), ("C", 1), ("A", 2)])});
    let problem = shop.post("/v1/orders", &body).send().await.problem(409, "insufficient_stock");
    let mut short = problem["lines"].as_array().unwrap().clone();
    short.sort_by_key(|line| line["sku"].to_string());
    let expected = [
        json!({"product_id": a.id, "sku": "A", "requested": 4, "available": 3}),
        json!({"product_id": c.id, "sku": "C", "requested": 1, "available": 0}),
    ];
    assert_eq!(short, expected);
    assert_eq!(shop.state(&["A", "B", "C"]).await, before, "nothing was taken");
}

async fn every_unknown_line_is_listed(on: On) {
    let shop = on.shop().await;
    shop.product("A", 3, "1 EUR").await;
    shop.product_that_is(ProductStatus::Archived, "OLD", 3, "1 EUR").await;
    let before = shop.state(&["A", "OLD"]).await;
    let nobody = "0198c0de-0000-7000-8000-000000000000";
    let body = json!({"lines": [
        {"sku": "A", "quantity": 1}, {"sku": "NOPE", "quantity": 1}, {"product_id": nobody, "quantity": 1},
        {"sku": "OLD", "quantity": 1},
    ]});
    let problem = shop.post("/v1/orders", &body).send().await.problem(422, "unknown_product");
    let expected = json!([
        {"line": 1, "sku": "NOPE", "status": "unknown"},
        {"line": 2, "product_id": nobody, "status": "unknown"},
        {"line": 3, "sku": "OLD", "status": "inactive"},
    ]);
    assert_eq!(problem["lines"], expected);
    assert_eq!(shop.state(&["A", "OLD"]).await, before, "nothing was taken");
}

async fn one_order_has_one_currency(on: On) {
    let shop = on.shop().await;
    shop.product("EUR", 3, "1 EUR").await;
    shop.product("USD", 3, "1 USD").await;
    let before = shop.state(&["EUR", "USD"]).await;
    let body = json!({"lines": lines_of(&[("EUR", 1), ("USD", 1)])});
    shop.post("/v1/orders", &body).send().await.problem(422, "mixed_currencies");
    assert_eq!(shop.state(&["EUR", "USD"]).await, before, "nothing was taken");
}

async fn a_thousand_lines_are_one_order(on: On) {
    let shop = on.shop().await;
    let skus: Vec<String> = (0..1_000).map(|n| format!("SKU-{n:04}")).collect();
    for sku in &skus {
        shop.product(sku, 1, "0.01 EUR").await;
    }
    let lines: Vec<(&str, i64)> = skus.iter().map(|sku| (sku.as_str(), 1)).collect();
    let order = shop.order(&lines).await;
    assert_eq!(order["total"]["amount"], "10.00");
    let distinct: BTreeSet<_> =
        order["lines"].as_array().unwrap().iter().map(|line| line["sku"].to_string()).collect();
    assert_eq!(distinct.len(), 1_000);
    assert_eq!(shop.again(&order).await, order);
}
