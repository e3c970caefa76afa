use serde_json::{Value, json};

use crate::settings::{Tested, in_every_setting};
use crate::support::client::{lines_of, path, product};
use crate::support::{new_id, unique};

in_every_setting!(
    a_product_is_made_read_replaced_and_deleted,
    a_merge_patch_changes_what_it_names,
    an_edit_of_another_version_is_refused,
    a_sku_is_taken_once,
    a_list_is_filtered_sorted_and_paged,
    a_faulty_query_is_refused,
    what_is_not_there_is_404,
    a_deleted_product_keeps_what_orders_need,
);

fn at(product: &Value) -> String {
    format!("/v1/products/{}", product["id"].as_str().unwrap())
}

async fn a_product_is_made_read_replaced_and_deleted(shop: Tested) {
    let sku = unique("LIFE");
    let body = json!({
        "sku": sku, "name": "Lamp", "description": "d", "price": {"amount": "0.50", "currency": "USD"},
        "attributes": {"size": {"w": 1.5, "h": [1, null]}}, "tags": ["b", "a"], "status": "active", "on_hand": 7,
    });
    let made = shop.post("/v1/products", &body).await;
    let lamp = made.ok(201);
    let (id, now) = (lamp["id"].clone(), lamp["created_at"].clone());
    let expected = json!({
        "id": id, "sku": sku, "name": "Lamp", "description": "d", "price": {"amount": "0.50", "currency": "USD"},
        "attributes": {"size": {"w": 1.5, "h": [1, null]}}, "tags": ["b", "a"], "status": "active",
        "stock": {"on_hand": 7, "allocated": 0, "available": 7}, "version": 1, "created_at": now, "updated_at": now,
    });
    assert_eq!(lamp, expected, "this and nothing more");
    assert_eq!(id.as_str().unwrap().as_bytes()[14], b'7', "a UUIDv7");
    let now = now.as_str().unwrap();
    assert!(now.len() == 24 && now.as_bytes()[19] == b'.' && now.ends_with('Z'), "{now}");
    assert_eq!(made.header("location"), Some(&*at(&lamp)));
    assert_eq!(made.header("etag"), Some("\"1\""));

    for target in [at(&lamp), format!("/v1/products/sku:{sku}")] {
        let read = shop.get(&target).await;
        assert_eq!((read.ok(200), read.header("etag")), (lamp.clone(), Some("\"1\"")));
        for tag in ["\"1\"", "W/\"1\"", "\"7\", \"1\"", "*"] {
            let known = shop.call("GET", &target).header("if-none-match", tag).send().await;
            known.empty(304);
            assert_eq!(known.header("etag"), Some("\"1\""));
        }
        shop.call("GET", &target).header("if-none-match", "\"2\"").send().await.ok(200);
    }

    let mut body = product(&sku, 7);
    body.as_object_mut().unwrap().remove("on_hand");
    let replaced = shop.put(&at(&lamp), &body).await;
    assert_eq!(replaced.header("etag"), Some("\"2\""));
    let replaced = replaced.ok(200);
    assert_eq!((&replaced["tags"], &replaced["attributes"]), (&json!([]), &json!({})), "as if it were new");
    assert_eq!((&replaced["stock"], &replaced["created_at"]), (&lamp["stock"], &lamp["created_at"]));
    shop.delete(&at(&lamp)).await.empty(204);
    shop.get(&at(&lamp)).await.problem(404, "not_found");
    shop.delete(&at(&lamp)).await.problem(404, "not_found");
    shop.product(&sku, 1).await;
}

