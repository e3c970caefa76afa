//! Accepting connections, whatever goes wrong.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};

/// How long to wait after a failure that is ours, such as no file descriptors left.
const BACKOFF: Duration = Duration::from_millis(100);

/// Whether it is only the one connection that failed.
fn is_of_the_connection(e: &io::Error) -> bool {
    matches!(
        e.kind(),
        io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionRefused
    )
}

/// Accepts for ever.
pub(super) async fn accept(
    listener: &TcpListener,
    mut take: impl FnMut(TcpStream, SocketAddr),
) -> Infallible {
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
