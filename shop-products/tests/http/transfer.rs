use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use shop_core::SystemClock;
use shop_core::http::{Body, RequestBody};
use shop_products::http::{ProductsHttpConfig, app};
use shop_products::store::memory::MemoryProductStore;
use shop_products::{ProductService, ProductServiceConfig};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::{Answer, Shop};

on_every_store!(
    every_row_is_answered,
    csv_is_read_as_spreadsheets_write_it,
    export_import_export_is_the_same_bytes,
    a_dry_run_changes_nothing,
    a_dry_run_says_what_the_run_would,
    what_is_longer_than_a_batch_does_not_end_the_import,
    a_body_that_breaks_off_keeps_what_was_answered,
    answers_come_while_rows_are_still_sent,
    what_cannot_be_imported_is_refused_at_once
);

async fn import(shop: &Shop, query: &str, content_type: &str, body: impl Into<reqwest::Body>) -> Vec<Value> {
    let request =
        shop.request("POST", &format!("/v1/products/import{query}")).header("content-type", content_type);
    let answer = Answer::of(request.body(body)).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    assert_eq!(answer.header("content-type"), "application/x-ndjson");
    lines(&answer.text)
}

fn lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

async fn export(shop: &Shop, query: &str) -> String {
    let answer = shop.get(&format!("/v1/products/export{query}")).await;
    assert_eq!(answer.status, 200);
    answer.text
}

fn row(sku: &str) -> Value {
    json!({"sku": sku, "name": format!("Product {sku}"), "price": {"amount": "1.50", "currency": "EUR"}, "on_hand": 3})
}

async fn every_row_is_answered(shop: Shop) {
    let there = shop.product("I-1", 5).await;
    let mut other = row("I-4");
    other["price"]["amount"] = json!("1.999");
    let same = json!({"sku": "I-1", "name": "Product I-1", "price": {"amount": "19.99", "currency": "EUR"}});
    let long = format!("{{\"sku\":\"{}\"}}", "x".repeat(1 << 20));
    let text = [
        row("I-2").to_string(),
        same.to_string(),
        "{broken".into(),
        String::new(),
        other.to_string(),
        long,
        row("I-1").to_string(),
        row("I-2").to_string(),
    ]
    .join("\r\n");
    let answers = import(&shop, "", "application/x-ndjson; charset=utf-8", text).await;
    let seen: Vec<_> =
        answers.iter().map(|a| (a["row"].as_u64().unwrap(), a["status"].as_str().unwrap())).collect();
    let expected = [
        (1, "created"),
        (2, "unchanged"),
        (3, "refused"),
        (4, "refused"),
        (5, "refused"),
        (6, "updated"),
        (7, "unchanged"),
    ];
    assert_eq!(seen, expected);
    assert_eq!(answers[1]["product_id"], there["id"]);
    assert_eq!(
        (&answers[2]["line"], &answers[2]["errors"][0]["code"]),
        (&json!(3), &json!("malformed_json"))
    );
    assert_eq!((&answers[3]["line"], &answers[3]["sku"]), (&json!(5), &json!("I-4")));
    assert_eq!(answers[3]["errors"][0]["pointer"], "/price/amount");
    assert_eq!(answers[4]["errors"][0]["code"], "row_too_long");
    let after = shop.get("/v1/products/sku:I-1").await.expect(200);
    assert_eq!((&after["id"], &after["stock"]["on_hand"]), (&there["id"], &json!(3)));
    assert_eq!(shop.get("/v1/products?include=total").await.expect(200)["total"], 2);

    let hold = json!({"lines": [{"sku": "I-1", "quantity": 3}]});
    shop.send("PUT", &format!("/v1/reservations/{}", crate::support::new_id()), hold).await.expect(201);
    let mut less = row("I-1");
    less["on_hand"] = json!(2);
    let answers = import(&shop, "", "application/x-ndjson", less.to_string()).await;
    assert_eq!(
        (&answers[0]["status"], &answers[0]["errors"][0]["code"]),
        (&json!("refused"), &json!("below_allocated"))
    );
}

