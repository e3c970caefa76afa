use serde_json::{Value, json};
use shop_orders::http::HttpConfig;
use shop_products::{NewAdjustment, ProductRef};

use crate::support::{On, Shop, lines_of, on_every_store};

on_every_store!(
    the_same_key_is_answered_the_same,
    a_key_is_for_one_request,
    actions_have_keys_too,
    a_key_in_flight_says_so,
    callers_at_once_with_one_key_place_one_order,
    a_refusal_leaves_no_record,
    a_key_must_be_one,
    a_key_can_be_required,
);

fn order_of(quantity: i64) -> Value {
    json!({"lines": lines_of(&[("A", quantity)])})
}

async fn placed(shop: &Shop) -> u64 {
    shop.get("/v1/orders?include=total").send().await.ok(200)["total"].as_u64().unwrap()
}

async fn the_same_key_is_answered_the_same(on: On) {
    let shop = on.shop().await;
    shop.product("A", 10, "1 EUR").await;
    let first = shop.post("/v1/orders", &order_of(1)).header("idempotency-key", "k-1").send().await;
    let order = first.ok(201);
    // The answer stays what it was, whatever becomes of the order.
    shop.action(&order, "cancel").send().await.ok(200);
    shop.wait(3_600);
    for key in ["k-1", "\"k-1\""] {
        let again = shop.post("/v1/orders", &order_of(1)).header("idempotency-key", key).send().await;
        assert_eq!(again.status, 201);
        assert_eq!(again.body, first.body, "byte for byte");
        for name in ["location", "etag", "content-type"] {
            assert_eq!(again.header(name), first.header(name), "{name}");
        }
        assert_eq!(again.header("idempotency-replayed"), Some("true"));
        assert_ne!(again.header("x-request-id"), first.header("x-request-id"));
    }
    assert_eq!(first.header("idempotency-replayed"), None);
    assert_eq!(placed(&shop).await, 1);
    let other = shop.post("/v1/orders", &order_of(1)).header("idempotency-key", "k-2").send().await.ok(201);
    assert_ne!(other["id"], order["id"]);
}

async fn a_key_is_for_one_request(on: On) {
    let shop = on.shop().await;
    shop.product("A", 10, "1 EUR").await;
    let order = shop.post("/v1/orders", &order_of(1)).header("idempotency-key", "k").send().await.ok(201);
    let before = shop.state(&["A"]).await;
    let other_body = shop.post("/v1/orders", &order_of(2)).header("idempotency-key", "k").send().await;
    assert_eq!(other_body.problem(422, "idempotency_key_reused")["retryable"], false);
    let other_path = shop.action(&order, "cancel").header("idempotency-key", "k").send().await;
    other_path.problem(422, "idempotency_key_reused");
    assert_eq!(shop.state(&["A"]).await, before);
}

async fn actions_have_keys_too(on: On) {
    let shop = on.shop().await;
    shop.product("A", 10, "1 EUR").await;
    let order = shop.order(&[("A", 1)]).await;
    for (action, version) in [("ship", 2), ("deliver", 3)] {
        let first = shop.action(&order, action).header("idempotency-key", action).send().await;
        assert_eq!(first.ok(200)["version"], version);
        // An empty object is no body: many clients send one with every POST.
        let again =
            shop.action(&order, action).header("idempotency-key", action).body("application/json", "{}");
        let again = again.send().await;
        assert_eq!((again.status, &again.body), (200, &first.body));
        assert_eq!(again.header("idempotency-replayed"), Some("true"));
        assert_eq!(again.header("etag"), first.header("etag"));
    }
    let cancelled = shop.order(&[("A", 2)]).await;
    let first = shop.action(&cancelled, "cancel").header("idempotency-key", "c").send().await;
    let again = shop.action(&cancelled, "cancel").header("idempotency-key", "c").send().await;
    assert_eq!((first.ok(200), again.ok(200)["version"].clone()), (again.json(), json!(2)));
    shop.action(&cancelled, "cancel").send().await.problem(409, "illegal_transition");
    shop.action(&order, "cancel")
        .header("idempotency-key", "c")
        .send()
        .await
        .problem(422, "idempotency_key_reused");
}

