use serde_json::{Value, json};

use crate::settings::{Setting, Tested, in_every_setting};
use crate::support::client::{lines_of, path};
use crate::support::new_id;

in_every_setting!(own: no_bad_input_changes_anything);

/// All that a refused request must leave as it is.
async fn state(shop: &Tested) -> Value {
    let mut all = Vec::new();
    for target in [
        "/v1/orders?limit=500&include=total",
        "/v1/events?limit=500",
        "/v1/products?limit=500&include=total",
        "/v1/reservations?limit=500",
        "/v1/products/sku:A/stock/adjustments",
    ] {
        all.push(shop.get(target).await.ok(200));
    }
    all.into()
}

async fn no_bad_input_changes_anything(setting: Setting) {
    let shop = setting.own(&[]).await;
    shop.product("A", 10).await;
    let order = shop.order(&[("A", 1)]).await;
    shop.stock_becomes("A", 10, 1).await;
    crate::support::eventually("settled", async || {
        shop.get("/v1/reservations?state=held").await.ok(200)["data"] == json!([])
    })
    .await;
    let before = state(&shop).await;
    malformed_bodies(&shop, &order).await;
    wrong_content(&shop, &order).await;
    bodies_without_end(&shop, &order).await;
    assert_eq!(state(&shop).await, before);
}

/// Every path that takes a JSON body, with its method and type.
fn takers(order: &Value) -> Vec<(&'static str, String, &'static str)> {
    let (json, patch) = ("application/json", "application/merge-patch+json");
    vec![
        ("POST", "/v1/products".into(), json),
        ("PUT", "/v1/products/sku:A".into(), json),
        ("PATCH", "/v1/products/sku:A".into(), patch),
        ("POST", "/v1/products/sku:A/stock/adjustments".into(), json),
        ("POST", "/v1/stock/check".into(), json),
        ("PUT", format!("/v1/reservations/{}", new_id()), json),
        ("POST", "/v1/reservations/settle".into(), json),
        ("POST", "/v1/orders".into(), json),
        ("PATCH", path(order), patch),
    ]
}

async fn malformed_bodies(shop: &Tested, order: &Value) {
    for (method, target, kind) in takers(order) {
        let send = |kind: &str, body: &[u8]| shop.call(method, &target).body(kind, body.to_vec()).send();
        let deep = format!("{{\"lines\":{}", "[".repeat(100_000));
        for body in [
            b"".as_slice(),
            b"{",
            b"{\"lines\":[",
            b"nope",
            b"{}{}",
            b"\xef\xbb\xbf{}",
            b"{\"a\":\"\xe9\"}",
            deep.as_bytes(),
        ] {
            send(kind, body).await.problem(400, "malformed_json");
        }
        for body in [b"[]".as_slice(), b"null", b"7", b"\"x\""] {
            send(kind, body).await.problem(400, "invalid_body");
        }
        for (body, pointer) in [(b"{\"colour\":1}".as_slice(), "/colour"), (b"{\"a/b~\":{}}", "/a~1b~0")] {
            let refused = send(kind, body).await;
            assert!(refused.pointers(400, "invalid_body").contains(&pointer.to_owned()), "{refused:?}");
        }
        for other in ["text/plain", "application/x-www-form-urlencoded", "json"] {
            send(other, b"{}").await.problem(415, "unsupported_media_type");
        }
        if kind == "application/json" {
            send("application/merge-patch+json", b"{}").await.problem(415, "unsupported_media_type");
        }
    }
    for action in ["cancel", "ship", "deliver"] {
        let call = shop.call("POST", &format!("{}/{action}", path(order)));
        call.body("application/json", "{\"why\":1}").send().await.problem(400, "invalid_body");
    }
}