async fn csv_is_read_as_spreadsheets_write_it(shop: Shop) {
    let text = "\u{feff}sku,name,description,price,currency,tags,status,on_hand,attributes\r\n\
        V-1,\"Lamp, red\",\"two\r\nlines \"\"quoted\"\"\",9.50,EUR,light|red,,4,\"{\"\"w\"\":1}\"\r\n\
        V-2,Table,,20,JPY,,draft,,\r\n\
        V-3,too,few\r\n\
        V-4,Chair,,x,EUR,,gone,many,\r\n";
    let answers = import(&shop, "", "text/csv", text).await;
    let seen: Vec<_> = answers.iter().map(|a| a["status"].as_str().unwrap()).collect();
    assert_eq!(seen, ["created", "created", "refused", "refused"]);
    assert_eq!((&answers[2]["row"], &answers[2]["line"]), (&json!(3), &json!(5)));
    assert_eq!(answers[2]["errors"][0]["code"], "wrong_field_count");
    let mut pointers: Vec<_> =
        answers[3]["errors"].as_array().unwrap().iter().map(|f| f["pointer"].as_str().unwrap()).collect();
    pointers.sort_unstable();
    assert_eq!(pointers, ["/on_hand", "/price/amount", "/status"]);
    let lamp = shop.get("/v1/products/sku:V-1").await.expect(200);
    assert_eq!(
        (&lamp["name"], &lamp["description"]),
        (&json!("Lamp, red"), &json!("two\r\nlines \"quoted\""))
    );
    assert_eq!((&lamp["tags"], &lamp["attributes"]), (&json!(["light", "red"]), &json!({"w": 1})));
    assert_eq!((&lamp["status"], &lamp["stock"]["on_hand"]), (&json!("active"), &json!(4)));
}

async fn export_import_export_is_the_same_bytes(shop: Shop) {
    let mut rows: Vec<Value> = (0..1_203).map(|n| row(&format!("X-{n:05}"))).collect();
    rows[0]["tags"] = json!(["a|b", "[c", "d\""]);
    rows[1]["tags"] = json!(["plain", "two words"]);
    rows[2]["attributes"] = json!({"b": [1, 2.5, null], "a": {"é": "\u{1F600}, \"x\"\n"}, "n": 1e300, "big": 18_446_744_073_709_551_615_u64});
    rows[3]["description"] = json!(" line\r\nline\n\"quoted\", and |\t");
    rows[4]["status"] = json!("archived");
    rows[5]["price"] = json!({"amount": "12", "currency": "JPY"});
    rows[6]["sku"] = json!("=1+1, \"x\"");
    let text: String = rows.iter().map(|row| format!("{row}\n")).collect();
    let answers = import(&shop, "", "application/x-ndjson", text).await;
    assert_eq!(answers.len(), rows.len());
    assert!(answers.iter().all(|answer| answer["status"] == "created"), "{answers:?}");

    for (format, content_type) in [("ndjson", "application/x-ndjson"), ("csv", "text/csv")] {
        let exported = export(&shop, &format!("?format={format}")).await;
        let copy = Shop::memory().await;
        let answers = import(&copy, "", content_type, exported.clone()).await;
        assert_eq!(answers.len(), rows.len());
        assert!(answers.iter().all(|answer| answer["status"] == "created"));
        assert!(export(&copy, &format!("?format={format}")).await == exported, "{format} differs");
        assert!(export(&copy, "").await == export(&shop, "").await, "what {format} carried differs");
        let again = import(&shop, "", content_type, exported).await;
        assert!(
            again.iter().all(|answer| answer["status"] == "unchanged"),
            "the same file again changes nothing"
        );
    }
    let asked = shop.request("GET", "/v1/products/export").header("accept", "text/html, text/csv;q=0.9");
    let asked = Answer::of(asked).await;
    assert!(asked.header("content-type").starts_with("text/csv"));
    assert!(asked.text.starts_with("sku,name,description,price,currency,tags,status,on_hand,attributes\n"));
    assert_eq!(shop.get("/v1/products/export").await.header("content-type"), "application/x-ndjson");
    shop.get("/v1/products/export?format=xml").await.problem(400, "invalid_query");
}

