//! Messages on their way through: headers, bodies, connections.
#![allow(clippy::unwrap_used)]

mod support;

use shop_gateway::UpstreamConfig;
use support::{PATIENCE, Running, Upstream, Wire, config_for, ok};
use tokio::io::AsyncWriteExt;
use tokio::net::UnixListener;

#[tokio::test]
async fn hop_by_hop_headers_stay_on_their_hop_in_both_directions() {
    let upstream = Upstream::start(|_| {
        Some(
            b"HTTP/1.1 200 OK\r\nconnection: x-their-hop\r\nConnection: X-Other\r\nx-their-hop: 1\r\nx-other: 2\r\n\
              keep-alive: timeout=5\r\nproxy-connection: x\r\nupgrade: h2c\r\nx-end: kept\r\nset-cookie: a=1\r\n\
              set-cookie: b=2\r\ncontent-length: 2\r\n\r\nok"
                .to_vec(),
        )
    })
    .await;
    let running = Running::start(config_for(upstream.addr)).await;
    let res = running
        .client()
        .await
        .ask(
            "GET /x?q=%20a HTTP/1.1\r\nHost: shop.example\r\nConnection: keep-alive, X-One\r\nConnection: x-two\r\n\
             X-One: 1\r\nX-Two: 2\r\nKeep-Alive: timeout=9\r\nUpgrade: websocket\r\nTE: trailers, deflate\r\n\
             Proxy-Authorization: secret\r\nX-End: kept\r\n\r\n",
        )
        .await;
    let seen = upstream.last();
    assert_eq!(seen.start_line(), "GET /x?q=%20a HTTP/1.1");
    for gone in
        ["connection", "x-one", "x-two", "keep-alive", "upgrade", "proxy-authorization", "transfer-encoding"]
    {
        assert!(seen.header(gone).is_none(), "{gone}: {}", seen.head);
    }
    assert_eq!(seen.header("te").unwrap(), "trailers");
    assert_eq!(seen.header("x-end").unwrap(), "kept");
    assert_eq!(seen.all("host"), ["shop.example"]);
    for gone in ["connection", "x-their-hop", "x-other", "keep-alive", "proxy-connection", "upgrade"] {
        assert!(res.header(gone).is_none(), "{gone}: {}", res.head);
    }
    assert_eq!(res.header("x-end").unwrap(), "kept");
    assert_eq!(res.all("set-cookie"), ["a=1", "b=2"]);
    assert_eq!(res.text(), "ok");
}

#[tokio::test]
async fn who_the_client_is_the_gateway_says() {
    let upstream = Upstream::echo().await;
    let running = Running::start(config_for(upstream.addr)).await;
    running
        .client()
        .await
        .ask(
            "GET / HTTP/1.1\r\nhost: shop.example:8080\r\nx-forwarded-for: 6.6.6.6\r\nx-forwarded-for: 7.7.7.7\r\n\
             x-forwarded-proto: https\r\nx-forwarded-host: evil\r\nforwarded: for=6.6.6.6\r\nx-real-ip: 6.6.6.6\r\n\r\n",
        )
        .await;
    let seen = upstream.last();
    assert_eq!(seen.all("x-forwarded-for"), ["127.0.0.1"]);
    assert_eq!(seen.all("x-forwarded-proto"), ["http"]);
    assert_eq!(seen.all("x-forwarded-host"), ["shop.example:8080"]);
    assert!(seen.header("forwarded").is_none() && seen.header("x-real-ip").is_none());
}

