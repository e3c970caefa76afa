//! The end of a server: what runs is finished, nothing new begins.
#![allow(clippy::unwrap_used)]

mod support;

use std::time::Duration;

use shop_gateway::{Gateway, GatewayPlan, Server, ServerHandle};
use support::{PATIENCE, Running, Upstream, Wire, config_for, ok};
use tokio::net::TcpStream;

fn workers(addr: impl ToString, n: usize) -> (GatewayPlan, ServerHandle) {
    let mut config = config_for(addr);
    config.gateway.listen = vec!["127.0.0.1:0".parse().unwrap()];
    config.gateway.workers = n;
    let plan = Gateway::builder(config).plan().unwrap();
    let handle = Server::bind(plan.listen_config()).unwrap().start(&plan).unwrap();
    (plan, handle)
}

#[tokio::test]
async fn what_runs_is_finished_and_idle_connections_are_closed() {
    let (addr, mut connections) = Upstream::by_hand().await;
    let mut running = Running::start(config_for(addr)).await;
    let mut busy = running.client().await;
    busy.send("GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
    let mut up = connections.recv().await.unwrap();
    up.head().await.unwrap();
    let mut idle = running.client().await;
    assert_eq!(idle.get("/../x").await.status(), 400);

    running.begin_stop();
    assert!(idle.is_closed().await);
    up.send(ok("finished")).await;
    let res = busy.response().await;
    assert_eq!(res.text(), "finished");
    assert_eq!(res.header("connection").unwrap(), "close");
    assert!(busy.is_closed().await);
    let addr = running.addr;
    assert!(running.stopped().await);
    assert!(TcpStream::connect(addr).await.is_err());
}

#[tokio::test]
async fn workers_serve_drain_and_end() {
    let (addr, mut connections) = Upstream::by_hand().await;
    let (_, handle) = workers(addr, 2);
    let listen = handle.local_addrs()[0];
    let mut client = Wire::connect(listen).await;
    client.send("GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
    let mut up = connections.recv().await.unwrap();
    up.head().await.unwrap();
    let stopping = tokio::spawn(handle.shutdown(PATIENCE));
    // The listeners close first.
    while TcpStream::connect(listen).await.is_ok() {
        tokio::task::yield_now().await;
    }
    assert!(!stopping.is_finished());
    up.send(ok("finished")).await;
    let res = client.response().await;
    assert_eq!((res.text().as_str(), res.header("connection").unwrap().as_str()), ("finished", "close"));
    assert!(stopping.await.unwrap(), "all was finished");
}

const REQUEST: &str = "GET / HTTP/1.1\r\nhost: a\r\n\r\n";

/// The whole answer to `REQUEST`, and the end.
async fn answer_and_end(client: &mut Wire, round: usize) -> String {
    let head = client.head().await.unwrap_or_else(|| panic!("round {round}: cut without an answer"));
    assert!(head.starts_with("HTTP/1.1 200 "), "round {round}: {head}");
    assert_eq!(client.exactly(14).await.unwrap(), b"GET / HTTP/1.1", "round {round}");
    assert!(client.is_closed().await);
    head
}

/// The same, of an answer that says that it is the last.
async fn assert_last_answer(client: &mut Wire, round: usize) {
    let head = answer_and_end(client, round).await;
    assert!(head.contains("connection: close"), "round {round}: {head}");
}

#[tokio::test]
async fn a_request_sent_just_before_the_end_is_answered_by_workers() {
    let upstream = Upstream::echo().await;
    for round in 0..25 {
        let (_, handle) = workers(upstream.addr, 1 + round % 2);
        let listen = handle.local_addrs()[0];
        let mut old = Wire::connect(listen).await;
        assert_eq!(old.get("/").await.status(), 200);
        let mut new = Wire::connect(listen).await;
        // On an idle connection, and on one that may not be accepted yet.
        old.send(REQUEST).await;
        new.send(REQUEST).await;
        let stopping = tokio::spawn(handle.shutdown(PATIENCE));
        // Whether the worker was faster than the word is its own affair.
        answer_and_end(&mut old, round).await;
        answer_and_end(&mut new, round).await;
        assert!(stopping.await.unwrap());
    }
}

#[tokio::test]
async fn a_request_sent_just_before_the_end_is_answered() {
    let upstream = Upstream::echo().await;
    for round in 0..25 {
        let mut running = Running::start(config_for(upstream.addr)).await;
        let mut old = running.client().await;
        assert_eq!(old.get("/").await.status(), 200);
        let mut new = running.client().await;
        old.send(REQUEST).await;
        new.send(REQUEST).await;
        running.begin_stop();
        assert_last_answer(&mut old, round).await;
        assert_last_answer(&mut new, round).await;
        assert!(running.stopped().await);
    }
}

#[tokio::test]
async fn an_answer_made_at_once_says_that_it_is_the_last() {
    let mut running = Running::start(config_for("127.0.0.1:1")).await;
    let mut client = running.client().await;
    client.send("GET /../x HTTP/1.1\r\nhost: a\r\n\r\n").await;
    running.begin_stop();
    let res = client.response().await;
    assert_eq!((res.status(), res.header("connection").as_deref()), (400, Some("close")));
    assert!(client.is_closed().await);
    assert!(running.stopped().await);
}

#[tokio::test]
async fn a_head_that_is_half_there_is_waited_for() {
    let upstream = Upstream::echo().await;
    let (begun, rest) = REQUEST.split_at(20);
    for round in 0..10 {
        let (_, handle) = workers(upstream.addr, 1);
        let listen = handle.local_addrs()[0];
        let mut old = Wire::connect(listen).await;
        assert_eq!(old.get("/").await.status(), 200);
        let mut new = Wire::connect(listen).await;
        old.send(begun).await;
        new.send(begun).await;
        let mut idle = Wire::connect(listen).await;
        let stopping = tokio::spawn(handle.shutdown(PATIENCE));
        // The end has come as far as it can.
        assert!(idle.is_closed().await);
        assert!(!stopping.is_finished());
        old.send(rest).await;
        new.send(rest).await;
        assert_last_answer(&mut old, round).await;
        assert_last_answer(&mut new, round).await;
        assert!(stopping.await.unwrap());
    }
}

#[tokio::test]
async fn what_does_not_finish_is_cut_off_at_the_deadline() {
    let (addr, mut connections) = Upstream::by_hand().await;
    let (_, handle) = workers(addr, 1);
    let mut client = Wire::connect(handle.local_addrs()[0]).await;
    client.send("GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
    let mut up = connections.recv().await.unwrap();
    up.head().await.unwrap();
    assert!(!handle.shutdown(Duration::from_millis(50)).await, "a request was cut off");
    assert!(client.is_closed().await);
    assert!(up.is_closed().await);
}

#[tokio::test]
async fn a_second_server_does_not_join_unnoticed() {
    let upstream = Upstream::echo().await;
    let (plan, handle) = workers(upstream.addr, 2);
    let mut config = plan.listen_config().clone();
    config.listen = handle.local_addrs().iter().map(|addr| (*addr).into()).collect();
    let refused = Server::bind(&config).unwrap_err();
    assert_eq!(refused.kind(), std::io::ErrorKind::AddrInUse);
    assert!(refused.to_string().contains(&config.listen[0].to_string()), "{refused}");
    assert_eq!(Wire::connect(handle.local_addrs()[0]).await.get("/").await.status(), 200);
    assert!(handle.shutdown(PATIENCE).await);
}

#[tokio::test]
async fn every_worker_answers() {
    let upstream = Upstream::echo().await;
    let (_, handle) = workers(upstream.addr, 3);
    for _ in 0..30 {
        assert_eq!(Wire::connect(handle.local_addrs()[0]).await.get("/").await.status(), 200);
    }
    assert!(handle.shutdown(PATIENCE).await);
}
