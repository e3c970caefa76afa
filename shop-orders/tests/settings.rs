//! A service does not start with settings that cannot work.
#![allow(clippy::unwrap_used)]

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use shop_core::SystemClock;
use shop_orders::store::memory::MemoryOrderStore;
use shop_orders::{OrderService, OrderServiceConfig};
use shop_products::store::memory::MemoryProductStore;
use shop_products::{LocalCatalog, ProductService, ProductServiceConfig};

/// What it says when it does not start.
fn refusal(config: OrderServiceConfig) -> Option<String> {
    let clock = Arc::new(SystemClock);
    let stock = Arc::new(MemoryProductStore::new());
    let products = ProductService::start(stock, clock.clone(), ProductServiceConfig::default());
    let catalog = Arc::new(LocalCatalog(products));
    let store = Arc::new(MemoryOrderStore::new());
    let started = catch_unwind(AssertUnwindSafe(|| OrderService::start(store, catalog, clock, config)));
    started.err().map(|said| said.downcast_ref::<String>().unwrap().clone())
}

#[tokio::test]
async fn settings_that_cannot_work_do_not_start() {
    let good = OrderServiceConfig::default();
    assert_eq!(refusal(good.clone()), None);
    let hasty = OrderServiceConfig { grace: good.place_deadline, ..good.clone() };
    let still = OrderServiceConfig { recovery_interval: Duration::ZERO, ..good };
    for wrong in [hasty, still] {
        let reason = wrong.validate().unwrap_err().to_string();
        let said = refusal(wrong).unwrap();
        assert!(said.ends_with(&reason), "{said}");
    }
}
