use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use shop_core::{ManualClock, Timestamp};

use crate::support::{Answer, Shop, new_id};

on_every_store!(
    a_hold_takes_all_lines_or_none,
    a_hold_is_answered_again_as_it_was,
    commit_release_and_what_they_refuse,
    many_are_settled_at_once,
    a_hold_expires_by_itself,
    reservations_are_listed,
    a_reservation_has_a_tag
);

async fn hold(shop: &Shop, id: &str, body: Value) -> Answer {
    shop.send("PUT", &format!("/v1/reservations/{id}"), body).await
}

async fn settle(shop: &Shop, id: &str, action: &str) -> Answer {
    Answer::of(shop.request("POST", &format!("/v1/reservations/{id}/{action}"))).await
}

async fn a_hold_takes_all_lines_or_none(shop: Shop) {
    let (one, two) = (shop.product("H-1", 5).await, shop.product("H-2", 1).await);
    let id = new_id();
    let lines = json!([{"sku": "H-1", "quantity": 2}, {"product_id": two["id"], "quantity": 1}, {"product_id": one["id"], "quantity": 1}]);
    let made = hold(&shop, &id, json!({"lines": lines, "owner": "orders"})).await;
    let held = made.expect(201);
    assert_eq!(made.header("location"), format!("/v1/reservations/{id}"));
    assert!(made.header("etag").starts_with('"'));
    let price = json!({"amount": "19.99", "currency": "EUR"});
    let expected = json!([
        {"product_id": one["id"], "sku": "H-1", "name": "Product H-1", "quantity": 3, "held": 3, "unit_price": price},
        {"product_id": two["id"], "sku": "H-2", "name": "Product H-2", "quantity": 1, "held": 1, "unit_price": price}
    ]);
    assert_eq!(held["lines"], expected);
    assert_eq!((&held["id"], &held["state"], &held["owner"]), (&json!(id), &json!("held"), &json!("orders")));
    assert!(held.get("expires_at").is_none());
    assert_eq!(shop.stock(&one["id"]).await, (5, 3, 2));

    let short = json!({"lines": [{"sku": "H-1", "quantity": 2}, {"sku": "H-1", "quantity": 1}, {"sku": "H-2", "quantity": 1}]});
    let refused = hold(&shop, &new_id(), short).await.problem(409, "insufficient_stock");
    let expected = json!([
        {"product_id": one["id"], "sku": "H-1", "requested": 3, "available": 2},
        {"product_id": two["id"], "sku": "H-2", "requested": 1, "available": 0}
    ]);
    assert_eq!(refused["lines"], expected, "every short line");
    let nobody = new_id();
    let unknown = json!({"lines": [{"sku": "H-1", "quantity": 1}, {"sku": "nope", "quantity": 1}, {"product_id": nobody, "quantity": 1}]});
    let refused = hold(&shop, &new_id(), unknown).await.problem(422, "unknown_product");
    let expected = json!([{"line": 1, "sku": "nope", "status": "unknown"}, {"line": 2, "product_id": nobody, "status": "unknown"}]);
    assert_eq!(refused["lines"], expected, "every unknown line");
    assert_eq!(shop.stock(&one["id"]).await, (5, 3, 2), "a refusal takes nothing");
}

async fn a_hold_is_answered_again_as_it_was(shop: Shop) {
    let product = shop.product("R-1", 5).await;
    let (id, body) = (new_id(), json!({"lines": [{"sku": "R-1", "quantity": 2}]}));
    let first = hold(&shop, &id, body.clone()).await.expect(201);
    let again = hold(&shop, &id, body.clone()).await;
    assert_eq!(again.expect(200), first);
    assert!(!again.headers.contains_key("location"));
    assert_eq!(shop.stock(&product["id"]).await, (5, 2, 3), "held once");
    hold(&shop, &id, json!({"lines": [{"sku": "R-1", "quantity": 1}]}))
        .await
        .problem(422, "reservation_mismatch");
    assert_eq!(settle(&shop, &id, "release").await.expect(200), json!({"id": id, "state": "released"}));
    let late = hold(&shop, &id, body.clone()).await.problem(409, "reservation_released");
    assert_eq!(late["state"], "released");
    let never = new_id();
    assert_eq!(settle(&shop, &never, "release").await.expect(200)["state"], "released");
    hold(&shop, &never, body).await.problem(409, "reservation_released");
    assert_eq!(shop.stock(&product["id"]).await, (5, 0, 5));
}