#[tokio::test]
async fn request_ids_are_taken_or_made_and_returned() {
    let upstream = Upstream::start(|_| {
        Some(b"HTTP/1.1 200 OK\r\nx-request-id: theirs\r\ncontent-length: 0\r\n\r\n".to_vec())
    })
    .await;
    let running = Running::start(config_for(upstream.addr)).await;
    let mut client = running.client().await;
    let res = client.ask("GET / HTTP/1.1\r\nhost: a\r\nx-request-id: order-7\r\n\r\n").await;
    assert_eq!(res.all("x-request-id"), ["order-7"]);
    assert_eq!(upstream.last().all("x-request-id"), ["order-7"]);
    for bad in ["x y".to_owned(), "x".repeat(129), "a\r\nx-request-id: b".to_owned()] {
        let res = client.ask(&format!("GET / HTTP/1.1\r\nhost: a\r\nx-request-id: {bad}\r\n\r\n")).await;
        let made = res.all("x-request-id");
        assert_eq!(made.len(), 1);
        assert_eq!(made[0].len(), 36, "{made:?}");
        assert_eq!(upstream.last().all("x-request-id"), made);
    }
    // Refusals carry it, too.
    let refused = client.ask("GET /../x HTTP/1.1\r\nhost: a\r\nx-request-id: order-8\r\n\r\n").await;
    assert_eq!(refused.problem()["request_id"], "order-8");
}

#[tokio::test]
async fn traces_are_followed_or_begun() {
    let upstream = Upstream::echo().await;
    let running = Running::start(config_for(upstream.addr)).await;
    let mut client = running.client().await;
    let parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    client
        .ask(&format!("GET / HTTP/1.1\r\nhost: a\r\ntraceparent: {parent}\r\ntracestate: v=1\r\n\r\n"))
        .await;
    let seen = upstream.last();
    let child = seen.header("traceparent").unwrap();
    assert_eq!(child[..36], parent[..36]);
    assert_ne!(child[36..52], parent[36..52]);
    assert_eq!(seen.header("tracestate").unwrap(), "v=1");
    client.ask("GET / HTTP/1.1\r\nhost: a\r\ntraceparent: nonsense\r\ntracestate: v=1\r\n\r\n").await;
    let seen = upstream.last();
    assert_eq!(seen.header("traceparent").unwrap().len(), 55);
    assert!(seen.header("tracestate").is_none());
}

#[tokio::test]
async fn a_request_streams() {
    let (addr, mut connections) = Upstream::by_hand().await;
    let running = Running::start(config_for(addr)).await;
    let mut client = running.client().await;
    // The second half is sent only once the first has arrived.
    client.send("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 10\r\n\r\nfirst").await;
    let mut up = connections.recv().await.unwrap();
    let head = up.head().await.unwrap();
    assert!(head.contains("content-length: 10\r\n"), "{head}");
    assert_eq!(up.exactly(5).await.unwrap(), b"first");
    client.send("other").await;
    assert_eq!(up.exactly(5).await.unwrap(), b"other");
    up.send(ok("")).await;
    assert_eq!(client.response().await.status(), 200);

    client.send("PUT / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n5\r\nfirst\r\n").await;
    assert!(up.head().await.unwrap().contains("transfer-encoding: chunked\r\n"));
    assert_eq!(up.chunk().await.unwrap(), b"first");
    client.send("0\r\n\r\n").await;
    assert_eq!(up.chunk().await.unwrap(), b"");
    up.send(ok("")).await;
    assert_eq!(client.response().await.status(), 200);
}

