//! Clients that take their time.

use std::time::Duration;

use shop_gateway::GatewayConfig;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::Instant;

use crate::harness::{Front, block_on};
use crate::strict::{Reader, Strict, Upstream};
use crate::support::{self, PATIENCE, config_for, millis};

const PAUSE: Duration = Duration::from_millis(20);

/// Sends a beginning, then one byte after the other for as long as it takes, until there is an answer.
async fn trickle(front: &Front, begin: &str, byte: u8) -> Strict {
    let (read, mut write) = front.connect().await.into_split();
    let begun = Instant::now();
    write.write_all(begin.as_bytes()).await.unwrap();
    let sending = tokio::spawn(async move {
        while begun.elapsed() < PATIENCE && write.write_all(&[byte]).await.is_ok() {
            tokio::time::sleep(PAUSE).await;
        }
    });
    let answer = Reader::new(read).response(false).await.unwrap();
    sending.await.unwrap();
    assert!(begun.elapsed() < PATIENCE, "the connection was not closed");
    answer
}

fn hurried(upstream: &Upstream) -> GatewayConfig {
    let mut config = config_for(upstream.addr);
    config.gateway.limits.header_timeout = millis(300);
    config.gateway.limits.body_timeout = millis(300);
    config.gateway.limits.idle_timeout = millis(300);
    config
}

fn trickled(begin: &str, byte: u8) {
    block_on(async {
        let upstream = Upstream::start().await;
        let front = Front::start(hurried(&upstream)).await;
        assert_eq!(trickle(&front, begin, byte).await.status(), 408);
        drop(front);
        let seen = upstream.finish().await;
        assert!(seen.served.is_empty() && seen.faults.is_empty(), "{seen:#?}");
    });
}

#[test]
fn a_request_line_byte_by_byte_does_not_last() {
    trickled("GET /", b'x');
}

#[test]
fn a_header_byte_by_byte_does_not_last() {
    trickled("GET / HTTP/1.1\r\nHost: a\r\nX: ", b'x');
}

#[test]
fn empty_lines_for_ever_do_not_last() {
    trickled("\r\n", b'\n');
}

#[test]
fn a_chunk_size_byte_by_byte_does_not_last() {
    trickled("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1;", b'x');
}

#[test]
fn trailers_byte_by_byte_do_not_last() {
    trickled("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX: ", b'x');
}

#[test]
fn slow_clients_do_not_keep_others_waiting() {
    block_on(async {
        let upstream = Upstream::start().await;
        let front = Front::start(config_for(upstream.addr)).await;
        let mut slow = Vec::new();
        for begin in [
            "",
            "GET",
            "GET / HTTP/1.1\r\nHost: a\r\n",
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nx",
        ] {
            for _ in 0..50 {
                let mut stream = front.connect().await;
                stream.write_all(begin.as_bytes()).await.unwrap();
                slow.push(stream);
            }
        }
        let mut client = Reader::new(front.connect().await);
        for _ in 0..10 {
            client.stream.write_all(b"GET /a HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
            assert_eq!(client.response(false).await.unwrap().text(), "/a");
        }
        drop((slow, client, front));
        let seen = upstream.finish().await;
        assert_eq!((seen.served.len(), seen.faults.len()), (10, 0), "{seen:#?}");
    });
}

/// It asks for much and takes nothing: its upstream must not be held for ever.
#[test]
fn a_client_that_takes_nothing_of_its_answer_is_given_up() {
    block_on(async {
        let (addr, mut connections) = support::Upstream::by_hand().await;
        let mut config = config_for(addr);
        config.gateway.limits.idle_timeout = millis(300);
        let front = Front::start(config).await;
        let mut client = front.connect().await;
        client.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
        let mut up = connections.recv().await.unwrap();
        up.head().await.unwrap();
        up.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").await;
        let mut chunk = b"10000\r\n".to_vec();
        chunk.resize(chunk.len() + 0x10000, b'x');
        chunk.extend(b"\r\n");
        let endless = async { while up.stream.write_all(&chunk).await.is_ok() {} };
        tokio::time::timeout(PATIENCE, endless).await.expect("the upstream's connection is still open");
        // What had been sent by then is there, and then the connection ends.
        let mut sink = vec![0; 65536];
        while matches!(client.read(&mut sink).await, Ok(n) if n > 0) {}
    });
}
