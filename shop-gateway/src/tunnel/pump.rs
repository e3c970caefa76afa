//! One direction of a tunnel.

use std::cell::Cell;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// What is read at once.
const CHUNK: usize = 16 * 1024;
/// Reads in a row before others get their turn.
const TURN: usize = 16;

thread_local! {
    // One for all tunnels of a thread: a tunnel at rest holds no buffer.
    static SCRATCH: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// Bytes from one side to the other. Nothing more is read until what was read has been written.
#[derive(Debug)]
pub(super) struct Pump {
    rest: Bytes,
    moved: u64,
    unflushed: bool,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Copy,
    Shutdown,
    Done,
}

impl Pump {
    /// One that begins with bytes that are there already.
    pub(super) fn new(begun: Bytes) -> Self {
        Self { rest: begun, moved: 0, unflushed: false, state: State::Copy }
    }

    /// Bytes taken by the other side.
    pub(super) fn moved(&self) -> u64 {
        self.moved
    }

    /// Ready when `from` has ended and `to` was told so.
    pub(super) fn poll<F, T>(
        &mut self,
        cx: &mut Context<'_>,
        from: &mut F,
        to: &mut T,
    ) -> Poll<io::Result<()>>
    where
        F: AsyncRead + Unpin,
        T: AsyncWrite + Unpin,
    {
        for _ in 0..TURN {
            match self.state {
                State::Copy => {
                    while !self.rest.is_empty() {
                        let n = ready!(Pin::new(&mut *to).poll_write(cx, &self.rest))?;
                        self.wrote(n)?;
                        self.rest.advance(n);
                    }
                    if self.poll_read(cx, from, to)?.is_pending() {
                        if self.unflushed {
                            ready!(Pin::new(&mut *to).poll_flush(cx))?;
                            self.unflushed = false;
                        }
                        return Poll::Pending;
                    }
                }
                State::Shutdown => {
                    ready!(Pin::new(&mut *to).poll_shutdown(cx))?;
                    self.state = State::Done;
                }
                State::Done => return Poll::Ready(Ok(())),
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Reads once, and passes on what is taken at once; the rest is kept.
    fn poll_read<F, T>(&mut self, cx: &mut Context<'_>, from: &mut F, to: &mut T) -> Poll<io::Result<()>>
    where
        F: AsyncRead + Unpin,
        T: AsyncWrite + Unpin,
    {
        let mut scratch = SCRATCH.take();
        scratch.resize(CHUNK, 0);
        let mut buf = ReadBuf::new(&mut scratch);
        let mut polled = Pin::new(from).poll_read(cx, &mut buf);
        let filled = buf.filled();
        if let Poll::Ready(Ok(())) = polled {
            if filled.is_empty() {
                self.state = State::Shutdown;
            } else {
                let taken = match Pin::new(to).poll_write(cx, filled) {
                    Poll::Ready(Ok(n)) => {
                        polled = Poll::Ready(self.wrote(n));
                        n
                    }
                    Poll::Ready(Err(e)) => {
                        polled = Poll::Ready(Err(e));
                        0
                    }
                    Poll::Pending => 0,
                };
                self.rest = Bytes::copy_from_slice(&filled[taken..]);
            }
        }
        SCRATCH.set(scratch);
        polled
    }

    fn wrote(&mut self, n: usize) -> io::Result<()> {
        if n == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        self.moved += n as u64;
        self.unflushed = true;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::*;

    #[tokio::test]
    async fn what_was_begun_comes_first_and_the_end_is_passed_on() {
        let (mut source, mut from) = duplex(64);
        let (mut to, mut sink) = duplex(7);
        let sent: Vec<u8> = (0..100_000u32).map(|n| n as u8).collect();
        let writing = {
            let sent = sent.clone();
            tokio::spawn(async move {
                source.write_all(&sent).await.unwrap();
                source.shutdown().await.unwrap();
            })
        };
        let pumping = tokio::spawn(async move {
            let mut pump = Pump::new(Bytes::from_static(b"begun"));
            poll_fn(|cx| pump.poll(cx, &mut from, &mut to)).await.unwrap();
            pump.moved()
        });
        let mut got = Vec::new();
        sink.read_to_end(&mut got).await.unwrap();
        writing.await.unwrap();
        assert_eq!(pumping.await.unwrap(), 100_005);
        assert_eq!(&got[..5], b"begun");
        assert!(got[5..] == sent, "the same bytes in the same order");
    }
}
