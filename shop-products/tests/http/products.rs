use serde_json::{Value, json};

use crate::support::{Answer, Shop};

on_every_store!(
    a_product_is_made_read_replaced_and_deleted,
    the_wire_form_is_exact,
    a_product_is_found_by_its_sku,
    edits_say_which_version_they_saw,
    a_merge_patch_changes_what_it_names,
    a_sku_is_taken_once,
    methods_and_paths_that_there_are_not
);

async fn a_product_is_made_read_replaced_and_deleted(shop: Shop) {
    let body = json!({"sku": "A-1", "name": "Lamp", "price": {"amount": "19.9", "currency": "EUR"}});
    let made = shop.post("/v1/products", body).await;
    let product = made.expect(201);
    let path = format!("/v1/products/{}", product["id"].as_str().unwrap());
    assert_eq!(made.header("location"), path);
    assert_eq!(made.header("etag"), format!("\"{}\"", product["version"]));

    let read = shop.get(&path).await;
    assert_eq!(read.expect(200), product);
    assert_eq!(read.header("etag"), made.header("etag"));
    let seen = shop.request("GET", &path).header("if-none-match", made.header("etag"));
    let unchanged = Answer::of(seen).await;
    assert_eq!((unchanged.status, &*unchanged.text), (304, ""));
    assert_eq!(unchanged.header("etag"), made.header("etag"));

    let body = json!({"sku": "A-2", "name": "Lamp 2", "price": {"amount": "5", "currency": "JPY"}, "status": "draft"});
    let replaced = shop.send("PUT", &path, body).await;
    let after = replaced.expect(200);
    assert_eq!(
        (&after["sku"], &after["price"]["amount"], &after["status"]),
        (&json!("A-2"), &json!("5"), &json!("draft"))
    );
    assert!(after["version"].as_u64() > product["version"].as_u64());
    assert_eq!(replaced.header("etag"), format!("\"{}\"", after["version"]));
    assert_eq!(after["created_at"], product["created_at"]);

    let deleted = Answer::of(shop.request("DELETE", &path)).await;
    assert_eq!((deleted.status, &*deleted.text), (204, ""));
    shop.get(&path).await.problem(404, "not_found");
    Answer::of(shop.request("DELETE", &path)).await.problem(404, "not_found");
    shop.get(&format!("{path}/stock")).await.problem(404, "not_found");
    assert_eq!(shop.get("/v1/products").await.expect(200)["data"], json!([]));
    shop.product("A-2", 0).await;
}

async fn the_wire_form_is_exact(shop: Shop) {
    let body = json!({
        "sku": "W-1", "name": "Wire", "description": "two\nlines", "price": {"amount": "0.50", "currency": "USD"},
        "attributes": {"colour": "red", "size": {"w": 1.5, "h": [1, null]}}, "tags": ["b", "a"], "status": "active",
        "on_hand": 7.0
    });
    let made = shop.post("/v1/products", body).await;
    assert_eq!(made.header("content-type"), "application/json");
    let product = made.expect(201);
    let expected = json!({
        "id": product["id"], "sku": "W-1", "name": "Wire", "description": "two\nlines",
        "price": {"amount": "0.50", "currency": "USD"},
        "attributes": {"colour": "red", "size": {"w": 1.5, "h": [1, null]}}, "tags": ["b", "a"], "status": "active",
        "stock": {"on_hand": 7, "allocated": 0, "available": 7},
        "version": 1, "created_at": product["created_at"], "updated_at": product["updated_at"]
    });
    assert_eq!(product, expected);
    let at = product["created_at"].as_str().unwrap();
    assert!(at.len() == 24 && at.ends_with('Z') && at.as_bytes()[19] == b'.', "{at}");
    assert_eq!(product["id"].as_str().unwrap().as_bytes()[14], b'7', "a UUIDv7");
    let least = shop.post(
        "/v1/products",
        json!({"sku": "W-2", "name": "n", "price": {"amount": "1", "currency": "EUR"}}),
    );
    let least = least.await.expect(201);
    assert_eq!(
        (&least["description"], &least["tags"], &least["attributes"]),
        (&json!(""), &json!([]), &json!({}))
    );
    assert_eq!((&least["status"], &least["stock"]["on_hand"]), (&json!("active"), &json!(0)));
}

async fn a_product_is_found_by_its_sku(shop: Shop) {
    let product = shop.product("A/B é?#", 3).await;
    let path = "/v1/products/sku:A%2FB%20%C3%A9%3F%23";
    assert_eq!(shop.get(path).await.expect(200), product);
    assert_eq!(shop.get(&format!("{path}/stock")).await.expect(200)["product_id"], product["id"]);
    shop.get("/v1/products/sku:nope").await.problem(404, "not_found");
    shop.get("/v1/products/sku:").await.problem(400, "invalid_path");
    shop.get("/v1/products/sku:%20x").await.problem(400, "invalid_path");
    shop.get("/v1/products/17").await.problem(400, "invalid_path");
    shop.get("/v1/products/sku:%ff").await.problem(400, "invalid_path");
    shop.get("/v1/products/01890000-0000-7000-8000-000000000000").await.problem(404, "not_found");
}

