use serde_json::{Value, json};

use crate::support::{Answer, Shop, new_id};

on_every_store!(
    every_post_that_acts_is_done_once,
    a_key_is_for_one_request,
    a_refusal_leaves_no_record,
    keys_are_checked
);

async fn keyed(shop: &Shop, key: &str, path: &str, body: &Value) -> Answer {
    let request = shop.request("POST", path).header("idempotency-key", key);
    Answer::of(if body.is_null() { request } else { request.json(body) }).await
}

async fn every_post_that_acts_is_done_once(shop: Shop) {
    let product = shop.product("K-1", 10).await;
    let (committed, released) = (new_id(), new_id());
    for id in [&committed, &released] {
        let lines = json!({"lines": [{"sku": "K-1", "quantity": 1}]});
        shop.send("PUT", &format!("/v1/reservations/{id}"), lines).await.expect(201);
    }
    let new = json!({"sku": "K-2", "name": "x", "price": {"amount": "1", "currency": "EUR"}});
    for (n, (path, body, status)) in [
        ("/v1/products".to_owned(), new, 201),
        ("/v1/products/sku:K-1/stock/adjustments".to_owned(), json!({"delta": 5, "reason": "x"}), 201),
        (format!("/v1/reservations/{committed}/commit"), Value::Null, 200),
        (format!("/v1/reservations/{released}/release"), Value::Null, 200),
        ("/v1/reservations/settle".to_owned(), json!({"commit": [committed]}), 200),
    ]
    .into_iter()
    .enumerate()
    {
        let key = format!("key-{n}");
        let first = keyed(&shop, &key, &path, &body).await;
        first.expect(status);
        assert!(!first.headers.contains_key("idempotency-replayed"));
        let again = keyed(&shop, &format!("\"{key}\""), &path, &body).await;
        assert_eq!((again.status, &again.text), (first.status, &first.text), "{path}");
        assert_eq!(again.header("idempotency-replayed"), "true");
        for name in ["location", "etag", "content-type"] {
            assert_eq!(again.headers.get(name), first.headers.get(name), "{path}");
        }
    }
    assert_eq!(shop.stock(&product["id"]).await, (15, 1, 14));
    assert_eq!(shop.get("/v1/products?include=total").await.expect(200)["total"], 2);
}

async fn a_key_is_for_one_request(shop: Shop) {
    shop.product("K-1", 10).await;
    let path = "/v1/products/sku:K-1/stock/adjustments";
    keyed(&shop, "k", path, &json!({"delta": 5, "reason": "x"})).await.expect(201);
    keyed(&shop, "k", path, &json!({"delta": 6, "reason": "x"})).await.problem(422, "idempotency_key_reused");
    let settle = keyed(&shop, "k", "/v1/reservations/settle", &json!({})).await;
    settle.problem(422, "idempotency_key_reused");
}

async fn a_refusal_leaves_no_record(shop: Shop) {
    let product = shop.product("K-1", 10).await;
    let path = "/v1/products/sku:K-1/stock/adjustments";
    let take = json!({"delta": -12, "reason": "x"});
    keyed(&shop, "k", path, &take).await.problem(409, "below_allocated");
    shop.post(path, json!({"delta": 5, "reason": "x"})).await.expect(201);
    let decided_anew = keyed(&shop, "k", path, &take).await;
    decided_anew.expect(201);
    assert!(!decided_anew.headers.contains_key("idempotency-replayed"));
    assert_eq!(shop.stock(&product["id"]).await, (3, 0, 3));

    let id = new_id();
    let commit = format!("/v1/reservations/{id}/commit");
    keyed(&shop, "c", &commit, &Value::Null).await.problem(404, "not_found");
    let lines = json!({"lines": [{"sku": "K-1", "quantity": 1}]});
    shop.send("PUT", &format!("/v1/reservations/{id}"), lines).await.expect(201);
    assert_eq!(keyed(&shop, "c", &commit, &Value::Null).await.expect(200)["state"], "committed");
    Answer::of(shop.request("POST", &format!("/v1/reservations/{id}/release"))).await.expect(200);
    let again = keyed(&shop, "c", &commit, &Value::Null).await;
    assert_eq!(again.expect(200)["state"], "committed", "what was answered is answered again");
    keyed(&shop, "d", &commit, &Value::Null).await.problem(409, "reservation_released");
}

async fn keys_are_checked(shop: Shop) {
    let body = json!({"sku": "K-1", "name": "x", "price": {"amount": "1", "currency": "EUR"}});
    for bad in ["", "a b", "\"", &"x".repeat(256)] {
        keyed(&shop, bad, "/v1/products", &body).await.problem(400, "invalid_idempotency_key");
    }
    let twice =
        shop.request("POST", "/v1/products").header("idempotency-key", "a").header("idempotency-key", "b");
    Answer::of(twice.json(&body)).await.problem(400, "invalid_idempotency_key");
    keyed(&shop, &"x".repeat(255), "/v1/products", &body).await.expect(201);
    let import = shop.request("POST", "/v1/products/import").header("idempotency-key", "a");
    let import = import.header("content-type", "application/x-ndjson").body("");
    Answer::of(import).await.problem(400, "idempotency_key_not_taken");
}
