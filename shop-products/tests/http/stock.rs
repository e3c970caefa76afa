use serde_json::{Value, json};

use crate::support::{Answer, Shop, new_id};

on_every_store!(adjustments_move_what_is_on_hand, a_check_answers_every_line, stock_has_a_tag);

async fn adjustments_move_what_is_on_hand(shop: Shop) {
    let product = shop.product("A-1", 5).await;
    let path = format!("/v1/products/{}/stock/adjustments", product["id"].as_str().unwrap());
    let made = shop.post(&path, json!({"delta": 3, "reason": "delivery", "reference": "D-1"})).await;
    let first = made.expect(201);
    assert_eq!(made.header("location"), format!("{path}/{}", first["id"].as_str().unwrap()));
    assert_eq!(made.header("etag"), "\"2\"");
    assert_eq!(first["on_hand"], 8);
    assert_eq!(first["product_id"], product["id"]);
    assert_eq!(shop.get(made.header("location")).await.expect(200), first);
    let second =
        shop.post("/v1/products/sku:A-1/stock/adjustments", json!({"delta": -2, "reason": "count"})).await;
    let second = second.expect(201);
    assert_eq!((&second["on_hand"], &second["reference"]), (&json!(6), &Value::Null));
    let list = shop.get(&format!("{path}?limit=1")).await;
    assert_eq!(list.expect(200)["data"], json!([second]));
    let next = list.header("link").strip_prefix('<').unwrap().split('>').next().unwrap().to_owned();
    assert_eq!(shop.get(&next).await.expect(200)["data"], json!([first]));

    let hold = json!({"lines": [{"sku": "A-1", "quantity": 4}]});
    shop.send("PUT", &format!("/v1/reservations/{}", new_id()), hold).await.expect(201);
    let below =
        shop.post(&path, json!({"delta": -3, "reason": "loss"})).await.problem(409, "below_allocated");
    assert_eq!((&below["on_hand"], &below["allocated"]), (&json!(3), &json!(4)));
    assert_eq!(shop.stock(&product["id"]).await, (6, 4, 2));
    shop.post(&path, json!({"delta": -7, "reason": "loss"})).await.problem(409, "below_allocated");

    for (body, pointer, code) in [
        (json!({"delta": 0, "reason": "x"}), "/delta", "zero"),
        (json!({"delta": 2_000_000_000_000_i64, "reason": "x"}), "/delta", "out_of_range"),
        (json!({"delta": 1, "reason": ""}), "/reason", "required"),
        (json!({"delta": 1, "reason": "x", "reference": "y".repeat(256)}), "/reference", "too_long"),
    ] {
        let refused = shop.post(&path, body).await;
        refused.problem(422, "invalid");
        assert_eq!(refused.faults(), [(pointer.to_owned(), code.to_owned())]);
    }
    shop.post("/v1/products/sku:nope/stock/adjustments", json!({"delta": 1, "reason": "x"}))
        .await
        .problem(404, "not_found");
    shop.get("/v1/products/sku:nope/stock/adjustments").await.problem(404, "not_found");
    shop.get(&format!("{path}/{}", new_id())).await.problem(404, "not_found");
    assert_eq!(shop.stock(&product["id"]).await, (6, 4, 2));
}

async fn a_check_answers_every_line(shop: Shop) {
    let one = shop.product("C-1", 5).await;
    let two = shop.product("C-2", 0).await;
    let draft = json!({"sku": "C-3", "name": "x", "price": {"amount": "1", "currency": "EUR"}, "status": "draft", "on_hand": 9});
    shop.post("/v1/products", draft).await.expect(201);
    let unknown = new_id();
    let body = json!({"lines": [
        {"sku": "C-1", "quantity": 5}, {"product_id": two["id"], "quantity": 1}, {"sku": "C-3", "quantity": 1},
        {"sku": "nope", "quantity": 1}, {"product_id": unknown, "quantity": 2}
    ]});
    let check = shop.post("/v1/stock/check", body).await.expect(200);
    assert_eq!(check["available"], false);
    assert!(check["as_of"].as_str().unwrap().ends_with('Z'));
    let expected = json!([
        {"product_id": one["id"], "sku": "C-1", "requested": 5, "available": 5, "status": "ok"},
        {"product_id": two["id"], "sku": "C-2", "requested": 1, "available": 0, "status": "insufficient"},
        {"product_id": check["lines"][2]["product_id"], "sku": "C-3", "requested": 1, "available": 9, "status": "inactive"},
        {"product_id": null, "sku": "nope", "requested": 1, "available": 0, "status": "unknown"},
        {"product_id": unknown, "sku": null, "requested": 2, "available": 0, "status": "unknown"}
    ]);
    assert_eq!(check["lines"], expected);
    let enough =
        shop.post("/v1/stock/check", json!({"lines": [{"sku": "C-1", "quantity": 5}]})).await.expect(200);
    assert_eq!(enough["available"], true);
    let twice = json!({"lines": [{"sku": "C-1", "quantity": 3}, {"product_id": one["id"], "quantity": 3}]});
    assert_eq!(
        shop.post("/v1/stock/check", twice).await.expect(200)["available"],
        false,
        "lines of one product are summed"
    );
    let most = json!({"lines": vec![json!({"sku": "C-1", "quantity": 1}); 1_000]});
    assert_eq!(
        shop.post("/v1/stock/check", most).await.expect(200)["lines"].as_array().unwrap().len(),
        1_000
    );
    assert_eq!(shop.stock(&one["id"]).await, (5, 0, 5), "a check takes nothing");
}

async fn stock_has_a_tag(shop: Shop) {
    let product = shop.product("T-1", 4).await;
    let path = format!("/v1/products/{}/stock", product["id"].as_str().unwrap());
    let read = shop.get(&path).await;
    let expected =
        json!({"product_id": product["id"], "on_hand": 4, "allocated": 0, "available": 4, "version": 1});
    assert_eq!(read.expect(200), expected);
    assert_eq!(read.header("etag"), "\"1\"");
    let tagged = shop.request("GET", &path).header("if-none-match", "W/\"1\", \"7\"");
    assert_eq!(Answer::of(tagged).await.status, 304);
    shop.post(&format!("{path}/adjustments"), json!({"delta": 1, "reason": "x"})).await.expect(201);
    let tagged = shop.request("GET", &path).header("if-none-match", "\"1\"");
    assert_eq!(Answer::of(tagged).await.expect(200)["on_hand"], 5);
}
