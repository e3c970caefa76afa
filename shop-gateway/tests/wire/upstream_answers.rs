//! What upstreams may answer: nothing that is not in order reaches the client as an answer that is, and no answer reaches
//! whoever did not ask for it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};

use crate::harness::{Front, block_on};
use crate::strict::{Fault, Reader, Strict};
use crate::support::{self, config_for, ok};

/// What an upstream says to the first request it gets.
pub struct Answer {
    bytes: Vec<u8>,
    then: Then,
    method: &'static str,
    want: Want,
    pub ours_alone: bool,
}

#[derive(Clone, Copy, PartialEq)]
enum Then {
    Waits,
    Closes,
}

enum Want {
    /// 502 of the gateway's own.
    BadGateway,
    /// The head is passed on, and then the answer breaks off.
    BreaksOff,
    /// This status and this body, whole.
    Passes(u16, &'static str),
}

fn bad(bytes: impl Into<Vec<u8>>) -> Answer {
    let want = Want::BadGateway;
    Answer { bytes: bytes.into(), then: Then::Waits, method: "GET", want, ours_alone: false }
}

fn breaks_off(bytes: impl Into<Vec<u8>>) -> Answer {
    Answer { want: Want::BreaksOff, ..bad(bytes) }
}

fn passes(bytes: impl Into<Vec<u8>>, status: u16, body: &'static str) -> Answer {
    Answer { want: Want::Passes(status, body), ..bad(bytes) }
}

impl Answer {
    fn then_closes(mut self) -> Self {
        self.then = Then::Closes;
        self
    }

    fn for_head(mut self) -> Self {
        self.method = "HEAD";
        self
    }

    fn ours_alone(mut self) -> Self {
        self.ours_alone = true;
        self
    }

    /// Panics if the client is told otherwise than it must be; `None` is an answer that was not in order.
    fn judge(&self, got: Option<&Strict>) {
        match (&self.want, got) {
            (Want::BadGateway, Some(got)) => {
                assert_eq!((got.status(), got.truncated), (502, false), "{got:?}")
            }
            (Want::BreaksOff, Some(got)) => assert!(got.truncated && got.status() == 200, "{got:?}"),
            (Want::Passes(status, body), Some(got)) => {
                assert_eq!((got.status(), &*got.text(), got.truncated), (*status, *body, false), "{got:?}");
                for name in ["keep-alive", "proxy-connection", "upgrade", "x-hop", "te"] {
                    assert!(got.header(name).is_none(), "{got:?}");
                }
            }
            // The connection ended before anything of the answer came.
            (Want::BreaksOff, None) => {}
            (_, None) => panic!("no answer that is in order"),
        }
    }

    /// Asks through a proxy, then asks again: the second must get its own answer, on whatever connection.
    pub async fn play(&self, front: SocketAddr) {
        let connect = async || {
            let stream = TcpStream::connect(front).await.unwrap();
            stream.set_nodelay(true).unwrap();
            Reader::new(stream)
        };
        let mut client = connect().await;
        let request = format!("{} /first HTTP/1.1\r\nHost: a\r\n\r\n", self.method);
        client.stream.write_all(request.as_bytes()).await.unwrap();
        let got = loop {
            match client.response(self.method == "HEAD").await {
                Ok(answer) if answer.status() < 200 => {}
                other => break other,
            }
        };
        match &got {
            Ok(answer) => self.judge(Some(answer)),
            Err(Fault::End(_)) => self.judge(None),
            // Broken chunks may break the client's too, as long as they are not ended.
            Err(Fault::Wrong(why)) => panic!("{why}"),
        }
        let mut again = connect().await;
        for client in [&mut client, &mut again] {
            let second = b"GET /second HTTP/1.1\r\nHost: a\r\n\r\n";
            if client.stream.write_all(second).await.is_err() {
                continue;
            }
            match client.response(false).await {
                Ok(answer) => assert_eq!((answer.status(), &*answer.text()), (200, "second"), "{answer:?}"),
                // Closed after the first, as it may be.
                Err(Fault::End(false)) => {}
                Err(fault) => panic!("{fault:?}"),
            }
        }
    }