#[tokio::test]
async fn a_response_streams() {
    let (addr, mut connections) = Upstream::by_hand().await;
    let running = Running::start(config_for(addr)).await;
    let mut client = running.client().await;
    client.send("GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
    let mut up = connections.recv().await.unwrap();
    up.head().await.unwrap();
    up.send("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nfirst\r\n").await;
    assert!(client.head().await.unwrap().contains("transfer-encoding: chunked\r\n"));
    assert_eq!(client.chunk().await.unwrap(), b"first");
    up.send("5\r\nother\r\n").await;
    assert_eq!(client.chunk().await.unwrap(), b"other");
    up.send("0\r\n\r\n").await;
    assert_eq!(client.chunk().await.unwrap(), b"");
    // By length, on the same connections.
    client.send("GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
    up.head().await.unwrap();
    up.send("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nfirst").await;
    client.head().await.unwrap();
    assert_eq!(client.exactly(5).await.unwrap(), b"first");
    up.send("other").await;
    assert_eq!(client.exactly(5).await.unwrap(), b"other");
}

#[tokio::test]
async fn a_large_body_passes_both_ways_with_a_slow_reader_at_each_end() {
    const SIZE: usize = 8 << 20;
    let (addr, mut connections) = Upstream::by_hand().await;
    let running = Running::start(config_for(addr)).await;
    let client = running.client().await;
    let (mut read, mut write) = client.stream.into_split();
    let upload = tokio::spawn(async move {
        write
            .write_all(format!("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: {SIZE}\r\n\r\n").as_bytes())
            .await
            .unwrap();
        write.write_all(&vec![b'u'; SIZE]).await.unwrap();
        write
    });
    let mut up = connections.recv().await.unwrap();
    up.head().await.unwrap();
    assert!(up.exactly(SIZE).await.unwrap().iter().all(|&b| b == b'u'));
    let _write = upload.await.unwrap();
    let download = tokio::spawn(async move {
        up.send(format!("HTTP/1.1 200 OK\r\ncontent-length: {SIZE}\r\n\r\n")).await;
        up.send(vec![b'd'; SIZE]).await;
    });
    let mut received = Vec::new();
    let mut chunk = vec![0; 10_000];
    while received.len() < SIZE {
        let n = tokio::io::AsyncReadExt::read(&mut read, &mut chunk).await.unwrap();
        assert_ne!(n, 0);
        received.extend_from_slice(&chunk[..n]);
    }
    download.await.unwrap();
    assert!(received.iter().filter(|&&b| b == b'd').count() >= SIZE - 300);
}

#[tokio::test]
async fn connections_to_the_upstream_are_kept_and_reused() {
    let upstream = Upstream::echo().await;
    let running = Running::start(config_for(upstream.addr)).await;
    let mut client = running.client().await;
    for n in 0..20 {
        assert_eq!(client.get(&format!("/{n}")).await.text(), format!("GET /{n} HTTP/1.1"));
    }
    // Another client uses the same one.
    assert_eq!(running.client().await.get("/").await.status(), 200);
    assert_eq!(upstream.connections(), 1);
    assert_eq!(running.gateway.idle_connections(), 1);
}

#[tokio::test]
async fn no_idle_connection_is_kept_when_none_may_be() {
    let upstream = Upstream::echo().await;
    let mut config = config_for(upstream.addr);
    config.upstreams.get_mut("up").unwrap().max_idle = 0;
    let running = Running::start(config).await;
    let mut client = running.client().await;
    for _ in 0..3 {
        assert_eq!(client.get("/").await.status(), 200);
    }
    assert_eq!(upstream.connections(), 3);
    assert_eq!(running.gateway.idle_connections(), 0);
}

#[tokio::test]
async fn a_request_moves_on_from_a_connection_that_died_while_idle() {
    let (addr, mut connections) = Upstream::by_hand().await;
    let running = Running::start(config_for(addr)).await;
    let mut client = running.client().await;
    client.send("GET /1 HTTP/1.1\r\nhost: a\r\n\r\n").await;
    let mut first = connections.recv().await.unwrap();
    first.head().await.unwrap();
    first.send(ok("1")).await;
    assert_eq!(client.response().await.text(), "1");
    assert_eq!(running.gateway.idle_connections(), 1);
    // Closed without a word, as a keep-alive timeout does.
    drop(first);
    // A POST, which must not be sent twice: it was not sent at all.
    client.send("POST /2 HTTP/1.1\r\nhost: a\r\ncontent-length: 4\r\n\r\nbody").await;
    let mut second = connections.recv().await.unwrap();
    let request = second.request().await.unwrap();
    assert_eq!((request.start_line(), request.text().as_str()), ("POST /2 HTTP/1.1", "body"));
    second.send(ok("2")).await;
    assert_eq!(client.response().await.text(), "2");
}

#[tokio::test]
async fn a_request_that_may_have_been_sent_is_not_sent_again() {
    let (addr, mut connections) = Upstream::by_hand().await;
    let running = Running::start(config_for(addr)).await;
    let mut client = running.client().await;
    client.send("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 4\r\n\r\nbody").await;
    let mut up = connections.recv().await.unwrap();
    assert_eq!(up.request().await.unwrap().text(), "body");
    drop(up);
    let res = client.response().await;
    assert_eq!((res.status(), res.code().as_str()), (502, "bad_upstream_response"));
    assert!(connections.try_recv().is_err(), "the request came again");
}

#[tokio::test]
async fn endpoints_take_turns() {
    let (one, two) = (Upstream::echo().await, Upstream::echo().await);
    let mut config = config_for(one.addr);
    config.upstreams.get_mut("up").unwrap().endpoints.push(two.addr.to_string());
    let running = Running::start(config).await;
    let mut client = running.client().await;
    for _ in 0..6 {
        client.get("/").await;
    }
    assert_eq!((one.seen().len(), two.seen().len()), (3, 3));
}

#[tokio::test]
async fn an_upstream_may_listen_on_a_unix_socket() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("up.sock");
    let listener = UnixListener::bind(&path).unwrap();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut request = vec![0; 4096];
        for _ in 0..2 {
            let n = tokio::io::AsyncReadExt::read(&mut stream, &mut request).await.unwrap();
            let host = String::from_utf8_lossy(&request[..n])
                .lines()
                .find(|l| l.starts_with("host"))
                .unwrap()
                .to_owned();
            stream.write_all(&ok(&host)).await.unwrap();
        }
    });
    let running = Running::start(config_for(format!("unix:{}", path.display()))).await;
    let mut client = running.client().await;
    assert_eq!(client.get("/").await.text(), "host: shop.example");
    // HTTP/1.0 need not say a host; HTTP/1.1, which the upstream is sent, must.
    client.send("GET / HTTP/1.0\r\n\r\n").await;
    let res = client.response().await;
    assert_eq!(res.start_line(), "HTTP/1.0 200 OK");
    assert_eq!(res.text(), "host: localhost");
    assert!(client.is_closed().await);
}

