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
    let handle = start(&plan.map_err(|errors| Failure::Config(errors.to_string()))?)?;
    let admin = source.tell(Admin::new(shop_core::service!("gateway"))).metrics(metrics);
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
