//! What the gateway holds: little, however slow or large its peers are.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream as StdStream};
use std::process::{Command, Stdio};
use std::time::Duration;

use shop_gateway::{Connections, EndpointAddr, Gateway};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

use crate::harness::{Front, block_on};
use crate::support::{PATIENCE, config_for, ok};

/// What a pipe holds; sockets would hold megabytes that are not the gateway's.
const PIPE: usize = 16 * 1024;
/// What the gateway may hold of one body on its way, both pipes with it.
const BOUND: usize = 512 * 1024;
/// Nothing taken for so long: nothing more will be.
const SILENCE: Duration = Duration::from_millis(500);

/// A gateway between two pipes: the client's end, and the upstream's once there is a request.
async fn between_pipes() -> (Connections, DuplexStream, mpsc::UnboundedReceiver<DuplexStream>) {
    let (tx, rx) = mpsc::unbounded_channel();
    let config = config_for("127.0.0.1:1");
    let gateway = Gateway::builder(config.clone())
        .connector(move |_: EndpointAddr| {
            let (ours, theirs) = duplex(PIPE);
            tx.send(theirs).unwrap();
            async move { Ok(ours) }
        })
        .build()
        .unwrap();
    let mut connections = Connections::new(gateway, &config.gateway);
    let (client, accepted) = duplex(PIPE);
    connections.serve(accepted, SocketAddr::from(([192, 0, 2, 1], 1)));
    (connections, client, rx)
}

async fn head(stream: &mut DuplexStream) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(tokio::time::timeout(PATIENCE, stream.read_u8()).await.unwrap().unwrap());
    }
}

/// How much is taken of an endless body whose other end nobody reads.
async fn taken(stream: &mut DuplexStream) -> usize {
    let piece = [b'x'; 4096];
    let mut taken = 0;
    while let Ok(wrote) = tokio::time::timeout(SILENCE, stream.write(&piece)).await {
        taken += wrote.unwrap();
        if taken > 2 * BOUND {
            break;
        }
    }
    taken
}

#[test]
fn an_answer_is_read_no_faster_than_its_client_takes_it() {
    block_on(async {
        let (_connections, mut client, mut upstreams) = between_pipes().await;
        client.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
        let mut up = upstreams.recv().await.unwrap();
        head(&mut up).await;
        up.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n").await.unwrap();
        let taken = taken(&mut up).await;
        assert!(taken <= BOUND, "{taken} bytes were taken of an answer that nobody reads");
        // And it goes on when the client does.
        head(&mut client).await;
        let mut received = vec![0; taken];
        client.read_exact(&mut received).await.unwrap();
        assert!(received.iter().all(|b| *b == b'x'));
    });
}

#[test]
fn a_request_is_read_no_faster_than_its_upstream_takes_it() {
    block_on(async {
        let (_connections, mut client, mut upstreams) = between_pipes().await;
        client.write_all(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000000\r\n\r\n").await.unwrap();
        let mut up = upstreams.recv().await.unwrap();
        head(&mut up).await;
        let taken = taken(&mut client).await;
        assert!(taken <= BOUND, "{taken} bytes were taken of a request that nobody reads");
        let mut received = vec![0; taken];
        up.read_exact(&mut received).await.unwrap();
        assert!(received.iter().all(|b| *b == b'x'));
    });
}

/// A line of `/proc/self/status`, in kB.
fn status_kb(name: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with(name)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// Both ends are in this process, too, and hold 64 KB each.
#[test]
#[ignore = "by hand: alone in its process, and long"]
fn a_gigabyte_each_way() {
    const SIZE: usize = 1 << 30;
    block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut config = config_for(listener.local_addr().unwrap());
        config.gateway.limits.max_body.0 = 2 * SIZE as u64;
        let front = Front::start(config).await;
        let before = status_kb("VmRSS");
        let upstream = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut byte = [0];
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                stream.read_exact(&mut byte).await.unwrap();
                head.push(byte[0]);
            }
            take(&mut stream, SIZE).await;
            stream
                .write_all(format!("HTTP/1.1 200 OK\r\nContent-Length: {SIZE}\r\n\r\n").as_bytes())
                .await
                .unwrap();
            give(&mut stream, SIZE).await;
        });
        let mut client = front.connect().await;
        client
            .write_all(format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {SIZE}\r\n\r\n").as_bytes())
            .await
            .unwrap();
        give(&mut client, SIZE).await;
        take(&mut client, SIZE).await;
        upstream.await.unwrap();
        let more = status_kb("VmHWM").saturating_sub(before);
        println!("1 GiB each way: resident at the start {before} kB, at most {more} kB more");
        assert!(more < 20_000, "{more} kB more");
    });
}

async fn take(stream: &mut TcpStream, mut size: usize) {
    let mut buffer = vec![0; 65536];
    while size > 0 {
        let n = stream.read(&mut buffer).await.unwrap();
        assert_ne!(n, 0);
        size = size.saturating_sub(n);
    }
}

async fn give(stream: &mut TcpStream, size: usize) {
    let buffer = vec![b'x'; 65536];
    for _ in 0..size / buffer.len() {
        stream.write_all(&buffer).await.unwrap();
    }
}

/// Where the clients of `ten_thousand_idle_connections` find the gateway.
const CLIENTS_OF: &str = "SHOP_WIRE_CLIENTS_OF";
const COUNT: usize = 10_000;

/// Each has had an answer and waits for its next request. The clients are in a process of their own.
#[test]
#[ignore = "by hand: alone in its process, with 10,100 files open"]
fn ten_thousand_idle_connections() {
    block_on(async {
        // It keeps nothing, as this process is measured.
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let front = Front::start(config_for(listener.local_addr().unwrap())).await;
        let upstream = tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                tokio::spawn(async move {
                    let mut request = [0; 4096];
                    while matches!(stream.read(&mut request).await, Ok(n) if n > 0) {
                        stream.write_all(&ok("")).await.unwrap();
                    }
                });
            }
        });
        // What is allocated once is there before.
        ask(&mut StdStream::connect(front.addr).unwrap());
        let before = status_kb("VmRSS");
        let mut clients = Command::new(std::env::current_exe().unwrap())
            .args(["--ignored", "--exact", "memory::idle_clients", "--nocapture"])
            .env(CLIENTS_OF, front.addr.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(clients.stdout.take().unwrap()).lines();
        let ready = tokio::task::spawn_blocking(move || (lines.any(|line| line.unwrap() == "ready"), lines));
        let (ready, _lines) = ready.await.unwrap();
        assert!(ready, "the clients failed");
        let each = (status_kb("VmRSS") - before) as f64 / COUNT as f64;
        println!("{COUNT} idle connections: {each:.1} kB each");
        drop(clients.stdin.take());
        assert!(clients.wait().unwrap().success());
        upstream.abort();
        assert!(each <= 20.0, "{each:.1} kB each");
    });
}

/// The clients' process, started by the test above and by nobody else.
#[test]
#[ignore = "started by ten_thousand_idle_connections"]
fn idle_clients() {
    let Ok(addr) = std::env::var(CLIENTS_OF) else { return };
    let clients: Vec<_> = (0..COUNT)
        .map(|_| {
            let mut client = StdStream::connect(&addr).unwrap();
            ask(&mut client);
            client
        })
        .collect();
    println!("\nready");
    // Until the other end is closed.
    std::io::stdin().read_to_end(&mut Vec::new()).unwrap();
    drop(clients);
}

fn ask(client: &mut StdStream) {
    client.write_all(b"GET /a HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    let mut answer = [0; 1024];
    assert_ne!(client.read(&mut answer).unwrap(), 0);
}
