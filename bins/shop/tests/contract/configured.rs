use serde_json::json;

use crate::settings::{Setting, in_every_setting};
use crate::support::client::{lines_of, path, product};

in_every_setting!(own: versions_and_keys_can_be_required);

async fn versions_and_keys_can_be_required(setting: Setting) {
    let shop = setting
        .own(&[
            ("SHOP__ORDERS__REQUIRE_IF_MATCH", "true"),
            ("SHOP__PRODUCTS__REQUIRE_IF_MATCH", "true"),
            ("SHOP__ORDERS__REQUIRE_IDEMPOTENCY_KEY", "true"),
            ("SHOP__PRODUCTS__REQUIRE_IDEMPOTENCY_KEY", "true"),
        ])
        .await;
    let lamp = product("A", 10);
    shop.post("/v1/products", &lamp).await.problem(400, "idempotency_key_required");
    let made = shop.call("POST", "/v1/products").header("idempotency-key", "lamp").json(&lamp);
    made.send().await.ok(201);
    let body = json!({"lines": lines_of(&[("A", 1)])});
    shop.post("/v1/orders", &body).await.problem(400, "idempotency_key_required");
    let keyed = |target: &str, key: &str| shop.call("POST", target).header("idempotency-key", key);
    let order = keyed("/v1/orders", "k").json(&body).send().await.ok(201);
    shop.act(&order, "ship").await.problem(400, "idempotency_key_required");

    let put = json!({"sku": "A", "name": "x", "price": lamp["price"]});
    for refused in [
        shop.patch(&path(&order), &json!({"reference": "x"})).await,
        shop.delete(&path(&order)).await,
        shop.patch("/v1/products/sku:A", &json!({"name": "x"})).await,
        shop.put("/v1/products/sku:A", &put).await,
        shop.delete("/v1/products/sku:A").await,
    ] {
        refused.problem(428, "if_match_required");
    }
    assert_eq!(shop.get(&path(&order)).await.ok(200), order);
    let named = shop.call("PUT", "/v1/products/sku:A").header("if-match", "*").json(&put);
    assert_eq!(named.send().await.ok(200)["name"], "x");
    shop.call("DELETE", &path(&order)).header("if-match", "\"1\"").send().await.empty(204);
}
