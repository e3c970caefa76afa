//! Bytes that nobody thought of. More of them by `PROPTEST_CASES`.

use std::panic;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock, Mutex};

use proptest::prelude::*;
use proptest::sample::{Index, select};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;

use crate::harness::{Front, WORKER, block_on, served};
use crate::strict::{Fault, Reader, Strict, Upstream};
use crate::support::config_for;

/// Whether anything has panicked on the runtime's threads, where a connection would merely have ended.
fn has_panicked() -> bool {
    static PANICKED: AtomicBool = AtomicBool::new(false);
    static HOOK: LazyLock<()> = LazyLock::new(|| {
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if std::thread::current().name() == Some(WORKER) {
                PANICKED.store(true, Ordering::SeqCst);
            }
            before(info);
        }));
    });
    LazyLock::force(&HOOK);
    PANICKED.load(Ordering::SeqCst)
}

fn config() -> ProptestConfig {
    ProptestConfig { failure_persistence: None, ..ProptestConfig::default() }
}

/// What is done to bytes that were in order.
#[derive(Debug, Clone)]
enum Change {
    Insert(Index, Vec<u8>),
    Remove(Index, usize),
    Flip(Index, u8),
    Cut(Index),
}

fn change(inserted: &'static [&'static str]) -> impl Strategy<Value = Change> {
    prop_oneof![
        4 => (any::<Index>(), select(inserted)).prop_map(|(at, text)| Change::Insert(at, text.as_bytes().to_vec())),
        1 => (any::<Index>(), 1..8usize).prop_map(|(at, n)| Change::Remove(at, n)),
        1 => (any::<Index>(), 0..8u8).prop_map(|(at, bit)| Change::Flip(at, 1 << bit)),
        1 => any::<Index>().prop_map(Change::Cut),
    ]
}

fn changed(mut bytes: Vec<u8>, changes: &[Change]) -> Vec<u8> {
    for change in changes {
        match change {
            Change::Insert(at, text) => {
                let at = at.index(bytes.len() + 1);
                bytes.splice(at..at, text.iter().copied());
            }
            Change::Remove(at, n) if !bytes.is_empty() => {
                let at = at.index(bytes.len());
                bytes.drain(at..(at + n).min(bytes.len()));
            }
            Change::Flip(at, bit) if !bytes.is_empty() => {
                let at = at.index(bytes.len());
                bytes[at] ^= bit;
            }
            Change::Cut(at) => bytes.truncate(at.index(bytes.len() + 1)),
            _ => {}
        }
    }
    bytes
}

/// None is a HEAD, since whoever reads the answers must know which.
fn request() -> impl Strategy<Value = Vec<u8>> {
    let line = select(vec!["GET /a HTTP/1.1", "POST /b HTTP/1.1", "OPTIONS * HTTP/1.1", "GET /d HTTP/1.0"]);
    let header = select(vec![
        "Host: b",
        "Content-Length: 0",
        "Content-Length: 5",
        "Transfer-Encoding: chunked",
        "Connection: close",
        "Expect: 100-continue",
        "Connection: Host, X",
        "X: y",
        "X_Y: z",
        "Upgrade: foo",
        "Trailer: X",
        "Transfer-Encoding: gzip",
        "Content-Length: 4294967296",
    ]);
    let body = select(vec![
        "",
        "",
        "hello",
        "5\r\nhello\r\n0\r\n\r\n",
        "0\r\n\r\n",
        "5;x\r\nhello\r\n0\r\nX: y\r\n\r\n",
        "ffffffffffffffff\r\n",
        "GET /e HTTP/1.1\r\nHost: a\r\n\r\n",
    ]);
    (line, prop::collection::vec(header, 0..4), body).prop_map(|(line, headers, body)| {
        let headers: String = headers.iter().map(|header| format!("{header}\r\n")).collect();
        format!("{line}\r\nHost: a\r\n{headers}\r\n{body}").into_bytes()
    })
}

fn requests() -> impl Strategy<Value = Vec<u8>> {
    let inserted = &[
        "\r",
        "\n",
        "\r\n",
        "\0",
        " ",
        "\t",
        ":",
        "\r\n\r\n",
        "0",
        "9",
        "\r\n ",
        "Content-Length: 3\r\n",
        "Transfer-Encoding: chunked\r\n",
        "Host: c\r\n",
        ",",
        "\u{e9}",
        "%",
        "\x0b",
        "0\r\n\r\n",
        "#",
        "?",
        "//",
        "_",
    ];
    prop_oneof![
        9 => (prop::collection::vec(request(), 1..4), prop::collection::vec(change(inserted), 0..4))
            .prop_map(|(requests, changes)| changed(requests.concat(), &changes)),
        1 => prop::collection::vec(any::<u8>(), 1..200),
    ]
}

