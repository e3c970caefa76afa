//! The server side: connections of clients, their timeouts and their end.
//!
//! Two ways to run it. [`Server`] has threads of its own, one runtime and one listener each, and is what a gateway
//! process uses. [`serve`] runs in the runtime that is there already.

mod conn;
mod gather;
mod io;
mod watchdog;
mod workers;

use std::future::Future;
use std::io::Result;
use std::time::Duration;

use shop_core::drain::{Drain, accept_until};
use tokio::net::TcpListener;

use crate::config::ListenConfig;
use crate::gateway::Gateway;
use conn::ConnSettings;

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
    let drain = Drain::default();
    let settings = ConnSettings::new(config);
    let mut tasks = tokio::task::JoinSet::new();
    let sweeper = gateway.clone();
    tasks.spawn(async move {
        loop {
            tokio::time::sleep(SWEEP).await;
            sweeper.sweep();
        }
    });
    accept_until(listener, shutdown, |stream, peer| {
        // Connections that have ended leave nothing behind.
        while tasks.try_join_next().is_some() {}
        tasks.spawn(conn::serve_connection(stream, peer, gateway.clone(), settings.clone(), drain.join()));
    })
    .await;
    drain.start();
    let drained = tokio::time::timeout(deadline, drain.finished()).await.is_ok();
    tasks.shutdown().await;
    Ok(drained)
}
