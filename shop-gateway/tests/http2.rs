//! HTTP/2 of clients and of upstreams.
#![allow(clippy::unwrap_used)]

#[path = "support/http2.rs"]
mod h2;
mod support;
#[path = "support/tls.rs"]
mod tls;

use std::time::Duration;

use bytes::Bytes;
use h2::{Client, data, frames, rest, whole};
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode};
use http_body::Frame;
use http_body_util::BodyExt;
use shop_gateway::{Gateway, GatewayConfig, Server, TlsConfig, UpstreamProtocol, UpstreamTlsConfig};
use support::{PATIENCE, Running, Upstream, Wire, config_for, millis, ok};
use tls::Authority;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut frame = (payload.len() as u32).to_be_bytes()[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

/// `:method GET`, `:scheme http`, `:path /`, `:authority a`, without a table.
const GET: &[u8] = b"\x82\x86\x84\x01\x01a";

fn http2_config(endpoint: impl ToString) -> GatewayConfig {
    let mut config = config_for(endpoint);
    config.upstreams.get_mut("up").unwrap().protocol = UpstreamProtocol::Http2;
    config
}

#[tokio::test]
async fn both_versions_are_spoken_on_one_port() {
    let upstream = Upstream::echo().await;
    let running = Running::start(config_for(upstream.addr)).await;
    let client = Client::connect(running.addr).await;
    for _ in 0..3 {
        let req = Request::get("http://shop.example:81/x?y=%20z")
            .header("cookie", "a=1")
            .header("cookie", "b=2")
            .header("te", "trailers")
            .header("x-forwarded-for", "6.6.6.6")
            .body(whole(None))
            .unwrap();
        let res = client.send(req).await.unwrap();
        assert_eq!((res.status(), res.version()), (StatusCode::OK, http::Version::HTTP_2));
        assert!(res.headers().contains_key("x-request-id") && !res.headers().contains_key("connection"));
        assert_eq!(rest(res.into_body()).await.0, "GET /x?y=%20z HTTP/1.1");
        let seen = upstream.last();
        assert_eq!(seen.all("host"), ["shop.example:81"]);
        assert_eq!(seen.all("cookie"), ["a=1; b=2"]);
        assert_eq!(seen.all("te"), ["trailers"]);
        assert_eq!(seen.all("x-forwarded-for"), ["127.0.0.1"]);
        assert_eq!(seen.all("x-forwarded-host"), ["shop.example:81"]);
        assert!(seen.header("transfer-encoding").is_none() && seen.header("content-length").is_none());
    }
    assert_eq!(upstream.connections(), 1);
    assert_eq!(running.client().await.get("/old").await.text(), "GET /old HTTP/1.1");
}

#[tokio::test]
async fn a_body_without_a_length_is_chunked_for_whoever_needs_it() {
    let upstream = Upstream::start(|request| Some(ok(&request.text()))).await;
    let running = Running::start(config_for(upstream.addr)).await;
    let client = Client::connect(running.addr).await;
    for method in ["GET", "POST", "DELETE"] {
        let (sending, body) = frames();
        let req = Request::builder().method(method).uri("http://a/").body(body).unwrap();
        let answering = client.send(req);
        sending.send(data("half ")).unwrap();
        sending.send(data("and half")).unwrap();
        drop(sending);
        assert_eq!(rest(answering.await.unwrap().into_body()).await.0, "half and half", "{method}");
        assert_eq!(upstream.last().all("transfer-encoding"), ["chunked"], "{method}");
    }
    let req =
        Request::post("http://a/").header("content-length", "4").body(whole(Bytes::from("four"))).unwrap();
    assert_eq!(rest(client.send(req).await.unwrap().into_body()).await.0, "four");
    assert_eq!(upstream.last().all("content-length"), ["4"]);
    assert!(upstream.last().header("transfer-encoding").is_none());
}

#[tokio::test]
async fn many_requests_at_once_share_a_connection() {
    let (addr, mut connections) = Upstream::by_hand().await;
    let running = Running::start(config_for(addr)).await;
    let client = std::sync::Arc::new(Client::connect(running.addr).await);
    let asking: Vec<_> = (0..100)
        .map(|n| {
            let client = client.clone();
            tokio::spawn(async move { (n, client.get(&format!("http://a/{n}")).await) })
        })
        .collect();
    // All are asked before any is answered.
    let mut waiting = Vec::new();
    for _ in 0..100 {
        let mut up = connections.recv().await.unwrap();
        waiting.push((up.request().await.unwrap(), up));
    }
    for (request, mut up) in waiting.into_iter().rev() {
        up.send(ok(request.start_line())).await;
    }
    for asked in asking {
        let (n, res) = asked.await.unwrap();
        assert_eq!(res.into_body(), format!("GET /{n} HTTP/1.1"));
    }
}

#[tokio::test]
async fn alpn_chooses_the_version() {
    let authority = Authority::new();
    let upstream = Upstream::echo().await;
    let mut config = config_for(upstream.addr);
    let mut entry: shop_gateway::ListenerConfig = "127.0.0.1:0".parse().unwrap();
    entry.tls = Some("public".to_owned());
    config.gateway.listen = vec![entry];
    config.gateway.workers = 2;
    let certificates = vec![authority.server("server", &["shop.example"]).config(&[])];
    config.gateway.tls.insert("public".to_owned(), TlsConfig { certificates, ..TlsConfig::default() });
    let plan = Gateway::builder(config).plan().unwrap();
    let handle = Server::bind(plan.listen_config()).unwrap().start(&plan).unwrap();
    let addr = handle.local_addrs()[0];
    type Names = &'static [&'static [u8]];
    const OFFERS: [(Names, Option<&[u8]>); 4] = [
        (&[b"h2", b"http/1.1"], Some(b"h2")),
        (&[b"h2"], Some(b"h2")),
        (&[b"http/1.1"], Some(b"http/1.1")),
        (&[], None),
    ];
    for (alpn, chosen) in OFFERS {
        let with = tls::Client { alpn, ..authority.trusting() };
        let stream = with.connect(addr).await.unwrap();
        assert_eq!(stream.get_ref().1.alpn_protocol(), chosen);
        if chosen == Some(b"h2") {
            let client = Client::over(stream).await;
            assert_eq!(client.get("https://shop.example/2").await.into_body(), "GET /2 HTTP/1.1");
        } else {
            assert_eq!(with.get(addr, "/1").await.unwrap().0.into_body(), "GET /1 HTTP/1.1");
        }
        assert_eq!(upstream.last().all("x-forwarded-proto"), ["https"]);
    }
    let with = tls::Client { alpn: &[b"spdy"], ..authority.trusting() };
    assert!(with.connect(addr).await.is_err());
    assert!(handle.shutdown(PATIENCE).await);
}

