//! What the tests share: gateways on real sockets, upstreams that record what they get, raw clients.
#![allow(dead_code, clippy::unwrap_used, missing_docs, unreachable_pub)]

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use shop_core::config::HumanDuration;
use shop_gateway::{Gateway, GatewayConfig, RouteConfig, UpstreamConfig, serve};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

/// No test waits longer than this for anything.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// A gateway that serves on a free port, in the current runtime.
pub struct Running {
    pub addr: SocketAddr,
    pub gateway: Gateway,
    stop: Option<oneshot::Sender<()>>,
    task: JoinHandle<std::io::Result<bool>>,
}

impl Running {
    pub async fn start(config: GatewayConfig) -> Self {
        Self::with(Gateway::builder(config.clone()).build().unwrap(), config).await
    }

    pub async fn with(gateway: Gateway, config: GatewayConfig) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let serving = gateway.clone();
        let task = tokio::spawn(async move {
            let shutdown = async move { drop(stopped.await) };
            serve(listener, serving, &config.gateway, shutdown, PATIENCE).await
        });
        Self { addr, gateway, stop: Some(stop), task }
    }

    pub async fn client(&self) -> RawClient {
        RawClient::connect(self.addr).await
    }

    /// Asks it to stop; it may still be draining.
    pub fn begin_stop(&mut self) {
        self.stop.take().unwrap().send(()).unwrap();
    }

    /// Waits for its end. True if every request had finished.
    pub async fn stopped(self) -> bool {
        tokio::time::timeout(PATIENCE, self.task).await.unwrap().unwrap().unwrap()
    }
}

/// One upstream, all paths.
pub fn config_for(endpoint: impl ToString) -> GatewayConfig {
    let upstream = UpstreamConfig { endpoints: vec![endpoint.to_string()], ..UpstreamConfig::default() };
    GatewayConfig {
        upstreams: BTreeMap::from([("up".to_owned(), upstream)]),
        routes: vec![RouteConfig::new("/", "up")],
        ..GatewayConfig::default()
    }
}

pub fn millis(ms: u64) -> HumanDuration {
    HumanDuration(Duration::from_millis(ms))
}

/// A message as it was on the wire.
#[derive(Debug, Clone)]
pub struct Message {
    pub head: String,
    pub body: Vec<u8>,
    /// Whether the connection ended before the message did.
    pub truncated: bool,
}

impl Message {
    pub fn start_line(&self) -> &str {
        self.head.lines().next().unwrap_or_default()
    }

    pub fn status(&self) -> u16 {
        self.start_line()
            .split(' ')
            .nth(1)
            .and_then(|s| s.parse().ok())
            .unwrap_or_else(|| panic!("no status: {self:?}"))
    }

    pub fn all(&self, name: &str) -> Vec<String> {
        self.head
            .lines()
            .skip(1)
            .filter_map(|line| line.split_once(':'))
            .filter(|(n, _)| n.eq_ignore_ascii_case(name))
            .map(|(_, v)| v.trim().to_owned())
            .collect()
    }

    pub fn header(&self, name: &str) -> Option<String> {
        self.all(name).into_iter().next()
    }

    pub fn text(&self) -> String {
        String::from_utf8(self.body.clone()).unwrap()
    }

    pub fn problem(&self) -> serde_json::Value {
        assert_eq!(self.header("content-type").unwrap(), "application/problem+json");
        let problem: serde_json::Value = serde_json::from_slice(&self.body).unwrap();
        assert_eq!(problem["status"], self.status());
        assert_eq!(problem["type"], format!("urn:shop:problem:{}", problem["code"].as_str().unwrap()));
        assert_eq!(problem["request_id"].as_str(), self.header("x-request-id").as_deref());
        assert!(problem["retryable"].is_boolean() && problem["title"].is_string());
        problem
    }

    pub fn code(&self) -> String {
        self.problem()["code"].as_str().unwrap().to_owned()
    }
}

/// A socket on which bytes are read as HTTP/1.1 messages.
pub struct Wire {
    pub stream: TcpStream,
    buffer: Vec<u8>,
}

pub type RawClient = Wire;

impl Wire {
    pub fn new(stream: TcpStream) -> Self {
        Self { stream, buffer: Vec::new() }
    }

