//! Connections that change to another protocol, and those that do not.
#![allow(clippy::unwrap_used)]

mod support;

use std::time::Duration;

use http_body_util::BodyExt;
use hyper_util::rt::TokioIo;
use shop_gateway::{Gateway, Server, serve};
use support::{PATIENCE, Running, Upstream, Wire, config_for, millis, ok};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};

const ASK: &str = "GET /chat HTTP/1.1\r\nhost: a\r\nconnection: keep-alive, Upgrade\r\nupgrade: websocket\r\n\
                   sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\nsec-websocket-version: 13\r\n\r\n";
const AGREED: &str = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade, X-Hop\r\nUpgrade: WebSocket\r\n\
                      x-hop: 1\r\nsec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";

/// A tunnel between the two, after what each has sent ahead.
async fn tunnel(client: &mut Wire, up: &mut Wire) {
    let asked = up.head().await.unwrap();
    let lower = asked.to_ascii_lowercase();
    assert!(
        lower.contains("\r\nconnection: upgrade\r\n") && lower.contains("\r\nupgrade: websocket\r\n"),
        "{asked}"
    );
    assert!(lower.contains("\r\nsec-websocket-key: "), "{asked}");
    up.send(AGREED).await;
    let head = client.head().await.unwrap();
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    let lower = head.to_ascii_lowercase();
    assert!(
        lower.contains("\r\nconnection: upgrade\r\n") && lower.contains("\r\nupgrade: websocket\r\n"),
        "{head}"
    );
    assert!(lower.contains("\r\nsec-websocket-accept: ") && lower.contains("\r\nx-request-id: "), "{head}");
    assert!(
        !lower.contains("x-hop") && !lower.contains("content-length") && !lower.contains("transfer-"),
        "{head}"
    );
}

#[tokio::test]
async fn bytes_pass_both_ways_and_each_side_may_end_first() {
    let (addr, mut connections) = Upstream::by_hand().await;
    let mut running = Running::start(config_for(addr)).await;
    for client_first in [true, false] {
        let mut client = running.client().await;
        // What is sent ahead is the tunnel's, but only once the upstream has agreed.
        client.send(format!("{ASK}ahead")).await;
        let mut up = connections.recv().await.unwrap();
        tunnel(&mut client, &mut up).await;
        assert_eq!(up.exactly(5).await.unwrap(), b"ahead");
        up.send(b"\0\xff\r\n\r\n").await;
        assert_eq!(client.exactly(6).await.unwrap(), b"\0\xff\r\n\r\n");
        let (first, second) = if client_first { (&mut client, &mut up) } else { (&mut up, &mut client) };
        first.stream.shutdown().await.unwrap();
        assert!(second.is_closed().await);
        second.send("still").await;
        assert_eq!(first.exactly(5).await.unwrap(), b"still");
        second.stream.shutdown().await.unwrap();
        assert!(first.is_closed().await);
    }
    assert_eq!(running.gateway.idle_connections(), 0, "such a connection is never used again");
    running.begin_stop();
    assert!(running.stopped().await);
}

#[tokio::test]
async fn a_large_message_passes_at_the_pace_of_who_reads_it() {
    let (addr, mut connections) = Upstream::by_hand().await;
    let running = Running::start(config_for(addr)).await;
    let mut client = running.client().await;
    client.send(ASK).await;
    let mut up = connections.recv().await.unwrap();
    tunnel(&mut client, &mut up).await;
    let sent: Vec<u8> = (0..20_000_000u32).map(|n| (n ^ (n >> 8)) as u8).collect();
    let (mut reading, mut writing) = client.stream.into_split();
    let expected = sent.clone();
    let sending = tokio::spawn(async move { writing.write_all(&sent).await.unwrap() });
    let echoing = tokio::spawn(async move {
        let (mut r, mut w) = up.stream.into_split();
        tokio::io::copy(&mut r, &mut w).await
    });
    let mut got = vec![0; expected.len()];
    let read = tokio::io::AsyncReadExt::read_exact(&mut reading, &mut got);
    tokio::time::timeout(PATIENCE, read).await.unwrap().unwrap();
    assert!(got == expected);
    sending.await.unwrap();
    echoing.abort();
}

