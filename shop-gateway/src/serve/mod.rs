//! The server side: connections of clients, their timeouts and their end.
//!
//! Three ways to run it. [`Server`] has threads of its own, one runtime and one listener each, and is what a gateway
//! process uses. [`serve`] runs in the runtime that is there already. [`Connections`] is for whoever accepts itself.

mod conn;
mod connections;
mod framing;
mod front;
mod gather;
#[cfg(feature = "http2")]
mod http2;
mod io;
mod prefixed;
mod proxy;
mod unix;
mod watchdog;
mod workers;

use std::future::Future;
use std::io::Result;
use std::time::Duration;

use shop_core::drain::accept_until;
use tokio::net::TcpListener;

use crate::config::ListenConfig;
use crate::gateway::Gateway;

pub use connections::Connections;
#[cfg(feature = "http2")]
pub(crate) use http2::Http2Conn;
pub use workers::{Server, ServerHandle};

/// How often idle upstream connections are looked through.
const SWEEP: Duration = Duration::from_secs(5);

/// Serves a gateway on a listener, in the current runtime, until `shutdown` is ready; then accepts no more, lets the
/// requests that run or have begun to come finish within `deadline`, and cuts off those that do not.
///
/// Of `config`, the limits and `half_close` count. True if every request had finished.
///
/// # Errors
/// When the listener has no local address any more. A failure to accept is logged and tried again.
///
/// # Cancel safety
/// Dropping the future cuts off all connections.
pub async fn serve(
    listener: TcpListener,
    gateway: Gateway,
    config: &ListenConfig,
    shutdown: impl Future<Output = ()>,
    deadline: Duration,
) -> Result<bool> {
    listener.local_addr()?;
    let mut connections = Connections::new(gateway, config);
    accept_until(listener, shutdown, |stream, peer| connections.serve_tcp(stream, peer)).await;
    Ok(connections.drain(deadline).await)
}
