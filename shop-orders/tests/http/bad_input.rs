use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::{On, Shop, lines_of, on_every_store};

on_every_store!(
    a_faulty_order_is_a_clear_problem_and_changes_nothing,
    a_body_of_another_type_is_refused,
    a_body_without_end_is_refused,
);

/// A body, and what becomes of it: status, code, and the pointers of its faults.
type Case<'a> = (&'a str, Value, u16, &'a str, &'a [&'a str]);

async fn a_faulty_order_is_a_clear_problem_and_changes_nothing(on: On) {
    let shop = on.shop().await;
    shop.product("A", 10, "1 EUR").await;
    shop.order(&[("A", 1)]).await;
    let before = shop.state(&["A"]).await;
    let line = |quantity: Value| json!({"lines": [{"sku": "A", "quantity": quantity}]});
    let with = |name: &str, value: Value| json!({"lines": lines_of(&[("A", 1)]), name: value});
    let many: Vec<(&str, i64)> = vec![("A", 1); 1_001];
    let metadata: Value =
        (0..51).map(|n| (format!("n{n}"), json!("v"))).collect::<serde_json::Map<_, _>>().into();
    let two_to_63: Value = serde_json::from_str("9223372036854775808").unwrap();
    let id = "0198c0de-0000-7000-8000-000000000000";
    let cases: Vec<Case<'_>> = vec![
        ("not an object", json!([]), 400, "invalid_body", &[""]),
        ("null", json!(null), 400, "invalid_body", &[""]),
        ("no lines", json!({}), 400, "invalid_body", &["/lines"]),
        ("lines of another type", json!({"lines": "A"}), 400, "invalid_body", &["/lines"]),
        ("null lines", json!({"lines": null}), 400, "invalid_body", &["/lines"]),
        ("an empty order", json!({"lines": []}), 422, "invalid", &["/lines"]),
        ("1,001 lines", json!({"lines": lines_of(&many)}), 422, "invalid", &["/lines"]),
        ("quantity 0", line(json!(0)), 422, "invalid", &["/lines/0/quantity"]),
        ("a negative quantity", line(json!(-1)), 422, "invalid", &["/lines/0/quantity"]),
        ("a quantity over the limit", line(json!(1_000_001)), 422, "invalid", &["/lines/0/quantity"]),
        ("the highest quantity there is", line(json!(i64::MAX)), 422, "invalid", &["/lines/0/quantity"]),
        ("2^63", line(two_to_63), 400, "invalid_body", &["/lines/0/quantity"]),
        ("a broken quantity", line(json!(1.5)), 400, "invalid_body", &["/lines/0/quantity"]),
        ("a quantity in words", line(json!("1")), 400, "invalid_body", &["/lines/0/quantity"]),
        ("a line that is an array", json!({"lines": [["A", 1]]}), 400, "invalid_body", &["/lines/0"]),
        (
            "a total that is an array",
            with("expected_total", json!(["1", "EUR"])),
            400,
            "invalid_body",
            &["/expected_total"],
        ),
        ("no quantity", json!({"lines": [{"sku": "A"}]}), 400, "invalid_body", &["/lines/0/quantity"]),
        ("an unknown field", with("colour", json!("red")), 400, "invalid_body", &["/colour"]),
        ("a status", with("status", json!("shipped")), 400, "invalid_body", &["/status"]),
        (
            "a total",
            with("total", json!({"amount": "0", "currency": "EUR"})),
            400,
            "invalid_body",
            &["/total"],
        ),
        (
            "a price",
            json!({"lines": [{"sku": "A", "quantity": 1, "unit_price": {"amount": "0.01", "currency": "EUR"}}]}),
            400,
            "invalid_body",
            &["/lines/0/unit_price"],
        ),
        ("no product", json!({"lines": [{"quantity": 1}]}), 422, "invalid", &["/lines/0"]),
        (
            "two names of a product",
            json!({"lines": [{"sku": "A", "product_id": id, "quantity": 1}]}),
            422,
            "invalid",
            &["/lines/0"],
        ),
        (
            "a bad product id",
            json!({"lines": [{"product_id": "A", "quantity": 1}]}),
            422,
            "invalid",
            &["/lines/0/product_id"],
        ),
        ("an empty SKU", json!({"lines": [{"sku": "", "quantity": 1}]}), 422, "invalid", &["/lines/0/sku"]),
        (
            "a NUL in a SKU",
            json!({"lines": [{"sku": "A\0", "quantity": 1}]}),
            422,
            "invalid",
            &["/lines/0/sku"],
        ),
        (
            "a SKU of 65 characters",
            json!({"lines": [{"sku": "x".repeat(65), "quantity": 1}]}),
            422,
            "invalid",
            &["/lines/0/sku"],
        ),
        (
            "a null SKU",
            json!({"lines": [{"sku": null, "quantity": 1}]}),
            400,
            "invalid_body",
            &["/lines/0/sku"],
        ),
        ("an unknown SKU", json!({"lines": lines_of(&[("NOPE", 1)])}), 422, "unknown_product", &[]),
        ("a NUL in the customer", with("customer_id", json!("a\0b")), 422, "invalid", &["/customer_id"]),
        ("an empty customer", with("customer_id", json!("")), 422, "invalid", &["/customer_id"]),
        (
            "a customer that is a number",
            with("customer_id", json!(7)),
            400,
            "invalid_body",
            &["/customer_id"],
        ),
        (
            "a reference of 1 MB",
            with("reference", json!("x".repeat(1_000_000))),
            422,
            "invalid",
            &["/reference"],
        ),
        (
            "metadata that is no text",
            with("metadata", json!({"a": 1})),
            400,
            "invalid_body",
            &["/metadata/a"],
        ),
        ("too much metadata", with("metadata", metadata), 422, "invalid", &["/metadata"]),
        ("metadata without a name", with("metadata", json!({"": "a"})), 422, "invalid", &["/metadata/"]),
        ("a NUL in metadata", with("metadata", json!({"a/b": "\0"})), 422, "invalid", &["/metadata/a~1b"]),
        (
            "a total that is a float",
            with("expected_total", json!({"amount": 1.0, "currency": "EUR"})),
            400,
            "invalid_body",
            &["/expected_total/amount"],
        ),
        (
            "a total of too many decimals",
            with("expected_total", json!({"amount": "1.001", "currency": "EUR"})),
            422,
            "invalid",
            &["/expected_total/amount"],
        ),
        (
            "a total of no currency",
            with("expected_total", json!({"amount": "1", "currency": "EURO"})),
            422,
            "invalid",
            &["/expected_total/currency"],
        ),
        (
            "all at once",
            json!({"lines": [{"quantity": 0}, {"sku": "A", "quantity": -1}], "customer_id": "\0", "reference": ""}),
            422,
            "invalid",
            &["/lines/0", "/lines/0/quantity", "/lines/1/quantity", "/customer_id", "/reference"],
        ),
    ];
    for (name, body, status, code, pointers) in cases {
        let reply = shop.post("/v1/orders", &body).send().await;
        let problem = reply.problem(status, code);
        assert_eq!(problem["retryable"], false, "{name}");
        if !pointers.is_empty() {
            assert_eq!(reply.pointers(status, code), pointers, "{name}");
        }
        assert_eq!(shop.state(&["A"]).await, before, "{name}");
    }
    for malformed in ["", "{", "{\"lines\":[", "lines=A", "{\"lines\":[]} x", "\u{feff}{}", "{'lines': []}"] {
        let reply = shop.call("POST", "/v1/orders").body("application/json", malformed).send().await;
        let problem = reply.problem(400, "malformed_json");
        assert!(problem["line"].is_u64() && problem["column"].is_u64(), "{problem}");
    }
    let latin = b"{\"lines\":[{\"sku\":\"\xe9\",\"quantity\":1}]}".to_vec();
    shop.call("POST", "/v1/orders")
        .body("application/json", latin)
        .send()
        .await
        .problem(400, "malformed_json");
    let deep = format!("{{\"lines\":{}", "[".repeat(100_000));
    shop.call("POST", "/v1/orders")
        .body("application/json", deep)
        .send()
        .await
        .problem(400, "malformed_json");
    let twice = "{\"lines\":[{\"sku\":\"A\",\"quantity\":1}],\"reference\":\"a\",\"reference\":\"b\"}";
    let reply = shop.call("POST", "/v1/orders").body("application/json", twice).send().await;
    assert_eq!(reply.pointers(400, "invalid_body"), ["/reference"]);
    assert_eq!(shop.state(&["A"]).await, before);
}

