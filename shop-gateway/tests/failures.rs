//! What the gateway answers when a client or an upstream does not keep the rules.
#![allow(clippy::unwrap_used)]

mod support;

use std::net::TcpListener as StdListener;

use support::{Running, Upstream, config_for, millis, ok};

/// A port on which nobody listens.
fn closed_port() -> u16 {
    StdListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

#[tokio::test]
async fn an_upstream_that_refuses_is_502() {
    let running = Running::start(config_for(format!("127.0.0.1:{}", closed_port()))).await;
    let mut client = running.client().await;
    let res = client.get("/").await;
    assert_eq!((res.status(), res.code().as_str()), (502, "upstream_unreachable"));
    assert_eq!(res.problem()["retryable"], true);
    assert!(!res.text().contains("127.0.0.1"), "the client is told nothing of the inside");
    // The client's connection lives on.
    assert_eq!(client.get("/").await.status(), 502);
    let gone = Running::start(config_for("unix:/nonexistent/up.sock")).await;
    assert_eq!(gone.client().await.get("/").await.status(), 502);
}

#[tokio::test]
async fn a_name_without_an_address_is_503() {
    let running = Running::start(config_for("no-such-host.invalid:80")).await;
    let res = running.client().await.get("/").await;
    assert_eq!((res.status(), res.code().as_str()), (503, "no_endpoint"));
    assert_eq!(res.header("retry-after").unwrap(), "1");
}

#[tokio::test]
async fn a_silent_upstream_is_504() {
    let (addr, mut connections) = Upstream::by_hand().await;
    let mut config = config_for(addr);
    config.upstreams.get_mut("up").unwrap().response_timeout = millis(100);
    let running = Running::start(config).await;
    let res = running.client().await.get("/").await;
    assert_eq!((res.status(), res.code().as_str()), (504, "upstream_timeout"));
    // The connection, on which an answer may still come, is gone.
    let mut up = connections.recv().await.unwrap();
    up.head().await.unwrap();
    assert!(up.is_closed().await);
    assert_eq!(running.gateway.idle_connections(), 0);
}

#[tokio::test]
async fn an_upstream_that_falls_silent_aborts_the_answer() {
    let (addr, mut connections) = Upstream::by_hand().await;
    let mut config = config_for(addr);
    config.upstreams.get_mut("up").unwrap().response_timeout = millis(100);
    let running = Running::start(config).await;
    let mut client = running.client().await;
    client.send("GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
    let mut up = connections.recv().await.unwrap();
    up.head().await.unwrap();
    up.send("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n").await;
    let res = client.response().await;
    assert!(res.truncated, "{res:?}");
    assert_eq!(res.body, b"ok");
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_never_a_clean_end() {
    for start in [
        "HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nhalf\r\n",
    ] {
        let (addr, mut connections) = Upstream::by_hand().await;
        let running = Running::start(config_for(addr)).await;
        let mut client = running.client().await;
        client.send("GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
        let mut up = connections.recv().await.unwrap();
        up.head().await.unwrap();
        up.send(start).await;
        drop(up);
        let res = client.response().await;
        assert!(res.truncated, "{res:?}");
        assert_eq!(res.body, b"half");
    }
}

#[tokio::test]
async fn an_answer_that_ends_with_its_connection_is_whole() {
    let upstream =
        Upstream::start(|_| Some(b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\nall of it".to_vec())).await;
    let running = Running::start(config_for(upstream.addr)).await;
    let res = running.client().await.get("/").await;
    assert!(!res.truncated);
    assert_eq!(res.text(), "all of it");
}

#[tokio::test]
async fn answers_that_are_not_proper_http_are_502() {
    for (case, answer) in [
        ("two lengths", "HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 2\r\n\r\nok"),
        ("lengths that differ", "HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\nok"),
        ("a bad length", "HTTP/1.1 200 OK\r\ncontent-length: +2\r\n\r\nok"),
        (
            "both framings",
            "HTTP/1.1 200 OK\r\ncontent-length: 2\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
        ),
        ("an unknown coding", "HTTP/1.1 200 OK\r\ntransfer-encoding: foo\r\n\r\nok"),
        (
            "chunked twice",
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        ),
        ("an upgrade unasked", "HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\n\r\n"),
        ("no HTTP", "hello\r\n\r\n"),
        ("nothing", ""),
    ] {
        let upstream =
            Upstream::start(move |_| (!answer.is_empty()).then(|| answer.as_bytes().to_vec())).await;
        let running = Running::start(config_for(upstream.addr)).await;
        let res = running.client().await.get("/").await;
        assert_eq!((res.status(), res.code().as_str()), (502, "bad_upstream_response"), "{case}");
        assert_eq!(running.gateway.idle_connections(), 0, "{case}");
    }
}

#[tokio::test]
async fn a_body_over_the_limit_is_413_by_its_length_and_as_it_comes() {
    let upstream = Upstream::echo().await;
    let mut config = config_for(upstream.addr);
    config.gateway.limits.max_body.0 = 10;
    let running = Running::start(config).await;
    let mut client = running.client().await;
    client.send("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 11\r\n\r\n").await;
    let res = client.response().await;
    assert_eq!((res.status(), res.code().as_str()), (413, "body_too_large"));
    assert_eq!(res.header("connection").unwrap(), "close");
    assert!(upstream.seen().is_empty(), "it was refused before anything was sent");

    let mut client = running.client().await;
    client.send("POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n8\r\n12345678\r\n").await;
    client.send("8\r\n12345678\r\n").await;
    let res = client.response().await;
    assert_eq!((res.status(), res.code().as_str()), (413, "body_too_large"));

    let ten = running
        .client()
        .await
        .ask("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 10\r\n\r\n0123456789")
        .await;
    assert_eq!(ten.status(), 200);
}

#[tokio::test]
async fn heads_over_the_limits() {
    let upstream = Upstream::echo().await;
    let mut config = config_for(upstream.addr);
    config.gateway.limits.max_uri.0 = 100;
    config.gateway.limits.max_header.0 = 1000;
    let running = Running::start(config).await;
    let res = running.client().await.get(&format!("/{}", "x".repeat(100))).await;
    assert_eq!((res.status(), res.code().as_str()), (414, "uri_too_long"));
    let long = format!("GET / HTTP/1.1\r\nhost: a\r\nx: {}\r\n\r\n", "x".repeat(1000));
    let res = running.client().await.ask(&long).await;
    assert_eq!((res.status(), res.code().as_str()), (431, "headers_too_large"));
    // Far over them the head is not even read to its end.
    let endless = format!("GET / HTTP/1.1\r\nhost: a\r\nx: {}", "x".repeat(100_000));
    let mut client = running.client().await;
    client.send(endless).await;
    assert_eq!(client.response().await.status(), 431);
    let many = format!("GET / HTTP/1.1\r\nhost: a\r\n{}\r\n", "x: y\r\n".repeat(101));
    assert_eq!(running.client().await.ask(&many).await.status(), 431);
    assert!(upstream.seen().is_empty());
}

#[tokio::test]
async fn requests_that_break_the_rules_are_400_and_reach_nobody() {
    let upstream = Upstream::echo().await;
    let running = Running::start(config_for(upstream.addr)).await;
    for (case, head) in [
        ("no host", "GET / HTTP/1.1\r\n\r\n"),
        ("two hosts", "GET / HTTP/1.1\r\nhost: a\r\nhost: a\r\n\r\n"),
        ("an empty host", "GET / HTTP/1.1\r\nhost:\r\n\r\n"),
        ("a host that is none", "GET / HTTP/1.1\r\nhost: a/b\r\n\r\n"),
        (
            "lengths that differ",
            "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nx",
        ),
        ("a bad length", "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: +1\r\n\r\nx"),
        (
            "an unknown coding",
            "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        ),
        ("a space before the colon", "GET / HTTP/1.1\r\nhost : a\r\n\r\n"),
        ("a folded line", "GET / HTTP/1.1\r\nhost: a\r\nx: 1\r\n 2\r\n\r\n"),
        ("no HTTP", "hello\r\n\r\n"),
    ] {
        let mut client = running.client().await;
        let res = client.ask(head).await;
        assert_eq!(res.status(), 400, "{case}");
        assert!(client.is_closed().await, "{case}");
    }
    assert!(upstream.seen().is_empty());
}

#[tokio::test]
async fn a_slow_head_is_408_and_an_idle_connection_is_closed() {
    let upstream = Upstream::echo().await;
    let mut config = config_for(upstream.addr);
    config.gateway.limits.header_timeout = millis(100);
    config.gateway.limits.idle_timeout = millis(300);
    let running = Running::start(config).await;
    // Begun, not finished.
    let mut slow = running.client().await;
    slow.send("GET / HTTP/1.1\r\nho").await;
    let res = slow.response().await;
    assert_eq!((res.status(), res.code().as_str()), (408, "request_timeout"));
    assert!(slow.is_closed().await);
    // Nothing at all.
    assert!(running.client().await.is_closed().await);
    // A second request begun and not finished, after a first that was answered.
    let mut second = running.client().await;
    assert_eq!(second.get("/").await.status(), 200);
    second.send("GET / HTTP/1.1\r\n").await;
    assert_eq!(second.response().await.status(), 408);
    // No second request.
    let mut idle = running.client().await;
    assert_eq!(idle.get("/").await.status(), 200);
    assert!(idle.is_closed().await);
}

#[tokio::test]
async fn a_body_that_stops_coming_is_408() {
    let (addr, mut connections) = Upstream::by_hand().await;
    let mut config = config_for(addr);
    config.gateway.limits.body_timeout = millis(200);
    // Shorter than the client may take: an upstream owes nothing while the client is slow.
    config.upstreams.get_mut("up").unwrap().response_timeout = millis(50);
    let running = Running::start(config).await;
    let mut client = running.client().await;
    client.send("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 10\r\n\r\nhalf").await;
    let res = client.response().await;
    assert_eq!((res.status(), res.code().as_str()), (408, "request_timeout"));
    let mut up = connections.recv().await.unwrap();
    up.head().await.unwrap();
    assert_eq!(up.exactly(4).await.unwrap(), b"half");
    assert!(up.is_closed().await, "the upstream must see that the request broke off");
}

#[tokio::test]
async fn a_client_that_leaves_midway_frees_the_upstream() {
    let (addr, mut connections) = Upstream::by_hand().await;
    let running = Running::start(config_for(addr)).await;
    let mut client = running.client().await;
    client.send("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 10\r\n\r\nhalf").await;
    let mut up = connections.recv().await.unwrap();
    up.head().await.unwrap();
    assert_eq!(up.exactly(4).await.unwrap(), b"half");
    drop(client);
    assert!(up.is_closed().await);
    // Nobody else is disturbed.
    let mut next = running.client().await;
    next.send("GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
    let mut up = connections.recv().await.unwrap();
    up.head().await.unwrap();
    up.send(ok("next")).await;
    assert_eq!(next.response().await.text(), "next");
}
