use serde_json::{Value, json};

use crate::settings::{Tested, in_every_setting};
use crate::support::client::product;
use crate::support::{new_id, unique};

in_every_setting!(a_check_answers_every_line, a_check_is_checked_itself, adjustments_move_what_is_on_hand,);

async fn a_check_answers_every_line(shop: Tested) {
    let (one, two, draft) = (unique("CHECK"), unique("CHECK"), unique("CHECK"));
    let lamp = shop.product(&one, 5).await;
    let none = shop.product(&two, 0).await;
    let mut body = product(&draft, 9);
    body["status"] = json!("draft");
    let table = shop.post("/v1/products", &body).await.ok(201);
    let nobody = new_id();
    let asked = json!({"lines": [
        {"sku": one, "quantity": 5}, {"product_id": none["id"], "quantity": 1}, {"sku": draft, "quantity": 1},
        {"sku": "nothing-has-this", "quantity": 1}, {"product_id": nobody, "quantity": 2},
    ]});
    let answer = shop.post("/v1/stock/check", &asked).await.ok(200);
    assert!(answer["as_of"].as_str().unwrap().ends_with('Z'));
    let expected = json!([
        {"product_id": lamp["id"], "sku": one, "requested": 5, "available": 5, "status": "ok"},
        {"product_id": none["id"], "sku": two, "requested": 1, "available": 0, "status": "insufficient"},
        {"product_id": table["id"], "sku": draft, "requested": 1, "available": 9, "status": "inactive"},
        {"product_id": null, "sku": "nothing-has-this", "requested": 1, "available": 0, "status": "unknown"},
        {"product_id": nobody, "sku": null, "requested": 2, "available": 0, "status": "unknown"},
    ]);
    assert_eq!((&answer["available"], &answer["lines"]), (&json!(false), &expected));
    let enough = shop.post("/v1/stock/check", &json!({"lines": [{"sku": one, "quantity": 5}]})).await.ok(200);
    assert_eq!(enough["available"], true);
    shop.order(&[(&one, 4)]).await;
    let after = shop.post("/v1/stock/check", &json!({"lines": [{"sku": one, "quantity": 5}]})).await.ok(200);
    assert_eq!((&after["available"], &after["lines"][0]["available"]), (&json!(false), &json!(1)));
    let most = json!({"lines": vec![json!({"sku": one, "quantity": 1}); 1_000]});
    let lines = shop.post("/v1/stock/check", &most).await.ok(200)["lines"].as_array().unwrap().len();
    assert_eq!(lines, 1_000);
    assert_eq!(shop.stock(&one).await, (5, 4, 1), "a check takes nothing");
}

async fn a_check_is_checked_itself(shop: Tested) {
    let line = |line: Value| json!({"lines": [line]});
    for (body, status, code, pointer) in [
        (json!({"lines": []}), 422, "invalid", "/lines"),
        (json!({}), 400, "invalid_body", "/lines"),
        (line(json!({"quantity": 1})), 422, "invalid", "/lines/0"),
        (line(json!({"sku": "x", "quantity": 0})), 422, "invalid", "/lines/0/quantity"),
        (line(json!({"sku": "x", "quantity": "1"})), 400, "invalid_body", "/lines/0/quantity"),
        (line(json!({"sku": "x", "quantity": 1, "price": 1})), 400, "invalid_body", "/lines/0/price"),
    ] {
        assert_eq!(shop.post("/v1/stock/check", &body).await.pointers(status, code), [pointer], "{body}");
    }
}

async fn adjustments_move_what_is_on_hand(shop: Tested) {
    let sku = unique("ADJ");
    let lamp = shop.product(&sku, 5).await;
    let stock = format!("/v1/products/{}/stock", lamp["id"].as_str().unwrap());
    let path = format!("{stock}/adjustments");
    let read = shop.get(&stock).await;
    let expected =
        json!({"product_id": lamp["id"], "on_hand": 5, "allocated": 0, "available": 5, "version": 1});
    assert_eq!((read.ok(200), read.header("etag")), (expected, Some("\"1\"")));
    shop.call("GET", &stock).header("if-none-match", "\"1\"").send().await.empty(304);

    let made = shop.post(&path, &json!({"delta": 3, "reason": "delivery", "reference": "D-1"})).await;
    let first = made.ok(201);
    assert_eq!(
        (&first["on_hand"], &first["delta"], &first["reference"]),
        (&json!(8), &json!(3), &json!("D-1"))
    );
    assert_eq!(made.header("etag"), Some("\"2\""));
    assert_eq!(shop.get(made.header("location").unwrap()).await.ok(200), first);
    let by_sku = format!("/v1/products/sku:{sku}/stock/adjustments");
    let second = shop.post(&by_sku, &json!({"delta": -2, "reason": "count"})).await.ok(201);
    let page = shop.get(&format!("{path}?limit=1")).await;
    assert_eq!(page.ok(200)["data"], json!([second]), "the newest first");
    assert_eq!(shop.get(&page.next().unwrap()).await.ok(200)["data"], json!([first]));

    shop.order(&[(&sku, 4)]).await;
    for delta in [-3, -7] {
        let below = shop.post(&path, &json!({"delta": delta, "reason": "loss"})).await;
        assert_eq!(below.problem(409, "below_allocated")["allocated"], 4);
    }
    for (body, status, code, pointer) in [
        (json!({"delta": 0, "reason": "x"}), 422, "invalid", "/delta"),
        (json!({"delta": i64::MAX, "reason": "x"}), 422, "invalid", "/delta"),
        (json!({"delta": 1, "reason": ""}), 422, "invalid", "/reason"),
        (json!({"delta": 1.5, "reason": "x"}), 400, "invalid_body", "/delta"),
        (json!({"delta": 1}), 400, "invalid_body", "/reason"),
        (json!({"delta": 1, "reason": "x", "by": "me"}), 400, "invalid_body", "/by"),
    ] {
        assert_eq!(shop.post(&path, &body).await.pointers(status, code), [pointer], "{body}");
    }
    shop.get(&format!("{path}/{}", new_id())).await.problem(404, "not_found");
    assert_eq!(shop.get(&format!("{path}?limit=0")).await.pointers(400, "invalid_query"), ["?limit"]);
    assert_eq!(shop.stock(&sku).await, (6, 4, 2));
}