    /// An upstream that answers so to the first request, and `second` to all others.
    pub fn upstream(&self, listener: TcpListener) -> impl Future<Output = ()> + use<> {
        let bytes: Arc<[u8]> = self.bytes.clone().into();
        let closes = self.then == Then::Closes;
        let first = Arc::new(AtomicBool::new(true));
        async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (bytes, first) = (bytes.clone(), first.clone());
                tokio::spawn(async move {
                    stream.set_nodelay(true).unwrap();
                    let mut reader = Reader::new(stream);
                    while reader.request().await.is_ok() {
                        let is_first = first.swap(false, Ordering::SeqCst);
                        let second = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nsecond";
                        let answer: &[u8] = if is_first { &bytes } else { second };
                        // Whoever closes on a bad answer is right to.
                        if reader.stream.write_all(answer).await.is_err() || (is_first && closes) {
                            return;
                        }
                    }
                });
            }
        }
    }
}

fn run(answer: &Answer) {
    block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let front = Front::start(config_for(listener.local_addr().unwrap())).await;
        let upstream = tokio::spawn(answer.upstream(listener));
        answer.play(front.addr).await;
        upstream.abort();
    });
}

/// Bytes that come on an idle connection are nobody's answer, least of all the next one's.
#[test]
fn an_answer_on_an_idle_connection_is_nobody_s() {
    block_on(async {
        let (addr, mut connections) = support::Upstream::by_hand().await;
        let front = Front::start(config_for(addr)).await;
        let mut client = Reader::new(front.connect().await);
        let request = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";
        client.stream.write_all(request).await.unwrap();
        let mut idle = connections.recv().await.unwrap();
        for _ in 0..20 {
            idle.head().await.unwrap();
            idle.send(ok("asked")).await;
            assert_eq!(client.response(false).await.unwrap().text(), "asked");
            idle.send(ok("unasked")).await;
            client.stream.write_all(request).await.unwrap();
            idle = connections.recv().await.unwrap();
        }
        assert_eq!(front.gateway.idle_connections(), 0);
    });
}

macro_rules! answers {
    ($($name:ident: $answer:expr;)*) => {
        pub fn all() -> Vec<(&'static str, Answer)> {
            vec![$((stringify!($name), $answer)),*]
        }

        $(
            #[test]
            fn $name() {
                run(&$answer);
            }
        )*
    };
}

const LENGTH_4: &str = "Content-Length: 4\r\n";
const CHUNKED: &str = "Transfer-Encoding: chunked\r\n";

fn head(lines: &str, rest: &str) -> String {
    format!("HTTP/1.1 200 OK\r\n{lines}\r\n{rest}")
}

fn chunks(rest: &str) -> String {
    head(CHUNKED, rest)
}