#[tokio::test]
async fn the_gateways_own_answers() {
    let upstream = Upstream::echo().await;
    let mut config = config_for(upstream.addr);
    config.routes[0].path = "/v1".to_owned();
    config.gateway.limits.max_header = "2KiB".parse().unwrap();
    config.gateway.limits.max_body = "10B".parse().unwrap();
    let running = Running::start(config).await;
    let client = Client::connect(running.addr).await;
    let req = |path: &str| Request::post(format!("http://a{path}"));
    for (req, status) in [
        (req("/v2").body(whole(None)), 404),
        (req("/v1/../x").body(whole(None)), 400),
        (req("/v1").header("x", "x".repeat(2100)).body(whole(None)), 431),
        (req("/v1").header("content-length", "11").body(whole(Bytes::from("12345678901"))), 413),
        (req("/v1").body(whole(Bytes::from("12345678901"))), 413),
        (req("/v1").header("expect", "a miracle").body(whole(None)), 417),
        (req("/v1").header("host", "b").body(whole(None)), 200),
    ] {
        let res = client.send(req.unwrap()).await.unwrap();
        assert_eq!(res.status(), status);
        assert!(!res.headers().contains_key("connection"), "a word of HTTP/1.1's");
        rest(res.into_body()).await;
    }
    assert_eq!(upstream.last().all("host"), ["a"], "the authority counts");
    assert_eq!(client.get("http://a/v1").await.status(), 200, "the connection lives on");
}

