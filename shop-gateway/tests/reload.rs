//! Another configuration while requests run.
#![allow(clippy::unwrap_used)]

mod support;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use shop_core::config::ByteSize;
use shop_gateway::{Gateway, GatewayConfig, GatewayPlan, RouteConfig, Server, ServerHandle, UpstreamConfig};
use support::{PATIENCE, Upstream, Wire};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

/// Answers everything with its name, for as long as the connection lives; how many connections there were.
async fn named(name: &'static str) -> (SocketAddr, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (addr, seen) = (listener.local_addr().unwrap(), Arc::new(AtomicUsize::new(0)));
    let accepted = seen.clone();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            accepted.fetch_add(1, Ordering::Relaxed);
            tokio::spawn(async move {
                let (mut got, mut chunk) = (Vec::new(), [0; 4096]);
                while let Ok(n @ 1..) = stream.read(&mut chunk).await {
                    got.extend_from_slice(&chunk[..n]);
                    while let Some(end) = got.windows(4).position(|w| w == b"\r\n\r\n") {
                        got.drain(..end + 4);
                        let answer =
                            format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{name}", name.len());
                        stream.write_all(answer.as_bytes()).await.unwrap();
                    }
                }
            });
        }
    });
    (addr, seen)
}

fn config(upstreams: &[(&str, SocketAddr)], routes: &[(&str, &str)]) -> GatewayConfig {
    let upstream =
        |addr: SocketAddr| UpstreamConfig { endpoints: vec![addr.to_string()], ..Default::default() };
    let mut config = GatewayConfig {
        upstreams: upstreams.iter().map(|(name, addr)| ((*name).to_owned(), upstream(*addr))).collect(),
        routes: routes.iter().map(|(path, upstream)| RouteConfig::new(*path, *upstream)).collect(),
        ..GatewayConfig::default()
    };
    config.gateway.listen = vec![SocketAddr::from(([127, 0, 0, 1], 0)).into()];
    config.gateway.workers = 2;
    config
}

fn start(config: GatewayConfig) -> (GatewayPlan, ServerHandle) {
    let plan = Gateway::builder(config).plan().unwrap();
    let handle = Server::bind(plan.listen_config()).unwrap().start(&plan).unwrap();
    (plan, handle)
}

async fn ask(client: &mut Wire, path: &str) -> (u16, String) {
    client.send(format!("GET {path} HTTP/1.1\r\nhost: a\r\n\r\n")).await;
    let answer = client.response().await;
    (answer.status(), answer.text())
}

#[tokio::test]
async fn routes_change_under_load_and_no_request_fails() {
    let ((blue, blue_seen), (green, _)) = (named("blue").await, named("green").await);
    let both = [("blue", blue), ("green", green)];
    let (plan, handle) = start(config(&both, &[("/moves", "blue"), ("/stays", "blue")]));
    let addr = handle.local_addrs()[0];
    let stop = Arc::new(AtomicBool::new(false));
    let clients: Vec<_> = (0..8)
        .map(|_| {
            let stop = stop.clone();
            tokio::spawn(async move {
                let mut client = Wire::connect(addr).await;
                let mut answered = BTreeMap::<String, usize>::new();
                while !stop.load(Ordering::Relaxed) {
                    let (status, name) = ask(&mut client, "/moves").await;
                    assert_eq!(status, 200);
                    *answered.entry(name).or_default() += 1;
                    assert_eq!(ask(&mut client, "/stays").await, (200, "blue".to_owned()));
                }
                answered
            })
        })
        .collect();
    for round in 0..50 {
        tokio::time::sleep(Duration::from_millis(10)).await;
        let to = if round % 2 == 0 { "green" } else { "blue" };
        let reloaded = plan.reload(config(&both, &[("/moves", to), ("/stays", "blue")])).unwrap();
        assert!(
            reloaded.routes && reloaded.upstreams.is_empty() && reloaded.restart.is_empty(),
            "{reloaded:?}"
        );
    }
    stop.store(true, Ordering::Relaxed);
    for client in clients {
        let answered = client.await.unwrap();
        assert!(answered.len() == 2, "every client saw both: {answered:?}");
    }
    assert!(blue_seen.load(Ordering::Relaxed) <= 16, "pools live on: {blue_seen:?}");
    assert!(handle.shutdown(PATIENCE).await);
}