async fn a_key_in_flight_says_so(on: On) {
    let shop = on.shop().await;
    shop.product("A", 10, "1 EUR").await;
    shop.catalog.shut();
    let call = shop.post("/v1/orders", &order_of(1)).header("idempotency-key", "k");
    let first = tokio::spawn(call.send());
    shop.catalog.arrival().await;
    let reply = shop.post("/v1/orders", &order_of(1)).header("idempotency-key", "k").send().await;
    assert_eq!(reply.problem(409, "idempotency_key_in_flight")["retryable"], true);
    assert_eq!(reply.header("retry-after"), Some("1"));
    shop.catalog.open();
    let first = first.await.unwrap();
    first.ok(201);
    let again = shop.post("/v1/orders", &order_of(1)).header("idempotency-key", "k").send().await;
    assert_eq!((again.status, again.body), (201, first.body));
    assert_eq!(shop.stock("A").await, (10, 1));
}

async fn callers_at_once_with_one_key_place_one_order(on: On) {
    let shop = on.shop().await;
    shop.product("A", 100, "1 EUR").await;
    let callers: Vec<_> = (0..16)
        .map(|_| {
            let call = || shop.post("/v1/orders", &order_of(3)).header("idempotency-key", "k");
            let (first, again): (_, Vec<_>) = (call(), (0..200).map(|_| call()).collect());
            tokio::spawn(async move {
                let mut reply = first.send().await;
                for call in again {
                    if reply.status == 201 {
                        break;
                    }
                    reply.problem(409, "idempotency_key_in_flight");
                    reply = call.send().await;
                }
                reply
            })
        })
        .collect();
    let mut bodies = Vec::new();
    let mut fresh = 0;
    for caller in callers {
        let reply = caller.await.unwrap();
        reply.ok(201);
        fresh += usize::from(reply.header("idempotency-replayed").is_none());
        bodies.push(reply.body);
    }
    assert_eq!(fresh, 1, "one placed it, the others were told");
    assert!(bodies.windows(2).all(|pair| pair[0] == pair[1]), "all got the same 201");
    assert_eq!((placed(&shop).await, shop.stock("A").await), (1, (100, 3)));
}

async fn a_refusal_leaves_no_record(on: On) {
    let shop = on.shop().await;
    let product = shop.product("A", 1, "1 EUR").await;
    let call = || shop.post("/v1/orders", &order_of(2)).header("idempotency-key", "k");
    for _ in 0..2 {
        call().send().await.problem(409, "insufficient_stock");
    }
    let delivery = NewAdjustment { delta: 5, reason: "delivery".into(), reference: None };
    shop.products.adjust(&ProductRef::Id(product.id), delivery, None).await.unwrap();
    let reply = call().send().await;
    reply.ok(201);
    assert_eq!(reply.header("idempotency-replayed"), None);
    assert_eq!(call().send().await.header("idempotency-replayed"), Some("true"));
    assert_eq!(shop.stock("A").await, (6, 2));
}

async fn a_key_must_be_one(on: On) {
    let shop = on.shop().await;
    shop.product("A", 10, "1 EUR").await;
    let order = shop.order(&[("A", 1)]).await;
    let before = shop.state(&["A"]).await;
    for bad in ["", "\"\"", "a b", "\"a", "a\"b", &"x".repeat(256)] {
        let call = shop.post("/v1/orders", &order_of(1)).header("idempotency-key", bad);
        call.send().await.problem(400, "invalid_idempotency_key");
        let call = shop.action(&order, "ship").header("idempotency-key", bad);
        call.send().await.problem(400, "invalid_idempotency_key");
    }
    let twice =
        shop.post("/v1/orders", &order_of(1)).header("idempotency-key", "a").header("idempotency-key", "a");
    twice.send().await.problem(400, "invalid_idempotency_key");
    assert_eq!(shop.state(&["A"]).await, before);
    let longest = "x".repeat(255);
    shop.post("/v1/orders", &order_of(1)).header("idempotency-key", &longest).send().await.ok(201);
}

async fn a_key_can_be_required(on: On) {
    let mut config = HttpConfig::default();
    config.require_idempotency_key = true;
    let shop = on.shop_with(config, |_| {}).await;
    shop.product("A", 10, "1 EUR").await;
    shop.post("/v1/orders", &order_of(1)).send().await.problem(400, "idempotency_key_required");
    let order = shop.post("/v1/orders", &order_of(1)).header("idempotency-key", "a").send().await.ok(201);
    shop.action(&order, "ship").send().await.problem(400, "idempotency_key_required");
    shop.action(&order, "ship").header("idempotency-key", "b").send().await.ok(200);
}
