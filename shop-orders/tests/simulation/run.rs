//! One run: a storm, calm, and then everything must be right.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use shop_core::{Limit, PageRequest};
use shop_orders::store::memory::MemoryOrderStore;
use shop_orders::{OrderService, OrderServiceConfig, OrderStore, Reconcile};
use shop_products::store::memory::MemoryProductStore;
use shop_products::{LocalCatalog, ProductService, ProductServiceConfig, ProductStore};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use crate::buyer::Buyer;
use crate::chaos::Chaos;
use crate::network::Network;
use crate::stocktaking::{Report, end, held, stock_up};
use crate::world::{Broken, World};

/// How long things go wrong.
const STORM: Duration = Duration::from_secs(30);
/// By then all must be settled, clocks that were ahead included.
const SETTLED: Duration = Duration::from_secs(300);

/// Runs a seed on this thread, which must be used for nothing else.
pub(crate) fn simulate(seed: u64, broken: Broken, shown: bool) -> Result<Report, String> {
    shop_core::chance::seed_thread(seed);
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(run(seed, broken, shown))
}

async fn run(seed: u64, broken: Broken, shown: bool) -> Result<Report, String> {
    let started = Instant::now();
    let world = World::new(seed, broken, shown, Arc::new(move || started.elapsed()));
    let orders_store: Arc<dyn OrderStore> = Arc::new(MemoryOrderStore::with_clock(world.clock(4)));
    let products_store: Arc<dyn ProductStore> = Arc::new(MemoryProductStore::with_clock(world.clock(5)));
    let products = stock_up(&world, &products_store).await;
    let network = Arc::new(Network {
        world: world.clone(),
        products: Default::default(),
        late_messages: Default::default(),
        cut: Default::default(),
    });
    let chaos = Chaos {
        world: world.clone(),
        network: network.clone(),
        orders: Arc::default(),
        orders_store: orders_store.clone(),
        products_store: products_store.clone(),
    };
    chaos.start_all();
    world.set_stormy(true);
    let mut buyers = JoinSet::new();
    for number in 0..4 + world.below(6) {
        let (world, orders, products) = (world.clone(), chaos.orders.clone(), products.clone());
        buyers.spawn(Buyer { world, orders, products, number }.shop());
    }
    chaos.rage(STORM).await;
    chaos.calm();
    while let Some(ended) = buyers.join_next().await {
        ended.map_err(|panic| format!("a buyer failed: {panic}"))?;
    }
    settle(&network, &orders_store, &products_store).await;
    for host in chaos.orders.lock().unwrap().iter().flatten() {
        if host.service.figures().mismatches > 0 {
            world.wrong("an orders service has met a mismatch".to_owned());
        }
    }
    reconcile(&world, &orders_store, &products_store).await;
    let report = end(&world, &orders_store, &products_store, &products).await;
    world.fault().map_or(Ok(report), Err)
}

/// Waits until nothing is under way, held or open, and has been so for a while.
async fn settle(network: &Network, orders: &Arc<dyn OrderStore>, products: &Arc<dyn ProductStore>) {
    let world = &network.world;
    let (began, mut quiet) = (world.elapsed(), 0);
    while quiet < 3 {
        sleep(Duration::from_secs(1)).await;
        let (held, (open, _)) = (held(products).await, orders.open_settlements(1).await.unwrap());
        let is_quiet = held == 0 && open == 0 && network.late_messages.load(Ordering::Relaxed) == 0;
        quiet = if is_quiet { quiet + 1 } else { 0 };
        if world.elapsed() > began + SETTLED {
            return world.wrong(format!("{held} reservations stay held, {open} settlements open"));
        }
    }
}

/// Whatever happened, nothing is left that `shop doctor --reconcile` would name.
async fn reconcile(world: &Arc<World>, orders: &Arc<dyn OrderStore>, products: &Arc<dyn ProductStore>) {
    let stock = ProductService::start(products.clone(), world.clock(5), ProductServiceConfig::default());
    let (catalog, config) = (Arc::new(LocalCatalog(stock)), OrderServiceConfig::default());
    sleep(2 * config.grace).await;
    let service = OrderService::start(orders.clone(), catalog, world.clock(4), config);
    let mut after = None;
    loop {
        let page = PageRequest { limit: Limit::new(Limit::MAX).unwrap(), after };
        let page = service.reconcile(Reconcile::default(), page).await.unwrap();
        for difference in page.differences {
            world.wrong(format!("orders and products differ: {difference:?}"));
        }
        let Some(cursor) = page.next_cursor else { return };
        after = Some(cursor.decode().unwrap());
    }
}