/// Whatever comes: no panic, nothing malformed reaches the upstream, it counts what the gateway passed on, and each answer
/// is in order.
#[test]
fn whatever_a_client_sends() {
    has_panicked();
    let (upstream, front) = block_on(async {
        let upstream = Upstream::start().await;
        let front = Front::start(config_for(upstream.addr)).await;
        (upstream, front)
    });
    proptest!(config(), |(bytes in requests(), piece in select(vec![usize::MAX, 1, 7]))| {
        let case = served(bytes.clone(), []);
        let (answers, fault) = block_on(case.play(front.addr, piece));
        let seen = upstream.take();
        prop_assert!(!has_panicked());
        prop_assert!(seen.faults.is_empty(), "{:#?}", seen);
        let passed_on = answers.iter().filter(|answer| answer.header("x-served").is_some()).count();
        prop_assert_eq!(fault, None);
        prop_assert_eq!(passed_on, seen.served.len(), "{:#?} {:#?}", answers, seen);
        for answer in &answers {
            let own = matches!(answer.status(), 100 | 400..=499 | 501 | 505);
            let upstreams = answer.status() == 200 && answer.header("x-served").is_some();
            prop_assert!(own || upstreams, "{:?}", answer);
        }
    });
}

fn answer() -> impl Strategy<Value = Vec<u8>> {
    let line = select(vec![
        "HTTP/1.1 200 OK",
        "HTTP/1.1 200 OK",
        "HTTP/1.1 404 Not Found",
        "HTTP/1.0 200 OK",
        "HTTP/1.1 304 Not Modified",
        "HTTP/1.1 500 Oh",
    ]);
    let header = select(vec![
        "Content-Length: 5",
        "Content-Length: 5",
        "Transfer-Encoding: chunked",
        "Transfer-Encoding: chunked",
        "Connection: close",
        "Content-Length: 0",
        "X: y",
        "Keep-Alive: x",
    ]);
    let body = select(vec![
        "hello",
        "5\r\nhello\r\n0\r\n\r\n",
        "5\r\nhello\r\n0\r\nX: y\r\n\r\n",
        "",
        "0\r\n\r\n",
        "5\r\nhel",
        "1\r\na\r\n1\r\nb\r\n0\r\n\r\n",
    ]);
    let inserted = &[
        "\r",
        "\0",
        "x",
        "5",
        ":",
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nz",
        "HTTP/1.1 100 Continue\r\n\r\n",
    ];
    (line, prop::collection::vec(header, 0..3), body, prop::collection::vec(change_of_answer(inserted), 0..3))
        .prop_map(|(line, headers, body, changes)| {
            let headers: String = headers.iter().map(|header| format!("{header}\r\n")).collect();
            changed(format!("{line}\r\n{headers}\r\n{body}").into_bytes(), &changes)
        })
}

/// No flips and removals: they make what is merely forgiven (a line feed alone) as well as what is wrong.
fn change_of_answer(inserted: &'static [&'static str]) -> impl Strategy<Value = Change> {
    prop_oneof![
        3 => (any::<Index>(), select(inserted)).prop_map(|(at, text)| Change::Insert(at, text.as_bytes().to_vec())),
        1 => any::<Index>().prop_map(Change::Cut),
    ]
}

/// The first final answer in the bytes, if it is in order.
async fn strictly(bytes: &[u8]) -> Option<Strict> {
    let mut reader = Reader::new(bytes);
    loop {
        match reader.response(false).await {
            Ok(answer) if answer.status() == 101 => return None,
            Ok(answer) if answer.status() < 200 => {}
            Ok(answer) if !answer.truncated => return Some(answer),
            _ => return None,
        }
    }
}

/// Whatever an upstream answers before it closes: what is in order reaches the client as it is, and what is not reaches it as
/// 502 or breaks off.
#[test]
fn whatever_an_upstream_answers() {
    has_panicked();
    let bytes = Arc::<Mutex<Vec<u8>>>::default();
    let front = block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut config = config_for(listener.local_addr().unwrap());
        config.upstreams.get_mut("up").unwrap().max_idle = 0;
        let answers = bytes.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let bytes = answers.lock().unwrap().clone();
                tokio::spawn(async move {
                    let mut reader = Reader::new(stream);
                    if reader.request().await.is_ok() {
                        // It may have been closed on a bad answer.
                        let _ = reader.stream.write_all(&bytes).await;
                    }
                });
            }
        });
        Front::start(config).await
    });
    proptest!(config(), |(answer in answer())| {
        bytes.lock().unwrap().clone_from(&answer);
        let (wanted, got) = block_on(async {
            let mut client = Reader::new(front.connect().await);
            client.stream.write_all(b"GET /a HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
            (strictly(&answer).await, client.response(false).await)
        });
        prop_assert!(!has_panicked());
        match (wanted, got) {
            (Some(wanted), Ok(got)) => {
                prop_assert_eq!((wanted.status(), wanted.body), (got.status(), got.body.clone()));
                prop_assert!(!got.truncated);
            }
            (None, Ok(got)) => prop_assert!(got.status() == 502 || got.truncated, "{:?}", got),
            (None, Err(Fault::End(_))) => {}
            (wanted, got) => prop_assert!(false, "{:?} became {:?}", wanted, got),
        }
    });
}