#[tokio::test]
async fn without_101_it_stays_http() {
    let (addr, mut connections) = Upstream::by_hand().await;
    let running = Running::start(config_for(addr)).await;
    let mut client = running.client().await;
    // Were the second taken for the tunnel's, the upstream would see it at once, with the client's own headers.
    client.send(format!("{ASK}GET /second HTTP/1.1\r\nhost: a\r\nx-forwarded-for: 6.6.6.6\r\n\r\n")).await;
    let mut up = connections.recv().await.unwrap();
    up.head().await.unwrap();
    up.send(ok("no")).await;
    assert_eq!(client.response().await.text(), "no");
    let second = up.request().await.unwrap();
    assert_eq!(second.start_line(), "GET /second HTTP/1.1");
    assert_eq!(second.all("x-forwarded-for"), ["127.0.0.1"]);
    assert!(second.header("upgrade").is_none() && second.header("connection").is_none());
    up.send(ok("yes")).await;
    assert_eq!(client.response().await.text(), "yes");
}

#[tokio::test]
async fn what_may_not_be_asked_for_is_not_passed_on() {
    let upstream = Upstream::echo().await;
    let mut config = config_for(upstream.addr);
    config.routes[0].upgrade.protocols = vec!["websocket".to_owned(), "chat/2".to_owned()];
    let running = Running::start(config).await;
    for head in [
        "connection: upgrade, http2-settings\r\nupgrade: h2c\r\nhttp2-settings: AAMAAABk\r\n",
        "connection: upgrade\r\nupgrade: chat/1\r\n",
        "connection: keep-alive\r\nupgrade: websocket\r\n",
        "connection: upgrade\r\nupgrade: websocket\r\nupgrade: websocket\r\n",
        "connection: upgrade\r\nupgrade: websocket\r\ncontent-length: 2\r\n",
        "connection: upgrade\r\nupgrade: websocket\r\ntransfer-encoding: chunked\r\n",
    ] {
        let body = if head.contains("length") {
            "ok"
        } else if head.contains("chunked") {
            "0\r\n\r\n"
        } else {
            ""
        };
        let mut client = running.client().await;
        let res = client.ask(&format!("POST / HTTP/1.1\r\nhost: a\r\n{head}\r\n{body}")).await;
        assert_eq!(res.status(), 200);
        let seen = upstream.last();
        assert!(seen.header("upgrade").is_none() && seen.header("connection").is_none(), "{}", seen.head);
        assert!(seen.header("http2-settings").is_none());
    }
    let head = "connection: upgrade\r\nupgrade: websocket\r\n";
    running.client().await.ask(&format!("GET / HTTP/1.0\r\nhost: a\r\n{head}\r\n")).await;
    assert!(upstream.last().header("upgrade").is_none(), "HTTP/1.0 cannot change");
    let head = "connection: upgrade\r\nupgrade: h2c, Chat/2, websocket\r\n";
    running.client().await.ask(&format!("GET / HTTP/1.1\r\nhost: a\r\n{head}\r\n")).await;
    assert_eq!(upstream.last().all("upgrade"), ["Chat/2, websocket"], "only what the route allows");
}

#[tokio::test]
async fn a_101_to_something_else_is_no_answer() {
    for (ask, answer) in [
        (ASK, "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: h2c\r\n\r\n"),
        (ASK, "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\n\r\n"),
        (ASK, "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket, smtp\r\n\r\n"),
        ("GET / HTTP/1.1\r\nhost: a\r\n\r\n", AGREED),
    ] {
        let upstream = Upstream::start(|_| Some(answer.as_bytes().to_vec())).await;
        let running = Running::start(config_for(upstream.addr)).await;
        let res = running.client().await.ask(ask).await;
        assert_eq!((res.status(), res.code().as_str()), (502, "bad_upstream_response"), "{answer}");
    }
}

#[tokio::test]
async fn a_tunnel_at_rest_is_closed() {
    let (addr, mut connections) = Upstream::by_hand().await;
    let mut config = config_for(addr);
    config.routes[0].upgrade.idle_timeout = millis(200);
    let running = Running::start(config).await;
    let mut client = running.client().await;
    client.send(ASK).await;
    let mut up = connections.recv().await.unwrap();
    tunnel(&mut client, &mut up).await;
    assert!(client.is_closed().await && up.is_closed().await);
}

