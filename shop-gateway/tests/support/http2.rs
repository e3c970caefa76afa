//! Clients and upstreams of HTTP/2, by hyper.
#![allow(dead_code, clippy::unwrap_used, missing_docs, unreachable_pub)]

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body::{Body, Frame};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::client::conn::http2::SendRequest;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::PATIENCE;

/// A body whose frames are sent by hand.
pub struct Frames(mpsc::UnboundedReceiver<Frame<Bytes>>);

pub type Sending = mpsc::UnboundedSender<Frame<Bytes>>;

impl Body for Frames {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0.poll_recv(cx).map(|frame| frame.map(Ok))
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_closed() && self.0.is_empty()
    }
}

pub fn frames() -> (Sending, Frames) {
    let (tx, rx) = mpsc::unbounded_channel();
    (tx, Frames(rx))
}

/// All of a body at once; `None` for none.
pub fn whole(body: impl Into<Option<Bytes>>) -> Frames {
    let (tx, frames) = frames();
    if let Some(body) = body.into() {
        tx.send(Frame::data(body)).unwrap();
    }
    frames
}

pub fn data(text: &'static str) -> Frame<Bytes> {
    Frame::data(Bytes::from_static(text.as_bytes()))
}

pub struct Client {
    pub sender: SendRequest<Frames>,
    pub connection: JoinHandle<hyper::Result<()>>,
}

impl Client {
    pub async fn connect(addr: SocketAddr) -> Self {
        Self::over(TcpStream::connect(addr).await.unwrap()).await
    }

    pub async fn over(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) -> Self {
        let (sender, connection) =
            hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
        Self { sender, connection: tokio::spawn(connection) }
    }

    pub async fn send(&self, req: Request<Frames>) -> hyper::Result<Response<Incoming>> {
        let sending = self.sender.clone().send_request(req);
        tokio::time::timeout(PATIENCE, sending).await.expect("no answer")
    }

    pub async fn get(&self, url: &str) -> Response<Bytes> {
        let res = self.send(Request::get(url).body(whole(None)).unwrap()).await.unwrap();
        let (head, body) = res.into_parts();
        Response::from_parts(head, body.collect().await.unwrap().to_bytes())
    }

    /// Waits until the connection has ended.
    pub async fn ended(self) {
        drop(self.sender);
        // However it ended.
        let _ = tokio::time::timeout(PATIENCE, self.connection).await.expect("the connection is open");
    }
}

/// The rest of a body and its trailers.
pub async fn rest(body: Incoming) -> (Bytes, Option<HeaderMap>) {
    let collected = tokio::time::timeout(PATIENCE, body.collect()).await.expect("no end").unwrap();
    let trailers = collected.trailers().cloned();
    (collected.to_bytes(), trailers)
}

/// An upstream that speaks nothing but HTTP/2.
pub struct Upstream {
    pub addr: SocketAddr,
    pub connections: Arc<AtomicUsize>,
    requests: mpsc::UnboundedReceiver<Exchange>,
    tasks: tokio::task::JoinSet<()>,
    listening: JoinHandle<()>,
}

/// A request that waits for its answer.
pub struct Exchange {
    pub request: Request<Incoming>,
    answer: tokio::sync::oneshot::Sender<Response<Frames>>,
}

impl Exchange {
    pub fn answer(self, response: Response<Frames>) -> Request<Incoming> {
        self.answer.send(response).unwrap_or_else(|_| panic!("nobody waits for the answer"));
        self.request
    }
}

impl Upstream {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let (tx, requests) = mpsc::unbounded_channel();
        let connections = Arc::new(AtomicUsize::new(0));
        let count = connections.clone();
        let listening = tokio::spawn(async move {
            let mut tasks = tokio::task::JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                count.fetch_add(1, SeqCst);
                let tx = tx.clone();
                let service = hyper::service::service_fn(move |request| {
                    let (answer, answered) = tokio::sync::oneshot::channel();
                    // The test may have ended.
                    let _ = tx.send(Exchange { request, answer });
                    answered
                });
                tasks.spawn(async move {
                    let conn = hyper::server::conn::http2::Builder::new(TokioExecutor::new())
                        .serve_connection(TokioIo::new(stream), service);
                    // However it ends.
                    let _ = conn.await;
                });
            }
        });
        Self { addr, connections, requests, tasks: tokio::task::JoinSet::new(), listening }
    }

    pub async fn next(&mut self) -> Exchange {
        tokio::time::timeout(PATIENCE, self.requests.recv()).await.expect("no request came").unwrap()
    }

    pub fn connections(&self) -> usize {
        self.connections.load(SeqCst)
    }

    /// Cuts off all connections, and listens no more.
    pub fn stop(self) {
        self.listening.abort();
    }
}
