//! Connections that have changed to another protocol: bytes both ways, once the upstream has said 101.

mod offer;
mod pump;

use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, Sleep};

pub(crate) use offer::Offer;
use pump::Pump;

use crate::access::AccessGuard;
use crate::upstream::Socket;

/// The upstream's side of a tunnel, which waits for the client's.
pub(crate) struct Tunnel {
    upstream: Socket,
    /// What the upstream has sent behind its 101.
    begun: Bytes,
    idle_timeout: Duration,
    /// The client's side, in a server that is not ours.
    client: Option<OnUpgrade>,
    access: Option<Box<AccessGuard>>,
}

/// How a tunnel ended.
enum End {
    Closed,
    Broken(std::io::Error),
    Idle,
}

impl Tunnel {
    /// Its end is the request's.
    pub(crate) fn report_to(&mut self, access: Option<Box<AccessGuard>>) {
        self.access = access;
    }

    /// Carries bytes until both sides have ended, one fails, or nothing has passed for too long. `begun` is what the
    /// client has sent behind its request. A side that stops sending may go on receiving.
    ///
    /// # Cancel safety
    /// Dropping the future closes both sides; the request's event says `aborted`.
    pub(crate) async fn run<C: AsyncRead + AsyncWrite + Unpin>(self, mut client: C, begun: Bytes) {
        let Self { mut upstream, begun: answer, idle_timeout, client: _, mut access } = self;
        let (mut up, mut down) = (Pump::new(begun), Pump::new(answer));
        let mut last = Instant::now();
        let mut timer: Pin<Box<Sleep>> = Box::pin(tokio::time::sleep_until(last + idle_timeout));
        let end = poll_fn(|cx| {
            let before = (up.moved(), down.moved());
            let polled = (up.poll(cx, &mut client, &mut upstream), down.poll(cx, &mut upstream, &mut client));
            let now = (up.moved(), down.moved());
            if now != before {
                last = Instant::now();
                if let Some(access) = &mut access {
                    access.set_tunnelled(now.0, now.1);
                }
            }
            match polled {
                (Poll::Ready(Err(e)), _) | (_, Poll::Ready(Err(e))) => return Poll::Ready(End::Broken(e)),
                (Poll::Ready(Ok(())), Poll::Ready(Ok(()))) => return Poll::Ready(End::Closed),
                _ => {}
            }
            while timer.as_mut().poll(cx).is_ready() {
                if last.elapsed() >= idle_timeout {
                    return Poll::Ready(End::Idle);
                }
                timer.as_mut().reset(last + idle_timeout);
            }
            Poll::Pending
        })
        .await;
        match end {
            End::Closed => {
                if let Some(access) = &mut access {
                    access.set_complete();
                }
            }
            End::Broken(e) => {
                tracing::debug!(target: "shop_gateway::serve", error = &e as &dyn std::error::Error, "tunnel ended");
            }
            End::Idle => tracing::debug!(target: "shop_gateway::serve", "tunnel was idle for too long"),
        }
    }

    /// The same, with the client's side from the server that the gateway is mounted in: in a task of its own, since there
    /// is no connection's task of ours.
    pub(crate) fn detach(mut self) {
        let Some(client) = self.client.take() else { return };
        tokio::spawn(async move {
            match client.await {
                Ok(client) => self.run(TokioIo::new(client), Bytes::new()).await,
                Err(e) => {
                    tracing::debug!(target: "shop_gateway::serve", error = &e as &dyn std::error::Error, "no tunnel");
                }
            }
        });
    }
}

impl fmt::Debug for Tunnel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tunnel").field("upstream", &self.upstream).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn each_byte_either_way_gives_it_more_time() {
        let (mut client, theirs) = duplex(64);
        let (mut up, upstream) = duplex(64);
        let idle_timeout = Duration::from_secs(10);
        let upstream = Socket::Other(Box::new(upstream));
        let tunnel = Tunnel { upstream, begun: Bytes::new(), idle_timeout, client: None, access: None };
        let running = tokio::spawn(tunnel.run(theirs, Bytes::new()));
        let start = Instant::now();
        for n in 0..10u8 {
            tokio::time::sleep(Duration::from_secs(9)).await;
            let (from, to) = if n % 2 == 0 { (&mut client, &mut up) } else { (&mut up, &mut client) };
            from.write_u8(n).await.unwrap();
            assert_eq!(to.read_u8().await.unwrap(), n);
        }
        running.await.unwrap();
        assert_eq!(start.elapsed().as_secs(), 100);
        assert_eq!(client.read(&mut [0]).await.unwrap(), 0, "it is closed");
    }
}