#[tokio::test]
async fn answers_without_a_body_have_none() {
    let upstream = Upstream::start(|request| {
        Some(match request.start_line() {
            line if line.contains("/204") => b"HTTP/1.1 204 No Content\r\n\r\n".to_vec(),
            line if line.contains("/304") => {
                b"HTTP/1.1 304 Not Modified\r\ncontent-length: 99\r\netag: \"1\"\r\n\r\n".to_vec()
            }
            line if line.contains("/chunked") => {
                b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n".to_vec()
            }
            _ => b"HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\n".to_vec(),
        })
    })
    .await;
    let running = Running::start(config_for(upstream.addr)).await;
    let mut client = running.client().await;
    client.send("HEAD / HTTP/1.1\r\nhost: a\r\n\r\n").await;
    assert_eq!(client.response_to(true).await.header("content-length").unwrap(), "99");
    client.send("HEAD /chunked HTTP/1.1\r\nhost: a\r\n\r\n").await;
    assert!(client.response_to(true).await.header("content-length").is_none());
    let none = client.get("/204").await;
    assert_eq!(none.status(), 204);
    assert!(none.header("content-length").is_none() && none.header("transfer-encoding").is_none());
    let unmodified = client.get("/304").await;
    assert_eq!((unmodified.status(), unmodified.header("etag").unwrap().as_str()), (304, "\"1\""));
    // All on one connection, to the client and to the upstream.
    assert_eq!(upstream.connections(), 1);
}

#[tokio::test]
async fn an_answer_may_come_before_the_request_is_whole() {
    let (addr, mut connections) = Upstream::by_hand().await;
    let running = Running::start(config_for(addr)).await;
    let mut client = running.client().await;
    client.send("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 1000000\r\n\r\nfirst").await;
    let mut up = connections.recv().await.unwrap();
    up.head().await.unwrap();
    up.send("HTTP/1.1 403 Forbidden\r\ncontent-length: 2\r\n\r\nno").await;
    let res = client.response().await;
    assert_eq!((res.status(), res.text().as_str()), (403, "no"));
    // What the client still sends is taken, so that no reset overtakes the answer; then the connection ends.
    client.send(vec![b'x'; 100_000]).await;
    assert!(client.is_closed().await);
    assert_eq!(running.gateway.idle_connections(), 0, "a connection with half a request on it was kept");
}