#[tokio::test]
async fn a_tunnel_is_cut_off_at_the_deadline_of_a_drain() {
    let (addr, mut connections) = Upstream::by_hand().await;
    let config = config_for(addr);
    let gateway = Gateway::builder(config.clone()).build().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let listen = listener.local_addr().unwrap();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let serving = tokio::spawn(async move {
        serve(listener, gateway, &config.gateway, async { drop(stopped.await) }, Duration::from_millis(300))
            .await
    });
    let mut client = Wire::connect(listen).await;
    client.send(ASK).await;
    let mut up = connections.recv().await.unwrap();
    tunnel(&mut client, &mut up).await;
    stop.send(()).unwrap();
    assert!(client.is_closed().await && up.is_closed().await);
    assert!(!serving.await.unwrap().unwrap(), "it did not finish");
}

#[tokio::test]
async fn workers_wait_for_their_tunnels() {
    let (addr, mut connections) = Upstream::by_hand().await;
    let mut config = config_for(addr);
    config.gateway.listen = vec!["127.0.0.1:0".parse().unwrap()];
    config.gateway.workers = 1;
    let plan = Gateway::builder(config).plan().unwrap();
    let handle = Server::bind(plan.listen_config()).unwrap().start(&plan).unwrap();
    let listen = handle.local_addrs()[0];
    let mut client = Wire::connect(listen).await;
    client.send(ASK).await;
    let mut up = connections.recv().await.unwrap();
    tunnel(&mut client, &mut up).await;
    let stopping = tokio::spawn(handle.shutdown(PATIENCE));
    while TcpStream::connect(listen).await.is_ok() {
        tokio::task::yield_now().await;
    }
    client.send("open").await;
    assert_eq!(up.exactly(4).await.unwrap(), b"open");
    assert!(!stopping.is_finished());
    drop(client);
    assert!(up.is_closed().await);
    drop(up);
    assert!(stopping.await.unwrap(), "it ended by itself");
}

/// In a server that is not ours: hyper's, as axum has it.
#[tokio::test]
async fn a_mounted_gateway_takes_the_connection_from_its_server() {
    let (addr, mut connections) = Upstream::by_hand().await;
    let gateway = Gateway::builder(config_for(addr)).build().unwrap();
    for upgrades in [true, false] {
        let (mut client, accepted) = tokio::io::duplex(1000);
        let service = hyper::service::service_fn({
            let gateway = gateway.clone();
            move |mut req: http::Request<hyper::body::Incoming>| {
                if !upgrades {
                    req.extensions_mut().remove::<hyper::upgrade::OnUpgrade>();
                }
                tower::ServiceExt::oneshot(gateway.clone(), req)
            }
        });
        let conn =
            hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(accepted), service);
        tokio::spawn(conn.with_upgrades());
        client.write_all(ASK.as_bytes()).await.unwrap();
        let mut up = connections.recv().await.unwrap();
        let asked = up.head().await.unwrap();
        if !upgrades {
            assert!(!asked.contains("upgrade"), "{asked}");
            continue;
        }
        up.send(AGREED).await;
        up.send("hello").await;
        let mut got = vec![0; 2000];
        let mut n = 0;
        while !got[..n].ends_with(b"\r\n\r\nhello") {
            let read = tokio::io::AsyncReadExt::read(&mut client, &mut got[n..]);
            n += tokio::time::timeout(PATIENCE, read).await.unwrap().unwrap();
        }
        assert!(got.starts_with(b"HTTP/1.1 101 "));
        client.write_all(b"back").await.unwrap();
        assert_eq!(up.exactly(4).await.unwrap(), b"back");
    }
}

#[tokio::test]
async fn hypers_own_client_upgrades() {
    let (addr, mut connections) = Upstream::by_hand().await;
    let running = Running::start(config_for(addr)).await;
    let stream = TcpStream::connect(running.addr).await.unwrap();
    let (mut sender, conn) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(conn.with_upgrades());
    let req = http::Request::get("/")
        .header("host", "a")
        .header("connection", "upgrade")
        .header("upgrade", "websocket")
        .body(http_body_util::Empty::<bytes::Bytes>::new().boxed())
        .unwrap();
    let answer = tokio::spawn(async move { sender.send_request(req).await });
    let mut up = connections.recv().await.unwrap();
    up.head().await.unwrap();
    up.send(AGREED).await;
    let upgraded = hyper::upgrade::on(answer.await.unwrap().unwrap()).await.unwrap();
    let mut io = TokioIo::new(upgraded);
    io.write_all(b"frame").await.unwrap();
    assert_eq!(up.exactly(5).await.unwrap(), b"frame");
}