async fn commit_release_and_what_they_refuse(shop: Shop) {
    let product = shop.product("C-1", 5).await;
    let (id, body) = (new_id(), json!({"lines": [{"sku": "C-1", "quantity": 2}]}));
    settle(&shop, &id, "commit").await.problem(404, "not_found");
    shop.get(&format!("/v1/reservations/{id}")).await.problem(404, "not_found");
    hold(&shop, &id, body).await.expect(201);
    for _ in 0..2 {
        assert_eq!(settle(&shop, &id, "commit").await.expect(200), json!({"id": id, "state": "committed"}));
    }
    assert_eq!(shop.stock(&product["id"]).await, (5, 2, 3));
    for _ in 0..2 {
        assert_eq!(settle(&shop, &id, "release").await.expect(200)["state"], "released");
    }
    assert_eq!(settle(&shop, &id, "commit").await.problem(409, "reservation_released")["state"], "released");
    assert_eq!(shop.stock(&product["id"]).await, (5, 0, 5));
    settle(&shop, "nope", "commit").await.problem(400, "invalid_path");
    let odd = shop.request("POST", &format!("/v1/reservations/{id}/commit")).json(&json!({"force": true}));
    Answer::of(odd).await.problem(400, "invalid_body");
    let empty = shop.request("POST", &format!("/v1/reservations/{id}/release")).json(&json!({}));
    Answer::of(empty).await.expect(200);
}

async fn many_are_settled_at_once(shop: Shop) {
    let product = shop.product("S-1", 20).await;
    let ids: Vec<String> = (0..4).map(|_| new_id()).collect();
    for id in &ids {
        hold(&shop, id, json!({"lines": [{"sku": "S-1", "quantity": 3}]})).await.expect(201);
    }
    let (never, unseen) = (new_id(), new_id());
    let body = json!({
        "commit": [ids[0], never], "release": [ids[1], unseen], "fulfil": [ids[2]],
        "shrink": [{"id": ids[3], "lines": [{"product_id": product["id"], "quantity": 1}]}]
    });
    let settled = shop.post("/v1/reservations/settle", body).await.expect(200);
    let expected = json!({"outcomes": [
        {"id": ids[0], "state": "committed"}, {"id": never, "state": null}, {"id": ids[1], "state": "released"},
        {"id": unseen, "state": "released"}, {"id": ids[2], "state": "fulfilled"}, {"id": ids[3], "state": "held"}
    ]});
    assert_eq!(settled, expected);
    assert_eq!(shop.stock(&product["id"]).await, (17, 4, 13));
    let shrunk = shop.get(&format!("/v1/reservations/{}", ids[3])).await.expect(200);
    assert_eq!((&shrunk["lines"][0]["quantity"], &shrunk["lines"][0]["held"]), (&json!(1), &json!(3)));
    let late = settle(&shop, &ids[2], "release").await.problem(409, "reservation_released");
    assert_eq!(late["state"], "fulfilled");
    assert_eq!(settle(&shop, &ids[2], "commit").await.expect(200)["state"], "fulfilled");
    assert_eq!(shop.post("/v1/reservations/settle", json!({})).await.expect(200), json!({"outcomes": []}));
    let refused = shop.post(
        "/v1/reservations/settle",
        json!({"shrink": [{"id": ids[3], "lines": [{"product_id": product["id"], "quantity": -1}]}]}),
    );
    let refused = refused.await;
    refused.problem(422, "invalid");
    assert_eq!(refused.faults(), [("/shrink/0/lines/0/quantity".to_owned(), "negative".to_owned())]);
    let many = shop.post("/v1/reservations/settle", json!({"commit": vec![never; 10_001]})).await;
    many.problem(422, "invalid");
    shop.post("/v1/reservations/settle", json!({"cancel": []})).await.problem(400, "invalid_body");
}

async fn a_hold_expires_by_itself(shop: Shop) {
    shop.product("X-1", 5).await;
    let id = new_id();
    let held = hold(&shop, &id, json!({"lines": [{"sku": "X-1", "quantity": 2}], "expires_in": 3600}))
        .await
        .expect(201);
    let at = |name: &str| held[name].as_str().unwrap().parse::<shop_core::Timestamp>().unwrap();
    assert_eq!(at("expires_at").as_millis() - at("created_at").as_millis(), 3_600_000);
    for bad in [0, -1, 31_536_001] {
        let refused =
            hold(&shop, &new_id(), json!({"lines": [{"sku": "X-1", "quantity": 1}], "expires_in": bad}))
                .await;
        refused.problem(422, "invalid");
        assert_eq!(refused.faults()[0], ("/expires_in".to_owned(), "out_of_range".to_owned()));
    }
}