#[tokio::test]
async fn trailers_pass_to_a_client_that_takes_them() {
    let upstream = Upstream::by_hand().await;
    let (addr, mut connections) = upstream;
    let running = Running::start(config_for(addr)).await;
    let mut client = running.client().await;
    client.send("GET / HTTP/1.1\r\nhost: a\r\nte: trailers\r\n\r\n").await;
    let mut up = connections.recv().await.unwrap();
    up.head().await.unwrap();
    up.send("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ntrailer: x-sum\r\n\r\n2\r\nok\r\n0\r\nx-sum: 7\r\n\r\n").await;
    assert!(client.head().await.unwrap().contains("trailer: x-sum"));
    assert_eq!(client.chunk().await.unwrap(), b"ok");
    assert_eq!(client.until("\r\n\r\n").await.unwrap(), "0\r\nx-sum: 7\r\n\r\n");
}

#[tokio::test]
async fn expect_is_answered_here_and_not_passed_on() {
    let upstream = Upstream::echo().await;
    let running = Running::start(config_for(upstream.addr)).await;
    let mut client = running.client().await;
    client.send("POST / HTTP/1.1\r\nhost: a\r\nexpect: 100-continue\r\ncontent-length: 4\r\n\r\n").await;
    assert!(client.head().await.unwrap().starts_with("HTTP/1.1 100 "));
    client.send("body").await;
    assert_eq!(client.response().await.status(), 200);
    assert!(upstream.last().header("expect").is_none());
    let refused = client.ask("POST / HTTP/1.1\r\nhost: a\r\nexpect: more\r\ncontent-length: 0\r\n\r\n").await;
    assert_eq!((refused.status(), refused.code().as_str()), (417, "expectation_failed"));
}

#[tokio::test]
async fn a_request_with_two_framings_is_refused() {
    let upstream = Upstream::echo().await;
    let running = Running::start(config_for(upstream.addr)).await;
    let mut client = running.client().await;
    let res = client
        .ask("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 3\r\ntransfer-encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n")
        .await;
    assert_eq!((res.status(), res.code().as_str()), (400, "bad_request"));
    assert!(client.is_closed().await, "the connection must not be trusted any further");
    assert!(upstream.seen().is_empty());
}

#[tokio::test]
async fn an_absolute_target_becomes_a_path() {
    let upstream = Upstream::echo().await;
    let running = Running::start(config_for(upstream.addr)).await;
    let res = running.client().await.ask("GET http://real.example/x?y HTTP/1.1\r\nhost: other\r\n\r\n").await;
    assert_eq!(res.text(), "GET /x?y HTTP/1.1");
    assert_eq!(upstream.last().all("host"), ["real.example"]);
}

#[tokio::test]
async fn a_client_that_stops_sending_still_gets_its_answer() {
    let (addr, mut connections) = Upstream::by_hand().await;
    let running = Running::start(config_for(addr)).await;
    let mut client = running.client().await;
    client.send("GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
    client.stream.shutdown().await.unwrap();
    let mut up = connections.recv().await.unwrap();
    up.head().await.unwrap();
    up.send(ok("late")).await;
    assert_eq!(client.response().await.text(), "late");
}

#[tokio::test]
async fn idle_connections_do_not_grow_old() {
    let (addr, mut connections) = Upstream::by_hand().await;
    let mut config = config_for(addr);
    config.upstreams.insert(
        "up".to_owned(),
        UpstreamConfig {
            endpoints: vec![addr.to_string()],
            idle_timeout: support::millis(1),
            ..UpstreamConfig::default()
        },
    );
    let running = Running::start(config).await;
    let mut client = running.client().await;
    client.send("GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
    let mut up: Wire = connections.recv().await.unwrap();
    up.head().await.unwrap();
    up.send(ok("")).await;
    client.response().await;
    let until = tokio::time::Instant::now() + PATIENCE;
    while running.gateway.idle_connections() > 0 {
        assert!(tokio::time::Instant::now() < until);
        running.gateway.sweep();
        tokio::task::yield_now().await;
    }
    assert!(up.is_closed().await);
}