async fn a_merge_patch_changes_what_it_names(shop: Tested) {
    let lamp = shop.product(&unique("PATCH"), 3).await;
    let body = json!({"attributes": {"a": 1, "b": {"c": 2}}, "tags": ["x"], "status": "draft"});
    let edited = shop.patch(&at(&lamp), &body).await.ok(200);
    assert_eq!(
        (&edited["name"], &edited["status"], &edited["version"]),
        (&lamp["name"], &json!("draft"), &json!(2))
    );
    let body = json!({"attributes": {"a": null, "b": {"d": 3}}, "description": "new"});
    let edited = shop.patch(&at(&lamp), &body).await.ok(200);
    assert_eq!(edited["attributes"], json!({"b": {"c": 2, "d": 3}}));
    for (body, status, code) in [
        (json!({"name": null}), 400, "invalid_body"),
        (json!({"on_hand": 9}), 400, "invalid_body"),
        (json!({"id": new_id()}), 400, "invalid_body"),
        (json!({"name": ""}), 422, "invalid"),
        (json!({"price": {"amount": "1.234", "currency": "EUR"}}), 422, "invalid"),
    ] {
        shop.patch(&at(&lamp), &body).await.problem(status, code);
    }
    let json = shop.call("PATCH", &at(&lamp)).json(&json!({"name": "x"})).send().await;
    json.problem(415, "unsupported_media_type");
    assert_eq!(shop.get(&at(&lamp)).await.ok(200), edited);
}

async fn an_edit_of_another_version_is_refused(shop: Tested) {
    let sku = unique("TAG");
    let lamp = shop.product(&sku, 3).await;
    shop.patch(&at(&lamp), &json!({"name": "second"})).await.ok(200);
    let before = shop.get(&at(&lamp)).await.ok(200);
    let edits = |tag: &'static str| {
        let name = json!({"name": "third"}).to_string();
        [
            shop.call("PATCH", &at(&lamp)).body("application/merge-patch+json", name),
            shop.call("PUT", &at(&lamp)).json(&json!({"sku": sku, "name": "x", "price": lamp["price"]})),
            shop.call("DELETE", &at(&lamp)),
        ]
        .map(|call| call.header("if-match", tag))
    };
    for stale in ["\"1\"", "\"3\"", "W/\"2\"", "\"x\"", "\"1\", W/\"2\""] {
        for edit in edits(stale) {
            edit.send().await.problem(412, "version_mismatch");
        }
    }
    for malformed in ["2", "\"2"] {
        for edit in edits(malformed) {
            edit.send().await.problem(400, "invalid_header");
        }
    }
    assert_eq!(shop.get(&at(&lamp)).await.ok(200), before);
    for (edit, tag) in edits("\"9\", \"2\"").into_iter().zip(["\"3\"", "", ""]).take(1) {
        assert_eq!(edit.send().await.header("etag"), Some(tag));
    }
    let [_, put, _] = edits("\"3\"");
    put.send().await.ok(200);
    let [.., delete] = edits("*");
    delete.send().await.empty(204);
}

async fn a_sku_is_taken_once(shop: Tested) {
    let (taken, other) = (unique("TAKEN"), unique("TAKEN"));
    shop.product(&taken, 0).await;
    let second = shop.product(&other, 0).await;
    shop.post("/v1/products", &product(&taken, 0)).await.problem(409, "duplicate_sku");
    let renamed = json!({"sku": taken, "name": "x", "price": second["price"]});
    shop.put(&at(&second), &renamed).await.problem(409, "duplicate_sku");
    shop.patch(&at(&second), &json!({"sku": taken})).await.problem(409, "duplicate_sku");
    assert_eq!(shop.get(&at(&second)).await.ok(200), second);
}

