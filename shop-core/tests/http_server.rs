//! The HTTP kit over real sockets and in process: what a client sees, and the one event that each request leaves.
#![allow(clippy::unwrap_used, reason = "a test's helpers may")]

mod support;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use serde::Deserialize;
use serde_json::{Value, json};
use shop_core::Problem;
use shop_core::http::{
    App, Body, CancellationToken, Drained, HeaderValue, Request, Response, ResponseExt, Router, Server,
    ServerConfig, StatusCode, current_request, reply,
};
use support::{Events, Running, ask, connect, read_answer, serve};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::{Notify, mpsc};
use tower_service::Service;

/// What the handlers tell and wait for.
#[derive(Clone)]
struct Shared {
    entered: mpsc::UnboundedSender<()>,
    go: Arc<Notify>,
}

struct Fixture {
    app: App,
    entered: mpsc::UnboundedReceiver<()>,
    go: Arc<Notify>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    sku: String,
    quantity: u32,
}

fn fixture() -> Fixture {
    let (tell, entered) = mpsc::unbounded_channel();
    let go = Arc::new(Notify::new());
    let app = Router::new(Shared { entered: tell, go: go.clone() })
        .get("/v1/things/{id}", thing)
        .put("/v1/things/{id}", change)
        .post("/v1/lines", line)
        .post("/v1/unread", unread)
        .get("/v1/panic", panics)
        .get("/v1/wait", wait)
        .get("/v1/stream", stream)
        .get("/v1/broken", broken)
        .into_app(shop_core::service!("things"));
    Fixture { app, entered, go }
}

async fn thing(_: Shared, request: Request) -> Result<Response, Problem> {
    request.query::<()>()?;
    if request.if_none_match()?.is_some_and(|tags| tags.has(7)) {
        return Ok(reply::not_modified(7));
    }
    let own = current_request().map(|context| context.request_id.to_string());
    let trace = request.context().trace.trace_id.to_string();
    Ok(reply::json(StatusCode::OK, &json!({"id": request.param("id"), "request": own, "trace": trace}))?
        .with_etag(7))
}

async fn change(_: Shared, mut request: Request) -> Result<Response, Problem> {
    if let Some(tags) = request.if_match()? {
        tags.check(7)?;
    }
    request.merge_patch::<Value>().await?;
    Ok(reply::no_content())
}

async fn line(_: Shared, mut request: Request) -> Result<Response, Problem> {
    let body = request.json::<Line>().await?;
    let key = request.idempotency(&body.raw)?;
    let answer = json!({"sku": body.value.sku, "quantity": body.value.quantity, "key": key.map(|k| k.key.to_string())});
    reply::json(StatusCode::CREATED, &answer)
}

async fn unread(_: Shared, mut request: Request) -> Result<Response, Problem> {
    request.limit_body(10);
    request.bytes().await?;
    Ok(reply::no_content())
}

async fn panics(_: Shared, _: Request) -> Result<Response, Problem> {
    panic!("the secret of this handler")
}

async fn wait(shared: Shared, _: Request) -> Result<Response, Problem> {
    shared.entered.send(()).expect("the test listens");
    shared.go.notified().await;
    Ok(reply::no_content())
}

async fn stream(_: Shared, _: Request) -> Result<Response, Problem> {
    let (sender, body) = Body::channel(2);
    tokio::spawn(async move {
        for row in 0..1000 {
            if sender.send(format!("{row}\n")).await.is_err() {
                return;
            }
        }
        sender.finish().await;
    });
    Ok(reply::raw(StatusCode::OK, HeaderValue::from_static("application/x-ndjson"), body))
}

async fn broken(_: Shared, _: Request) -> Result<Response, Problem> {
    let (sender, body) = Body::channel(2);
    sender.send("half").await.expect("there is room");
    drop(sender);
    Ok(reply::raw(StatusCode::OK, HeaderValue::from_static("text/plain"), body))
}

