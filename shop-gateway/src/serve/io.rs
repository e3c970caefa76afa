//! A client's socket, with an eye on what passes.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed};
use std::task::{Context, Poll};

use shop_core::drain::Arrived;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::gather::with_one_piece;

/// What has passed on a socket. Counters wrap; only their change says anything.
#[derive(Debug, Default)]
pub(super) struct Traffic {
    reads: AtomicU32,
    writes: AtomicU32,
    blocked: AtomicBool,
    eof: AtomicBool,
    last_look: AtomicBool,
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
    pub(super) arrived: Arrived<S>,
    pub(super) traffic: Arc<Traffic>,
}

impl<S: AsyncRead + Unpin> AsyncRead for ClientIo<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let mut polled = Pin::new(&mut self.stream).poll_read(cx, buf);
        if polled.is_pending() && self.traffic.last_look.load(Relaxed) {
            polled = (self.arrived)(&self.stream, buf);
        }
        if let Poll::Ready(Ok(())) = polled {
            if buf.filled().len() > before {
                self.traffic.reads.store(self.traffic.reads().wrapping_add(1), Relaxed);
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