async fn a_dry_run_changes_nothing(shop: Shop) {
    let there = shop.product("D-1", 5).await;
    let text = format!("{}\n{}\nx", row("D-1"), row("D-2"));
    let answers = import(&shop, "?dry_run=true", "application/x-ndjson", text).await;
    let seen: Vec<_> = answers.iter().map(|a| a["status"].as_str().unwrap()).collect();
    assert_eq!(seen, ["updated", "created", "refused"]);
    assert!(answers[1].get("product_id").is_none(), "what was not made has no id");
    assert_eq!(shop.get("/v1/products").await.expect(200)["data"], json!([there]));
}

/// SKUs that stand in several rows, of one batch or of two.
async fn a_dry_run_says_what_the_run_would(shop: Shop) {
    let there = shop.product("D-1", 5).await;
    let original =
        json!({"sku": "D-1", "name": "Product D-1", "price": {"amount": "19.99", "currency": "EUR"}});
    let mut renamed = row("D-2");
    renamed["name"] = json!("Another name");
    let mut rows =
        vec![row("D-1"), row("D-2"), row("D-2"), renamed.clone(), row("D-3"), json!({"sku": "D-3"})];
    // More than one batch.
    rows.extend((0..1_100).map(|n| row(&format!("F-{n}"))));
    let mut more = row("F-0");
    more["on_hand"] = json!(4);
    rows.extend([renamed.clone(), row("D-1"), more, row("F-1"), original.clone(), row("D-2"), original]);
    let text: String = rows.iter().map(|row| format!("{row}\n")).collect();
    let dry = import(&shop, "?dry_run=true", "application/x-ndjson", text.clone()).await;
    for answer in &dry {
        let id = answer.get("product_id");
        assert!(id.is_none_or(|id| *id == there["id"]), "an id of no product: {answer}");
    }
    assert_eq!(shop.get("/v1/products").await.expect(200)["data"], json!([there]));
    let real = import(&shop, "", "application/x-ndjson", text).await;
    let statuses = |answers: &[Value]| {
        answers.iter().map(|a| (a["sku"].to_string(), a["status"].to_string())).collect::<Vec<_>>()
    };
    assert_eq!(statuses(&dry), statuses(&real));
    let last: Vec<_> = real[real.len() - 7..].iter().map(|a| a["status"].as_str().unwrap()).collect();
    assert_eq!(last, ["unchanged", "unchanged", "updated", "unchanged", "updated", "updated", "unchanged"]);
}

async fn what_is_longer_than_a_batch_does_not_end_the_import(shop: Shop) {
    let (long, blank) = ("x".repeat((4 << 20) + 7), "\n".repeat(3 << 20));
    let json = format!("{}\n{{\"sku\":\"{long}\"}}\n{}\n{blank}{}", row("L-1"), row("L-2"), row("L-3"));
    let csv =
        format!("sku,name,price,currency\nL-4,a,1,EUR\nL-5,{long},1,EUR\nL-6,b,1,EUR\n{blank}L-7,c,1,EUR\n");
    for (content_type, text) in [("application/x-ndjson", json), ("text/csv", csv)] {
        let answers = import(&shop, "", content_type, text).await;
        let seen: Vec<_> = answers.iter().map(|a| a["status"].as_str().unwrap()).collect();
        assert_eq!(seen, ["created", "refused", "created", "created"], "{content_type}");
        assert_eq!(answers[1]["errors"][0]["code"], "row_too_long");
    }
}

/// An import by hand: the head, then chunks.
async fn begin(shop: &Shop) -> TcpStream {
    let mut stream = TcpStream::connect(shop.address()).await.unwrap();
    let head = "POST /v1/products/import HTTP/1.1\r\nhost: x\r\ncontent-type: application/x-ndjson\r\ntransfer-encoding: chunked\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    stream
}

async fn chunk(stream: &mut TcpStream, text: &str) {
    stream.write_all(format!("{:x}\r\n{text}\r\n", text.len()).as_bytes()).await.unwrap();
}

/// Reads until the answer has this text.
async fn until(stream: &mut TcpStream, seen: &mut String, text: &str) {
    let mut buffer = [0; 4096];
    while !seen.contains(text) {
        let n = stream.read(&mut buffer).await.unwrap();
        assert!(n > 0, "closed before {text}: {seen}");
        seen.push_str(&String::from_utf8_lossy(&buffer[..n]));
    }
}

