use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};

/// The waits after failures that are ours, such as no file descriptors left: each twice the one before.
const SHORTEST: Duration = Duration::from_millis(10);
const LONGEST: Duration = Duration::from_secs(1);

/// The most connections taken after the end, as many as Linux lets wait by default: clients that keep coming do not keep the
/// listener open.
const LAST: usize = 4096;

/// Whether it is only the one connection that failed.
fn is_of_the_connection(e: &io::Error) -> bool {
    matches!(
        e.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::Interrupted
    )
}

/// Accepts until `stop` is ready, then takes what the kernel has accepted by itself, whose clients may have sent their
/// requests, and closes the listener. `take` is to take the connection's [`Ticket`](super::Ticket) before it returns.
///
/// What fails is logged and tried again, with growing waits if it is not the one connection's fault.
///
/// # Cancel safety
/// Dropping the future closes the listener; connections that wait in its queue are reset.
pub async fn accept_until(
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
            target: "shop_core::drain", error = &e as &dyn std::error::Error, "cannot accept the last connections"
        );
    }
}

/// Accepts for ever.
async fn accept(listener: &TcpListener, take: &mut impl FnMut(TcpStream, SocketAddr)) -> Infallible {
    let mut pause = SHORTEST;
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => {
                pause = SHORTEST;
                take(stream, peer);
            }
            Err(e) if is_of_the_connection(&e) => {}
            Err(e) => {
                let local = listener.local_addr().ok().map(tracing::field::display);
                tracing::warn!(
                    target: "shop_core::drain", error = &e as &dyn std::error::Error, local, "cannot accept"
                );
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(LONGEST);
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
