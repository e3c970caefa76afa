//! What methods, versions and expectations ask for.

use tokio::io::AsyncWriteExt;

use crate::harness::{Front, block_on, cases, served};
use crate::strict::{Fault, Reader, Upstream};
use crate::support::{self, Wire, config_for, ok};

cases! {
    head_has_the_length_and_no_body: served("HEAD /abc HTTP/1.1\r\nHost: a\r\n\r\n", ["HEAD /abc"])
        .bodyless().and(|o| assert_eq!(o.answer().header("content-length"), Some("4")));
    heads_in_a_row: served("HEAD /a HTTP/1.1\r\nHost: a\r\n\r\nHEAD /b HTTP/1.1\r\nHost: a\r\n\r\n", ["HEAD /a", "HEAD /b"])
        .bodyless();
    head_with_a_body: served(
        "HEAD /a HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbodyHEAD /b HTTP/1.1\r\nHost: a\r\n\r\n",
        ["HEAD /a", "HEAD /b"],
    ).bodyless();
    options_for_a_path: served("OPTIONS /a HTTP/1.1\r\nHost: a\r\n\r\n", ["OPTIONS /a"]);
    delete_with_a_body: served("DELETE /a HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbody", ["DELETE /a"])
        .and(|o| assert_eq!(o.request().text(), "body"));
    a_method_of_ones_own: served("M-SEARCH /a HTTP/1.1\r\nHost: a\r\n\r\n", ["M-SEARCH /a"]);
    post_without_a_length_has_no_body: served("POST /a HTTP/1.1\r\nHost: a\r\n\r\n", ["POST /a"])
        .and(|o| assert_eq!(o.request().text(), ""));
    http_1_0_is_closed_after: served("GET /a HTTP/1.0\r\nHost: a\r\n\r\nGET /b HTTP/1.0\r\nHost: a\r\n\r\n", ["GET /a"]);
    http_1_0_keep_alive: served(
        "GET /a HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\nGET /b HTTP/1.0\r\nHost: a\r\n\r\n",
        ["GET /a", "GET /b"],
    );
    http_1_0_becomes_1_1: served("POST /a HTTP/1.0\r\nHost: a\r\nContent-Length: 4\r\n\r\nbody", ["POST /a"])
        .and(|o| assert_eq!(o.request().text(), "body"));
    connection_close_is_kept: served(
        "GET /a HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\nGET /b HTTP/1.1\r\nHost: a\r\n\r\n", ["GET /a"]
    ).and(|o| assert_eq!(o.answer().header("connection"), Some("close")));
    connection_close_in_a_second_line: served(
        "GET /a HTTP/1.1\r\nHost: a\r\nConnection: keep-alive\r\nConnection: close\r\n\r\nGET /b HTTP/1.1\r\nHost: a\r\n\r\n",
        ["GET /a"],
    );
    expect_is_answered_and_not_passed_on: served(
        "POST /a HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\nbody", ["POST /a"]
    ).and(|o| assert_eq!(o.request().text(), "body"));
    expect_in_any_case: served(
        "POST /a HTTP/1.1\r\nHost: a\r\nExpect: 100-CONTINUE\r\nContent-Length: 4\r\n\r\nbody", ["POST /a"]
    );
    expect_in_http_1_0_is_ignored: served(
        "POST /a HTTP/1.0\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\nbody", ["POST /a"]
    ).and(|o| assert_eq!(o.answers.len(), 1));
    expect_without_a_body_is_ignored: served("GET /a HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n\r\n", ["GET /a"]);
    an_unknown_expectation: crate::harness::refused("POST /a HTTP/1.1\r\nHost: a\r\nExpect: x\r\nContent-Length: 0\r\n\r\n")
        .by(&[417]).ours_alone();
    a_second_expectation: crate::harness::refused(
        "POST /a HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nExpect: x\r\nContent-Length: 0\r\n\r\n"
    ).by(&[417]).ours_alone();
}

/// The client waits for the word; nothing of the body is there before.
#[test]
fn one_100_comes_before_the_body_is_sent() {
    block_on(async {
        let upstream = Upstream::start().await;
        let front = Front::start(config_for(upstream.addr)).await;
        let mut client = Reader::new(front.connect().await);
        let head = b"POST /a HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n";
        client.stream.write_all(head).await.unwrap();
        assert_eq!(client.response(false).await.unwrap().status(), 100);
        client.stream.write_all(b"body").await.unwrap();
        assert_eq!(client.response(false).await.unwrap().status(), 200);
        drop((client, front));
        assert_eq!(upstream.finish().await.served[0].text(), "body");
    });
}