async fn answers_come_while_rows_are_still_sent(shop: Shop) {
    let (mut stream, mut seen) = (begin(&shop).await, String::new());
    chunk(&mut stream, &format!("{}\n", row("B-1"))).await;
    until(&mut stream, &mut seen, "\"sku\":\"B-1\",\"status\":\"created\"").await;
    assert!(seen.starts_with("HTTP/1.1 200 "), "{seen}");
    chunk(&mut stream, &format!("{}\n", row("B-2"))).await;
    until(&mut stream, &mut seen, "\"sku\":\"B-2\",\"status\":\"created\"").await;
    stream.write_all(b"0\r\n\r\n").await.unwrap();
    until(&mut stream, &mut seen, "\r\n0\r\n\r\n").await;
    assert!(!seen.contains("incomplete"));
}

async fn a_body_that_breaks_off_keeps_what_was_answered(shop: Shop) {
    let (mut stream, mut seen) = (begin(&shop).await, String::new());
    chunk(&mut stream, &format!("{}\n{{\"sku\":\"B-2\",\"na", row("B-1"))).await;
    until(&mut stream, &mut seen, "\"sku\":\"B-1\",\"status\":\"created\"").await;
    // The end of a chunk that is none.
    stream.write_all(b"nonsense\r\n").await.unwrap();
    until(&mut stream, &mut seen, "\"status\":\"incomplete\"").await;
    assert!(seen.contains("{\"row\":2,\"sku\":null,\"status\":\"incomplete\",\"errors\":[{\"pointer\":\"\",\"code\":\"incomplete_body\""), "{seen}");
    let list = shop.get("/v1/products").await.expect(200);
    assert_eq!(list["data"].as_array().unwrap().len(), 1, "what was answered stays, half a row is none");
}

async fn what_cannot_be_imported_is_refused_at_once(shop: Shop) {
    let send = |content_type: &'static str, body: &'static str| {
        Answer::of(
            shop.request("POST", "/v1/products/import").header("content-type", content_type).body(body),
        )
    };
    send("application/json", "{}").await.problem(415, "unsupported_media_type");
    let header = send("text/csv", "sku,colour,name\n").await;
    header.problem(400, "invalid_csv_header");
    let codes: Vec<_> = header.faults();
    assert!(codes.contains(&("/colour".into(), "unknown_column".into())), "{codes:?}");
    assert!(codes.contains(&("/price".into(), "missing_column".into())), "{codes:?}");
    assert_eq!(send("text/csv", "").await.text, "");
    assert_eq!(send("application/x-ndjson", "\n\n").await.text, "");
    let query = shop.request("POST", "/v1/products/import?dryrun=1").header("content-type", "text/csv");
    Answer::of(query).await.problem(400, "invalid_query");
}

/// Nobody reads the answers: the import must stop reading rows rather than keep their answers. Time is paused, so that it
/// passes only when nothing moves any more.
#[tokio::test(start_paused = true)]
async fn a_client_that_does_not_read_is_not_read_from() {
    let store = Arc::new(MemoryProductStore::with_clock(Arc::new(SystemClock)));
    let service = ProductService::start(store, Arc::new(SystemClock), ProductServiceConfig::default());
    let app = app(service, ProductsHttpConfig::default());
    let (rows, body) = Body::channel(1);
    let request = import_head();
    let response = app.handle(request, RequestBody::new(body)).await.unwrap();
    assert_eq!(response.status(), 200);
    let text = "not even JSON\n".repeat(5_000);
    let mut sent = 0;
    while tokio::time::timeout(Duration::from_secs(5), rows.send(text.clone()))
        .await
        .is_ok_and(|sent| sent.is_ok())
    {
        sent += text.len();
        assert!(sent < 4 << 20, "{sent} bytes were taken though nobody read an answer");
    }
    assert!(sent > 0);
    drop(response);
}

fn import_head() -> http::request::Parts {
    let request = http::Request::post("/v1/products/import").header("content-type", "application/x-ndjson");
    request.body(()).unwrap().into_parts().0
}
