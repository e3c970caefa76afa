//! HTTP/1.1 to the letter: an upstream, and a client's reading of answers, that refuse whatever could be read in two ways.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::support::PATIENCE;

/// A message that was whole and in order.
#[derive(Debug, Clone, Default)]
pub struct Strict {
    pub start: String,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    pub trailers: Vec<(String, String)>,
    /// Only of answers: it ended with the connection and not by itself.
    pub truncated: bool,
}

impl Strict {
    pub fn all(&self, name: &str) -> Vec<&str> {
        self.headers.iter().filter(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| &**v).collect()
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.all(name).first().copied()
    }

    pub fn status(&self) -> u16 {
        self.start.split(' ').nth(1).unwrap().parse().unwrap()
    }

    pub fn target(&self) -> &str {
        self.start.split(' ').nth(1).unwrap()
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// Why a message is not in order, or that there is none any more.
#[derive(Debug)]
pub enum Fault {
    Wrong(String),
    /// The stream ended; true if that was amid a message.
    End(bool),
}

fn wrong<T>(why: impl Into<String>) -> Result<T, Fault> {
    Err(Fault::Wrong(why.into()))
}

pub struct Reader<S> {
    pub stream: S,
    pub buffer: Vec<u8>,
}

impl<S: AsyncRead + Unpin> Reader<S> {
    pub fn new(stream: S) -> Self {
        Self { stream, buffer: Vec::new() }
    }

    async fn more(&mut self, within: bool) -> Result<(), Fault> {
        let mut chunk = [0; 16384];
        match tokio::time::timeout(PATIENCE, self.stream.read(&mut chunk)).await {
            Ok(Ok(n)) if n > 0 => {
                self.buffer.extend_from_slice(&chunk[..n]);
                Ok(())
            }
            Ok(_) => Err(Fault::End(within || !self.buffer.is_empty())),
            Err(_) => wrong("nothing came, nor did the stream end"),
        }
    }

    /// A line that ends with CRLF, without it.
    async fn line(&mut self, within: bool) -> Result<String, Fault> {
        let mut checked = 0;
        loop {
            while let Some(&b) = self.buffer.get(checked) {
                match b {
                    b'\r' => match self.buffer.get(checked + 1) {
                        Some(b'\n') => {
                            let rest = self.buffer.split_off(checked + 2);
                            let mut line = std::mem::replace(&mut self.buffer, rest);
                            line.truncate(checked);
                            return Ok(line.iter().map(|&b| char::from(b)).collect());
                        }
                        Some(_) => return wrong("a carriage return alone"),
                        None => break,
                    },
                    b'\n' => return wrong("a line feed alone"),
                    b'\t' | b' '..=b'~' | 0x80.. => checked += 1,
                    _ => return wrong(format!("the byte {b:#x} in a line")),
                }
            }
            self.more(within).await?;
        }
    }

    async fn exactly(&mut self, n: usize) -> Result<Vec<u8>, Fault> {
        while self.buffer.len() < n {
            self.more(true).await?;
        }
        let rest = self.buffer.split_off(n);
        Ok(std::mem::replace(&mut self.buffer, rest))
    }

    async fn fields(&mut self) -> Result<Vec<(String, String)>, Fault> {
        let mut fields = Vec::new();
        loop {
            let line = self.line(true).await?;
            if line.is_empty() {
                return Ok(fields);
            }
            let Some((name, value)) = line.split_once(':') else {
                return wrong(format!("no colon: {line:?}"));
            };
            if name.is_empty() || !name.bytes().all(is_token) {
                return wrong(format!("no name: {line:?}"));
            }
            fields.push((name.to_owned(), value.trim_matches([' ', '\t']).to_owned()));
        }
    }

    async fn chunked(&mut self, message: &mut Strict) -> Result<(), Fault> {
        loop {
            let line = self.line(true).await?;
            let plain = (1..=16).contains(&line.len()) && line.bytes().all(|b| b.is_ascii_hexdigit());
            let Ok(size) = usize::from_str_radix(&line, 16) else {
                return wrong(format!("no size: {line:?}"));
            };
            if !plain {
                return wrong(format!("no plain chunk size: {line:?}"));
            }
            if size == 0 {
                message.trailers = self.fields().await?;
                return Ok(());
            }
            let chunk = self.exactly(size).await?;
            message.body.extend(chunk);
            if self.exactly(2).await? != b"\r\n" {
                return wrong("a chunk is longer than it says");
            }
        }
    }

    /// `Content-Length` if there is one, and whether the body is chunked.
    fn framing(message: &Strict) -> Result<(Option<usize>, bool), Fault> {
        let length = match message.all("content-length")[..] {
            [] => None,
            [one] if !one.is_empty() && one.bytes().all(|b| b.is_ascii_digit()) => match one.parse() {
                Ok(length) => Some(length),
                Err(_) => return wrong(format!("the length {one}")),
            },
            ref other => return wrong(format!("lengths {other:?}")),
        };
        let chunked = match message.all("transfer-encoding")[..] {
            [] => false,
            ["chunked"] => true,
            ref other => return wrong(format!("codings {other:?}")),
        };
        if length.is_some() && chunked { wrong("two framings") } else { Ok((length, chunked)) }
    }

    /// The next request, as an upstream of the gateway may expect it.
    pub async fn request(&mut self) -> Result<Strict, Fault> {
        let mut message = Strict { start: self.line(false).await?, ..Strict::default() };
        let parts: Vec<_> = message.start.split(' ').collect();
        let [method, target, "HTTP/1.1"] = parts[..] else {
            return wrong(format!("the request line {:?}", message.start));
        };
        if method.is_empty() || !method.bytes().all(|b| is_token(b) && !b.is_ascii_lowercase()) {
            return wrong(format!("the method {method}"));
        }
        let path = target.starts_with('/') || (target == "*" && method == "OPTIONS");
        if !path || !target.bytes().all(|b| matches!(b, b'!'..=b'~' | 0x80..) && b != b'#') {
            return wrong(format!("the target {target}"));
        }
        message.headers = self.fields().await?;
        match message.all("host")[..] {
            [host] if !host.is_empty() && !host.contains([' ', '/', '@', ',', '?', '#', '\t']) => {}
            ref other => return wrong(format!("hosts {other:?}")),
        }
        for name in
            ["connection", "keep-alive", "proxy-connection", "upgrade", "expect", "proxy-authorization"]
        {
            if message.header(name).is_some_and(|value| value != "keep-alive") {
                return wrong(format!("{name}: {:?}", message.all(name)));
            }
        }
        if let Some((name, _)) = message.headers.iter().find(|(name, _)| name.contains('_')) {
            return wrong(format!("the name {name}"));
        }
        match Self::framing(&message)? {
            (_, true) => self.chunked(&mut message).await?,
            (length, _) => message.body = self.exactly(length.unwrap_or(0)).await?,
        }
        match message.trailers.iter().find(|(name, _)| is_no_trailer(name)) {
            Some((name, _)) => wrong(format!("the trailer {name}")),
            None => Ok(message),
        }
    }

    /// The next answer; `bodyless` for one to HEAD. One that ends too early is not refused, but marked.
    pub async fn response(&mut self, bodyless: bool) -> Result<Strict, Fault> {
        let mut message = Strict { start: self.line(false).await?, ..Strict::default() };
        let mut parts = message.start.splitn(3, ' ');
        let version = parts.next().unwrap();
        let status = parts.next().unwrap_or_default();
        if !matches!(version, "HTTP/1.1" | "HTTP/1.0") || status.len() != 3 || parts.next().is_none() {
            return wrong(format!("the status line {:?}", message.start));
        }
        let Ok(status) = status.parse::<u16>() else { return wrong(format!("the status {status}")) };
        message.headers = self.fields().await?;
        let framing = Self::framing(&message)?;
        let none = status < 200 || status == 204;
        if none && framing != (None, false) {
            return wrong(format!("{status} with a framing: {framing:?}"));
        }
        let outcome = match framing {
            _ if none || bodyless || status == 304 => Ok(()),
            (_, true) if version == "HTTP/1.0" => return wrong("chunks for HTTP/1.0"),
            (_, true) => self.chunked(&mut message).await,
            (Some(length), _) => self.exactly(length).await.map(|body| message.body = body),
            (None, false) => loop {
                if let Err(fault) = self.more(false).await {
                    message.body = std::mem::take(&mut self.buffer);
                    break match fault {
                        Fault::End(_) => Ok(()),
                        wrong => Err(wrong),
                    };
                }
            },
        };
        match outcome {
            Err(Fault::End(_)) => {
                message.truncated = true;
                message.body.append(&mut self.buffer);
                Ok(message)
            }
            Ok(()) => Ok(message),
            Err(wrong) => Err(wrong),
        }
    }
}

fn is_token(b: u8) -> bool {
    b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b)
}

fn is_no_trailer(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    matches!(
        &*name,
        "content-length" | "transfer-encoding" | "host" | "authorization" | "trailer" | "connection"
    ) || name.starts_with("x-forwarded-")
}

/// What an upstream saw.
#[derive(Debug, Clone, Default)]
pub struct Seen {
    pub served: Vec<Strict>,
    /// What it had to refuse.
    pub faults: Vec<String>,
    /// Connections that ended amid a request.
    pub broken_off: usize,
}

/// An upstream that takes nothing ambiguous, and answers each request with 200, `x-served` and its target.
pub struct Upstream {
    pub addr: SocketAddr,
    seen: Arc<Mutex<Seen>>,
    accepting: JoinHandle<()>,
    ended: mpsc::Receiver<()>,
}

impl Upstream {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let seen = Arc::<Mutex<Seen>>::default();
        let (alive, ended) = mpsc::channel(1);
        let recorded = seen.clone();
        let accepting = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (seen, alive) = (recorded.clone(), alive.clone());
                tokio::spawn(async move {
                    let _alive = alive;
                    // A client that is gone is nothing to tell of.
                    let _ = serve(stream, &seen).await;
                });
            }
        });
        Self { addr, seen, accepting, ended }
    }

    /// What it has seen until now, which is then forgotten.
    pub fn take(&self) -> Seen {
        std::mem::take(&mut self.seen.lock().unwrap())
    }

    /// What it has seen when all its connections have ended.
    pub async fn finish(mut self) -> Seen {
        self.accepting.abort();
        let ended = tokio::time::timeout(PATIENCE, self.ended.recv()).await;
        assert!(ended.is_ok(), "connections to the upstream were left open");
        self.take()
    }
}

async fn serve(stream: TcpStream, seen: &Mutex<Seen>) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut reader = Reader::new(stream);
    loop {
        let request = match reader.request().await {
            Ok(request) => request,
            Err(Fault::End(within)) => {
                seen.lock().unwrap().broken_off += usize::from(within);
                return Ok(());
            }
            Err(Fault::Wrong(why)) => {
                seen.lock().unwrap().faults.push(why);
                return Ok(());
            }
        };
        let body = if request.start.starts_with("HEAD ") { "" } else { request.target() };
        let answer = format!(
            "HTTP/1.1 200 OK\r\ncontent-length: {}\r\nx-served: yes\r\n\r\n{body}",
            request.target().len()
        );
        seen.lock().unwrap().served.push(request);
        reader.stream.write_all(answer.as_bytes()).await?;
    }
}
