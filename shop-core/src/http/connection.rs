//! A client's connection, and the patience to let it read a refusal while it still sends.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};

use crate::drain::Arrived;

/// How long, and over how many bytes, a closing connection reads on.
const LINGER: Duration = Duration::from_secs(5);
const LINGER_BYTES: usize = 64 << 20;

/// The two ends of a connection.
#[derive(Debug)]
pub struct Connection {
    /// The client's address.
    pub peer: SocketAddr,
    /// Our address.
    pub local: SocketAddr,
    accepted: Instant,
    /// When the wait for the current head began, in microseconds after the connection was accepted; 0 before the first.
    awaited: AtomicU64,
    /// Whether a byte has come since.
    heard: AtomicBool,
    /// Whether the head is whole.
    asked: AtomicBool,
    linger: AtomicBool,
    draining: AtomicBool,
}

impl Connection {
    pub(crate) fn new(peer: SocketAddr, local: SocketAddr) -> Self {
        Self {
            peer,
            local,
            accepted: Instant::now(),
            awaited: AtomicU64::new(0),
            heard: AtomicBool::new(false),
            asked: AtomicBool::new(false),
            linger: AtomicBool::new(false),
            draining: AtomicBool::new(false),
        }
    }

    /// A head is waited for; whether it is the connection's first.
    pub(crate) fn await_head(&self) -> bool {
        let now = u64::try_from(self.accepted.elapsed().as_micros()).unwrap_or(u64::MAX);
        self.heard.store(false, Ordering::Relaxed);
        self.asked.store(false, Ordering::Relaxed);
        self.awaited.swap(now.max(1), Ordering::Relaxed) == 0
    }

    /// Whether anything of the head that is waited for has come.
    pub(crate) fn head_begun(&self) -> bool {
        self.heard.load(Ordering::Relaxed)
    }

    /// The head is whole, and its request is being answered.
    pub(crate) fn head_whole(&self) {
        self.asked.store(true, Ordering::Relaxed);
    }

    /// Whether a head has begun to come and is not whole.
    pub(crate) fn is_in_head(&self) -> bool {
        self.head_begun() && !self.asked.load(Ordering::Relaxed)
    }

    /// The server ends: what has come is read to the last byte, and the next answer is the last.
    pub(crate) fn drain(&self) {
        self.draining.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }

    /// How long the current head has been waited for.
    pub(crate) fn waited(&self) -> Duration {
        self.accepted.elapsed().saturating_sub(Duration::from_micros(self.awaited.load(Ordering::Relaxed)))
    }

    /// A request was answered before its body was read: the client may still be sending.
    pub(crate) fn body_left_unread(&self) {
        self.linger.store(true, Ordering::Relaxed);
    }
}

/// A socket that, when a request was answered before its body was read, closes its sending half first and reads on for a
/// while: closing at once would make the kernel send RST, which can destroy the answer before the client reads it.
pub(crate) struct Socket<S> {
    stream: S,
    arrived: Arrived<S>,
    connection: Arc<Connection>,
    closing: Option<(Pin<Box<Sleep>>, usize)>,
}

impl<S> Socket<S> {
    pub(crate) fn new(stream: S, arrived: Arrived<S>, connection: Arc<Connection>) -> Self {
        Self { stream, arrived, connection, closing: None }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Socket<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let mut read = Pin::new(&mut self.stream).poll_read(cx, buf);
        if read.is_pending() && self.connection.is_draining() {
            read = (self.arrived)(&self.stream, buf);
        }
        if buf.filled().len() > before && !self.connection.head_begun() {
            self.connection.heard.store(true, Ordering::Relaxed);
        }
        read
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Socket<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.closing.is_none() {
            ready!(Pin::new(&mut this.stream).poll_shutdown(cx))?;
            if !this.connection.linger.load(Ordering::Relaxed) {
                return Poll::Ready(Ok(()));
            }
        }
        let (deadline, left) = this.closing.get_or_insert_with(|| (Box::pin(sleep(LINGER)), LINGER_BYTES));
        let mut scratch = [0; 16 << 10];
        while *left > 0 && deadline.as_mut().poll(cx).is_pending() {
            let mut buf = ReadBuf::new(&mut scratch);
            match ready!(Pin::new(&mut this.stream).poll_read(cx, &mut buf)) {
                Ok(()) if !buf.filled().is_empty() => *left = left.saturating_sub(buf.filled().len()),
                _ => break,
            }
        }
        Poll::Ready(Ok(()))
    }
}
