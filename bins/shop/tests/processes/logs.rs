use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::support::client::{lines_of, product};
use crate::support::eventually;
use crate::support::shop::Shop;

/// All that lies in a log folder.
pub(crate) fn read(folder: &Path) -> String {
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().path()).collect();
    files.sort();
    files.iter().map(|file| std::fs::read_to_string(file).unwrap()).collect()
}

/// The events of a log.
pub(crate) fn events(text: &str) -> Vec<Value> {
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")))
        .collect()
}

/// By request id: the datasets and statuses of its access events, sorted, and their traces.
pub(crate) fn accesses(events: &[Value]) -> BTreeMap<String, (Vec<String>, Vec<String>)> {
    let mut by_request = BTreeMap::<String, (Vec<String>, Vec<String>)>::new();
    for event in events {
        let Some(dataset) = event["event"]["dataset"].as_str() else { continue };
        let entry =
            by_request.entry(event["http"]["request"]["id"].as_str().unwrap().to_owned()).or_default();
        entry.0.push(format!("{dataset} {}", event["http"]["response"]["status_code"]));
        entry.1.push(event["trace"]["id"].as_str().unwrap().to_owned());
    }
    for (accesses, traces) in by_request.values_mut() {
        accesses.sort();
        traces.sort();
        traces.dedup();
    }
    by_request
}

#[tokio::test]
async fn every_request_is_one_event_in_each_service_that_it_came_to() {
    let shop = Shop::start(&[]);
    let (client, direct) = (shop.client(), shop.direct());
    client.product("A", 5).await;
    let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
    let traced = |client: &crate::support::client::Client, method: &str, target: &str, id: &str| {
        let call = client.call(method, target).header("x-request-id", id);
        call.header("traceparent", &format!("00-{trace}-00f067aa0ba902b7-01"))
    };
    let order = json!({"lines": lines_of(&[("A", 1)])});
    let big = " ".repeat(2 << 20);
    let post = |id: &str, body: &Value| traced(&client, "POST", "/v1/orders", id).json(body).send();
    let mut expected = vec![
        ("placed", post("placed", &order).await.status, &["gateway.access 201", "orders.access 201"][..]),
        (
            "short",
            post("short", &json!({"lines": lines_of(&[("A", 9)])})).await.status,
            &["gateway.access 409", "orders.access 409"],
        ),
    ];
    for (id, call, accesses) in [
        (
            "made",
            traced(&client, "POST", "/v1/products", "made").json(&product("B", 1)),
            &["gateway.access 201", "products.access 201"][..],
        ),
        ("direct", traced(&direct, "GET", "/v1/orders", "direct"), &["orders.access 200"]),
        ("head", traced(&client, "HEAD", "/v1/orders", "head"), &["gateway.access 200", "orders.access 200"]),
        ("nowhere", traced(&client, "GET", "/nowhere", "nowhere"), &["gateway.access 404"]),
        (
            "nothing",
            traced(&client, "GET", "/v1/products/sku:X", "nothing"),
            &["gateway.access 404", "products.access 404"],
        ),
        (
            "method",
            traced(&client, "DELETE", "/v1/orders", "method"),
            &["gateway.access 405", "orders.access 405"],
        ),
        (
            "malformed",
            traced(&client, "POST", "/v1/orders", "malformed").body("application/json", "{"),
            &["gateway.access 400", "orders.access 400"],
        ),
        (
            "big",
            traced(&client, "POST", "/v1/orders", "big").body("application/json", big),
            &["gateway.access 413", "orders.access 413"],
        ),
    ] {
        expected.push((id, call.send().await.status, accesses));
    }
    for (id, status, accesses) in &expected {
        assert!(accesses.iter().all(|access| access.ends_with(&status.to_string())), "{id}: {status}");
    }
    let huge = format!(
        "POST /v1/orders HTTP/1.1\r\nhost: shop\r\nx-request-id: huge\r\ntraceparent: 00-{trace}-00f067aa0ba902b7-01\r\n\
         content-type: application/json\r\ncontent-length: 1073741824\r\n\r\n"
    );
    assert!(client.raw("/v1/orders", huge, false).await.starts_with("HTTP/1.1 413 "));
    expected.push(("huge", 413, &["gateway.access 413"]));

    // A client that goes away in the middle of its request, at the gateway and at a service.
    for (id, address) in [("gone", &shop.gateway), ("gone-direct", &shop.orders)] {
        let mut stream = TcpStream::connect(address.strip_prefix("http://").unwrap()).await.unwrap();
        let head = format!(
            "POST /v1/orders HTTP/1.1\r\nhost: shop\r\nx-request-id: {id}\r\ntraceparent: 00-{trace}-00f067aa0ba902b7-01\r\n\
             content-type: application/json\r\ncontent-length: 100\r\n\r\n{{\"lines\""
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        drop(stream);
    }
    let logs = shop.data().join("logs");
    eventually("those that went away are in the log", async || {
        // A line may be half written.
        ["gone", "gone-direct"].iter().all(|id| read(&logs).contains(&format!("\"{id}\"")))
    })
    .await;
    let (ended, dir) = shop.stop();
    assert_eq!(ended.code, 0);
    let text = read(&dir.unwrap().path().join("data/logs"));
    let events = events(&text);
    let accesses = accesses(&events);
    for (id, _, expected) in expected {
        assert_eq!(
            accesses[id],
            (expected.iter().map(|&access| access.to_owned()).collect(), vec![trace.to_owned()]),
            "{id}"
        );
    }
    for (id, services) in
        [("gone", vec!["gateway.access", "orders.access"]), ("gone-direct", vec!["orders.access"])]
    {
        let (found, traces) = &accesses[id];
        let found: Vec<_> = found.iter().map(|access| access.split(' ').next().unwrap()).collect();
        assert_eq!((found, traces), (services, &vec![trace.to_owned()]), "{id}");
    }
    // Nothing is missing, nothing is there twice, and every event has what a receiver needs. Two threads' lines may change places.
    let mut events: Vec<_> = events.iter().collect();
    events.sort_by_key(|event| event["event"]["sequence"].as_u64());
    for (sequence, event) in events.into_iter().enumerate() {
        assert_eq!(event["event"]["sequence"], sequence, "{event}");
        for name in
            ["@timestamp", "@version", "message", "host", "path", "tags", "type", "level", "logger_name"]
        {
            assert!(!event[name].is_null(), "{name}: {event}");
        }
        assert!(event["event"]["id"].is_string(), "{event}");
        let service = event["event"]["dataset"].as_str().and_then(|set| set.strip_suffix(".access"));
        assert_eq!(event["service"]["name"], service.unwrap_or("shop"), "{event}");
    }
}
