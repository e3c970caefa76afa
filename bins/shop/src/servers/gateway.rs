use std::time::Duration;

use shop_core::http::{Admin, CancellationToken, install_prometheus};
use shop_core::process::Failure;
use shop_gateway::{Gateway, GatewayPlan, ListenAddr, ListenerConfig, Reloaded, Server, ServerHandle};

use super::{bind_admin, serve};
use crate::Source;
use crate::config::ShopConfig;

/// How soon a gateway that has refused a configuration tries it again.
const RETRY: Duration = Duration::from_secs(5);

/// Binds the gateway and starts its workers.
pub(super) fn start(plan: &GatewayPlan) -> Result<ServerHandle, Failure> {
    let server = Server::bind(plan.listen_config()).map_err(|error| Failure::fault(&error))?;
    server.start(plan).map_err(|error| Failure::fault(&error))
}

/// Has the gateway go by what files and etcd say from now on, for as long as the runtime lives.
pub(super) fn follow(plan: &GatewayPlan, source: &Source, in_process: &'static [&'static str]) {
    let (plan, mut changes) = (plan.clone(), source.changes());
    tokio::spawn(async move {
        let (mut wanted, mut refused) = (None, String::new());
        loop {
            let retry = async {
                match wanted {
                    Some(_) => tokio::time::sleep(RETRY).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                change = changes.next() => match change {
                    Some(change) => wanted = Some(change.after.value.gateway(in_process)),
                    None => return,
                },
                // What it refused was in files of its own, certificates, which may be mended without a change here.
                () = retry => {}
            }
            let (Some(config), plan) = (wanted.clone(), plan.clone()) else { continue };
            let outcome = tokio::task::spawn_blocking(move || plan.reload(config)).await;
            match outcome {
                Ok(Ok(done)) => {
                    (wanted, refused) = (None, String::new());
                    let Reloaded { routes, limits, upstreams, .. } = done;
                    if routes || limits || !upstreams.is_empty() {
                        let upstreams = upstreams.join(" ");
                        tracing::info!(
                            routes,
                            limits,
                            upstreams,
                            "the gateway goes by the new configuration"
                        );
                    }
                }
                Ok(Err(errors)) => {
                    let errors = errors.to_string();
                    if errors != refused {
                        tracing::error!(
                            error = errors,
                            "the gateway stays with what it had, and tries again"
                        );
                    }
                    refused = errors;
                }
                Err(error) => {
                    tracing::error!(error = %error, "the gateway's configuration was not taken over")
                }
            }
        }
    });
}

/// `gateway=http://127.0.0.1:8080`, for each address.
pub(super) fn addresses(handle: &ServerHandle, plan: &GatewayPlan) -> String {
    let mut bound = handle.local_addrs().iter();
    let shown = |entry: &ListenerConfig| {
        let scheme = if entry.tls.is_some() { "https" } else { "http" };
        match &entry.address {
            ListenAddr::Unix(path) => Some(format!("gateway=unix:{}", path.display())),
            // Of port 0 the one that it took.
            ListenAddr::Tcp(_) => bound.next().map(|address| format!("gateway={scheme}://{address}")),
        }
    };
    let all: Vec<_> = plan.listen_config().listen.iter().filter_map(shown).collect();
    all.join(" ")
}

/// Runs `shop-gateway` until the shutdown.
///
/// # Errors
/// If an address cannot be bound.
pub async fn gateway(
    config: &ShopConfig,
    source: &Source,
    shutdown: CancellationToken,
) -> Result<(), Failure> {
    let metrics = install_prometheus().map_err(|error| Failure::Fault(error.to_string()))?;
    let plan = Gateway::builder(config.gateway(&[])).plan();
    let plan = plan.map_err(|errors| Failure::Config(errors.to_string()))?;
    let handle = start(&plan)?;
    follow(&plan, source, &[]);
    let admin = source.tell(Admin::new(shop_core::service!("gateway"))).metrics(metrics);
    let known = plan.clone();
    let admin =
        admin.figure("upstreams", move || serde_json::to_value(known.endpoints()).unwrap_or_default());
    let address = config.admin.listen.unwrap_or(([127, 0, 0, 1], 8090).into());
    let admin = bind_admin(address, admin).await?;
    tracing::info!("the gateway is ready: {} {}", addresses(&handle, &plan), admin.0.address());
    serve(Vec::new(), admin, shutdown, drain(handle, config), async {}).await;
    Ok(())
}

/// Drains the gateway within the configured time.
pub(super) async fn drain(handle: ServerHandle, config: &ShopConfig) {
    if !handle.shutdown(config.drain()).await {
        tracing::warn!(server = "gateway", "connections were broken off at the drain's deadline");
    }
}