async fn a_list_is_filtered_sorted_and_paged(shop: Tested) {
    let (tag, mut skus) = (unique("tag"), Vec::new());
    for (name, amount, status, on_hand) in [
        ("red lamp", "10.00", "active", 5),
        ("blue lamp", "20.00", "active", 0),
        ("table", "20.50", "draft", 1),
        ("chair", "7", "archived", 0),
    ] {
        let sku = unique("LIST");
        let body = json!({"sku": sku, "name": name, "price": {"amount": amount, "currency": "EUR"}, "tags": [tag],
            "status": status, "on_hand": on_hand});
        shop.post("/v1/products", &body).await.ok(201);
        skus.push(sku);
    }
    let fourth = format!("sku={}", skus[3]);
    for (query, expected) in [
        ("sort=created_at", &[0, 1, 2, 3][..]),
        ("sort=-created_at", &[3, 2, 1, 0]),
        ("sort=name", &[1, 3, 0, 2]),
        ("sort=price", &[3, 0, 1, 2]),
        ("sort=-price", &[2, 1, 0, 3]),
        ("sort=price&q=lamp", &[0, 1]),
        (&fourth, &[3]),
        ("status=draft", &[2]),
        ("sort=price&price_min=10&price_max=20", &[0, 1]),
        ("sort=price&in_stock=true", &[0, 2]),
        ("sort=price&in_stock=false", &[3, 1]),
        ("q=nothing", &[]),
    ] {
        let expected: Vec<_> = expected.iter().map(|n| json!(skus[*n])).collect();
        let mut target = Some(format!("/v1/products?tag={tag}&limit=2&include=total&{query}"));
        let mut found = Vec::new();
        while let Some(asked) = target {
            let page = shop.get(&asked).await;
            let list = page.ok(200);
            assert_eq!(list["total"], expected.len(), "{query}");
            found.extend(list["data"].as_array().unwrap().iter().map(|product| product["sku"].clone()));
            target = page.next();
            assert_eq!(list["next_cursor"].is_null(), target.is_none(), "{list}");
        }
        assert_eq!(found, expected, "{query}");
    }
    let plain = shop.get(&format!("/v1/products?tag={tag}")).await.ok(200);
    assert!(plain.get("total").is_none() && plain["next_cursor"].is_null(), "{plain}");
}

async fn a_faulty_query_is_refused(shop: Tested) {
    for (query, pointers) in [
        ("limit=0", &["?limit"][..]),
        ("limit=501", &["?limit"]),
        ("sort=size", &["?sort"]),
        ("colour=red", &["?colour"]),
        ("status=gone", &["?status"]),
        ("in_stock=maybe", &["?in_stock"]),
        ("price_min=1e2", &["?price_min"]),
        ("include=all", &["?include"]),
        ("q=%00", &["?q"]),
        ("cursor=abc", &["?cursor"]),
        ("limit=1&limit=2", &["?limit"]),
        ("limit=no&colour=red&status=gone", &["?colour", "?limit", "?status"]),
    ] {
        let refused = shop.get(&format!("/v1/products?{query}")).await;
        assert_eq!(refused.pointers(400, "invalid_query"), pointers, "{query}");
    }
}

async fn what_is_not_there_is_404(shop: Tested) {
    let nobody = format!("/v1/products/{}", new_id());
    for target in [&*nobody, "/v1/products/sku:nothing-has-this"] {
        shop.get(target).await.problem(404, "not_found");
        shop.get(&format!("{target}/stock")).await.problem(404, "not_found");
        shop.get(&format!("{target}/stock/adjustments")).await.problem(404, "not_found");
        shop.delete(target).await.problem(404, "not_found");
        shop.patch(target, &json!({"name": "x"})).await.problem(404, "not_found");
        shop.put(target, &json!({"sku": "x", "name": "x", "price": {"amount": "1", "currency": "EUR"}}))
            .await
            .problem(404, "not_found");
    }
    for bad in ["17", "sku:", "sku:%ff", "sku:a%00b"] {
        shop.get(&format!("/v1/products/{bad}")).await.problem(400, "invalid_path");
    }
}

async fn a_deleted_product_keeps_what_orders_need(shop: Tested) {
    let sku = unique("GONE");
    let lamp = shop.product(&sku, 5).await;
    let order = shop.order(&[(&sku, 2)]).await;
    shop.delete(&at(&lamp)).await.empty(204);
    let again = json!({"lines": lines_of(&[(&sku, 1)])});
    let problem = shop.post("/v1/orders", &again).await.problem(422, "unknown_product");
    assert_eq!(problem["lines"][0]["sku"], json!(sku));
    assert_eq!(shop.get(&path(&order)).await.ok(200)["lines"], order["lines"], "the order has its copy");
    shop.act(&order, "ship").await.ok(200);
    shop.act(&order, "deliver").await.ok(200);
}