    pub async fn connect(addr: SocketAddr) -> Self {
        Self::new(TcpStream::connect(addr).await.unwrap())
    }

    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).await.unwrap();
    }

    /// More bytes, or none at the end of the stream (or when it was reset).
    async fn more(&mut self) -> usize {
        let mut chunk = vec![0; 65536];
        let n = tokio::time::timeout(PATIENCE, self.stream.read(&mut chunk)).await.expect("nothing came");
        let n = n.unwrap_or(0);
        self.buffer.extend_from_slice(&chunk[..n]);
        n
    }

    /// The bytes up to and including a mark; none if the stream ended before.
    pub async fn until(&mut self, mark: &str) -> Option<String> {
        loop {
            if let Some(at) = self.buffer.windows(mark.len()).position(|w| w == mark.as_bytes()) {
                let rest = self.buffer.split_off(at + mark.len());
                return Some(String::from_utf8(std::mem::replace(&mut self.buffer, rest)).unwrap());
            }
            if self.more().await == 0 {
                return None;
            }
        }
    }

    pub async fn exactly(&mut self, n: usize) -> Option<Vec<u8>> {
        while self.buffer.len() < n {
            if self.more().await == 0 {
                return None;
            }
        }
        let rest = self.buffer.split_off(n);
        Some(std::mem::replace(&mut self.buffer, rest))
    }

    pub async fn head(&mut self) -> Option<String> {
        self.until("\r\n\r\n").await
    }

    pub async fn chunk(&mut self) -> Option<Vec<u8>> {
        let line = self.until("\r\n").await?;
        let size = usize::from_str_radix(line.trim(), 16).unwrap();
        let mut chunk = self.exactly(size + 2).await?;
        chunk.truncate(size);
        Some(chunk)
    }

    async fn body(&mut self, message: &mut Message) {
        if message.header("transfer-encoding").is_some() {
            loop {
                match self.chunk().await {
                    Some(chunk) if chunk.is_empty() => return,
                    Some(chunk) => message.body.extend(chunk),
                    None => {
                        message.truncated = true;
                        return;
                    }
                }
            }
        }
        let length = message.header("content-length").map_or(0, |length| length.parse().unwrap());
        match self.exactly(length).await {
            Some(body) => message.body = body,
            None => {
                message.truncated = true;
                message.body = std::mem::take(&mut self.buffer);
            }
        }
    }

    /// A request, or none if the connection ended.
    pub async fn request(&mut self) -> Option<Message> {
        let mut message = Message { head: self.head().await?, body: Vec::new(), truncated: false };
        self.body(&mut message).await;
        Some(message)
    }

    /// A response; `bodyless` for one to HEAD.
    pub async fn response_to(&mut self, bodyless: bool) -> Message {
        loop {
            let head = self.head().await.expect("the connection ended without a response");
            let mut message = Message { head, body: Vec::new(), truncated: false };
            if message.status() == 100 {
                continue;
            }
            if !bodyless && !matches!(message.status(), 204 | 304) {
                self.body(&mut message).await;
            }
            return message;
        }
    }

    pub async fn response(&mut self) -> Message {
        self.response_to(false).await
    }

    pub async fn ask(&mut self, request: &str) -> Message {
        self.send(request).await;
        self.response().await
    }

    pub async fn get(&mut self, path: &str) -> Message {
        self.ask(&format!("GET {path} HTTP/1.1\r\nhost: shop.example\r\n\r\n")).await
    }

    /// True when the other side has closed and nothing unread is left.
    pub async fn is_closed(&mut self) -> bool {
        self.buffer.is_empty() && self.more().await == 0
    }
}

/// An upstream that answers each request by a function and records them all.
pub struct Upstream {
    pub addr: SocketAddr,
    pub requests: Arc<Mutex<Vec<Message>>>,
    pub connections: Arc<AtomicUsize>,
}

impl Upstream {
    /// `answer` gives the bytes of a response; none closes the connection, as does a response that says so.
    pub async fn start(answer: impl Fn(&Message) -> Option<Vec<u8>> + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let upstream = Self {
            addr: listener.local_addr().unwrap(),
            requests: Arc::default(),
            connections: Arc::default(),
        };
        let (requests, connections) = (upstream.requests.clone(), upstream.connections.clone());
        let answer = Arc::new(answer);
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                connections.fetch_add(1, Ordering::SeqCst);
                let (requests, answer) = (requests.clone(), answer.clone());
                tokio::spawn(async move {
                    let mut wire = Wire::new(stream);
                    while let Some(request) = wire.request().await {
                        requests.lock().unwrap().push(request.clone());
                        let Some(bytes) = answer(&request) else { return };
                        if wire.stream.write_all(&bytes).await.is_err() {
                            return;
                        }
                        if String::from_utf8_lossy(&bytes).contains("connection: close") {
                            return;
                        }
                    }
                });
            }
        });
        upstream
    }

    /// One that answers 200 with the request's start line.
    pub async fn echo() -> Self {
        Self::start(|request| Some(ok(request.start_line()))).await
    }

    /// One whose connections the test plays by hand.
    pub async fn by_hand() -> (SocketAddr, mpsc::UnboundedReceiver<Wire>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let (tx, rx) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                if tx.send(Wire::new(stream)).is_err() {
                    return;
                }
            }
        });
        (addr, rx)
    }

    pub fn seen(&self) -> Vec<Message> {
        self.requests.lock().unwrap().clone()
    }

    pub fn last(&self) -> Message {
        self.seen().pop().expect("the upstream got no request")
    }

    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

pub fn ok(body: &str) -> Vec<u8> {
    format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len()).into_bytes()
}
