//! A service that can be killed: from then on none of its tasks gets anything done any more.

use std::sync::Arc;
use std::time::Duration;

use shop_core::CombinerConfig;
use shop_orders::{Backoff, OrderService, OrderServiceConfig, OrderStore};
use shop_products::{ProductService, ProductServiceConfig, ProductStore};

use crate::bad_line::BadLine;
use crate::life::Life;
use crate::network::Network;
use crate::orders_store::BadOrderStore;
use crate::products_store::BadProductStore;
use crate::world::World;

pub(crate) struct Host<S> {
    pub(crate) life: Life,
    pub(crate) service: S,
}

impl<S: Clone> Clone for Host<S> {
    fn clone(&self) -> Self {
        Self { life: self.life.clone(), service: self.service.clone() }
    }
}

pub(crate) const GRACE: Duration = Duration::from_secs(6);

pub(crate) fn start_orders(
    world: &Arc<World>,
    number: usize,
    store: &Arc<dyn OrderStore>,
    network: &Arc<Network>,
) -> Host<OrderService> {
    let life = Life::default();
    let store =
        BadOrderStore { inner: store.clone(), line: BadLine { life: life.clone(), world: world.clone() } };
    let config = OrderServiceConfig {
        combiner: CombinerConfig { max_batch: 16, queue: 64 },
        place_deadline: Duration::from_secs(3),
        hold_backoff: Backoff { first: Duration::from_millis(20), most: Duration::from_millis(500) },
        recovery_interval: Duration::from_secs(1),
        grace: GRACE,
        lease: Duration::from_secs(5),
        settle_backoff: Backoff { first: Duration::from_millis(100), most: Duration::from_secs(1) },
        ..OrderServiceConfig::default()
    };
    config.validate().unwrap();
    let catalog = Arc::new(network.seen_by(number, life.clone()));
    let service = OrderService::start(Arc::new(store), catalog, world.clock(number), config);
    Host { life, service }
}

pub(crate) fn start_products(world: &Arc<World>, store: &Arc<dyn ProductStore>) -> Host<ProductService> {
    let life = Life::default();
    let store =
        BadProductStore { inner: store.clone(), line: BadLine { life: life.clone(), world: world.clone() } };
    let config = ProductServiceConfig::default();
    // Its clock is that of its store, as it is in a process of its own.
    let service = ProductService::start(Arc::new(store), world.clock(5), config);
    Host { life, service }
}
