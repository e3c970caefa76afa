//! Connections that somebody else accepts.

use std::net::SocketAddr;
use std::time::Duration;

use shop_core::drain::{Drain, nothing_arrived};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use super::SWEEP;
use super::conn::{ConnSettings, serve_connection, serve_tcp};
use crate::client::Client;
use crate::config::ListenConfig;
use crate::gateway::Gateway;

/// Serves a gateway on connections that somebody else accepts: what [`serve`](crate::serve) does with those of its
/// listener, for anything that reads and writes. A Unix socket, a stream inside TLS, one end of a simulated network.
///
/// ```
/// use shop_gateway::{Connections, Gateway, GatewayConfig};
/// use tokio::io::{AsyncReadExt, AsyncWriteExt};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let config = GatewayConfig::default();
/// let gateway = Gateway::builder(config.clone()).build()?;
/// let mut connections = Connections::new(gateway, &config.gateway);
/// let (mut client, accepted) = tokio::io::duplex(1024);
/// connections.serve(accepted, ([192, 0, 2, 7], 4711).into());
///
/// client.write_all(b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").await?;
/// let mut answer = String::new();
/// client.read_to_string(&mut answer).await?;
/// assert!(answer.starts_with("HTTP/1.1 404 Not Found\r\n"), "there is no route");
/// # assert!(connections.drain(std::time::Duration::from_secs(1)).await);
/// # Ok(())
/// # }
/// ```
///
/// Dropped, it cuts all of them off.
#[derive(Debug)]
pub struct Connections {
    gateway: Gateway,
    settings: ConnSettings,
    drain: Drain,
    tasks: JoinSet<()>,
}

impl Connections {
    /// None yet. Of `config`, the limits and `half_close` count.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn new(gateway: Gateway, config: &ListenConfig) -> Self {
        let mut tasks = JoinSet::new();
        let sweeper = gateway.clone();
        tasks.spawn(async move {
            loop {
                tokio::time::sleep(SWEEP).await;
                sweeper.sweep();
            }
        });
        Self { gateway, settings: ConnSettings::new(config), drain: Drain::default(), tasks }
    }

    /// Serves a client's connection in a task of its own.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn serve<S>(&mut self, stream: S, peer: SocketAddr)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        self.forget_ended();
        let (gateway, settings, ticket) = (self.gateway.clone(), self.settings.clone(), self.drain.join());
        self.tasks.spawn(serve_connection(
            stream,
            nothing_arrived,
            Client::new(peer),
            gateway,
            settings,
            ticket,
        ));
    }

    pub(super) fn serve_tcp(&mut self, stream: TcpStream, peer: SocketAddr) {
        self.forget_ended();
        let (gateway, settings, ticket) = (self.gateway.clone(), self.settings.clone(), self.drain.join());
        self.tasks.spawn(serve_tcp(stream, peer, gateway, settings, ticket));
    }

    /// Connections that have ended leave nothing behind.
    fn forget_ended(&mut self) {
        while self.tasks.try_join_next().is_some() {}
    }

    /// Lets the requests that run or have begun to come finish within `deadline`, and cuts off those that do not. True if
    /// every request had finished.
    ///
    /// # Cancel safety
    /// Dropping the future cuts off all connections.
    pub async fn drain(mut self, deadline: Duration) -> bool {
        self.drain.start();
        let drained = tokio::time::timeout(deadline, self.drain.finished()).await.is_ok();
        self.tasks.shutdown().await;
        drained
    }
}