async fn edits_say_which_version_they_saw(shop: Shop) {
    let product = shop.product("E-1", 5).await;
    let path = format!("/v1/products/{}", product["id"].as_str().unwrap());
    let patch = |tag: &'static str, name: &'static str| {
        let request = shop.request("PATCH", &path).header("if-match", tag);
        let request = request.header("content-type", "application/merge-patch+json");
        Answer::of(request.body(json!({"name": name}).to_string()))
    };
    assert_eq!(patch("\"1\"", "second").await.expect(200)["name"], "second");
    let stale = patch("\"1\"", "third").await.problem(412, "version_mismatch");
    assert_eq!(stale["current_version"], 2);
    patch("W/\"2\"", "third").await.problem(412, "version_mismatch");
    patch("\"x\"", "third").await.problem(412, "version_mismatch");
    patch("2", "third").await.problem(400, "invalid_header");
    let put = json!({"sku": "E-1", "name": "third", "price": {"amount": "1", "currency": "EUR"}});
    Answer::of(shop.request("PUT", &path).header("if-match", "\"1\"").json(&put))
        .await
        .problem(412, "version_mismatch");
    Answer::of(shop.request("DELETE", &path).header("if-match", "\"1\""))
        .await
        .problem(412, "version_mismatch");
    assert_eq!(shop.get(&path).await.expect(200)["name"], "second", "no refusal changed anything");
    assert_eq!(patch("\"9\", \"2\"", "third").await.expect(200)["version"], 3);
    assert_eq!(patch("*", "fourth").await.expect(200)["version"], 4);
    assert_eq!(Answer::of(shop.request("DELETE", &path).header("if-match", "\"4\"")).await.status, 204);
}

async fn a_merge_patch_changes_what_it_names(shop: Shop) {
    let body = json!({"sku": "P-1", "name": "n", "price": {"amount": "1", "currency": "EUR"}, "tags": ["a"],
        "attributes": {"x": {"y": 1, "z": 2}, "k": 1}, "description": "d", "on_hand": 2});
    let product = shop.post("/v1/products", body).await.expect(201);
    let path = format!("/v1/products/{}", product["id"].as_str().unwrap());
    let patch = |body: Value| {
        let request = shop.request("PATCH", &path).header("content-type", "application/merge-patch+json");
        Answer::of(request.body(body.to_string()))
    };
    let after = patch(
        json!({"attributes": {"x": {"y": null}, "k": null, "new": [1]}, "description": null, "price": {"amount": "2.5", "currency": "EUR"}}),
    );
    let after = after.await.expect(200);
    assert_eq!(after["attributes"], json!({"x": {"z": 2}, "new": [1]}));
    assert_eq!(
        (&after["description"], &after["tags"], &after["name"]),
        (&json!(""), &json!(["a"]), &json!("n"))
    );
    assert_eq!((&after["price"]["amount"], &after["stock"]), (&json!("2.50"), &product["stock"]));
    patch(json!({"name": null})).await.problem(400, "invalid_body");
    patch(json!({"stock": {"on_hand": 9}})).await.problem(400, "invalid_body");
    patch(json!({"on_hand": 9})).await.problem(400, "invalid_body");
    assert_eq!(patch(json!({"name": " "})).await.problem(422, "invalid")["errors"][0]["pointer"], "/name");
    shop.send("PATCH", &path, json!({"name": "x"})).await.problem(415, "unsupported_media_type");
    assert_eq!(shop.get(&path).await.expect(200), after);
}

async fn a_sku_is_taken_once(shop: Shop) {
    shop.product("S-1", 0).await;
    let other = shop.product("S-2", 0).await;
    let body = json!({"sku": "S-1", "name": "x", "price": {"amount": "1", "currency": "EUR"}});
    shop.post("/v1/products", body.clone()).await.problem(409, "duplicate_sku");
    let path = format!("/v1/products/{}", other["id"].as_str().unwrap());
    shop.send("PUT", &path, body).await.problem(409, "duplicate_sku");
    assert_eq!(shop.get(&path).await.expect(200), other);
}

async fn methods_and_paths_that_there_are_not(shop: Shop) {
    for (method, path, allow) in [
        ("DELETE", "/v1/products", "GET, POST, HEAD, OPTIONS"),
        ("POST", "/v1/products/x", "GET, PUT, PATCH, DELETE, HEAD, OPTIONS"),
        ("GET", "/v1/products/import", "POST, OPTIONS"),
        ("GET", "/v1/stock/check", "POST, OPTIONS"),
        ("DELETE", "/v1/reservations/x", "GET, PUT, HEAD, OPTIONS"),
        ("GET", "/v1/reservations/settle", "POST, OPTIONS"),
    ] {
        let refused = Answer::of(shop.request(method, path)).await;
        refused.problem(405, "method_not_allowed");
        assert_eq!(refused.header("allow"), allow, "{method} {path}");
    }
    shop.get("/v1/nothing").await.problem(404, "not_found");
    let product = shop.product("M-1", 0).await;
    let path = format!("/v1/products/{}", product["id"].as_str().unwrap());
    let head = Answer::of(shop.request("HEAD", &path)).await;
    assert_eq!((head.status, head.header("etag"), &*head.text), (200, "\"1\"", ""));
    let named = shop.request("GET", &path).header("x-request-id", "me-1");
    assert_eq!(Answer::of(named).await.header("x-request-id"), "me-1");
}
