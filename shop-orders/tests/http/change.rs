use serde_json::json;
use shop_orders::http::HttpConfig;

use crate::support::{On, lines_of, on_every_store, target};

on_every_store!(
    new_lines_take_or_give_back_just_the_difference,
    an_edit_that_cannot_be_had_changes_nothing,
    null_removes_as_rfc_7396_has_it,
    a_merge_patch_is_the_only_type_taken,
    a_change_of_another_version_is_refused,
    a_version_can_be_required,
    an_edit_keeps_the_price_of_what_was_ordered,
);

async fn new_lines_take_or_give_back_just_the_difference(on: On) {
    let shop = on.shop().await;
    for sku in ["A", "B", "C"] {
        shop.product(sku, 10, "1 EUR").await;
    }
    let order = shop.order(&[("A", 4), ("B", 2)]).await;
    shop.wait(5);
    let reply = shop.patch(&order, &json!({"lines": lines_of(&[("A", 6), ("C", 1)])})).send().await;
    let edited = reply.ok(200);
    assert_eq!(reply.header("etag"), Some("\"2\""));
    assert_eq!((&edited["version"], &edited["total"]["amount"]), (&json!(2), &json!("7.00")));
    assert_eq!(edited["updated_at"], shop.now().to_string());
    assert_eq!(edited["placed_at"], order["placed_at"]);
    assert_eq!((shop.stock("A").await, shop.stock("C").await), ((10, 6), (10, 1)));
    shop.stock_becomes("B", (10, 0)).await;
    assert_eq!(shop.again(&order).await, edited);
    let same = shop.patch(&order, &json!({})).send().await.ok(200);
    assert_eq!(same["version"], 2, "an empty patch changes nothing");
}

async fn an_edit_that_cannot_be_had_changes_nothing(on: On) {
    let shop = on.shop().await;
    for sku in ["A", "B"] {
        shop.product(sku, 10, "1 EUR").await;
    }
    shop.product("USD", 10, "1 USD").await;
    let order = shop.order(&[("A", 4)]).await;
    let before = shop.state(&["A", "B", "USD"]).await;
    let short = shop.patch(&order, &json!({"lines": lines_of(&[("A", 11), ("B", 1)])})).send().await;
    let problem = short.problem(409, "insufficient_stock");
    assert_eq!(problem["lines"][0]["sku"], "A");
    let unknown = shop.patch(&order, &json!({"lines": lines_of(&[("A", 4), ("NOPE", 1)])})).send().await;
    assert_eq!(
        unknown.problem(422, "unknown_product")["lines"][0],
        json!({"line": 1, "sku": "NOPE", "status": "unknown"})
    );
    let mixed = shop.patch(&order, &json!({"lines": lines_of(&[("A", 4), ("USD", 1)])})).send().await;
    mixed.problem(422, "mixed_currencies");
    let invalid = json!({"lines": [{"sku": "A", "quantity": 0}, {"quantity": 1}], "reference": ""});
    let pointers = shop.patch(&order, &invalid).send().await.pointers(422, "invalid");
    assert_eq!(pointers, ["/lines/1", "/lines/0/quantity", "/reference"]);
    assert_eq!(shop.patch(&order, &json!({"lines": []})).send().await.pointers(422, "invalid"), ["/lines"]);
    let price =
        json!({"lines": [{"sku": "A", "quantity": 1, "unit_price": {"amount": "0", "currency": "EUR"}}]});
    assert_eq!(
        shop.patch(&order, &price).send().await.pointers(400, "invalid_body"),
        ["/lines/0/unit_price"]
    );
    assert_eq!(
        shop.patch(&order, &json!({"status": "shipped"})).send().await.pointers(400, "invalid_body"),
        ["/status"]
    );
    shop.patch(&order, &json!([])).send().await.problem(400, "invalid_body");
    assert_eq!(shop.state(&["A", "B", "USD"]).await, before);
}