async fn wrong_content(shop: &Tested, order: &Value) {
    let price = json!({"amount": "1", "currency": "EUR"});
    let new = |name: &str, value: Value| {
        let mut body = json!({"sku": "B", "name": "n", "price": price});
        body[name] = value;
        body
    };
    let quantity = |value: Value| json!({"lines": [{"sku": "A", "quantity": value}]});
    let two_to_63: Value = serde_json::from_str("9223372036854775808").unwrap();
    let many: Vec<_> = vec![("A", 1); 1_001];
    let a_megabyte = "x".repeat(1_000_000);
    let hold = format!("/v1/reservations/{}", new_id());
    let adjust = "/v1/products/sku:A/stock/adjustments";
    for (name, method, target, body, statuses, pointer) in [
        ("a name of 1 MB", "POST", "/v1/products", new("name", json!(a_megabyte)), &[422][..], "/name"),
        ("a NUL in a name", "POST", "/v1/products", new("name", json!("a\0b")), &[422], "/name"),
        ("a NUL in a SKU", "POST", "/v1/products", new("sku", json!("a\0b")), &[422], "/sku"),
        ("a SKU of 65", "POST", "/v1/products", new("sku", json!("x".repeat(65))), &[422], "/sku"),
        ("a SKU that is a number", "POST", "/v1/products", new("sku", json!(1)), &[400], "/sku"),
        ("2^63 on hand", "POST", "/v1/products", new("on_hand", two_to_63.clone()), &[400, 422], "/on_hand"),
        ("-1 on hand", "POST", "/v1/products", new("on_hand", json!(-1)), &[422], "/on_hand"),
        (
            "a price that is a float",
            "POST",
            "/v1/products",
            new("price", json!({"amount": 1.5, "currency": "EUR"})),
            &[400],
            "/price/amount",
        ),
        (
            "too many decimals",
            "POST",
            "/v1/products",
            new("price", json!({"amount": "1.999", "currency": "EUR"})),
            &[422],
            "/price/amount",
        ),
        (
            "a negative price",
            "POST",
            "/v1/products",
            new("price", json!({"amount": "-1", "currency": "EUR"})),
            &[422],
            "/price/amount",
        ),
        (
            "no currency",
            "POST",
            "/v1/products",
            new("price", json!({"amount": "1", "currency": "XYZ"})),
            &[422],
            "/price/currency",
        ),
        (
            "a status that is none",
            "POST",
            "/v1/products",
            new("status", json!("gone")),
            &[400, 422],
            "/status",
        ),
        ("2^63 more", "POST", adjust, json!({"delta": two_to_63, "reason": "x"}), &[400, 422], "/delta"),
        ("a NUL in a reason", "POST", adjust, json!({"delta": 1, "reason": "\0"}), &[422], "/reason"),
        ("no products", "POST", "/v1/orders", json!({"lines": []}), &[422], "/lines"),
        ("1,001 lines", "POST", "/v1/orders", json!({"lines": lines_of(&many)}), &[422], "/lines"),
        ("1,001 lines held", "PUT", &hold, json!({"lines": lines_of(&many)}), &[422], "/lines"),
        (
            "a price of one's own",
            "POST",
            "/v1/orders",
            json!({"lines": [{"sku": "A", "quantity": 1, "unit_price": price}]}),
            &[400],
            "/lines/0/unit_price",
        ),
        (
            "a status of one's own",
            "POST",
            "/v1/orders",
            json!({"lines": lines_of(&[("A", 1)]), "status": "shipped"}),
            &[400],
            "/status",
        ),
        (
            "a NUL in a customer",
            "POST",
            "/v1/orders",
            json!({"lines": lines_of(&[("A", 1)]), "customer_id": "\0"}),
            &[422],
            "/customer_id",
        ),
        (
            "a reference of 1 MB",
            "POST",
            "/v1/orders",
            json!({"lines": lines_of(&[("A", 1)]), "reference": a_megabyte}),
            &[422],
            "/reference",
        ),
        (
            "metadata of numbers",
            "POST",
            "/v1/orders",
            json!({"lines": lines_of(&[("A", 1)]), "metadata": {"a": 1}}),
            &[400],
            "/metadata/a",
        ),
    ] {
        refused(shop, name, method, target, &body, statuses, pointer).await;
    }
    for (name, value, statuses) in [
        ("quantity 0", json!(0), &[422][..]),
        ("a negative quantity", json!(-1), &[422]),
        ("a quantity over the limit", json!(1_000_001), &[422]),
        ("2^63", two_to_63, &[400, 422]),
        ("half a unit", json!(1.5), &[400]),
        ("a quantity in words", json!("1"), &[400]),
        ("no quantity", Value::Null, &[400]),
    ] {
        for (method, target) in [("POST", "/v1/orders"), ("PUT", &hold), ("POST", "/v1/stock/check")] {
            refused(shop, name, method, target, &quantity(value.clone()), statuses, "/lines/0/quantity")
                .await;
        }
    }
    shop.post("/v1/orders", &json!({"lines": lines_of(&[("NOPE", 1)])}))
        .await
        .problem(422, "unknown_product");
    let all = json!({"lines": [{"quantity": 0}, {"sku": "A", "quantity": -1}], "customer_id": "\0"});
    let expected = ["/customer_id", "/lines/0", "/lines/0/quantity", "/lines/1/quantity"];
    assert_eq!(shop.post("/v1/orders", &all).await.pointers(422, "invalid"), expected, "all faults at once");
    for tag in ["\"9\"", "W/\"1\""] {
        let stale = shop.call("DELETE", &path(order)).header("if-match", tag).send().await;
        stale.problem(412, "version_mismatch");
        let stale = shop.call("DELETE", "/v1/products/sku:A").header("if-match", tag).send().await;
        stale.problem(412, "version_mismatch");
    }
}

async fn refused(
    shop: &Tested,
    name: &str,
    method: &str,
    target: &str,
    body: &Value,
    statuses: &[u16],
    pointer: &str,
) {
    let reply = shop.call(method, target).json(body).send().await;
    assert!(statuses.contains(&reply.status), "{name}: {method} {target}: {reply:?}");
    let code = if reply.status == 400 { "invalid_body" } else { "invalid" };
    assert_eq!(reply.pointers(reply.status, code), [pointer], "{name}: {method} {target}");
    assert_eq!(reply.problem(reply.status, code)["retryable"], false, "{name}");
}

async fn bodies_without_end(shop: &Tested, order: &Value) {
    for (method, target, kind) in takers(order) {
        let head = format!("{method} {target} HTTP/1.1\r\nhost: shop\r\ncontent-type: {kind}\r\n");
        for (rest, endless) in
            [("content-length: 1073741824\r\n\r\n", false), ("transfer-encoding: chunked\r\n\r\n", true)]
        {
            let answer = shop.raw(&target, format!("{head}{rest}"), endless).await;
            assert!(answer.starts_with("HTTP/1.1 413 "), "{method} {target}: {answer}");
            assert!(
                answer.contains("application/problem+json") && answer.contains("\"body_too_large\""),
                "{answer}"
            );
        }
    }
}