async fn a_body_of_another_type_is_refused(on: On) {
    let shop = on.shop().await;
    shop.product("A", 10, "1 EUR").await;
    let body = json!({"lines": lines_of(&[("A", 1)])}).to_string();
    for other in ["text/plain", "application/merge-patch+json", "application/x-www-form-urlencoded", "json"] {
        let call = shop.call("POST", "/v1/orders").body(other, body.clone());
        call.send().await.problem(415, "unsupported_media_type");
    }
    assert_eq!(shop.stock("A").await, (10, 0));
    shop.call("POST", "/v1/orders").body("APPLICATION/JSON; charset=utf-8", body).send().await.ok(201);
}

async fn a_body_without_end_is_refused(on: On) {
    let shop = on.shop().await;
    shop.product("A", 10, "1 EUR").await;
    let order = shop.order(&[("A", 1)]).await;
    let before = shop.state(&["A"]).await;
    let id = order["id"].as_str().unwrap();
    for (method, path, content_type) in [
        ("POST", "/v1/orders".to_owned(), "application/json"),
        ("PATCH", format!("/v1/orders/{id}"), "application/merge-patch+json"),
        ("POST", format!("/v1/orders/{id}/cancel"), "application/json"),
    ] {
        let head = format!("{method} {path} HTTP/1.1\r\nhost: shop\r\ncontent-type: {content_type}\r\n");
        let announced =
            raw(&shop, format!("{head}content-length: 1073741824\r\n\r\n").into_bytes(), false).await;
        assert!(
            announced.starts_with("HTTP/1.1 413 ") && announced.contains("\"body_too_large\""),
            "{announced}"
        );
        let endless =
            raw(&shop, format!("{head}transfer-encoding: chunked\r\n\r\n").into_bytes(), true).await;
        assert!(endless.starts_with("HTTP/1.1 413 ") && endless.contains("\"body_too_large\""), "{endless}");
    }
    assert_eq!(shop.state(&["A"]).await, before);
}

/// Sends a head, and chunks for as long as the server takes any; gives the answer.
async fn raw(shop: &Shop, head: Vec<u8>, chunks: bool) -> String {
    let (mut from, mut to) = TcpStream::connect(shop.address).await.unwrap().into_split();
    to.write_all(&head).await.unwrap();
    let sending = tokio::spawn(async move {
        let chunk = format!("4000\r\n{}\r\n", " ".repeat(0x4000));
        while chunks && to.write_all(chunk.as_bytes()).await.is_ok() {}
        to
    });
    let mut answer = Vec::new();
    let reading = async {
        let mut buffer = [0; 4096];
        // The server answers, then closes on what it has not read: the answer's end is all that is waited for.
        while let Ok(read @ 1..) = from.read(&mut buffer).await {
            answer.extend_from_slice(&buffer[..read]);
            if answer.ends_with(b"}") {
                break;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(20), reading).await.expect("an answer");
    sending.abort();
    String::from_utf8(answer).unwrap()
}
