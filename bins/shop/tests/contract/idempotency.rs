use serde_json::{Value, json};

use crate::settings::{Tested, in_every_setting};
use crate::support::client::{Reply, lines_of, path, product};
use crate::support::{new_id, unique};

in_every_setting!(
    every_post_with_a_key_is_done_once,
    a_key_is_for_one_request,
    a_refusal_leaves_no_record,
    callers_at_once_with_one_key_place_one_order,
    a_key_must_be_one,
);

async fn keyed(shop: &Tested, key: &str, target: &str, body: &Value) -> Reply {
    let call = shop.call("POST", target).header("idempotency-key", key);
    if body.is_null() { call.send().await } else { call.json(body).send().await }
}

async fn every_post_with_a_key_is_done_once(shop: Tested) {
    let (sku, key) = (unique("ONCE"), unique("key"));
    shop.product(&sku, 100).await;
    let (moved, cancelled) = (shop.order(&[(&sku, 1)]).await, shop.order(&[(&sku, 2)]).await);
    let ids = [new_id(), new_id(), new_id()];
    for id in &ids {
        let hold = json!({"lines": lines_of(&[(&sku, 1)])});
        shop.put(&format!("/v1/reservations/{id}"), &hold).await.ok(201);
    }
    for (n, (target, body, status)) in [
        ("/v1/products".to_owned(), product(&unique("ONCE"), 1), 201),
        (format!("/v1/products/sku:{sku}/stock/adjustments"), json!({"delta": 5, "reason": "x"}), 201),
        (format!("/v1/reservations/{}/commit", ids[0]), Value::Null, 200),
        (format!("/v1/reservations/{}/release", ids[1]), Value::Null, 200),
        ("/v1/reservations/settle".to_owned(), json!({"fulfil": [ids[2]]}), 200),
        ("/v1/orders".to_owned(), json!({"lines": lines_of(&[(&sku, 3)])}), 201),
        (format!("{}/ship", path(&moved)), Value::Null, 200),
        (format!("{}/deliver", path(&moved)), Value::Null, 200),
        (format!("{}/cancel", path(&cancelled)), Value::Null, 200),
    ]
    .into_iter()
    .enumerate()
    {
        let key = format!("{key}-{n}");
        let first = keyed(&shop, &key, &target, &body).await;
        first.ok(status);
        assert_eq!(first.header("idempotency-replayed"), None, "{target}");
        for key in [key.clone(), format!("\"{key}\"")] {
            let again = keyed(&shop, &key, &target, &body).await;
            assert_eq!((again.status, &again.body), (status, &first.body), "{target}");
            assert_eq!(again.header("idempotency-replayed"), Some("true"), "{target}");
            for name in ["location", "etag", "content-type"] {
                assert_eq!(again.header(name), first.header(name), "{target}");
            }
        }
    }
    // 100, 5 delivered, 1 fulfilled, 1 shipped; held: 1 committed and 3 ordered.
    shop.stock_becomes(&sku, 103, 4).await;
}

async fn a_key_is_for_one_request(shop: Tested) {
    let (sku, key) = (unique("REUSE"), unique("key"));
    shop.product(&sku, 10).await;
    let order = keyed(&shop, &key, "/v1/orders", &json!({"lines": lines_of(&[(&sku, 1)])})).await.ok(201);
    let other = keyed(&shop, &key, "/v1/orders", &json!({"lines": lines_of(&[(&sku, 2)])})).await;
    other.problem(422, "idempotency_key_reused");
    let elsewhere = keyed(&shop, &key, &format!("{}/ship", path(&order)), &Value::Null).await;
    elsewhere.problem(422, "idempotency_key_reused");
    let stock = format!("/v1/products/sku:{sku}/stock/adjustments");
    keyed(&shop, &key, &stock, &json!({"delta": 1, "reason": "a"})).await.ok(201);
    let other = keyed(&shop, &key, &stock, &json!({"delta": 2, "reason": "a"})).await;
    other.problem(422, "idempotency_key_reused");
    let elsewhere = keyed(&shop, &key, "/v1/products", &product(&unique("REUSE"), 1)).await;
    elsewhere.problem(422, "idempotency_key_reused");
    assert_eq!(shop.get(&path(&order)).await.ok(200), order);
    assert_eq!(shop.stock(&sku).await, (11, 1, 10));
}

async fn a_refusal_leaves_no_record(shop: Tested) {
    let (sku, key) = (unique("ANEW"), unique("key"));
    shop.product(&sku, 1).await;
    let order = json!({"lines": lines_of(&[(&sku, 2)])});
    for _ in 0..2 {
        keyed(&shop, &key, "/v1/orders", &order).await.problem(409, "insufficient_stock");
    }
    let delivery = json!({"delta": 4, "reason": "delivery"});
    shop.post(&format!("/v1/products/sku:{sku}/stock/adjustments"), &delivery).await.ok(201);
    let placed = keyed(&shop, &key, "/v1/orders", &order).await;
    placed.ok(201);
    assert_eq!(placed.header("idempotency-replayed"), None, "decided anew");
    assert_eq!(shop.stock(&sku).await, (5, 2, 3));
}

async fn callers_at_once_with_one_key_place_one_order(shop: Tested) {
    let (sku, key) = (unique("RACE"), unique("key"));
    shop.product(&sku, 100).await;
    let call = || {
        let body = json!({"lines": lines_of(&[(&sku, 3)])});
        shop.call("POST", "/v1/orders").header("idempotency-key", &key).json(&body)
    };
    let callers: Vec<_> = (0..16)
        .map(|_| {
            let calls: Vec<_> = (0..200).map(|_| call()).collect();
            tokio::spawn(async move {
                for call in calls {
                    let reply = call.send().await;
                    if reply.status == 201 {
                        return reply;
                    }
                    reply.problem(409, "idempotency_key_in_flight");
                    assert_eq!(reply.header("retry-after"), Some("1"));
                }
                panic!("in flight for ever");
            })
        })
        .collect();
    let mut replies = Vec::new();
    for caller in callers {
        replies.push(caller.await.unwrap());
    }
    let fresh = replies.iter().filter(|reply| reply.header("idempotency-replayed").is_none()).count();
    assert_eq!(fresh, 1, "one placed it, the others were told");
    assert!(replies.windows(2).all(|pair| pair[0].body == pair[1].body));
    assert_eq!(shop.stock(&sku).await, (100, 3, 97));
}

async fn a_key_must_be_one(shop: Tested) {
    let sku = unique("KEY");
    shop.product(&sku, 10).await;
    let order = json!({"lines": lines_of(&[(&sku, 1)])});
    for bad in ["", "\"\"", "a b", "\"a", &"x".repeat(256)] {
        keyed(&shop, bad, "/v1/orders", &order).await.problem(400, "invalid_idempotency_key");
        let made = keyed(&shop, bad, "/v1/products", &product(&unique("KEY"), 1)).await;
        made.problem(400, "invalid_idempotency_key");
    }
    let twice = shop.call("POST", "/v1/orders").header("idempotency-key", "a").header("idempotency-key", "b");
    twice.json(&order).send().await.problem(400, "invalid_idempotency_key");
    assert_eq!(shop.stock(&sku).await, (10, 0, 10));
    let longest = format!("{:x<255}", unique("key"));
    keyed(&shop, &longest, "/v1/orders", &order).await.ok(201);
}
