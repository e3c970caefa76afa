//! Upstreams of several endpoints, some of which fail.
#![allow(clippy::unwrap_used)]

mod support;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use http::Request;
use http_body_util::BodyExt;
use shop_core::config::ByteSize;
use shop_gateway::{EndpointAddr, Gateway, GatewayConfig, GatewayPlan, PassiveConfig, Server, ServerHandle};
use support::{PATIENCE, Wire, config_for, millis};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::net::TcpListener;
use tower::ServiceExt;

const GOOD: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

/// Reads requests whole and answers with these bytes, or closes if there are none; how many it has read.
async fn endpoint(answer: &'static [u8]) -> (SocketAddr, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (addr, seen) = (listener.local_addr().unwrap(), Arc::new(AtomicUsize::new(0)));
    let counted = seen.clone();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let counted = counted.clone();
            tokio::spawn(async move {
                let mut wire = Wire::new(stream);
                while let Some(head) = wire.head().await {
                    if head.starts_with("POST") {
                        wire.exactly(4).await.unwrap();
                    }
                    counted.fetch_add(1, Ordering::SeqCst);
                    if answer.is_empty() || wire.stream.write_all(answer).await.is_err() {
                        return;
                    }
                }
            });
        }
    });
    (addr, seen)
}

/// A port at which nobody is.
fn nobody() -> SocketAddr {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

fn of(endpoints: &[SocketAddr], passive: PassiveConfig) -> GatewayConfig {
    let mut config: GatewayConfig = config_for("127.0.0.1:1");
    let upstream = config.upstreams.get_mut("up").unwrap();
    upstream.endpoints = endpoints.iter().map(ToString::to_string).collect();
    upstream.passive = passive;
    config.gateway.listen = vec![SocketAddr::from(([127, 0, 0, 1], 0)).into()];
    config.gateway.workers = 2;
    config
}

fn start(endpoints: &[SocketAddr], passive: PassiveConfig) -> (GatewayPlan, ServerHandle) {
    let plan = Gateway::builder(of(endpoints, passive)).plan().unwrap();
    let handle = Server::bind(plan.listen_config()).unwrap().start(&plan).unwrap();
    (plan, handle)
}

async fn post(handle: &ServerHandle) -> u16 {
    let mut client = Wire::connect(handle.local_addrs()[0]).await;
    client.send("POST / HTTP/1.1\r\nhost: a\r\nconnection: close\r\ncontent-length: 4\r\n\r\nbody").await;
    client.response().await.status()
}

#[tokio::test]
async fn an_endpoint_that_cannot_be_reached_costs_no_request() {
    let (good, seen) = endpoint(GOOD).await;
    let (plan, handle) = start(&[nobody(), good, nobody()], PassiveConfig::default());
    for _ in 0..40 {
        assert_eq!(post(&handle).await, 200);
    }
    assert_eq!(seen.load(Ordering::SeqCst), 40, "each was sent once");
    // Half of three is one.
    let out = plan.endpoints()["up"].iter().filter(|endpoint| endpoint.ejected_ms.is_some()).count();
    assert_eq!(out, 1, "{:?}", plan.endpoints());
    assert!(handle.shutdown(PATIENCE).await);
}

#[tokio::test]
async fn what_was_sent_is_not_sent_again_and_who_fails_is_left_alone() {
    let (good, seen) = endpoint(GOOD).await;
    let (bad, swallowed) = endpoint(b"").await;
    let (plan, handle) = start(&[good, bad], PassiveConfig { eject_after: 3, ..PassiveConfig::default() });
    let mut refused = 0;
    for _ in 0..60 {
        match post(&handle).await {
            200 => {}
            502 => refused += 1,
            other => panic!("{other}"),
        }
    }
    assert_eq!((refused, swallowed.load(Ordering::SeqCst)), (3, 3), "then it is ejected");
    assert_eq!(seen.load(Ordering::SeqCst), 57);
    let status = &plan.endpoints()["up"];
    assert!(status[0].ejected_ms.is_none() && status[1].ejected_ms.is_some(), "{status:?}");
}

#[tokio::test]
async fn who_is_well_again_gets_requests_again() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let late = listener.local_addr().unwrap();
    drop(listener);
    let (good, _) = endpoint(GOOD).await;
    let passive = PassiveConfig { eject_after: 1, eject_for: millis(50), ..PassiveConfig::default() };
    let (plan, handle) = start(&[good, late], passive);
    let ejected = || plan.endpoints()["up"][1].ejected_ms.is_some();
    while !ejected() {
        assert_eq!(post(&handle).await, 200);
    }
    let listener = TcpListener::bind(late).await.unwrap();
    let accepted = tokio::spawn(async move {
        let mut wire = Wire::new(listener.accept().await.unwrap().0);
        wire.head().await.unwrap();
        wire.exactly(4).await.unwrap();
        wire.send(GOOD).await;
    });
    while !accepted.is_finished() {
        assert_eq!(post(&handle).await, 200);
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    accepted.await.unwrap();
}

#[tokio::test]
async fn when_all_fail_all_are_asked() {
    let (plan, handle) = start(
        &[nobody(), nobody()],
        PassiveConfig { eject_after: 1, max_ejected: 100, ..PassiveConfig::default() },
    );
    for _ in 0..5 {
        assert_eq!(post(&handle).await, 502);
    }
    assert!(plan.endpoints()["up"].iter().all(|endpoint| endpoint.ejected_ms.is_some()));
}

#[tokio::test]
async fn a_clients_bad_body_is_no_fault_of_the_endpoint() {
    let (good, _) = endpoint(GOOD).await;
    let (other, _) = endpoint(GOOD).await;
    let mut config = of(&[good, other], PassiveConfig { eject_after: 1, ..PassiveConfig::default() });
    config.gateway.limits.max_body = ByteSize(16);
    let plan = Gateway::builder(config).plan().unwrap();
    let handle = Server::bind(plan.listen_config()).unwrap().start(&plan).unwrap();
    for _ in 0..4 {
        let mut client = Wire::connect(handle.local_addrs()[0]).await;
        client.send("PUT / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n").await;
        client.send(format!("20\r\n{}\r\n0\r\n\r\n", "x".repeat(32))).await;
        assert_eq!(client.response().await.status(), 413);
    }
    let status = &plan.endpoints()["up"];
    assert!(
        status.iter().all(|endpoint| endpoint.faults == 0 && endpoint.ejected_ms.is_none()),
        "{status:?}"
    );
}

#[tokio::test]
async fn an_upstream_that_was_changed_and_changed_back_is_one_for_all_workers() {
    let (good, _) = endpoint(GOOD).await;
    let passive = PassiveConfig { eject_after: 1, ..PassiveConfig::default() };
    let config = of(&[good, nobody()], passive);
    let plan = Gateway::builder(config.clone()).plan().unwrap();
    let gateway = plan.local_gateway();
    // Between two requests of this worker.
    plan.reload(config_for(good)).unwrap();
    plan.reload(config).unwrap();
    for _ in 0..4 {
        let request =
            http::Request::get("http://a/").body(http_body_util::Empty::<bytes::Bytes>::new()).unwrap();
        assert_eq!(tower::ServiceExt::oneshot(gateway.clone(), request).await.unwrap().status(), 200);
    }
    assert!(plan.endpoints()["up"][1].ejected_ms.is_some(), "{:?}", plan.endpoints());
}

/// Answers each request half a second after it has come.
async fn answer_later(mut stream: DuplexStream) {
    let mut head = Vec::new();
    while let Ok(byte) = stream.read_u8().await {
        head.push(byte);
        if head.ends_with(b"\r\n\r\n") {
            head.clear();
            tokio::time::sleep(Duration::from_millis(500)).await;
            stream.write_all(GOOD).await.unwrap();
        }
    }
}

#[tokio::test(start_paused = true)]
async fn the_time_spent_at_one_endpoint_is_not_taken_from_the_next() {
    let mut config: GatewayConfig = config_for("silent:1");
    let upstream = config.upstreams.get_mut("up").unwrap();
    upstream.endpoints = vec!["silent:1".to_owned(), "good:1".to_owned()];
    upstream.passive.eject_after = 0;
    upstream.connect_timeout = millis(1500);
    upstream.response_timeout = millis(1000);
    let opened = Arc::new(AtomicUsize::new(0));
    let counted = opened.clone();
    let connect = move |endpoint: EndpointAddr| {
        let counted = counted.clone();
        async move {
            if endpoint.to_string() == "silent:1" {
                std::future::pending::<()>().await;
            }
            counted.fetch_add(1, Ordering::SeqCst);
            let (ours, theirs) = tokio::io::duplex(1024);
            tokio::spawn(answer_later(theirs));
            Ok(ours)
        }
    };
    let gateway = Gateway::builder(config).connector(connect).build().unwrap();
    for turn in 0..4 {
        let request = Request::get("/").header("host", "a").body(String::new()).unwrap();
        let response = gateway.clone().oneshot(request).await.unwrap();
        assert_eq!(response.status(), 200, "{turn}");
        response.into_body().collect().await.unwrap();
    }
    assert_eq!(opened.load(Ordering::SeqCst), 1, "the others were given a connection that was idle");
}
