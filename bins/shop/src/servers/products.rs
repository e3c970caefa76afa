use std::sync::Arc;

use serde_json::Value;
use shop_core::http::{Admin, App, CancellationToken, install_prometheus};
use shop_core::process::Failure;
use shop_core::{Clock, SystemClock};
use shop_products::http::{ProductsHttpConfig, app};
use shop_products::{ProductService, ProductServiceConfig};

use super::stores::Close;
use super::{Bound, bind_admin, serve};
use crate::Source;
use crate::config::ShopConfig;

/// The products service on the configured store, its HTTP API, and what closes the store.
pub(super) async fn part(
    config: &ShopConfig,
    clock: Arc<dyn Clock>,
) -> Result<(ProductService, App, Close), Failure> {
    let (store, close) = config.products.store.products(clock.clone()).await?;
    let settings = ProductServiceConfig {
        view_capacity: config.products.view_capacity,
        ..ProductServiceConfig::default()
    };
    let service = ProductService::start(store, clock, settings);
    let mut http = ProductsHttpConfig::default();
    http.require_if_match = config.products.require_if_match;
    http.require_idempotency_key = config.products.require_idempotency_key;
    let app = app(service.clone(), http);
    Ok((service, app, close))
}

/// What the admin address tells of products.
pub(super) fn admin(admin: Admin, service: &ProductService) -> Admin {
    let (figures, pinged) = (service.clone(), service.clone());
    admin
        .check("products store", move || {
            let service = pinged.clone();
            async move { service.ping().await.map_err(|error| error.to_string()) }
        })
        .figure("products", move || serde_json::to_value(figures.figures()).unwrap_or(Value::Null))
}

/// Runs `shop-products` until the shutdown.
///
/// # Errors
/// If the store cannot be opened or an address cannot be bound.
pub async fn products(
    config: &ShopConfig,
    source: &Source,
    shutdown: CancellationToken,
) -> Result<(), Failure> {
    let metrics = install_prometheus().map_err(|error| Failure::Fault(error.to_string()))?;
    let (service, app, close) = part(config, Arc::new(SystemClock)).await?;
    let server = Bound::bind("products", config.products.listen, app, config.drain()).await?;
    let admin = admin(source.tell(Admin::new(shop_core::service!("products"))), &service).metrics(metrics);
    let address = config.admin.listen.unwrap_or(([127, 0, 0, 1], 8092).into());
    let admin = bind_admin(address, admin).await?;
    tracing::info!(store = %config.products.store, "products are ready: {} {}", server.address(), admin.0.address());
    serve(vec![server], admin, shutdown, async {}, async {
        service.shutdown().await;
        close.await;
    })
    .await;
    Ok(())
}