#[tokio::test]
async fn every_refusal_is_a_problem_with_its_own_code() {
    let server = serve(fixture().app).await;
    let json = "Content-Type: application/json\r\n";
    let line = |body: &str, more: &str| {
        format!("POST /v1/lines HTTP/1.1\r\nHost: x\r\n{more}Content-Length: {}\r\n\r\n{body}", body.len())
    };
    let good = r#"{"sku":"a","quantity":1}"#;
    let cases = [
        ("GET /nothing HTTP/1.1\r\nHost: x\r\n\r\n".to_owned(), 404, "not_found"),
        ("DELETE /v1/things/1 HTTP/1.1\r\nHost: x\r\n\r\n".into(), 405, "method_not_allowed"),
        ("GET /v1/things/%ff HTTP/1.1\r\nHost: x\r\n\r\n".into(), 400, "invalid_path"),
        ("GET /v1/things/1?x=1 HTTP/1.1\r\nHost: x\r\n\r\n".into(), 400, "invalid_query"),
        ("GET /v1/things/1 HTTP/1.1\r\n\r\n".into(), 400, "invalid_host"),
        ("GET /v1/things/1 HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n".into(), 400, "invalid_host"),
        ("GET /v1/things/1 HTTP/1.1\r\nHost: x\r\nIf-None-Match: 7\r\n\r\n".into(), 400, "invalid_header"),
        ("GET /v1/panic HTTP/1.1\r\nHost: x\r\n\r\n".into(), 500, "internal"),
        (line(good, ""), 415, "unsupported_media_type"),
        (line(good, "Content-Type: text/plain\r\n"), 415, "unsupported_media_type"),
        (
            line(good, "Content-Type: application/json\r\nContent-Type: application/json\r\n"),
            400,
            "invalid_header",
        ),
        (line("{", json), 400, "malformed_json"),
        (line(r#"{"sku":"a","quantity":-1}"#, json), 400, "invalid_body"),
        (line(good, &format!("{json}Idempotency-Key: a b\r\n")), 400, "invalid_idempotency_key"),
        (
            line(good, &format!("{json}Idempotency-Key: a\r\nIdempotency-Key: a\r\n")),
            400,
            "invalid_idempotency_key",
        ),
        (
            "PUT /v1/things/1 HTTP/1.1\r\nHost: x\r\nIf-Match: W/\"7\"\r\nContent-Length: 0\r\n\r\n".into(),
            412,
            "precondition_failed",
        ),
        (
            format!("POST /v1/lines HTTP/1.1\r\nHost: x\r\n{json}Content-Length: 1073741824\r\n\r\n"),
            413,
            "body_too_large",
        ),
    ];
    for (request, status, code) in cases {
        let answer = ask(server.address, &request).await;
        assert_eq!(answer.status, status, "{request}");
        assert_eq!(answer.header("content-type"), Some("application/problem+json"), "{request}");
        let body = answer.json();
        assert_eq!((&body["code"], &body["status"]), (&json!(code), &json!(status)), "{request}");
        assert_eq!(body["request_id"].as_str(), answer.header("x-request-id"), "{request}");
        assert_eq!(body["type"], format!("urn:shop:problem:{code}"));
        assert!(!answer.body.contains("secret"), "{}", answer.body);
    }
}

#[tokio::test]
async fn good_requests_are_answered_as_http_has_it() {
    let server = serve(fixture().app).await;

    let answer = ask(
        server.address,
        "GET /v1/things/sku:AB%2FC%20%C3%A9 HTTP/1.1\r\nHost: x\r\nX-Request-Id: r-1\r\n\r\n",
    )
    .await;
    assert_eq!((answer.status, answer.header("etag")), (200, Some("\"7\"")));
    assert_eq!((&answer.json()["id"], &answer.json()["request"]), (&json!("sku:AB/C é"), &json!("r-1")));
    assert_eq!(answer.header("x-request-id"), Some("r-1"));

    let parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let answer = ask(
        server.address,
        &format!("GET /v1/things/1 HTTP/1.1\r\nHost: x\r\ntraceparent: {parent}\r\n\r\n"),
    )
    .await;
    assert_eq!(answer.json()["trace"], "4bf92f3577b34da6a3ce929d0e0e4736");
    let length = answer.body.len().to_string();

    let answer = ask(server.address, "HEAD /v1/things/1 HTTP/1.1\r\nHost: x\r\n\r\n").await;
    assert_eq!((answer.status, &*answer.body), (200, ""));
    let head_length = answer.header("content-length").unwrap();
    assert_eq!(head_length.len(), length.len(), "the length that GET would have: {head_length}");

    let answer =
        ask(server.address, "GET /v1/things/1 HTTP/1.1\r\nHost: x\r\nIf-None-Match: W/\"7\"\r\n\r\n").await;
    assert_eq!((answer.status, answer.header("etag")), (304, Some("\"7\"")));

    let answer = ask(server.address, "OPTIONS /v1/things/1 HTTP/1.1\r\nHost: x\r\n\r\n").await;
    assert_eq!((answer.status, answer.header("allow")), (204, Some("GET, PUT, HEAD, OPTIONS")));
    let answer =
        ask(server.address, "POST /v1/things/1 HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n").await;
    assert_eq!((answer.status, answer.header("allow")), (405, Some("GET, PUT, HEAD, OPTIONS")));

    let body = r#"{"sku":"a","quantity":1}"#;
    for content_type in ["application/json", "Application/JSON; charset=utf-8"] {
        let request = format!(
            "POST /v1/lines HTTP/1.1\r\nHost: x\r\nContent-Type: {content_type}\r\nIdempotency-Key: \"k\"\r\nTransfer-Encoding: chunked\r\n\r\n\
             {:x}\r\n{body}\r\n0\r\n\r\n",
            body.len()
        );
        let answer = ask(server.address, &request).await;
        assert_eq!((answer.status, &answer.json()["key"]), (201, &json!("k")));
    }

    let answer = ask(server.address, "GET /v1/stream HTTP/1.1\r\nHost: x\r\n\r\n").await;
    assert_eq!(answer.header("transfer-encoding"), Some("chunked"));
    assert_eq!(answer.body.lines().count(), 1000);
}

#[tokio::test]
async fn a_connection_is_kept_and_serves_pipelined_requests_in_order() {
    let server = serve(fixture().app).await;
    let mut socket = connect(server.address).await;
    let two = "GET /v1/things/1 HTTP/1.1\r\nHost: x\r\n\r\nGET /v1/things/2 HTTP/1.1\r\nHost: x\r\n\r\n";
    socket.write_all(two.as_bytes()).await.unwrap();
    assert_eq!(read_answer(&mut socket).await.unwrap().json()["id"], "1");
    assert_eq!(read_answer(&mut socket).await.unwrap().json()["id"], "2");
}

#[tokio::test]
async fn a_refusal_reaches_a_client_that_goes_on_sending() {
    let server = serve(fixture().app).await;
    let (mut reader, mut writer) = connect(server.address).await.into_split();
    let sending = tokio::spawn(async move {
        let head = "POST /v1/unread HTTP/1.1\r\nHost: x\r\nContent-Length: 33554432\r\n\r\n";
        writer.write_all(head.as_bytes()).await?;
        let chunk = vec![b'x'; 64 << 10];
        for _ in 0..512 {
            writer.write_all(&chunk).await?;
        }
        std::io::Result::Ok(())
    });
    sending.await.unwrap().expect("the server takes the rest without a reset");
    let mut text = Vec::new();
    reader.read_to_end(&mut text).await.expect("no reset either");
    let text = String::from_utf8(text).unwrap();
    assert!(text.starts_with("HTTP/1.1 413 ") && text.contains("body_too_large"), "{text}");
}

#[tokio::test]
async fn every_request_leaves_exactly_one_access_event() {
    let (events, _guard) = Events::capture();
    let mut fixture = fixture();
    let server = serve(fixture.app.clone()).await;

    let full = "GET /v1/things/1?a=b HTTP/1.1\r\nHost: x\r\nUser-Agent: me\r\nX-Request-Id: r-1\r\n\r\n";
    ask(server.address, full).await;
    let event = events.next("things::access").await;
    assert_eq!(event["event.dataset"], "things.access");
    assert_eq!((&event["http.request.method"], &event["url.path"]), (&json!("GET"), &json!("/v1/things/1")));
    assert_eq!((&event["url.query"], &event["user_agent.original"]), (&json!("a=b"), &json!("me")));
    assert_eq!(
        (&event["http.response.status_code"], &event["http.request.id"]),
        (&json!(400), &json!("r-1"))
    );
    assert_eq!(
        (&event["client.ip"], &event["labels.route"]),
        (&json!("127.0.0.1"), &json!("/v1/things/{id}"))
    );
    assert_eq!((&event["shop.aborted"], &event["message"]), (&json!(false), &json!("GET /v1/things/1 400")));
    assert!(event["event.duration"].as_u64().unwrap() > 0);
    assert_eq!(event["trace.id"].as_str().unwrap().len(), 32);

    // Refused before any route, and by the host check.
    ask(server.address, "GET /nothing HTTP/1.1\r\nHost: x\r\n\r\n").await;
    let event = events.next("things::access").await;
    assert_eq!((&event["http.response.status_code"], event.get("labels.route")), (&json!(404), None));
    ask(server.address, "GET /v1/things/1 HTTP/1.1\r\n\r\n").await;
    assert_eq!(events.next("things::access").await["http.response.status_code"], 400);

    // A panic, which is an event of its own too, under the same request.
    ask(server.address, "GET /v1/panic HTTP/1.1\r\nHost: x\r\n\r\n").await;
    let panic = events.next("shop_core::http").await;
    assert_eq!(panic["panic"], "the secret of this handler");
    assert_eq!(events.next("things::access").await["http.response.status_code"], 500);

    // Bodies are counted both ways.
    let body = r#"{"sku":"a","quantity":1}"#;
    let request = format!(
        "POST /v1/lines HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let answer = ask(server.address, &request).await;
    let event = events.next("things::access").await;
    assert_eq!(event["http.request.body.bytes"], body.len());
    assert_eq!(event["http.response.body.bytes"], answer.body.len());

    // A client that goes away while the handler works.
    let mut socket = connect(server.address).await;
    socket.write_all(b"GET /v1/wait HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    fixture.entered.recv().await.unwrap();
    drop(socket);
    let event = events.next("things::access").await;
    assert_eq!((&event["http.response.status_code"], &event["shop.aborted"]), (&json!(499), &json!(true)));

    // An answer that breaks off.
    let mut socket = connect(server.address).await;
    socket.write_all(b"GET /v1/broken HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    let mut text = String::new();
    let _ = socket.read_to_string(&mut text).await;
    assert!(!text.ends_with("0\r\n\r\n"), "a part must not look like the whole: {text}");
    let event = events.next("things::access").await;
    assert_eq!((&event["http.response.status_code"], &event["shop.aborted"]), (&json!(200), &json!(true)));
    assert_eq!(event["http.response.body.bytes"], 4);

    drop(server);
    assert_eq!(events.left("things::access"), 0, "one each, and no more");
}

/// What hyper refuses by itself never comes to the app, and leaves its one event all the same.
#[tokio::test]
async fn what_is_refused_before_it_is_a_request_leaves_one_access_event_too() {
    let (events, _guard) = Events::capture();
    let mut config = ServerConfig::default();
    config.header_timeout = Duration::from_millis(100);
    let server = Running::start(fixture().app, config).await;
    let head = "GET /v1/things/1 HTTP/1.1\r\nHost: x\r\n";
    let many: String = (0..101).map(|n| format!("x-{n}: y\r\n")).collect();
    let cases = [
        ("no http at all\r\n\r\n".to_owned(), 400),
        (format!("{head}Content-Length: some\r\n\r\n"), 400),
        (format!("{head}Content-Length: 1\r\nContent-Length: 2\r\n\r\nab"), 400),
        (format!("{head}x: {}\r\n\r\n", "y".repeat(1 << 20)), 431),
        (format!("{head}{many}\r\n"), 431),
        (format!("{head}Accept: a"), 408),
        // After a request that was answered, on the same connection.
        (format!("{head}\r\nno http at all\r\n\r\n"), 400),
    ];
    for (sent, status) in cases {
        let mut socket = connect(server.address).await;
        socket.write_all(sent.as_bytes()).await.unwrap();
        if sent.contains("\r\n\r\nno http") {
            assert_eq!(read_answer(&mut socket).await.unwrap().status, 200);
            assert_eq!(events.next("things::access").await["http.response.status_code"], 200);
        }
        let answer = read_answer(&mut socket).await.unwrap();
        assert_eq!(answer.status, status, "{sent:.60}");
        let event = events.next("things::access").await;
        assert_eq!(event["http.response.status_code"], status, "{sent:.60}");
        assert_eq!((event.get("url.path"), event.get("http.request.method")), (None, None), "{event:?}");
        assert_eq!((&event["client.ip"], &event["shop.aborted"]), (&json!("127.0.0.1"), &json!(false)));
        assert_eq!(event["message"], format!("- - {status}"));
        assert_eq!(event.get("http.request.id").and_then(Value::as_str), answer.header("x-request-id"));
        assert_eq!(event["http.response.body.bytes"], answer.body.len());
        if status == 408 {
            assert_eq!(answer.json()["code"], "request_timeout");
            assert_eq!(answer.json()["request_id"].as_str(), answer.header("x-request-id"));
            assert!(event["event.duration"].as_u64().unwrap() >= 100_000_000);
        }
    }
    // Who asks nothing is no request.
    let mut silent = connect(server.address).await;
    assert_eq!(silent.read(&mut [0; 1]).await.unwrap(), 0);
    server.shutdown.cancel();
    server.running.await.unwrap();
    assert_eq!(events.left("things::access"), 0, "one each, and no more");
}

#[tokio::test]
async fn a_gateway_in_the_same_process_calls_it_without_a_socket() {
    let (events, _guard) = Events::capture();
    let mut app = fixture().app;
    let request = ::http::Request::post("/v1/lines")
        .header("content-type", "application/json")
        .header("x-forwarded-for", "203.0.113.9, 10.0.0.7")
        .body(Full::new(Bytes::from_static(br#"{"sku":"a","quantity":2}"#)))
        .unwrap();
    let response = app.call(request).await.unwrap();
    assert_eq!(response.status(), 201);
    assert_eq!(events.left("things::access"), 0, "not before the body has gone");
    let body = response.into_body().collect().await.unwrap().to_bytes();
    assert_eq!(serde_json::from_slice::<Value>(&body).unwrap()["quantity"], 2);
    let event = events.next("things::access").await;
    assert_eq!(
        (&event["client.ip"], &event["network.forwarded_ip"]),
        (&json!("10.0.0.7"), &json!("203.0.113.9"))
    );

    // Dropped before it was even polled.
    drop(app.call(::http::Request::get("/v1/things/1").body(Full::new(Bytes::new())).unwrap()));
    let event = events.next("things::access").await;
    assert_eq!((&event["http.response.status_code"], &event["shop.aborted"]), (&json!(499), &json!(true)));
}

#[tokio::test]
async fn a_shutdown_finishes_what_runs_and_accepts_no_more() {
    let mut fixture = fixture();
    let server = serve(fixture.app).await;
    let mut idle = connect(server.address).await;
    idle.write_all(b"GET /v1/things/1 HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    read_answer(&mut idle).await.unwrap();
    let mut busy = connect(server.address).await;
    busy.write_all(b"GET /v1/wait HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    fixture.entered.recv().await.unwrap();

    server.shutdown.cancel();
    assert_eq!(idle.read(&mut [0; 1]).await.unwrap(), 0, "a connection without a request is closed");
    // The listener is dropped before connections are told to drain, so this is refused.
    assert!(tokio::net::TcpStream::connect(server.address).await.is_err());
    fixture.go.notify_one();
    assert_eq!(read_answer(&mut busy).await.unwrap().status, 204);
    assert_eq!(busy.read(&mut [0; 1]).await.unwrap(), 0);
    assert_eq!(server.running.await.unwrap(), Drained { aborted: 0 });
}

#[tokio::test]
async fn what_runs_past_the_deadline_is_broken_off() {
    let mut fixture = fixture();
    let mut config = ServerConfig::default();
    config.drain = Duration::ZERO;
    let server = Running::start(fixture.app, config).await;
    let mut busy = connect(server.address).await;
    busy.write_all(b"GET /v1/wait HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    fixture.entered.recv().await.unwrap();
    server.shutdown.cancel();
    assert_eq!(server.running.await.unwrap(), Drained { aborted: 1 });
    assert_eq!(busy.read(&mut [0; 1]).await.unwrap(), 0);
}

#[tokio::test]
async fn a_head_that_never_ends_is_given_up() {
    let mut config = ServerConfig::default();
    config.header_timeout = Duration::from_millis(20);
    let server = Running::start(fixture().app, config).await;
    let mut slow = connect(server.address).await;
    slow.write_all(b"GET /v1/things/1 HT").await.unwrap();
    let mut text = Vec::new();
    // Closed with or without an answer, but closed.
    let _ = slow.read_to_end(&mut text).await;
    assert!(!text.starts_with(b"HTTP/1.1 200"));
}

/// The clock goes on by itself when nobody has anything to do.
#[tokio::test(start_paused = true)]
async fn a_kept_connection_may_rest_longer_than_a_head_may_take() {
    let mut config = ServerConfig::default();
    assert!(config.idle_timeout > config.header_timeout);
    config.drain = Duration::MAX;
    let server = Running::start(fixture().app, config.clone()).await;
    let request = "GET /v1/things/1 HTTP/1.1\r\nHost: x\r\n\r\n";
    let clock = tokio::time::Instant::now;

    let mut kept = connect(server.address).await;
    for _ in 0..3 {
        kept.write_all(request.as_bytes()).await.unwrap();
        assert_eq!(read_answer(&mut kept).await.unwrap().status, 200);
        tokio::time::sleep(config.idle_timeout - Duration::from_secs(1)).await;
    }
    // A head that has begun after a rest has no longer than any.
    kept.write_all(&request.as_bytes()[..9]).await.unwrap();
    let begun = clock();
    assert_eq!(read_answer(&mut kept).await.unwrap().status, 408);
    assert_eq!(begun.elapsed().as_secs(), config.header_timeout.as_secs());

    let mut silent = connect(server.address).await;
    silent.write_all(request.as_bytes()).await.unwrap();
    assert_eq!(read_answer(&mut silent).await.unwrap().status, 200);
    let answered = clock();
    assert_eq!(silent.read(&mut [0; 1]).await.unwrap(), 0, "closed without an answer");
    assert_eq!(answered.elapsed().as_secs(), config.idle_timeout.as_secs());

    let (mut new, opened) = (connect(server.address).await, clock());
    assert_eq!(new.read(&mut [0; 1]).await.unwrap(), 0);
    assert_eq!(opened.elapsed().as_secs(), config.header_timeout.as_secs());
}

#[tokio::test]
async fn a_server_takes_any_tower_service() {
    #[derive(Clone)]
    struct Peer(std::net::SocketAddr);
    impl Service<::http::Request<hyper::body::Incoming>> for Peer {
        type Response = ::http::Response<Full<Bytes>>;
        type Error = std::convert::Infallible;
        type Future = std::future::Ready<Result<Self::Response, Self::Error>>;
        fn poll_ready(&mut self, _: &mut std::task::Context<'_>) -> std::task::Poll<Result<(), Self::Error>> {
            std::task::Poll::Ready(Ok(()))
        }
        fn call(&mut self, _: ::http::Request<hyper::body::Incoming>) -> Self::Future {
            std::future::ready(Ok(::http::Response::new(Full::new(Bytes::from(self.0.to_string())))))
        }
    }
    let make = |connection: Arc<shop_core::http::Connection>| Peer(connection.peer);
    let server = Server::bind("127.0.0.1:0".parse().unwrap(), make).await.unwrap();
    let address = server.local_addr();
    let shutdown = CancellationToken::new();
    let running = tokio::spawn(server.run(shutdown.clone()));
    let answer = ask(address, "GET / HTTP/1.1\r\nHost: x\r\n\r\n").await;
    assert!(answer.body.starts_with("127.0.0.1:"), "{}", answer.body);
    shutdown.cancel();
    running.await.unwrap();
}

#[tokio::test]
async fn an_address_in_use_is_named() {
    let server = serve(fixture().app).await;
    let error = Server::bind(server.address, fixture().app).await.unwrap_err();
    assert!(error.to_string().contains(&server.address.to_string()), "{error}");
}
