//! The servers, made from a configuration.

mod gateway;
mod orders;
mod products;
mod stores;
mod up;

use std::future::Future;
use std::net::SocketAddr;
use std::sync::atomic::Ordering;
use std::time::Duration;

use shop_core::http::{Admin, App, CancellationToken, Drained, Server, ServerConfig};
use shop_core::process::Failure;
use tokio::task::JoinError;

pub use gateway::gateway;
pub use orders::orders;
pub use products::products;
pub use stores::StoreUrl;
pub use up::{IN_PROCESS, Up, up};

/// What a server shows when it is ready: its name and its addresses.
#[derive(Debug)]
struct Bound {
    name: &'static str,
    server: Server<App>,
}

impl Bound {
    async fn bind(
        name: &'static str,
        address: SocketAddr,
        app: App,
        drain: Duration,
    ) -> Result<Self, Failure> {
        let mut config = ServerConfig::default();
        config.drain = drain;
        let server =
            Server::bind_all(&[address], app, config).await.map_err(|error| Failure::fault(&error))?;
        Ok(Self { name, server })
    }

    /// `orders=http://127.0.0.1:8081`
    fn address(&self) -> String {
        format!("{}=http://{}", self.name, self.server.local_addr())
    }
}

/// The admin server's socket, bound; it outlives the others, so that a drain can be watched.
async fn bind_admin(address: SocketAddr, admin: Admin) -> Result<(Bound, impl Fn()), Failure> {
    let draining = admin.draining();
    let bound = Bound::bind("admin", address, admin.into_app(), Duration::from_secs(1)).await?;
    Ok((bound, move || draining.store(true, Ordering::Relaxed)))
}

/// Serves until the shutdown: then says so on `/readyz`, drains the servers and at the same time what `besides` drains, runs
/// `finish` once nothing is served any more, and closes the admin socket last.
async fn serve(
    servers: Vec<Bound>,
    (admin, drain): (Bound, impl Fn()),
    shutdown: CancellationToken,
    besides: impl Future<Output = ()>,
    finish: impl Future<Output = ()>,
) {
    let close_admin = CancellationToken::new();
    let admin = tokio::spawn(admin.server.run(close_admin.clone()));
    let running: Vec<_> = servers
        .into_iter()
        .map(|bound| (bound.name, tokio::spawn(bound.server.run(shutdown.clone()))))
        .collect();
    shutdown.cancelled().await;
    drain();
    let servers = async {
        for (name, server) in running {
            ended(name, server.await);
        }
    };
    tokio::join!(besides, servers);
    finish.await;
    close_admin.cancel();
    if let Err(error) = admin.await {
        tracing::error!(%error, "the admin server ended by itself");
    }
}

fn ended(name: &str, server: Result<Drained, JoinError>) {
    match server {
        Ok(drained) if drained.aborted > 0 => {
            tracing::warn!(
                server = name,
                connections = drained.aborted,
                "broken off at the drain's deadline"
            );
        }
        Ok(_) => {}
        Err(error) => tracing::error!(server = name, %error, "a server ended by itself"),
    }
}