async fn null_removes_as_rfc_7396_has_it(on: On) {
    let shop = on.shop().await;
    shop.product("A", 10, "1 EUR").await;
    let body = json!({
        "lines": lines_of(&[("A", 1)]), "customer_id": "c", "reference": "r", "metadata": {"a": "1", "b": "2", "c": "3"},
    });
    let order = shop.post("/v1/orders", &body).send().await.ok(201);
    let patch = json!({"customer_id": null, "metadata": {"a": null, "b": "two", "d": "4", "never": null}});
    let edited = shop.patch(&order, &patch).send().await.ok(200);
    assert_eq!(edited["customer_id"], json!(null));
    assert_eq!(edited["reference"], "r");
    assert_eq!(edited["metadata"], json!({"b": "two", "c": "3", "d": "4"}));
    assert_eq!(edited["lines"], order["lines"]);
    let edited = shop.patch(&order, &json!({"reference": null, "customer_id": "d"})).send().await.ok(200);
    assert_eq!((&edited["reference"], &edited["customer_id"]), (&json!(null), &json!("d")));
    for member in ["lines", "metadata"] {
        let pointers = shop.patch(&order, &json!({member: null})).send().await.pointers(422, "invalid");
        assert_eq!(pointers, [format!("/{member}")]);
    }
    assert_eq!(shop.again(&order).await, edited);
}

async fn a_merge_patch_is_the_only_type_taken(on: On) {
    let shop = on.shop().await;
    shop.product("A", 10, "1 EUR").await;
    let order = shop.order(&[("A", 1)]).await;
    for other in ["application/json", "application/json-patch+json", "text/plain", "merge-patch"] {
        let call = shop.call("PATCH", &target(&order)).body(other, "{\"reference\":\"x\"}");
        call.send().await.problem(415, "unsupported_media_type");
    }
    shop.call("PATCH", &target(&order)).send().await.problem(415, "unsupported_media_type");
    let call = shop
        .call("PATCH", &target(&order))
        .body("Application/Merge-Patch+JSON; charset=utf-8", "{\"reference\":\"x\"}");
    assert_eq!(call.send().await.ok(200)["reference"], "x");
}

async fn a_change_of_another_version_is_refused(on: On) {
    let shop = on.shop().await;
    shop.product("A", 10, "1 EUR").await;
    let order = shop.order(&[("A", 1)]).await;
    let before = shop.state(&["A"]).await;
    for stale in ["\"2\"", "\"0\"", "W/\"1\"", "\"x\"", "W/\"1\", \"2\"", "\"+1\""] {
        let calls = [
            shop.patch(&order, &json!({"reference": "x"})),
            shop.patch(&order, &json!({"lines": lines_of(&[("A", 5)])})),
            shop.delete(&order),
            shop.action(&order, "cancel"),
            shop.action(&order, "ship"),
        ];
        for call in calls {
            let problem = call.header("if-match", stale).send().await.problem(412, "version_mismatch");
            assert_eq!(problem["current_version"], 1, "{stale}");
        }
    }
    for malformed in ["1", "\"1", ""] {
        shop.delete(&order).header("if-match", malformed).send().await.problem(400, "invalid_header");
    }
    assert_eq!(shop.state(&["A"]).await, before);
    for (version, seen) in ["\"1\"", "*", "\"7\", \"3\""].into_iter().enumerate() {
        let patch = json!({"reference": format!("r{version}")});
        shop.patch(&order, &patch).header("if-match", seen).send().await.ok(200);
    }
    shop.action(&order, "ship").header("if-match", "\"4\"").send().await.ok(200);
    assert_eq!(shop.delete(&order).header("if-match", "\"5\"").send().await.status, 204);
}

async fn a_version_can_be_required(on: On) {
    let mut config = HttpConfig::default();
    config.require_if_match = true;
    let shop = on.shop_with(config, |_| {}).await;
    shop.product("A", 10, "1 EUR").await;
    let order = shop.order(&[("A", 1)]).await;
    shop.patch(&order, &json!({"reference": "x"})).send().await.problem(428, "if_match_required");
    shop.delete(&order).send().await.problem(428, "if_match_required");
    assert_eq!(shop.again(&order).await, order);
    shop.patch(&order, &json!({"reference": "x"})).header("if-match", "\"1\"").send().await.ok(200);
    assert_eq!(shop.delete(&order).header("if-match", "*").send().await.status, 204);
}

async fn an_edit_keeps_the_price_of_what_was_ordered(on: On) {
    use shop_products::{ProductEditRequest, ProductPatch, ProductRef};
    let shop = on.shop().await;
    let a = shop.product("A", 10, "1 EUR").await;
    let order = shop.order(&[("A", 1)]).await;
    let dearer = ProductPatch { price: Some("2 EUR".parse().unwrap()), ..ProductPatch::default() };
    shop.products.edit(&ProductRef::Id(a.id), None, ProductEditRequest::Patch(dearer)).await.unwrap();
    let edited = shop.patch(&order, &json!({"lines": lines_of(&[("A", 3)])})).send().await.ok(200);
    assert_eq!(edited["total"]["amount"], "3.00");
    assert_eq!(shop.order(&[("A", 1)]).await["total"]["amount"], "2.00");
}