/// What a client of HTTP/1.1 could use to smuggle is no request here.
#[tokio::test]
async fn headers_of_one_hop_and_lengths_that_lie_are_stream_errors() {
    let upstream = Upstream::echo().await;
    let running = Running::start(config_for(upstream.addr)).await;
    let literal = |name: &str, value: &str| {
        let mut field = vec![0, name.len() as u8];
        field.extend(name.as_bytes());
        field.push(value.len() as u8);
        field.extend(value.as_bytes());
        field
    };
    for block in [
        [GET, &literal("transfer-encoding", "chunked")].concat(),
        [GET, &literal("connection", "close")].concat(),
        [GET, &literal("upgrade", "websocket")].concat(),
        [GET, &literal("te", "gzip")].concat(),
        [GET, &literal("Upper", "x")].concat(),
        [GET, &literal("x", "a\r\nhost: b")].concat(),
        [GET, &literal("x:y", "z")].concat(),
        [GET, &literal("content-length", "3")].concat(),
        [GET, b"\x84"].concat(),
        [&literal("x", "y"), GET].concat(),
        b"\x82\x86\x01\x01a".to_vec(),
        [&b"\x82\x86\x01\x01a"[..], &literal(":path", "x")].concat(),
        [&b"\x82\x86\x84"[..], &literal(":authority", "a/b")].concat(),
    ] {
        let mut client = TcpStream::connect(running.addr).await.unwrap();
        let mut bytes = PREFACE.to_vec();
        bytes.extend(frame(4, 0, 0, &[]));
        // END_HEADERS and END_STREAM.
        bytes.extend(frame(1, 5, 1, &block));
        client.write_all(&bytes).await.unwrap();
        let mut reader = Reader::new(client);
        loop {
            match reader.next().await {
                // An answer to the stream: only a refusal. `:status 400` is in the static table.
                Some((1, _, 1, block)) => {
                    assert_eq!(block[0], 0x8c, "{block:?}");
                    break;
                }
                Some((3 | 7, ..)) | None => break,
                Some(_) => {}
            }
        }
        assert!(upstream.seen().is_empty(), "{:?}", upstream.seen());
    }
    // No host at all is an answer of ours.
    let mut client = TcpStream::connect(running.addr).await.unwrap();
    let bytes = [PREFACE, &frame(4, 0, 0, &[]), &frame(1, 5, 1, b"\x82\x86\x84")].concat();
    client.write_all(&bytes).await.unwrap();
    let mut reader = Reader::new(client);
    while let Some((kind, _, _, block)) = reader.next().await {
        if kind == 1 {
            assert_eq!(block[0], 0x8c, "{block:?}");
            break;
        }
        assert_ne!(kind, 3);
    }
    assert!(upstream.seen().is_empty());
}

/// Frames as they come.
struct Reader(TcpStream, Vec<u8>);

impl Reader {
    fn new(stream: TcpStream) -> Self {
        Self(stream, Vec::new())
    }

    /// Kind, flags, stream and payload; none at the end.
    async fn next(&mut self) -> Option<(u8, u8, u32, Vec<u8>)> {
        loop {
            if self.1.len() >= 9 {
                let length = u32::from_be_bytes([0, self.1[0], self.1[1], self.1[2]]) as usize;
                if self.1.len() >= 9 + length {
                    let rest = self.1.split_off(9 + length);
                    let whole = std::mem::replace(&mut self.1, rest);
                    let stream = u32::from_be_bytes(whole[5..9].try_into().unwrap());
                    return Some((whole[3], whole[4], stream, whole[9..].to_vec()));
                }
            }
            let mut part = [0; 16384];
            let read = self.0.read(&mut part);
            match tokio::time::timeout(PATIENCE, read).await.expect("nothing came") {
                Ok(0) | Err(_) => return None,
                Ok(n) => self.1.extend_from_slice(&part[..n]),
            }
        }
    }
}