#[tokio::test]
async fn what_is_taken_over_is_whole_or_nothing_and_says_what_it_was() {
    let ((blue, blue_seen), (green, _)) = (named("blue").await, named("green").await);
    let old = config(&[("up", blue)], &[("/a", "up")]);
    let (plan, handle) = start(old.clone());
    let mut client = Wire::connect(handle.local_addrs()[0]).await;
    assert_eq!(ask(&mut client, "/a").await, (200, "blue".to_owned()));

    let mut bad = config(&[("up", green)], &[("/b", "up"), ("/c", "nowhere")]);
    bad.upstreams.get_mut("up").unwrap().endpoints.push("nonsense".to_owned());
    let faults = plan.reload(bad).unwrap_err();
    let paths: Vec<&str> = faults.faults().iter().map(|fault| fault.path.as_str()).collect();
    assert_eq!(paths, ["upstreams.up.endpoints[1]", "routes[1].upstream"]);
    assert_eq!(ask(&mut client, "/a").await, (200, "blue".to_owned()));
    assert_eq!(ask(&mut client, "/b").await.0, 404);
    assert_eq!(blue_seen.load(Ordering::Relaxed), 1);

    let mut new = config(&[("up", green), ("more", blue)], &[("/b", "up"), ("/a", "more")]);
    new.gateway.workers = 5;
    new.gateway.limits.max_uri = ByteSize(64);
    let reloaded = plan.reload(new.clone()).unwrap();
    assert!(reloaded.routes && reloaded.limits);
    assert_eq!(
        (reloaded.upstreams, reloaded.restart),
        (vec!["more".into(), "up".into()], vec!["gateway.workers".into()])
    );
    // On a connection that was there before.
    assert_eq!(ask(&mut client, "/b").await, (200, "green".to_owned()));
    assert_eq!(ask(&mut client, "/a").await, (200, "blue".to_owned()));
    // The connection is older than the limit, which no length tells of in advance.
    let mut chunked = Wire::connect(handle.local_addrs()[0]).await;
    assert_eq!(ask(&mut chunked, "/a").await, (200, "blue".to_owned()));
    let mut smaller = new;
    smaller.gateway.limits.max_body = ByteSize(8);
    assert!(plan.reload(smaller).unwrap().limits);
    chunked.send("PUT /a HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n9\r\n123456789\r\n").await;
    assert_eq!(chunked.response().await.status(), 413);
    assert_eq!(ask(&mut client, &format!("/a/{}", "x".repeat(64))).await.0, 414);

    let mut client = Wire::connect(handle.local_addrs()[0]).await;
    let again = plan.reload(old).unwrap();
    assert_eq!(again.restart, Vec::<String>::new(), "what waited is as it was");
    assert_eq!(ask(&mut client, "/a").await, (200, "blue".to_owned()));
    assert_eq!(ask(&mut client, "/b").await.0, 404);
}

#[tokio::test]
async fn an_open_websocket_outlives_its_route() {
    let (addr, mut connections) = Upstream::by_hand().await;
    let (other, _) = named("other").await;
    let (plan, handle) = start(config(&[("chat", addr)], &[("/chat", "chat")]));
    let mut client = Wire::connect(handle.local_addrs()[0]).await;
    client.send("GET /chat HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n").await;
    let mut up = connections.recv().await.unwrap();
    up.head().await.unwrap();
    up.send("HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n").await;
    assert!(client.head().await.unwrap().starts_with("HTTP/1.1 101 "));
    for round in 0..3 {
        let reloaded = plan.reload(config(&[("other", other)], &[("/", "other")])).unwrap();
        assert_eq!(reloaded.routes, round == 0);
        client.send("ping").await;
        assert_eq!(up.exactly(4).await.unwrap(), b"ping");
        up.send("pong").await;
        assert_eq!(client.exactly(4).await.unwrap(), b"pong");
    }
    let mut fresh = Wire::connect(handle.local_addrs()[0]).await;
    assert_eq!(ask(&mut fresh, "/chat").await, (200, "other".to_owned()));
}

#[tokio::test]
async fn a_request_ends_on_the_configuration_that_it_began_on() {
    let (addr, mut connections) = Upstream::by_hand().await;
    let (other, _) = named("other").await;
    let plan = Gateway::builder(config(&[("slow", addr)], &[("/", "slow")])).plan().unwrap();
    let (mut running, gateway) = (Vec::new(), plan.gateway());
    for body in ["", "12345"] {
        let request = http::Request::post("http://a/x").body(http_body_util::Full::new(body.into())).unwrap();
        running.push(tokio::spawn(
            tower::ServiceExt::<http::Request<http_body_util::Full<bytes::Bytes>>>::oneshot(
                gateway.clone(),
                request,
            ),
        ));
    }
    let mut asked = [connections.recv().await.unwrap(), connections.recv().await.unwrap()];
    plan.reload(config(&[("other", other)], &[("/", "other")])).unwrap();
    for up in &mut asked {
        up.head().await.unwrap();
        up.send("HTTP/1.1 201 Created\r\ncontent-length: 0\r\n\r\n").await;
    }
    for request in running {
        assert_eq!(request.await.unwrap().unwrap().status(), 201);
    }
    let request =
        http::Request::get("http://a/x").body(http_body_util::Empty::<bytes::Bytes>::new()).unwrap();
    assert_eq!(tower::ServiceExt::oneshot(gateway, request).await.unwrap().status(), 200);
}
