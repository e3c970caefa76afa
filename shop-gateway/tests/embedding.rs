//! The gateway in an application's own multi-thread runtime: as a service, and on a listener.
#![allow(clippy::unwrap_used)]

mod support;

use std::net::SocketAddr;

use http::Request;
use http_body_util::{BodyExt, Full};
use shop_gateway::{ClientAddr, Gateway};
use support::{PATIENCE, Running, Upstream, config_for, ok};
use tower::ServiceExt;

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