/// What would have been the body must not be read as a request, though the gateway never asked for it.
#[test]
fn a_body_that_was_refused_at_its_head_is_no_request() {
    block_on(async {
        let upstream = Upstream::start().await;
        let mut config = config_for(upstream.addr);
        config.gateway.limits.max_body.0 = 10;
        let front = Front::start(config).await;
        for expect in ["", "Expect: 100-continue\r\n"] {
            let mut client = Reader::new(front.connect().await);
            let body = "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n";
            let head =
                format!("POST /a HTTP/1.1\r\nHost: a\r\n{expect}Content-Length: {}\r\n\r\n", body.len());
            client.stream.write_all(head.as_bytes()).await.unwrap();
            let refused = client.response(false).await.unwrap();
            assert_eq!((refused.status(), refused.header("connection")), (413, Some("close")));
            client.stream.write_all(body.as_bytes()).await.unwrap();
            assert!(matches!(client.response(false).await, Err(Fault::End(false))));
        }
        drop(front);
        let seen = upstream.finish().await;
        assert!(seen.served.is_empty() && seen.faults.is_empty(), "{seen:#?}");
    });
}

/// Answered without a word of going on, a client sends its body or not: what comes of it is no request.
#[test]
fn a_body_that_was_never_asked_for_is_no_request() {
    block_on(async {
        let upstream = Upstream::start().await;
        let mut config = config_for(upstream.addr);
        config.routes[0].path = "/routed".to_owned();
        let front = Front::start(config).await;
        let mut client = Reader::new(front.connect().await);
        let body = "GET /routed/smuggled HTTP/1.1\r\nHost: a\r\n\r\n";
        let head = format!(
            "POST /a HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        client.stream.write_all(head.as_bytes()).await.unwrap();
        assert_eq!(client.response(false).await.unwrap().status(), 404);
        // The connection may have ended, or take it and go on.
        let _ = client
            .stream
            .write_all(format!("{body}GET /routed/b HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes())
            .await;
        match client.response(false).await {
            Ok(answer) => assert_eq!(answer.text(), "/routed/b"),
            Err(Fault::End(false)) => {}
            Err(fault) => panic!("{fault:?}"),
        }
        drop((client, front));
        let seen = upstream.finish().await;
        assert!(seen.served.iter().all(|request| request.target() == "/routed/b"), "{seen:#?}");
    });
}

/// An answer that comes while the client still sends is delivered whole, and no reset overtakes it.
#[test]
fn an_early_answer_reaches_a_client_that_still_sends() {
    block_on(async {
        let (addr, mut connections) = support::Upstream::by_hand().await;
        let front = Front::start(config_for(addr)).await;
        let mut client = Reader::new(front.connect().await);
        client
            .stream
            .write_all(b"POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 10000000\r\n\r\nx")
            .await
            .unwrap();
        let mut up = connections.recv().await.unwrap();
        up.head().await.unwrap();
        up.send(ok("early")).await;
        assert_eq!(client.response(false).await.unwrap().text(), "early");
        client.stream.write_all(&vec![b'x'; 300_000]).await.unwrap();
        assert!(matches!(client.response(false).await, Err(Fault::End(false))));
        assert_eq!(front.gateway.idle_connections(), 0, "half a request is on the upstream's connection");
    });
}

/// An answer of unknown length is passed to a client of HTTP/1.0 until the end of the connection.
#[test]
fn chunks_are_none_for_http_1_0() {
    block_on(async {
        let (addr, mut connections) = support::Upstream::by_hand().await;
        let front = Front::start(config_for(addr)).await;
        let mut client = Wire::new(front.connect().await);
        client.send("GET /a HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\n").await;
        let mut up = connections.recv().await.unwrap();
        up.head().await.unwrap();
        up.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n").await;
        let head = client.head().await.unwrap();
        assert!(head.starts_with("HTTP/1.0 200") && !head.contains("transfer-encoding"), "{head}");
        assert_eq!(client.exactly(4).await.unwrap(), b"body");
        assert!(client.is_closed().await);
    });
}

/// Only whoever asked for trailers gets any.
#[test]
fn trailers_come_only_when_asked_for() {
    block_on(async {
        for (te, end) in [("", "0\r\n\r\n"), ("TE: trailers\r\n", "0\r\nx-sum: 7\r\n\r\n")] {
            let (addr, mut connections) = support::Upstream::by_hand().await;
            let front = Front::start(config_for(addr)).await;
            let mut client = Wire::new(front.connect().await);
            client.send(format!("GET /a HTTP/1.1\r\nHost: a\r\n{te}\r\n")).await;
            let mut up = connections.recv().await.unwrap();
            up.head().await.unwrap();
            up.send(
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum, Set-Cookie\r\n\r\n4\r\nbody\r\n0\r\n\
                 X-Sum: 7\r\nContent-Length: 9\r\nSet-Cookie: a=b\r\n\r\n",
            )
            .await;
            client.head().await.unwrap();
            assert_eq!(client.chunk().await.unwrap(), b"body");
            assert_eq!(client.until("\r\n\r\n").await.unwrap(), end);
        }
    });
}
