use shop_core::http::{Admin, CancellationToken, install_prometheus};
use shop_core::process::Failure;
use shop_gateway::{Gateway, GatewayPlan, Server, ServerHandle};

use super::{bind_admin, serve};
use crate::Source;
use crate::config::ShopConfig;

/// Binds the gateway and starts its workers.
pub(super) fn start(plan: &GatewayPlan) -> Result<ServerHandle, Failure> {
    let server = Server::bind(plan.listen_config()).map_err(|error| Failure::fault(&error))?;
    server.start(plan).map_err(|error| Failure::fault(&error))
}

/// Has the gateway go by what files and etcd say from now on, for as long as the runtime lives.
pub(super) fn follow(plan: &GatewayPlan, source: &Source, in_process: &'static [&'static str]) {
    let (plan, mut changes) = (plan.clone(), source.changes());
    tokio::spawn(async move {
        while let Some(change) = changes.next().await {
            let (plan, config) = (plan.clone(), change.after.value.gateway(in_process));
            // Certificates may be read.
            match tokio::task::spawn_blocking(move || plan.reload(config)).await {
                Ok(Ok(done)) if done.routes || done.limits || !done.upstreams.is_empty() => {
                    let (routes, limits) = (done.routes, done.limits);
                    let upstreams = done.upstreams.join(" ");
                    tracing::info!(routes, limits, upstreams, "the gateway goes by the new configuration");
                }
                Ok(Ok(_)) => {}
                Ok(Err(errors)) => {
                    tracing::error!(error = %errors, "the gateway stays with the configuration that it had");
                }
                Err(error) => tracing::error!(error = %error, "the gateway's configuration was not read"),
            }
        }
    });
}

/// `gateway=http://127.0.0.1:8080`, for each address.
pub(super) fn addresses(handle: &ServerHandle) -> String {
    let all: Vec<_> =
        handle.local_addrs().iter().map(|address| format!("gateway=http://{address}")).collect();
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
    let admin = admin.figure("upstreams", move || serde_json::to_value(plan.endpoints()).unwrap_or_default());
    let address = config.admin.listen.unwrap_or(([127, 0, 0, 1], 8090).into());
    let admin = bind_admin(address, admin).await?;
    tracing::info!("the gateway is ready: {} {}", addresses(&handle), admin.0.address());
    serve(Vec::new(), admin, shutdown, drain(handle, config), async {}).await;
    Ok(())
}

/// Drains the gateway within the configured time.
pub(super) async fn drain(handle: ServerHandle, config: &ShopConfig) {
    if !handle.shutdown(config.drain()).await {
        tracing::warn!(server = "gateway", "connections were broken off at the drain's deadline");
    }
}