#[tokio::test]
async fn what_has_expired_is_released_when_it_is_read() {
    let clock = Arc::new(ManualClock::new(Timestamp::from_millis(1_800_000_000_000)));
    let shop = Shop::at(clock.clone()).await;
    let product = shop.product("X-1", 5).await;
    let (id, body) = (new_id(), json!({"lines": [{"sku": "X-1", "quantity": 2}], "expires_in": 60}));
    let path = format!("/v1/reservations/{id}");
    let held = hold(&shop, &id, body.clone()).await.expect(201);
    assert_eq!(held["expires_at"], "2027-01-15T08:01:00.000Z");
    clock.advance(Duration::from_millis(59_999));
    assert_eq!(shop.get(&path).await.expect(200)["state"], "held");
    clock.advance(Duration::from_millis(1));
    assert_eq!(shop.get(&path).await.expect(200)["state"], "released");
    assert_eq!(shop.get("/v1/reservations?state=held").await.expect(200)["data"], json!([]));
    settle(&shop, &id, "commit").await.problem(409, "reservation_released");
    hold(&shop, &id, body).await.problem(409, "reservation_released");
    let all = json!({"lines": [{"sku": "X-1", "quantity": 5}]});
    hold(&shop, &new_id(), all).await.expect(201);
    assert_eq!(shop.stock(&product["id"]).await, (5, 5, 0));
}

async fn reservations_are_listed(shop: Shop) {
    shop.product("Q-1", 50).await;
    let ids: Vec<String> = (0..3).map(|_| new_id()).collect();
    for (n, id) in ids.iter().enumerate() {
        let owner = if n == 1 { "carts" } else { "orders" };
        hold(&shop, id, json!({"lines": [{"sku": "Q-1", "quantity": 1}], "owner": owner})).await.expect(201);
    }
    settle(&shop, &ids[2], "commit").await.expect(200);
    let list = async |query: &str| {
        let list = shop.get(&format!("/v1/reservations?{query}")).await.expect(200);
        let mut found: Vec<_> = list["data"]
            .as_array()
            .unwrap()
            .iter()
            .map(|held| held["id"].as_str().unwrap().to_owned())
            .collect();
        found.sort();
        found
    };
    let mut all = ids.clone();
    all.sort();
    assert_eq!(list("").await, all);
    assert_eq!(list("owner=carts").await, [ids[1].clone()]);
    assert_eq!(list("state=committed").await, [ids[2].clone()]);
    assert_eq!(list("state=held&owner=orders").await, [ids[0].clone()]);
    assert_eq!(list("created_before=2020-01-01T00:00:00Z").await, Vec::<String>::new());
    assert_eq!(list("created_before=2999-01-01T00:00:00%2B02:00").await, all);
    let page = shop.get("/v1/reservations?limit=2&owner=orders&state=held").await;
    assert_eq!(page.expect(200)["next_cursor"], Value::Null);
    let page = shop.get("/v1/reservations?limit=2").await;
    let link = page.header("link").strip_prefix('<').unwrap().split('>').next().unwrap().to_owned();
    assert_eq!(shop.get(&link).await.expect(200)["data"].as_array().unwrap().len(), 1);
    for bad in ["state=gone", "owner=", "created_before=yesterday", "include=total", "limit=0"] {
        shop.get(&format!("/v1/reservations?{bad}")).await.problem(400, "invalid_query");
    }
}

async fn a_reservation_has_a_tag(shop: Shop) {
    shop.product("T-1", 5).await;
    let id = new_id();
    hold(&shop, &id, json!({"lines": [{"sku": "T-1", "quantity": 2}]})).await.expect(201);
    let path = format!("/v1/reservations/{id}");
    let read = shop.get(&path).await;
    assert_eq!(read.expect(200)["state"], "held");
    let tag = read.header("etag").to_owned();
    let seen = || Answer::of(shop.request("GET", &path).header("if-none-match", &tag));
    assert_eq!(seen().await.status, 304);
    settle(&shop, &id, "commit").await.expect(200);
    assert_eq!(seen().await.expect(200)["state"], "committed");
}
