use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::{Answer, Shop, new_id};

on_every_store!(
    malformed_bodies_are_told_apart,
    invalid_content_is_told_whole,
    quantities_have_a_range,
    too_many_lines_are_refused,
    a_body_of_1_gb_is_refused_by_its_length,
    an_endless_body_is_refused_unread
);

/// Nothing that is refused changes anything.
async fn unchanged(shop: &Shop, product: &Value) {
    let id = product["id"].as_str().unwrap();
    assert_eq!(&shop.get(&format!("/v1/products/{id}")).await.expect(200), product);
    assert_eq!(shop.get("/v1/products?include=total").await.expect(200)["total"], 1);
    assert_eq!(shop.get("/v1/reservations").await.expect(200)["data"], json!([]));
}

async fn malformed_bodies_are_told_apart(shop: Shop) {
    let product = shop.product("B-1", 5).await;
    let send = |content_type: &'static str, body: &'static str| {
        Answer::of(shop.request("POST", "/v1/products").header("content-type", content_type).body(body))
    };
    for body in ["", "{", "{\"sku\":", "nope", "{\"sku\":\"\u{0}\"}", "{}{}", "{\"sku\":\"\\ud800\"}"] {
        send("application/json", body).await.problem(400, "malformed_json");
    }
    for (body, pointer, code) in [
        ("[]", "", "invalid_type"),
        (
            "{\"sku\":1,\"name\":\"n\",\"price\":{\"amount\":\"1\",\"currency\":\"EUR\"}}",
            "/sku",
            "invalid_type",
        ),
        (
            "{\"sku\":\"a\",\"name\":\"n\",\"price\":{\"amount\":1,\"currency\":\"EUR\"}}",
            "/price/amount",
            "invalid_type",
        ),
        (
            "{\"sku\":\"a\",\"name\":\"n\",\"price\":{\"amount\":\"1\",\"currency\":\"EUR\"},\"colour\":1}",
            "/colour",
            "unknown_field",
        ),
        (
            "{\"sku\":\"a\",\"sku\":\"b\",\"name\":\"n\",\"price\":{\"amount\":\"1\",\"currency\":\"EUR\"}}",
            "/sku",
            "duplicate_field",
        ),
        ("{\"sku\":\"a\",\"name\":\"n\"}", "/price", "missing_field"),
        (
            "{\"sku\":\"a\",\"name\":\"n\",\"price\":{\"amount\":\"1\",\"currency\":\"EUR\"},\"on_hand\":1.5}",
            "/on_hand",
            "invalid_type",
        ),
    ] {
        let refused = send("application/json", body).await;
        refused.problem(400, "invalid_body");
        assert_eq!(refused.faults(), [(pointer.to_owned(), code.to_owned())], "{body}");
    }
    send("text/plain", "{}").await.problem(415, "unsupported_media_type");
    send("application/merge-patch+json", "{}").await.problem(415, "unsupported_media_type");
    Answer::of(shop.request("POST", "/v1/products").body("{}")).await.problem(415, "unsupported_media_type");
    unchanged(&shop, &product).await;
}

async fn invalid_content_is_told_whole(shop: Shop) {
    let product = shop.product("B-1", 5).await;
    let price = json!({"amount": "1", "currency": "EUR"});
    for (body, expected) in [
        (json!({"sku": "", "name": "n", "price": price}), vec![("/sku", "required")]),
        (json!({"sku": "x".repeat(65), "name": "n", "price": price}), vec![("/sku", "too_long")]),
        (json!({"sku": "a\u{7}", "name": "n", "price": price}), vec![("/sku", "invalid_character")]),
        (json!({"sku": "a", "name": "a\u{0}b", "price": price}), vec![("/name", "invalid_character")]),
        (json!({"sku": "a", "name": "x".repeat(1_000_000), "price": price}), vec![("/name", "too_long")]),
        (
            json!({"sku": "a", "name": "n", "price": {"amount": "1.999", "currency": "EUR"}}),
            vec![("/price/amount", "scale")],
        ),
        (
            json!({"sku": "a", "name": "n", "price": {"amount": "-1", "currency": "EUR"}}),
            vec![("/price/amount", "negative")],
        ),
        (
            json!({"sku": "a", "name": "n", "price": {"amount": "1e3", "currency": "eur"}}),
            vec![("/price/amount", "invalid"), ("/price/currency", "invalid")],
        ),
        (
            json!({"sku": "a", "name": "n", "price": price, "tags": ["x", "x"]}),
            vec![("/tags/1", "duplicate")],
        ),
        (json!({"sku": "a", "name": "n", "price": price, "on_hand": -1}), vec![("/on_hand", "out_of_range")]),
        (
            json!({"sku": "a", "name": "n", "price": price, "on_hand": 9_223_372_036_854_775_808_u64}),
            vec![("/on_hand", "out_of_range")],
        ),
        (
            json!({"sku": "a", "name": "n", "price": price, "attributes": {"": 1}}),
            vec![("/attributes/", "required")],
        ),
        (
            json!({"sku": " ", "name": "\n", "price": {"amount": "x", "currency": "EUR"}, "description": "\u{0}", "tags": [""]}),
            vec![
                ("/description", "invalid_character"),
                ("/name", "invalid_character"),
                ("/name", "required"),
                ("/price/amount", "invalid"),
                ("/sku", "invalid"),
                ("/tags/0", "required"),
            ],
        ),
    ] {
        let refused = shop.post("/v1/products", body).await;
        refused.problem(422, "invalid");
        let mut found = refused.faults();
        found.sort();
        let expected: Vec<_> = expected.into_iter().map(|(p, c)| (p.to_owned(), c.to_owned())).collect();
        assert_eq!(found, expected, "{}", refused.text);
    }
    unchanged(&shop, &product).await;
}

