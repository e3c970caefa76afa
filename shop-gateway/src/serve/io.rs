//! A client's socket, with an eye on what passes.

use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};

use shop_core::drain::Arrived;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::framing::{Framing, Verdict};
use super::gather::with_one_piece;

/// What has passed on a socket. Counters wrap; only their change says anything.
#[derive(Debug, Default)]
pub(super) struct Traffic {
    reads: AtomicU32,
    writes: AtomicU32,
    blocked: AtomicBool,
    eof: AtomicBool,
    last_look: AtomicBool,
    refused: OnceLock<Refused>,
}

/// A head that hyper is not shown.
#[derive(Debug, Clone, Copy)]
pub(super) struct Refused {
    pub(super) why: &'static str,
    /// How many heads came before it.
    pub(super) after: u32,
}

impl Traffic {
    pub(super) fn reads(&self) -> u32 {
        self.reads.load(Relaxed)
    }

    pub(super) fn writes(&self) -> u32 {
        self.writes.load(Relaxed)
    }

    /// Whether the last write found the socket's buffer full.
    pub(super) fn is_blocked(&self) -> bool {
        self.blocked.load(Relaxed)
    }

    /// Whether the client has closed its sending side.
    pub(super) fn is_eof(&self) -> bool {
        self.eof.load(Relaxed)
    }

    /// From now on the kernel itself, if there is one, is asked whether nothing has come: the runtime may not have heard of it yet, and
    /// closing with bytes unread would reset the connection under a request.
    pub(super) fn look_closely(&self) {
        self.last_look.store(true, Relaxed);
    }

    /// The head that the connection ends with, if there is one: it is to be refused when all before it are answered.
    pub(super) fn refused(&self) -> Option<Refused> {
        self.refused.get().copied()
    }

    fn wrote(&self, polled: &Poll<io::Result<usize>>) {
        match polled {
            Poll::Pending => self.blocked.store(true, Relaxed),
            Poll::Ready(_) => {
                self.blocked.store(false, Relaxed);
                // Only one task writes: no need of an atomic addition.
                self.writes.store(self.writes.load(Relaxed).wrapping_add(1), Relaxed);
            }
        }
    }
}

/// A client's socket, or what takes its place.
#[derive(Debug)]
pub(super) struct ClientIo<S> {
    pub(super) stream: S,
    arrived: Arrived<S>,
    traffic: Arc<Traffic>,
    framing: Framing,
    /// The body is not framed as it should be.
    broken: bool,
}

impl<S> ClientIo<S> {
    pub(super) fn new(stream: S, arrived: Arrived<S>, traffic: Arc<Traffic>) -> Self {
        Self { stream, arrived, traffic, framing: Framing::new(), broken: false }
    }

    /// Whether bytes that came were taken for a broken message, and are gone.
    pub(super) fn is_stopped(&self) -> bool {
        self.broken || self.traffic.refused.get().is_some()
    }

    /// Takes back what must not pass of the bytes that came after `before`.
    fn admit(&mut self, before: usize, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let passed = match self.framing.pass(&buf.filled()[before..]) {
            Verdict::All => return Poll::Ready(Ok(())),
            Verdict::Head(passed, why) => {
                let refused = Refused { why, after: self.framing.heads() };
                // Once only: nothing is read after it.
                let _ = self.traffic.refused.set(refused);
                passed
            }
            Verdict::Body(passed) => {
                self.broken = true;
                passed
            }
        };
        buf.set_filled(before + passed);
        if passed > 0 { Poll::Ready(Ok(())) } else { self.stopped() }
    }

    /// The answer to reads after the verdict. Nobody waits for more: a refused head ends the connection once what came
    /// before it is answered, and whoever answers wakes the connection.
    fn stopped(&self) -> Poll<io::Result<()>> {
        if self.broken { Poll::Ready(Err(io::ErrorKind::InvalidData.into())) } else { Poll::Pending }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for ClientIo<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.is_stopped() {
            return self.stopped();
        }
        let before = buf.filled().len();
        let mut polled = Pin::new(&mut self.stream).poll_read(cx, buf);
        if polled.is_pending() && self.traffic.last_look.load(Relaxed) {
            polled = (self.arrived)(&self.stream, buf);
        }
        if let Poll::Ready(Ok(())) = polled {
            if buf.filled().len() > before {
                self.traffic.reads.store(self.traffic.reads().wrapping_add(1), Relaxed);
                return self.admit(before, buf);
            } else if buf.remaining() > 0 {
                self.traffic.eof.store(true, Relaxed);
            }
        }
        polled
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for ClientIo<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.traffic.wrote(&polled);
        polled
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let stream = &mut self.stream;
        let polled = match with_one_piece(bufs, |piece| Pin::new(&mut *stream).poll_write(cx, piece)) {
            Some(polled) => polled,
            None => Pin::new(stream).poll_write_vectored(cx, bufs),
        };
        self.traffic.wrote(&polled);
        polled
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