#[tokio::test]
async fn requests_given_up_at_once_end_the_connection() {
    let (addr, mut connections) = Upstream::by_hand().await;
    let running = Running::start(config_for(addr)).await;
    tokio::spawn(async move { while connections.recv().await.is_some() {} });
    let mut client = TcpStream::connect(running.addr).await.unwrap();
    client.write_all(&[PREFACE, &frame(4, 0, 0, &[])].concat()).await.unwrap();
    let (reading, mut writing) = client.into_split();
    let flood = tokio::spawn(async move {
        for n in 0..50_000u32 {
            let request = [frame(1, 5, 2 * n + 1, GET), frame(3, 0, 2 * n + 1, &8u32.to_be_bytes())].concat();
            if writing.write_all(&request).await.is_err() {
                return n;
            }
            if n % 20 == 0 {
                tokio::task::yield_now().await;
            }
        }
        u32::MAX
    });
    let mut reading = tokio::io::BufReader::new(reading);
    let mut sink = Vec::new();
    let end = tokio::time::timeout(PATIENCE, reading.read_to_end(&mut sink)).await;
    assert!(end.is_ok(), "the connection is still open");
    assert_ne!(flood.await.unwrap(), u32::MAX, "all of it was taken");
    // Others are served.
    let upstream = Upstream::echo().await;
    let running = Running::start(config_for(upstream.addr)).await;
    assert_eq!(Client::connect(running.addr).await.get("http://a/").await.status(), 200);
}

/// Each is with the upstream when it is given up: no limit on what was not looked at yet helps.
#[tokio::test]
async fn requests_given_up_under_way_end_the_connection() {
    let (addr, mut connections) = Upstream::by_hand().await;
    let running = Running::start(config_for(addr)).await;
    let mut client = TcpStream::connect(running.addr).await.unwrap();
    client.write_all(&[PREFACE, &frame(4, 0, 0, &[])].concat()).await.unwrap();
    let (mut reading, mut writing) = client.into_split();
    let mut ended = tokio::spawn(async move {
        let mut sink = Vec::new();
        // However it ends.
        let _ = reading.read_to_end(&mut sink).await;
    });
    let (mut given_up, mut silent) = (0, Vec::new());
    for n in 0..1000u32 {
        if writing.write_all(&frame(1, 5, 2 * n + 1, GET)).await.is_err() {
            break;
        }
        tokio::select! {
            up = connections.recv() => silent.push(up),
            _ = &mut ended => break,
            () = tokio::time::sleep(PATIENCE) => panic!("neither a request nor an end"),
        }
        if writing.write_all(&frame(3, 0, 2 * n + 1, &8u32.to_be_bytes())).await.is_err() {
            break;
        }
        given_up = n + 1;
    }
    assert!((100..1000).contains(&given_up), "{given_up} were taken");
}

#[tokio::test]
async fn a_head_without_an_end_is_not_read_for_ever() {
    let upstream = Upstream::echo().await;
    let running = Running::start(config_for(upstream.addr)).await;
    for payload in [&b""[..], &[0; 16_000]] {
        let mut client = TcpStream::connect(running.addr).await.unwrap();
        // HEADERS without END_HEADERS.
        let begun = [PREFACE, &frame(4, 0, 0, &[]), &frame(1, 1, 1, GET)].concat();
        client.write_all(&begun).await.unwrap();
        let (mut reading, mut writing) = client.into_split();
        let flood = tokio::spawn(async move {
            let continuation = frame(9, 0, 1, payload);
            for n in 0..100_000 {
                if writing.write_all(&continuation).await.is_err() {
                    return n;
                }
            }
            usize::MAX
        });
        let mut sink = Vec::new();
        let end = tokio::time::timeout(PATIENCE, reading.read_to_end(&mut sink)).await;
        assert!(end.is_ok(), "the connection is still open");
        assert_ne!(flood.await.unwrap(), usize::MAX, "all of it was taken");
    }
    assert!(upstream.seen().is_empty());
}

