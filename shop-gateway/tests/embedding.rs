//! The gateway in an application's own multi-thread runtime: as a service, and on a listener.
#![allow(clippy::unwrap_used)]

mod support;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use shop_gateway::{ClientAddr, Connections, Gateway, GatewayConfig, RequestBody};
use support::{PATIENCE, Running, Upstream, config_for, ok};
use tower::{ServiceExt, service_fn};

/// Answers with the request's body, in chunks, so that there is something to wait for.
async fn echo_upstream() -> Upstream {
    Upstream::start(|request| {
        let mut answer = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n".to_vec();
        for chunk in request.body.chunks(1000) {
            answer.extend(format!("{:x}\r\n", chunk.len()).into_bytes());
            answer.extend(chunk);
            answer.extend(b"\r\n");
        }
        answer.extend(b"0\r\n\r\n");
        Some(answer)
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_tasks_share_one_gateway() {
    let upstream = echo_upstream().await;
    let gateway = Gateway::builder(config_for(upstream.addr)).build().unwrap();
    let tasks: Vec<_> = (0..16u8)
        .map(|task| {
            let gateway = gateway.clone();
            tokio::spawn(async move {
                for n in 0..50 {
                    let body = vec![task; 10 + n * 97];
                    let request =
                        Request::post("/").header("host", "a").body(Full::from(body.clone())).unwrap();
                    let response = gateway.clone().oneshot(request).await.unwrap();
                    assert_eq!(response.status(), 200);
                    assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), body);
                }
            })
        })
        .collect();
    for task in tasks {
        tokio::time::timeout(PATIENCE, task).await.unwrap().unwrap();
    }
    assert!(upstream.connections() <= 16, "{}", upstream.connections());
    assert_eq!(upstream.seen().len(), 16 * 50);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_clients_are_served() {
    let upstream = echo_upstream().await;
    let mut running = Running::start(config_for(upstream.addr)).await;
    let addr = running.addr;
    let tasks: Vec<_> = (0..16u8)
        .map(|task| {
            tokio::spawn(async move {
                let mut client = support::Wire::connect(addr).await;
                for n in 0..50 {
                    let body = String::from_utf8(vec![b'a' + task; 10 + n * 97]).unwrap();
                    let length = body.len();
                    let request =
                        format!("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: {length}\r\n\r\n{body}");
                    assert_eq!(client.ask(&request).await.text(), body);
                }
            })
        })
        .collect();
    for task in tasks {
        tokio::time::timeout(PATIENCE, task).await.unwrap().unwrap();
    }
    running.begin_stop();
    assert!(running.stopped().await);
}

/// Two gateways in a row, and not a socket between them: the first one's connector gives one end of a pipe to the second.
#[tokio::test]
async fn connections_may_be_anything_that_reads_and_writes() {
    let hello = service_fn(|request: Request<RequestBody>| async move {
        let (head, body) = request.into_parts();
        assert_eq!(head.headers["x-forwarded-for"], "192.0.2.8");
        let length = body.collect().await.unwrap().to_bytes().len();
        Ok::<_, std::convert::Infallible>(Response::new(length.to_string()))
    });
    let mut config = config_for("inner:1");
    let trusting = GatewayConfig { upstreams: BTreeMap::new(), ..config.clone() };
    let inner = Gateway::builder(trusting).service("up", hello).build().unwrap();
    let inner = Arc::new(Mutex::new(Connections::new(inner, &config.gateway)));
    let (accepting, opened) = (inner.clone(), Arc::new(AtomicUsize::new(0)));
    let count = opened.clone();
    config.upstreams.get_mut("up").unwrap().max_idle = 1;
    let outer = Gateway::builder(config.clone())
        .connector(move |endpoint| {
            assert_eq!(endpoint.to_string(), "inner:1");
            let (ours, theirs) = tokio::io::duplex(1_000);
            accepting.lock().unwrap().serve(theirs, ([192, 0, 2, 8], 1).into());
            count.fetch_add(1, Ordering::Relaxed);
            async { Ok(ours) }
        })
        .build()
        .unwrap();
    let mut connections = Connections::new(outer.clone(), &config.gateway);
    let (client, accepted) = tokio::io::duplex(1_000);
    connections.serve(accepted, ([192, 0, 2, 7], 4711).into());
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(hyper_util::rt::TokioIo::new(client)).await.unwrap();
    let connection = tokio::spawn(connection);
    for length in [0, 10, 100_000] {
        let request =
            Request::post("/").header("host", "a").body(Full::<bytes::Bytes>::from(vec![7; length])).unwrap();
        let response = sender.send_request(request).await.unwrap();
        assert_eq!(response.status(), 200);
        assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), length.to_string());
    }
    assert_eq!(opened.load(Ordering::Relaxed), 1, "a connection is used again");
    assert_eq!(outer.idle_connections(), 1);
    assert!(connections.drain(PATIENCE).await, "what is at rest is closed");
    connection.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_connector_that_fails_or_says_nothing_is_an_upstream_out_of_reach() {
    let mut config = config_for("nowhere:1");
    config.upstreams.get_mut("up").unwrap().connect_timeout = support::millis(50);
    let ask = async |gateway: Gateway| {
        let request = Request::get("/").header("host", "a").body(String::new()).unwrap();
        gateway.oneshot(request).await.unwrap().status()
    };
    let refused = |_| async { Err::<tokio::io::DuplexStream, _>(std::io::Error::other("no such pipe")) };
    let gateway = Gateway::builder(config.clone()).connector(refused).build().unwrap();
    assert_eq!(ask(gateway).await, 502);
    let silent = |_| std::future::pending::<std::io::Result<tokio::io::DuplexStream>>();
    assert_eq!(ask(Gateway::builder(config).connector(silent).build().unwrap()).await, 504);
}

#[tokio::test]
async fn the_server_that_mounts_it_says_who_the_client_is() {
    let upstream = Upstream::start(|_| Some(ok("ok"))).await;
    let gateway = Gateway::builder(config_for(upstream.addr)).build().unwrap();
    let client: SocketAddr = "[2001:db8::7]:4711".parse().unwrap();
    let request = Request::get("https://shop.example/x")
        .header("x-forwarded-for", "6.6.6.6")
        .extension(ClientAddr(client))
        .body(String::new())
        .unwrap();
    assert_eq!(gateway.clone().oneshot(request).await.unwrap().status(), 200);
    let seen = upstream.last();
    assert_eq!(seen.all("x-forwarded-for"), ["2001:db8::7"]);
    assert_eq!(seen.all("x-forwarded-proto"), ["https"]);
    assert_eq!(seen.all("host"), ["shop.example"]);
    // Not told, the gateway does not let the client say it.
    let request = Request::get("/")
        .header("host", "a")
        .header("x-forwarded-for", "6.6.6.6")
        .body(String::new())
        .unwrap();
    assert_eq!(gateway.oneshot(request).await.unwrap().status(), 200);
    assert!(upstream.last().header("x-forwarded-for").is_none());
}
