//! A server on port 0, a client that sends exactly what it is told, and the events that both leave.
#![allow(dead_code, reason = "each test binary uses its own part")]

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, Once};

use serde_json::{Map, Value};
use shop_core::http::{App, CancellationToken, Drained, Server, ServerConfig};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tracing::field::{Field, Visit};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::{Context, SubscriberExt};

/// A server that runs.
pub(crate) struct Running {
    pub(crate) address: SocketAddr,
    pub(crate) shutdown: CancellationToken,
    pub(crate) running: JoinHandle<Drained>,
}

impl Running {
    pub(crate) async fn start(app: App, config: ServerConfig) -> Self {
        let server = Server::bind_all(&["127.0.0.1:0".parse().unwrap()], app, config).await.unwrap();
        let (address, shutdown) = (server.local_addr(), CancellationToken::new());
        let running = tokio::spawn(server.run(shutdown.clone()));
        Self { address, shutdown, running }
    }
}

pub(crate) async fn serve(app: App) -> Running {
    Running::start(app, ServerConfig::default()).await
}

/// An answer as it came.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|e| panic!("{e}: {self:?}"))
    }
}

pub(crate) async fn connect(address: SocketAddr) -> TcpStream {
    TcpStream::connect(address).await.unwrap()
}

/// Sends a request on a connection of its own, and reads one answer.
pub(crate) async fn ask(address: SocketAddr, request: &str) -> Answer {
    let mut socket = connect(address).await;
    socket.write_all(request.as_bytes()).await.unwrap();
    let answer = if request.starts_with("HEAD") {
        let (status, headers) = read_head(&mut socket).await.unwrap();
        Ok(Answer { status, headers, body: String::new() })
    } else {
        read_answer(&mut socket).await
    };
    answer.unwrap_or_else(|e| panic!("{e}: {request}"))
}

type Head = (u16, Vec<(String, String)>);

async fn read_head(socket: &mut TcpStream) -> std::io::Result<Head> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(socket.read_u8().await?);
    }
    let head = String::from_utf8(head).unwrap();
    let mut lines = head.split("\r\n");
    let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
    let headers = lines
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
        .collect();
    Ok((status, headers))
}

/// Reads one answer by its length or its chunks.
pub(crate) async fn read_answer(socket: &mut TcpStream) -> std::io::Result<Answer> {
    let (status, headers) = read_head(socket).await?;
    let mut answer = Answer { status, headers, body: String::new() };
    let mut body = Vec::new();
    if answer.header("transfer-encoding") == Some("chunked") {
        loop {
            let mut size = Vec::new();
            while !size.ends_with(b"\r\n") {
                size.push(socket.read_u8().await?);
            }
            let size = usize::from_str_radix(std::str::from_utf8(&size).unwrap().trim(), 16).unwrap();
            let mut chunk = vec![0; size + 2];
            socket.read_exact(&mut chunk).await?;
            body.extend_from_slice(&chunk[..size]);
            if size == 0 {
                break;
            }
        }
    } else if let Some(length) = answer.header("content-length") {
        body.resize(length.parse().unwrap(), 0);
        socket.read_exact(&mut body).await?;
    }
    // Pictures come too, and only their arrival matters.
    answer.body = String::from_utf8_lossy(&body).into_owned();
    Ok(answer)
}

/// A target and its fields.
type Seen = (String, Map<String, Value>);

/// The events of this thread, in order, with their fields.
#[derive(Clone, Default)]
pub(crate) struct Events {
    seen: Arc<Mutex<Vec<Seen>>>,
    more: Arc<Notify>,
}

impl Events {
    pub(crate) fn capture() -> (Self, tracing::subscriber::DefaultGuard) {
        // While there is one subscriber only, tracing asks that of the thread which first comes to a place, and notes for all
        // that nobody listens there if that thread has none. So no thread is without.
        static EVERY_THREAD: Once = Once::new();
        EVERY_THREAD.call_once(|| {
            tracing::subscriber::set_global_default(tracing_subscriber::registry()).expect("the first");
        });
        let events = Self::default();
        let subscriber = tracing_subscriber::registry().with(events.clone());
        (events, tracing::subscriber::set_default(subscriber))
    }

    /// The next event of a target, waiting for it.
    pub(crate) async fn next(&self, target: &str) -> Map<String, Value> {
        loop {
            let more = self.more.notified();
            {
                let mut seen = self.seen.lock().unwrap();
                if let Some(index) = seen.iter().position(|(known, _)| known == target) {
                    return seen.remove(index).1;
                }
            }
            more.await;
        }
    }

    pub(crate) fn left(&self, target: &str) -> usize {
        self.seen.lock().unwrap().iter().filter(|(known, _)| known == target).count()
    }
}

impl<S: tracing::Subscriber> Layer<S> for Events {
    fn on_event(&self, event: &tracing::Event<'_>, _: Context<'_, S>) {
        let mut fields = Fields(Map::new());
        event.record(&mut fields);
        self.seen.lock().unwrap().push((event.metadata().target().to_owned(), fields.0));
        self.more.notify_one();
    }
}

struct Fields(Map<String, Value>);

impl Visit for Fields {
    fn record_u64(&mut self, field: &Field, value: u64) {
        self.0.insert(field.name().into(), value.into());
    }
    fn record_bool(&mut self, field: &Field, value: bool) {
        self.0.insert(field.name().into(), value.into());
    }
    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.insert(field.name().into(), value.into());
    }
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        self.0.insert(field.name().into(), format!("{value:?}").into());
    }
}