#[tokio::test]
async fn connections_at_rest_and_clients_that_take_nothing_are_closed() {
    let large = "x".repeat(1 << 20);
    let upstream = Upstream::start(move |_| Some(ok(&large))).await;
    let mut config = config_for(upstream.addr);
    config.gateway.limits.idle_timeout = millis(2000);
    config.gateway.limits.header_timeout = millis(2000);
    let running = Running::start(config).await;
    // Only the preface, or nothing at all after it.
    let mut silent = Vec::new();
    for begun in [PREFACE.to_vec(), [PREFACE, &frame(4, 0, 0, &[])].concat()] {
        let mut client = TcpStream::connect(running.addr).await.unwrap();
        client.write_all(&begun).await.unwrap();
        silent.push(Reader::new(client));
    }
    // A window that stays at 64 KiB, in an answer of a megabyte.
    let mut client = TcpStream::connect(running.addr).await.unwrap();
    client.write_all(&[PREFACE, &frame(4, 0, 0, &[]), &frame(1, 5, 1, GET)].concat()).await.unwrap();
    let mut stalled = Reader::new(client);
    // A request, then nothing.
    let client = Client::connect(running.addr).await;
    assert_eq!(client.get("http://a/").await.body().len(), 1 << 20);
    client.ended().await;
    let mut got = 0;
    while let Some((kind, flags, stream, payload)) = stalled.next().await {
        if kind == 0 {
            got += payload.len();
        }
        assert!(!(kind == 0 && stream == 1 && flags & 1 == 1), "it is not whole");
        if kind == 4 && flags == 0 {
            stalled.0.write_all(&frame(4, 1, 0, &[])).await.unwrap();
        }
    }
    assert!((1..1 << 20).contains(&got), "{got}");
    for mut reader in silent {
        while reader.next().await.is_some() {}
    }
}

#[tokio::test]
async fn at_the_end_what_runs_is_finished_and_the_client_is_told() {
    let (addr, mut connections) = Upstream::by_hand().await;
    let mut running = Running::start(config_for(addr)).await;
    let (idle, busy) = (Client::connect(running.addr).await, Client::connect(running.addr).await);
    let req = Request::get("http://a/").body(whole(None)).unwrap();
    let answering = tokio::spawn(busy.sender.clone().send_request(req));
    let mut up = connections.recv().await.unwrap();
    up.head().await.unwrap();
    running.begin_stop();
    idle.ended().await;
    // GOAWAY has come: no further request is taken.
    let until = tokio::time::Instant::now() + PATIENCE;
    while !busy.sender.is_closed() {
        let refused = busy.sender.clone().send_request(Request::get("http://a/").body(whole(None)).unwrap());
        if let Ok(outcome) = tokio::time::timeout(Duration::from_millis(50), refused).await
            && outcome.is_err()
        {
            break;
        }
        assert!(tokio::time::Instant::now() < until, "the client was not told");
    }
    up.send(ok("finished")).await;
    let res = answering.await.unwrap().unwrap();
    assert_eq!(rest(res.into_body()).await.0, "finished");
    drop(up);
    drop(connections);
    busy.ended().await;
    assert!(running.stopped().await);
}

#[tokio::test]
async fn grpc_passes_with_its_trailers_both_ways() {
    let mut upstream = h2::Upstream::start().await;
    let running = Running::start(http2_config(upstream.addr)).await;
    let client = Client::connect(running.addr).await;
    let call = |body| {
        Request::post("http://shop.example/shop.Orders/Watch")
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .header("grpc-timeout", "1S")
            .body(body)
            .unwrap()
    };
    let trailers = |status: &'static str| {
        let mut trailers = HeaderMap::new();
        trailers.insert("grpc-status", HeaderValue::from_static(status));
        trailers.insert("grpc-message", HeaderValue::from_static("m"));
        trailers
    };
    // A conversation: each side waits for the other's word.
    let (sending, body) = frames();
    let answering = tokio::spawn(client.sender.clone().send_request(call(body)));
    let asked = upstream.next().await;
    let (answer, answer_body) = frames();
    let seen = asked
        .answer(Response::builder().header("content-type", "application/grpc").body(answer_body).unwrap());
    assert_eq!(seen.version(), http::Version::HTTP_2);
    assert_eq!(seen.uri(), "http://shop.example/shop.Orders/Watch");
    assert_eq!(seen.headers()["te"], "trailers");
    assert_eq!(seen.headers()["grpc-timeout"], "1S");
    assert!(!seen.headers().contains_key("host") && !seen.headers().contains_key("transfer-encoding"));
    let mut up = seen.into_body();
    let mut down = answering.await.unwrap().unwrap().into_body();
    for word in ["one", "two", "three"] {
        sending.send(data(word)).unwrap();
        assert_eq!(up.frame().await.unwrap().unwrap().into_data().unwrap(), word);
        answer.send(data(word)).unwrap();
        assert_eq!(down.frame().await.unwrap().unwrap().into_data().unwrap(), word);
    }
    let mut theirs = HeaderMap::new();
    theirs.insert("x-sum", HeaderValue::from_static("3"));
    sending.send(Frame::trailers(theirs.clone())).unwrap();
    drop(sending);
    assert_eq!(rest(up).await.1.unwrap(), theirs);
    answer.send(Frame::trailers(trailers("0"))).unwrap();
    drop(answer);
    assert_eq!(rest(down).await.1.unwrap(), trailers("0"));
    // Trailers only: a head that is the end.
    let answering = tokio::spawn(client.sender.clone().send_request(call(whole(Bytes::from("x")))));
    let asked = upstream.next().await;
    let mut only = Response::new(whole(None));
    only.headers_mut().extend(trailers("5"));
    rest(asked.answer(only).into_body()).await;
    let res = answering.await.unwrap().unwrap();
    assert_eq!(res.headers()["grpc-status"], "5");
    assert!(http_body::Body::is_end_stream(res.body()), "END_STREAM is on the head");
    assert_eq!(upstream.connections(), 1);
}

