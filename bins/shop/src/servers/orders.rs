use std::sync::Arc;

use shop_core::http::{Admin, App, CancellationToken, install_prometheus};
use shop_core::process::Failure;
use shop_core::{Clock, SystemClock};
use shop_orders::OrderService;
use shop_orders::http::{HttpConfig, app, figures, operator_routes};
use shop_products::ProductCatalog;
use shop_products::client::RestCatalog;

use super::stores::Close;
use super::{Bound, bind_admin, serve};
use crate::Source;
use crate::config::ShopConfig;

/// The orders service on the configured store, its HTTP API, and what closes the store.
pub(super) async fn part(
    config: &ShopConfig,
    catalog: Arc<dyn ProductCatalog>,
    clock: Arc<dyn Clock>,
) -> Result<(OrderService, App, Close), Failure> {
    let (store, close) = config.orders.store.orders(clock.clone()).await?;
    let service = OrderService::start(store, catalog, clock, config.orders.service());
    let mut http = HttpConfig::default();
    http.require_if_match = config.orders.require_if_match;
    http.require_idempotency_key = config.orders.require_idempotency_key;
    let app = app(service.clone(), http);
    Ok((service, app, close))
}

/// What the admin address tells of orders.
pub(super) fn admin(admin: Admin, service: &OrderService) -> Admin {
    let pinged = service.clone();
    admin
        .check("orders store", move || {
            let service = pinged.clone();
            async move { service.ping().await.map_err(|error| error.to_string()) }
        })
        .figure("orders", figures(service))
        .routes(operator_routes(service.clone()))
}

/// Runs `shop-orders` until the shutdown.
///
/// # Errors
/// If the store cannot be opened or an address cannot be bound.
pub async fn orders(
    config: &ShopConfig,
    source: &Source,
    shutdown: CancellationToken,
) -> Result<(), Failure> {
    let metrics = install_prometheus().map_err(|error| Failure::Fault(error.to_string()))?;
    let catalog =
        RestCatalog::builder(&config.orders.products_url).build().map_err(|error| Failure::fault(&error))?;
    let (service, app, close) = part(config, Arc::new(catalog), Arc::new(SystemClock)).await?;
    let server = Bound::bind("orders", config.orders.listen, app, config.drain()).await?;
    let admin = admin(source.tell(Admin::new(shop_core::service!("orders"))), &service).metrics(metrics);
    let address = config.admin.listen.unwrap_or(([127, 0, 0, 1], 8091).into());
    let admin = bind_admin(address, admin).await?;
    tracing::info!(store = %config.orders.store, "orders are ready: {} {}", server.address(), admin.0.address());
    serve(vec![server], admin, shutdown, async {}, async {
        service.shutdown().await;
        close.await;
    })
    .await;
    Ok(())
}
