use serde_json::{Value, json};

use crate::settings::{Tested, in_every_setting};
use crate::support::client::{Reply, lines_of};
use crate::support::{eventually, new_id, unique};

in_every_setting!(
    a_hold_takes_all_lines_or_none,
    a_hold_is_answered_again_as_it_was,
    commit_and_release_can_be_repeated,
    many_are_settled_at_once,
    a_hold_that_nobody_finishes_expires,
    a_thousand_lines_are_one_hold,
    reservations_are_listed,
);

async fn hold(shop: &Tested, id: &str, lines: &[(&str, i64)]) -> Reply {
    shop.put(&at(id), &json!({"lines": lines_of(lines)})).await
}

fn at(id: &str) -> String {
    format!("/v1/reservations/{id}")
}

async fn settle(shop: &Tested, id: &str, action: &str) -> Reply {
    shop.call("POST", &format!("{}/{action}", at(id))).send().await
}

async fn a_hold_takes_all_lines_or_none(shop: Tested) {
    let (a, b, id) = (unique("HOLD"), unique("HOLD"), new_id());
    let (one, two) = (shop.product(&a, 5).await, shop.product(&b, 1).await);
    let body = json!({"owner": "carts", "lines": [
        {"sku": a, "quantity": 2}, {"product_id": two["id"], "quantity": 1}, {"product_id": one["id"], "quantity": 1},
    ]});
    let made = shop.put(&at(&id), &body).await;
    let held = made.ok(201);
    assert_eq!(made.header("location"), Some(&*at(&id)));
    assert_eq!((&held["id"], &held["state"], &held["owner"]), (&json!(id), &json!("held"), &json!("carts")));
    assert!(held.get("expires_at").is_none(), "it never expires by itself: {held}");
    let lines = held["lines"].as_array().unwrap();
    assert_eq!(lines.len(), 2, "lines of one product are summed");
    for (line, (product, quantity)) in lines.iter().zip([(&one, 3), (&two, 1)]) {
        assert_eq!((&line["product_id"], &line["sku"]), (&product["id"], &product["sku"]));
        assert_eq!((&line["name"], &line["unit_price"]), (&product["name"], &product["price"]));
        assert_eq!(line["quantity"], quantity);
    }
    let refused =
        hold(&shop, &new_id(), &[(&a, 2), (&a, 1), (&b, 1)]).await.problem(409, "insufficient_stock");
    let expected = json!([
        {"product_id": one["id"], "sku": a, "requested": 3, "available": 2},
        {"product_id": two["id"], "sku": b, "requested": 1, "available": 0},
    ]);
    assert_eq!(refused["lines"], expected, "every short line");
    let refused = hold(&shop, &new_id(), &[(&a, 1), ("nope-1", 1), ("nope-2", 1)]).await;
    let expected = json!([{"line": 1, "sku": "nope-1", "status": "unknown"}, {"line": 2, "sku": "nope-2", "status": "unknown"}]);
    assert_eq!(refused.problem(422, "unknown_product")["lines"], expected, "every unknown line");
    assert_eq!(shop.stock(&a).await, (5, 3, 2), "a refusal takes nothing");
}

async fn a_hold_is_answered_again_as_it_was(shop: Tested) {
    let (sku, id) = (unique("AGAIN"), new_id());
    shop.product(&sku, 5).await;
    let first = hold(&shop, &id, &[(&sku, 2)]).await.ok(201);
    assert_eq!(hold(&shop, &id, &[(&sku, 2)]).await.ok(200), first);
    hold(&shop, &id, &[(&sku, 1)]).await.problem(422, "reservation_mismatch");
    assert_eq!(shop.stock(&sku).await, (5, 2, 3), "held once");
    assert_eq!(settle(&shop, &id, "release").await.ok(200), json!({"id": id, "state": "released"}));
    hold(&shop, &id, &[(&sku, 2)]).await.problem(409, "reservation_released");
    let never = new_id();
    assert_eq!(settle(&shop, &never, "release").await.ok(200)["state"], "released");
    hold(&shop, &never, &[(&sku, 2)]).await.problem(409, "reservation_released");
    assert_eq!(shop.stock(&sku).await, (5, 0, 5));
}

async fn commit_and_release_can_be_repeated(shop: Tested) {
    let (sku, id) = (unique("COMMIT"), new_id());
    shop.product(&sku, 5).await;
    settle(&shop, &id, "commit").await.problem(404, "not_found");
    shop.get(&at(&id)).await.problem(404, "not_found");
    hold(&shop, &id, &[(&sku, 2)]).await.ok(201);
    let tag = shop.get(&at(&id)).await.header("etag").unwrap().to_owned();
    shop.call("GET", &at(&id)).header("if-none-match", &tag).send().await.empty(304);
    for _ in 0..2 {
        assert_eq!(settle(&shop, &id, "commit").await.ok(200), json!({"id": id, "state": "committed"}));
        assert_eq!(shop.stock(&sku).await, (5, 2, 3));
    }
    let read = shop.call("GET", &at(&id)).header("if-none-match", &tag).send().await.ok(200);
    assert_eq!(read["state"], "committed");
    for _ in 0..2 {
        assert_eq!(settle(&shop, &id, "release").await.ok(200)["state"], "released");
        assert_eq!(shop.stock(&sku).await, (5, 0, 5));
    }
    settle(&shop, &id, "commit").await.problem(409, "reservation_released");
    settle(&shop, "nope", "commit").await.problem(400, "invalid_path");
}