#[tokio::test]
async fn a_client_of_http1_is_served_by_an_upstream_of_http2() {
    let mut upstream = h2::Upstream::start().await;
    let running = Running::start(http2_config(upstream.addr)).await;
    let mut client = running.client().await;
    client
        .send("POST /x HTTP/1.1\r\nhost: shop.example\r\nte: trailers\r\nconnection: x-hop\r\nx-hop: 1\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n")
        .await;
    let asked = upstream.next().await;
    let (answer, body) = frames();
    answer.send(data("hello")).unwrap();
    let mut trailers = HeaderMap::new();
    trailers.insert("x-sum", HeaderValue::from_static("5"));
    answer.send(Frame::trailers(trailers)).unwrap();
    drop(answer);
    let seen = asked.answer(Response::builder().header("trailer", "x-sum").body(body).unwrap());
    assert_eq!(seen.uri(), "http://shop.example/x");
    for gone in ["connection", "x-hop", "transfer-encoding", "host"] {
        assert!(!seen.headers().contains_key(gone), "{gone}");
    }
    assert_eq!(rest(seen.into_body()).await.0, "abc");
    let head = client.head().await.unwrap();
    assert!(head.starts_with("HTTP/1.1 200 ") && head.contains("transfer-encoding: chunked"), "{head}");
    assert_eq!(client.until("\r\n\r\n").await.unwrap(), "5\r\nhello\r\n0\r\nx-sum: 5\r\n\r\n");
    // The same connections again, both of them.
    client.send("GET /y HTTP/1.1\r\nhost: a\r\n\r\n").await;
    upstream.next().await.answer(Response::new(whole(None)));
    assert_eq!(client.response().await.status(), 200);
    assert_eq!(upstream.connections(), 1);
}

