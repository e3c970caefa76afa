//! Accepting connections, whatever goes wrong.

use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};

/// How long to wait after a failure that is ours, such as no file descriptors left.
const BACKOFF: Duration = Duration::from_millis(100);

/// The most connections taken after the end: clients that keep coming do not keep the listener open.
const LAST: usize = 1024;

/// Whether it is only the one connection that failed.
fn is_of_the_connection(e: &io::Error) -> bool {
    matches!(
        e.kind(),
        io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionRefused
    )
}

/// Accepts until `stop` is ready, then takes what the kernel has accepted by itself, whose clients may have sent their
/// requests, and closes the listener.
pub(super) async fn accept_until(
    listener: TcpListener,
    stop: impl Future<Output = ()>,
    mut take: impl FnMut(TcpStream, SocketAddr),
) {
    {
        let mut accepting = pin!(accept(&listener, &mut take));
        let mut stop = pin!(stop);
        poll_fn(|cx| {
            if stop.as_mut().poll(cx).is_ready() {
                return Poll::Ready(());
            }
            accepting.as_mut().poll(cx).map(|never| match never {})
        })
        .await;
    }
    if let Err(e) = take_waiting(listener, take) {
        tracing::warn!(
            target: "shop_gateway::serve", error = &e as &dyn std::error::Error, "cannot accept the last connections"
        );
    }
}

/// Accepts for ever.
async fn accept(listener: &TcpListener, take: &mut impl FnMut(TcpStream, SocketAddr)) -> Infallible {
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => take(stream, peer),
            Err(e) if is_of_the_connection(&e) => {}
            Err(e) => {
                tracing::warn!(target: "shop_gateway::serve", error = &e as &dyn std::error::Error, "cannot accept");
                tokio::time::sleep(BACKOFF).await;
            }
        }
    }
}

/// Accepts what waits now. The kernel is asked: the runtime may not have heard of the latest.
fn take_waiting(listener: TcpListener, mut take: impl FnMut(TcpStream, SocketAddr)) -> io::Result<()> {
    let listener = listener.into_std()?;
    for _ in 0..LAST {
        match listener.accept() {
            Ok((stream, peer)) => {
                stream.set_nonblocking(true)?;
                take(TcpStream::from_std(stream)?, peer);
            }
            Err(e) if is_of_the_connection(&e) => {}
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => break,
            Err(e) => return Err(e),
        }
    }
    Ok(())
}