async fn quantities_have_a_range(shop: Shop) {
    let product = shop.product("B-1", 5).await;
    for quantity in
        ["0", "-1", "1000001", "9223372036854775807", "9223372036854775808", "1e300", "-9223372036854775809"]
    {
        let body = format!("{{\"lines\":[{{\"sku\":\"B-1\",\"quantity\":{quantity}}}]}}");
        let send = |method: &'static str, path: String| {
            Answer::of(
                shop.request(method, &path).header("content-type", "application/json").body(body.clone()),
            )
        };
        for refused in [
            send("POST", "/v1/stock/check".into()).await,
            send("PUT", format!("/v1/reservations/{}", new_id())).await,
        ] {
            refused.problem(422, "invalid");
            assert_eq!(
                refused.faults(),
                [("/lines/0/quantity".to_owned(), "out_of_range".to_owned())],
                "{quantity}"
            );
        }
    }
    for quantity in ["\"1\"", "1.5", "null", "[]", "true"] {
        let body = format!("{{\"lines\":[{{\"sku\":\"B-1\",\"quantity\":{quantity}}}]}}");
        let send =
            shop.request("POST", "/v1/stock/check").header("content-type", "application/json").body(body);
        let refused = Answer::of(send).await;
        refused.problem(400, "invalid_body");
        assert_eq!(
            refused.faults(),
            [("/lines/0/quantity".to_owned(), "invalid_type".to_owned())],
            "{quantity}"
        );
    }
    for (line, pointer, code) in [
        (json!({"quantity": 1}), "/lines/0", "required"),
        (json!({"sku": "B-1", "product_id": product["id"], "quantity": 1}), "/lines/0", "ambiguous"),
        (json!({"sku": "", "quantity": 1}), "/lines/0/sku", "required"),
    ] {
        let refused = shop.post("/v1/stock/check", json!({"lines": [line]})).await;
        refused.problem(422, "invalid");
        assert_eq!(refused.faults(), [(pointer.to_owned(), code.to_owned())]);
    }
    let refused = shop.post("/v1/stock/check", json!({"lines": [{"product_id": "17", "quantity": 1}]})).await;
    refused.problem(400, "invalid_body");
    assert_eq!(refused.faults()[0].0, "/lines/0/product_id");
    unchanged(&shop, &product).await;
}

async fn too_many_lines_are_refused(shop: Shop) {
    let product = shop.product("B-1", 5_000).await;
    let lines = |n: usize| json!({"lines": vec![json!({"sku": "B-1", "quantity": 1}); n]});
    for n in [0, 1_001] {
        let code = if n == 0 { "required" } else { "too_many" };
        for refused in [
            shop.post("/v1/stock/check", lines(n)).await,
            shop.send("PUT", &format!("/v1/reservations/{}", new_id()), lines(n)).await,
        ] {
            refused.problem(422, "invalid");
            assert_eq!(refused.faults(), [("/lines".to_owned(), code.to_owned())]);
        }
    }
    unchanged(&shop, &product).await;
    shop.send("PUT", &format!("/v1/reservations/{}", new_id()), lines(1_000)).await.expect(201);
}

/// Sends a head and some of a body, and reads the answer.
async fn raw(shop: &Shop, head: &str, chunk: &[u8], chunks: usize) -> (String, usize) {
    let stream = TcpStream::connect(shop.address()).await.unwrap();
    let (mut reader, mut writer) = stream.into_split();
    writer.write_all(head.as_bytes()).await.unwrap();
    let chunk = chunk.to_vec();
    let writing = tokio::spawn(async move {
        let mut sent = 0;
        for _ in 0..chunks {
            // The server closes once it has refused.
            if writer.write_all(&chunk).await.is_err() {
                break;
            }
            sent += chunk.len();
        }
        (sent, writer)
    });
    let mut answer = Vec::new();
    let mut buffer = [0; 4096];
    while !answer.windows(4).any(|end| end == b"\r\n\r\n") {
        let n = reader.read(&mut buffer).await.unwrap();
        assert!(n > 0, "closed without an answer");
        answer.extend_from_slice(&buffer[..n]);
    }
    drop(reader);
    let (sent, _writer) = writing.await.unwrap();
    (String::from_utf8_lossy(&answer).into_owned(), sent)
}

async fn a_body_of_1_gb_is_refused_by_its_length(shop: Shop) {
    let product = shop.product("B-1", 5).await;
    for path in ["/v1/products", "/v1/stock/check", "/v1/reservations/settle"] {
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 1000000000\r\n\r\n"
        );
        let (answer, _) = raw(&shop, &head, b"", 0).await;
        assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
        assert!(answer.contains("application/problem+json"), "{answer}");
    }
    unchanged(&shop, &product).await;
}

async fn an_endless_body_is_refused_unread(shop: Shop) {
    let product = shop.product("B-1", 5).await;
    let head = "POST /v1/products HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n";
    let chunk = [b"10000\r\n".as_slice(), &[b' '; 65_536], b"\r\n"].concat();
    let (answer, sent) = raw(&shop, head, &chunk, 16_000).await;
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
    // What a client still sends after the refusal is read for a while, to let it see the answer; never the whole gigabyte.
    assert!(sent < 200 << 20, "{sent} bytes of an endless body were taken");
    unchanged(&shop, &product).await;
}