answers! {
    // Framing of answers.
    answer_with_two_framings: bad(head(&format!("{LENGTH_4}{CHUNKED}"), "4\r\nbody\r\n0\r\n\r\n")).ours_alone();
    answer_with_two_framings_the_other_way: bad(head(&format!("{CHUNKED}{LENGTH_4}"), "4\r\nbody\r\n0\r\n\r\n")).ours_alone();
    answer_with_two_equal_lengths: bad(head(&LENGTH_4.repeat(2), "body")).ours_alone();
    answer_with_two_lengths: bad(head("Content-Length: 4\r\nContent-Length: 5\r\n", "body")).ours_alone();
    answer_with_a_list_of_lengths: bad(head("Content-Length: 4, 4\r\n", "body")).ours_alone();
    answer_with_a_negative_length: bad(head("Content-Length: -4\r\n", "body")).ours_alone();
    answer_with_a_length_with_a_plus: bad(head("Content-Length: +4\r\n", "body")).ours_alone();
    answer_with_a_length_that_is_none: bad(head("Content-Length: x\r\n", "body")).ours_alone();
    answer_with_an_empty_length: bad(head("Content-Length:\r\n", "body")).ours_alone();
    answer_with_a_length_that_overflows: bad(head("Content-Length: 18446744073709551620\r\n", "body")).ours_alone();
    answer_with_an_unknown_coding: bad(head("Transfer-Encoding: foo\r\n", "body")).then_closes().ours_alone();
    answer_with_gzip_and_chunked: bad(head("Transfer-Encoding: gzip, chunked\r\n", "0\r\n\r\n")).ours_alone();
    answer_with_chunked_twice: bad(head(&CHUNKED.repeat(2), "4\r\nbody\r\n0\r\n\r\n")).ours_alone();
    answer_with_chunked_and_identity: bad(head("Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n", "body"))
        .then_closes().ours_alone();
    answer_with_chunks_in_http_1_0: bad("HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n").ours_alone();
    answer_to_head_with_a_list_of_lengths: bad(head("Content-Length: 4, 4\r\n", "")).for_head().ours_alone();
    answer_with_a_folded_header: bad(head("X: a\r\n b\r\nContent-Length: 0\r\n", ""));
    answer_with_a_nul_in_a_header: bad(head("X: a\0b\r\nContent-Length: 0\r\n", ""));
    answer_with_a_carriage_return_in_a_header: bad(head("X: a\rb\r\nContent-Length: 0\r\n", ""));
    answer_with_a_space_before_the_colon: bad(head("Content-Length : 4\r\n", "body"));
    answer_with_a_header_without_a_colon: bad(head("nothing\r\nContent-Length: 0\r\n", "")).ours_alone();
    answer_with_too_many_headers: bad(head(&"X: y\r\n".repeat(200), "")).ours_alone();
    answer_with_a_head_without_end: bad(format!("HTTP/1.1 200 OK\r\nX: {}", "y".repeat(200_000)));

    // Status lines.
    answer_that_is_no_http: bad("hello, world\r\n\r\n").ours_alone();
    answer_of_http_0_9: bad("<html>hello</html>").then_closes().ours_alone();
    answer_of_http_2: bad("HTTP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n").ours_alone();
    answer_of_http_1_2: bad("HTTP/1.2 200 OK\r\nContent-Length: 0\r\n\r\n").ours_alone();
    answer_with_a_status_of_two_digits: bad("HTTP/1.1 20 OK\r\nContent-Length: 0\r\n\r\n").ours_alone();
    answer_with_a_status_of_four_digits: bad("HTTP/1.1 2000 OK\r\nContent-Length: 0\r\n\r\n").ours_alone();
    answer_with_a_status_below_100: bad("HTTP/1.1 099 OK\r\nContent-Length: 0\r\n\r\n").ours_alone();
    answer_with_no_status: bad("HTTP/1.1\r\nContent-Length: 0\r\n\r\n").ours_alone();
    answer_in_lower_case: bad("http/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").ours_alone();
    answer_without_a_reason: passes("HTTP/1.1 200\r\nContent-Length: 2\r\n\r\nok", 200, "ok").ours_alone();
    answer_with_a_reason_of_its_own: passes("HTTP/1.1 200 Sure thing\r\nContent-Length: 2\r\n\r\nok", 200, "ok");
    answer_with_line_feeds_alone_is_made_crlf: passes("HTTP/1.1 200 OK\nContent-Length: 2\n\nok", 200, "ok");
    no_answer: bad("").then_closes();
    half_a_status_line: bad("HTTP/1.1 20").then_closes();
    half_a_head: bad("HTTP/1.1 200 OK\r\nContent-Le").then_closes();

    // Answers that break off are not ended.
    half_a_body: breaks_off(head(LENGTH_4, "bo")).then_closes();
    no_body_at_all: breaks_off(head(LENGTH_4, "")).then_closes();
    half_a_chunk: breaks_off(chunks("4\r\nbo")).then_closes();
    no_last_chunk: breaks_off(chunks("4\r\nbody\r\n")).then_closes();
    no_end_of_the_last_chunk: breaks_off(chunks("4\r\nbody\r\n0\r\n")).then_closes();
    half_a_chunk_size: breaks_off(chunks("4\r\nbody\r\n1")).then_closes();
    half_a_trailer: breaks_off(chunks("4\r\nbody\r\n0\r\nX: y")).then_closes();
    chunk_of_the_answer_with_a_line_feed: breaks_off(chunks("4\nbody\r\n0\r\n\r\n")).ours_alone();
    chunk_of_the_answer_that_is_no_number: breaks_off(chunks("x\r\nbody\r\n0\r\n\r\n"));
    chunk_of_the_answer_that_overflows: breaks_off(chunks("10000000000000004\r\nbody\r\n0\r\n\r\n"));
    chunk_of_the_answer_longer_than_it_says: breaks_off(chunks("3\r\nbody\r\n0\r\n\r\n"));
    chunk_of_the_answer_shorter_than_it_says: breaks_off(chunks("5\r\nbody\r\n0\r\n\r\n")).ours_alone();
    chunk_of_the_answer_with_a_minus: breaks_off(chunks("-4\r\nbody\r\n0\r\n\r\n"));

    // Answers without a body, and bytes that nobody asked for.
    no_content: passes("HTTP/1.1 204 No Content\r\n\r\n", 204, "");
    no_content_with_a_length: passes("HTTP/1.1 204 No Content\r\nContent-Length: 4\r\n\r\n", 204, "").ours_alone();
    no_content_with_a_body: passes("HTTP/1.1 204 No Content\r\nContent-Length: 4\r\n\r\nevil", 204, "").ours_alone();
    no_content_with_chunks: passes("HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nevil\r\n0\r\n\r\n", 204, "");
    not_modified_with_a_length: passes("HTTP/1.1 304 Not Modified\r\nContent-Length: 4\r\n\r\n", 304, "");
    not_modified_with_a_body: passes("HTTP/1.1 304 Not Modified\r\nContent-Length: 4\r\n\r\nevil", 304, "");
    head_with_a_body_in_the_answer: passes(head(LENGTH_4, "evil"), 200, "").for_head();
    head_with_chunks_in_the_answer: passes(chunks("4\r\nevil\r\n0\r\n\r\n"), 200, "").for_head();
    bytes_after_an_answer: passes(head(LENGTH_4, "bodyevil"), 200, "body");
    a_second_answer_unasked: passes(head(LENGTH_4, "bodyHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil"), 200, "body");
    a_second_answer_after_chunks: passes(
        chunks("4\r\nbody\r\n0\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil"), 200, "body"
    );
    an_empty_body: passes(head("Content-Length: 0\r\n", ""), 200, "");
    an_empty_body_in_chunks: passes(chunks("0\r\n\r\n"), 200, "");
    a_body_until_the_end: passes(head("", "body"), 200, "body").then_closes();
    a_body_until_the_end_of_http_1_0: passes("HTTP/1.0 200 OK\r\n\r\nbody", 200, "body").then_closes();
    a_body_that_says_close: passes(head("Connection: close\r\nContent-Length: 4\r\n", "body"), 200, "body").then_closes();
    chunks_with_extensions: passes(chunks("4;a=b\r\nbody\r\n0;c\r\n\r\n"), 200, "body");
    trailers_nobody_asked_for: passes(chunks("4\r\nbody\r\n0\r\nX: y\r\nContent-Length: 9\r\n\r\n"), 200, "body");
    headers_of_one_hop_in_an_answer: passes(head(
        "Connection: X-Hop\r\nConnection: keep-alive\r\nX-Hop: 1\r\nKeep-Alive: timeout=5\r\nProxy-Connection: x\r\n\
         Upgrade: h2c\r\nTE: x\r\nContent-Length: 4\r\n", "body",
    ), 200, "body").ours_alone();
    connection_cannot_take_the_answer_s_length: passes(
        head("Connection: Content-Length\r\nContent-Length: 4\r\n", "body"), 200, "body"
    );

    // Informational answers.
    a_100_before_the_answer: passes(format!("HTTP/1.1 100 Continue\r\n\r\n{}", head(LENGTH_4, "body")), 200, "body").ours_alone();
    a_103_before_the_answer: passes(
        format!("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n{}", head(LENGTH_4, "body")), 200, "body"
    ).ours_alone();
    a_hundred_100s_before_the_answer: passes(
        format!("{}{}", "HTTP/1.1 100 Continue\r\n\r\n".repeat(100), head(LENGTH_4, "body")), 200, "body"
    ).ours_alone();
    an_upgrade_nobody_asked_for: bad("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: foo\r\n\r\nevil")
        .ours_alone();
}
