//! The end of a server: what has been sent to it by then is answered.
#![allow(clippy::unwrap_used, reason = "a test's helpers may")]

mod support;

use std::io::{Read, Write};
use std::net::TcpStream as StdStream;
use std::time::Duration;

use shop_core::Problem;
use shop_core::http::{App, Drained, Request, Response, Router, ServerConfig, StatusCode, reply};
use support::{Answer, Running, read_answer, serve};
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

const REQUEST: &str = "GET /v1/things/7 HTTP/1.1\r\nHost: x\r\n\r\n";

fn app() -> App {
    async fn thing(_: (), request: Request) -> Result<Response, Problem> {
        reply::json(StatusCode::OK, request.param("id"))
    }
    Router::new(()).get("/v1/things/{id}", thing).into_app(shop_core::service!("things"))
}

/// A client that writes without the runtime, which so hears of nothing before it is next waited for.
struct Client(StdStream);

impl Client {
    fn connect(server: &Running) -> Self {
        Self(StdStream::connect(server.address).unwrap())
    }

    fn send(&mut self, text: &str) {
        self.0.write_all(text.as_bytes()).unwrap();
    }

    /// One that has asked before.
    async fn kept(server: &Running) -> Self {
        let mut client = Self::connect(server);
        client.send(REQUEST);
        client.0.set_nonblocking(true).unwrap();
        let mut stream = TcpStream::from_std(client.0).unwrap();
        assert_eq!(read_answer(&mut stream).await.unwrap().status, 200);
        let stream = stream.into_std().unwrap();
        stream.set_nonblocking(false).unwrap();
        Self(stream)
    }

    /// The answer, and that nothing comes after it.
    async fn last_answer(self, case: &str) -> Answer {
        self.0.set_nonblocking(true).unwrap();
        let mut stream = TcpStream::from_std(self.0).unwrap();
        let answer = read_answer(&mut stream).await.unwrap_or_else(|e| panic!("{case}: cut off: {e}"));
        assert_eq!(stream.read(&mut [0; 1]).await.unwrap(), 0, "{case}");
        answer
    }
}

#[tokio::test]
async fn what_lies_in_a_socket_or_in_the_queue_is_answered_and_told_that_it_is_the_last() {
    let server = serve(app()).await;
    let mut kept = Client::kept(&server).await;
    kept.send(REQUEST);
    let mut waiting: Vec<_> = (0..20).map(|_| Client::connect(&server)).collect();
    for client in &mut waiting {
        client.send(REQUEST);
    }
    // Nothing has been awaited: the runtime has not heard of them.
    server.shutdown.cancel();
    for (case, client) in [("kept", kept)].into_iter().chain(waiting.into_iter().map(|w| ("in the queue", w)))
    {
        let answer = client.last_answer(case).await;
        assert_eq!(
            (answer.status, answer.header("connection"), &*answer.body),
            (200, Some("close"), "\"7\""),
            "{case}"
        );
    }
    assert_eq!(server.running.await.unwrap(), Drained { aborted: 0 });
}

/// Whichever of its threads is the faster.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_sent_just_before_the_end_is_answered() {
    for _ in 0..25 {
        let server = serve(app()).await;
        let mut kept = Client::kept(&server).await;
        let mut new = Client::connect(&server);
        kept.send(REQUEST);
        new.send(REQUEST);
        server.shutdown.cancel();
        assert_eq!(kept.last_answer("kept").await.status, 200);
        assert_eq!(new.last_answer("new").await.status, 200);
        assert_eq!(server.running.await.unwrap(), Drained { aborted: 0 });
    }
}

#[tokio::test]
async fn a_head_that_is_half_there_is_waited_for() {
    let server = serve(app()).await;
    let (begun, rest) = REQUEST.split_at(20);
    let mut halves = [Client::kept(&server).await, Client::connect(&server)];
    for client in &mut halves {
        client.send(begun);
    }
    let idle = Client::kept(&server).await;
    server.shutdown.cancel();
    // The end has come as far as it can.
    idle.0.set_nonblocking(true).unwrap();
    assert_eq!(TcpStream::from_std(idle.0).unwrap().read(&mut [0; 1]).await.unwrap(), 0);
    assert!(!server.running.is_finished());
    for client in &mut halves {
        client.send(rest);
    }
    for (case, client) in ["kept", "new"].into_iter().zip(halves) {
        let answer = client.last_answer(case).await;
        assert_eq!((answer.status, answer.header("connection")), (200, Some("close")), "{case}");
    }
    assert_eq!(server.running.await.unwrap(), Drained { aborted: 0 });
}

#[tokio::test]
async fn a_head_that_stays_half_is_cut_off_at_the_deadline() {
    let mut config = ServerConfig::default();
    config.drain = Duration::ZERO;
    let server = Running::start(app(), config).await;
    let mut half = Client::connect(&server);
    half.send(&REQUEST[..20]);
    server.shutdown.cancel();
    assert_eq!(server.running.await.unwrap(), Drained { aborted: 1 });
    assert_eq!(half.0.read(&mut [0; 1]).unwrap(), 0);
}