#[tokio::test]
async fn an_upstream_of_http2_that_fails_is_told_as_any_other() {
    let mut upstream = h2::Upstream::start().await;
    let mut config = http2_config(upstream.addr);
    config.gateway.limits.max_body = "10B".parse().unwrap();
    let mut impatient = config.clone();
    impatient.upstreams.get_mut("up").unwrap().response_timeout = millis(2000);
    let running = Running::start(impatient).await;
    // Says nothing.
    let mut client = running.client().await;
    client.send("GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
    let silent = upstream.next().await;
    let res = client.response().await;
    assert_eq!((res.status(), res.code().as_str()), (504, "upstream_timeout"));
    drop(silent);
    // Stops in the middle.
    let mut client = running.client().await;
    client.send("GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
    let (half, body) = frames();
    half.send(data("half")).unwrap();
    upstream.next().await.answer(Response::new(body));
    assert!(client.response().await.truncated);
    drop(half);
    let running = Running::start(config).await;
    // Resets the stream instead of an answer.
    let mut client = running.client().await;
    client.send("GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
    drop(upstream.next().await);
    let res = client.response().await;
    assert_eq!((res.status(), res.code().as_str()), (502, "bad_upstream_response"));
    // It is the client's doing if its body breaks a limit.
    let mut client = running.client().await;
    client.send("POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\nb\r\n12345678901\r\n").await;
    assert_eq!(client.response().await.code(), "body_too_large");
    // Is not there any more: nobody's connection is kept.
    upstream.stop();
    let until = tokio::time::Instant::now() + PATIENCE;
    while running.client().await.get("/").await.code() != "upstream_unreachable" {
        assert!(tokio::time::Instant::now() < until);
    }
}

#[tokio::test]
async fn what_is_no_http2_upstream_is_a_bad_gateway() {
    let plain = Upstream::echo().await;
    let mut config = http2_config(plain.addr);
    config.upstreams.get_mut("up").unwrap().response_timeout = millis(500);
    let running = Running::start(config).await;
    assert!(matches!(running.client().await.get("/").await.status(), 502 | 504));
}

#[tokio::test]
async fn inside_tls_the_upstream_must_agree_to_http2() {
    let authority = Authority::new();
    let behind = Upstream::echo().await;
    let mut inner = config_for(behind.addr);
    let mut entry: shop_gateway::ListenerConfig = "127.0.0.1:0".parse().unwrap();
    entry.tls = Some("public".to_owned());
    inner.gateway.listen = vec![entry];
    inner.gateway.workers = 1;
    let certificates = vec![authority.server("inner", &["127.0.0.1"]).config(&[])];
    inner.gateway.tls.insert("public".to_owned(), TlsConfig { certificates, ..TlsConfig::default() });
    let plan = Gateway::builder(inner).plan().unwrap();
    let handle = Server::bind(plan.listen_config()).unwrap().start(&plan).unwrap();
    let mut config = http2_config(handle.local_addrs()[0]);
    let upstream = config.upstreams.get_mut("up").unwrap();
    upstream.tls = Some(UpstreamTlsConfig { ca: Some(authority.ca.clone()), ..UpstreamTlsConfig::default() });
    let running = Running::start(config).await;
    for n in 0..5 {
        let res = running.client().await.get(&format!("/{n}")).await;
        assert_eq!(res.text(), format!("GET /{n} HTTP/1.1"), "through both");
    }
    assert_eq!(behind.last().all("x-forwarded-proto"), ["https"]);
    assert_eq!(running.gateway.idle_connections(), 1);
    assert!(handle.shutdown(PATIENCE).await);

    // One that has HTTP/1.1 only.
    let provider = std::sync::Arc::new(rustls::crypto::ring::default_provider());
    let files = authority.server("old", &["127.0.0.1"]);
    let key = <rustls::pki_types::PrivateKeyDer<'_> as rustls::pki_types::pem::PemObject>::from_pem_file(
        &files.key,
    );
    let mut old = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![files.der()], key.unwrap())
        .unwrap();
    for names in [vec![b"http/1.1".to_vec()], Vec::new()] {
        old.alpn_protocols = names;
        let acceptor = tokio_rustls::TlsAcceptor::from(std::sync::Arc::new(old.clone()));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut config = http2_config(listener.local_addr().unwrap());
        let upstream = config.upstreams.get_mut("up").unwrap();
        upstream.tls =
            Some(UpstreamTlsConfig { ca: Some(authority.ca.clone()), ..UpstreamTlsConfig::default() });
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                // It may not come to an end.
                drop(acceptor.accept(stream).await);
            }
        });
        let running = Running::start(config).await;
        assert_eq!(running.client().await.get("/").await.code(), "upstream_unreachable");
    }
}

#[tokio::test]
async fn workers_speak_it_too() {
    let upstream = Upstream::echo().await;
    let mut config = config_for(upstream.addr);
    config.gateway.listen = vec!["127.0.0.1:0".parse().unwrap()];
    config.gateway.workers = 2;
    let plan = Gateway::builder(config).plan().unwrap();
    let handle = Server::bind(plan.listen_config()).unwrap().start(&plan).unwrap();
    let addr = handle.local_addrs()[0];
    for n in 0..10 {
        let client = Client::connect(addr).await;
        assert_eq!(client.get(&format!("http://a/{n}")).await.into_body(), format!("GET /{n} HTTP/1.1"));
        assert_eq!(Wire::connect(addr).await.get("/").await.status(), 200);
    }
    assert!(handle.shutdown(PATIENCE).await);
}