async fn many_are_settled_at_once(shop: Tested) {
    let (sku, ids) = (unique("MANY"), [new_id(), new_id(), new_id()]);
    shop.product(&sku, 20).await;
    for id in &ids {
        hold(&shop, id, &[(&sku, 3)]).await.ok(201);
    }
    let never = new_id();
    let body = json!({"commit": [ids[0], never], "release": [ids[1]], "fulfil": [ids[2]]});
    for _ in 0..2 {
        let settled = shop.post("/v1/reservations/settle", &body).await.ok(200);
        let expected = json!({"outcomes": [
            {"id": ids[0], "state": "committed"}, {"id": never, "state": null}, {"id": ids[1], "state": "released"},
            {"id": ids[2], "state": "fulfilled"},
        ]});
        assert_eq!(settled, expected);
        assert_eq!(shop.stock(&sku).await, (17, 3, 14));
    }
    let odd = shop.post("/v1/reservations/settle", &json!({"cancel": []})).await;
    assert_eq!(odd.pointers(400, "invalid_body"), ["/cancel"]);
}

async fn a_hold_that_nobody_finishes_expires(shop: Tested) {
    let (sku, id) = (unique("CART"), new_id());
    shop.product(&sku, 5).await;
    let lines = lines_of(&[(&sku, 2)]);
    for bad in [json!(0), json!(-1)] {
        let refused = shop.put(&at(&new_id()), &json!({"lines": lines, "expires_in": bad})).await;
        assert_eq!(refused.pointers(422, "invalid"), ["/expires_in"]);
    }
    let held = shop.put(&at(&id), &json!({"lines": lines, "expires_in": 1})).await.ok(201);
    assert!(held["expires_at"].as_str() > held["created_at"].as_str(), "{held}");
    eventually("expired", async || shop.get(&at(&id)).await.ok(200)["state"] == "released").await;
    shop.stock_becomes(&sku, 5, 0).await;
    settle(&shop, &id, "commit").await.problem(409, "reservation_released");
}

async fn a_thousand_lines_are_one_hold(shop: Tested) {
    let (sku, id) = (unique("LINES"), new_id());
    shop.product(&sku, 5_000).await;
    let lines = |n: usize| json!({"lines": vec![json!({"sku": sku, "quantity": 1}); n]});
    assert_eq!(shop.put(&at(&id), &lines(1_001)).await.pointers(422, "invalid"), ["/lines"]);
    assert_eq!(shop.stock(&sku).await, (5_000, 0, 5_000));
    shop.put(&at(&id), &lines(1_000)).await.ok(201);
    assert_eq!(shop.stock(&sku).await, (5_000, 1_000, 4_000));
}

async fn reservations_are_listed(shop: Tested) {
    let (sku, owner, ids) = (unique("QUERY"), unique("owner"), [new_id(), new_id(), new_id()]);
    shop.product(&sku, 50).await;
    for id in &ids {
        let body = json!({"lines": lines_of(&[(&sku, 1)]), "owner": owner});
        shop.put(&at(id), &body).await.ok(201);
    }
    settle(&shop, &ids[2], "commit").await.ok(200);
    let list = async |query: &str| -> Vec<Value> {
        let (mut target, mut found) =
            (Some(format!("/v1/reservations?limit=1&owner={owner}&{query}")), Vec::new());
        while let Some(asked) = target {
            let page = shop.get(&asked).await;
            found.extend(page.ok(200)["data"].as_array().unwrap().iter().map(|held| held["id"].clone()));
            target = page.next();
        }
        found.sort_by_key(Value::to_string);
        found
    };
    assert_eq!(list("created_before=2999-01-01T00:00:00Z").await, ids);
    assert_eq!(list("state=committed").await, ids[2..]);
    assert_eq!(list("state=held").await, ids[..2]);
    assert_eq!(list("created_before=2020-01-01T00:00:00Z").await, [""; 0]);
    for (bad, pointer) in
        [("state=gone", "?state"), ("created_before=yesterday", "?created_before"), ("x=1", "?x")]
    {
        let refused = shop.get(&format!("/v1/reservations?{bad}")).await;
        assert_eq!(refused.pointers(400, "invalid_query"), [pointer]);
    }
}
