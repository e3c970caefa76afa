//! One run: a storm, calm, and then everything must be right.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use shop_core::{Limit, PageRequest};
use shop_orders::store::memory::MemoryOrderStore;
use shop_orders::{
    Event, EventType, Order, OrderId, OrderService, OrderServiceConfig, OrderStatus, OrderStore, Reconcile,
};
use shop_products::store::memory::MemoryProductStore;
use shop_products::store::{Footprint, ReservationQuery};
use shop_products::{
    LocalCatalog, NewProduct, ProductDetails, ProductId, ProductService, ProductServiceConfig, ProductStore,
    ReservationState, Stock,
};
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::book::Told;
use crate::buyer::Buyer;
use crate::chaos::Chaos;
use crate::network::Network;
use crate::world::{Broken, World};

/// How long things go wrong.
const STORM: Duration = Duration::from_secs(30);
/// By then all must be settled, clocks that were ahead included.
const SETTLED: Duration = Duration::from_secs(300);

/// What happened.
#[derive(Debug, Default)]
pub(crate) struct Report {
    pub(crate) hash: u64,
    placed: u64,
    shipped: u64,
    cancelled: u64,
    edited: u64,
    deleted: u64,
    refused: u64,
    expired: u64,
    crashes: u64,
}

impl Report {
    pub(crate) fn add(&mut self, other: &Self) {
        self.hash ^= other.hash;
        self.placed += other.placed;
        self.shipped += other.shipped;
        self.cancelled += other.cancelled;
        self.edited += other.edited;
        self.deleted += other.deleted;
        self.refused += other.refused;
        self.expired += other.expired;
        self.crashes += other.crashes;
    }

    pub(crate) fn has_everything(&self) -> bool {
        let all = [
            self.placed,
            self.shipped,
            self.cancelled,
            self.edited,
            self.deleted,
            self.refused,
            self.expired,
            self.crashes,
        ];
        !all.contains(&0)
    }
}

/// Runs a seed on this thread, which must be used for nothing else.
pub(crate) fn simulate(seed: u64, broken: Broken, shown: bool) -> Result<Report, String> {
    shop_core::chance::seed_thread(seed);
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(run(seed, broken, shown))
}

async fn run(seed: u64, broken: Broken, shown: bool) -> Result<Report, String> {
    let world = World::new(seed, broken, shown);
    let orders_store: Arc<dyn OrderStore> = Arc::new(MemoryOrderStore::with_clock(world.clock(4)));
    let products_store: Arc<dyn ProductStore> = Arc::new(MemoryProductStore::with_clock(world.clock(5)));
    let products = stock_up(&world, &products_store).await;
    let network = Arc::new(Network { world: world.clone(), products: Default::default() });
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
    settle(&world, &orders_store, &products_store).await;
    for host in chaos.orders.lock().unwrap().iter().flatten() {
        if host.service.figures().mismatches > 0 {
            world.wrong("an orders service has met a mismatch".to_owned());
        }
    }
    reconcile(&world, &orders_store, &products_store).await;
    let report = end(&world, &orders_store, &products_store, &products).await;
    world.fault().map_or(Ok(report), Err)
}

async fn stock_up(world: &Arc<World>, store: &Arc<dyn ProductStore>) -> Vec<ProductId> {
    let service = ProductService::start(store.clone(), world.clock(5), ProductServiceConfig::default());
    let is_scarce = world.below(3) > 0;
    let mut ids = Vec::new();
    for number in 0..1 + world.below(4) {
        let on_hand = if is_scarce { 1 + world.below(12) as i64 } else { 1_000 };
        let details = ProductDetails {
            sku: format!("SKU-{number}").parse().unwrap(),
            name: format!("The {number}"),
            description: String::new(),
            price: "1.25 EUR".parse().unwrap(),
            attributes: Default::default(),
            tags: Vec::new(),
            status: Default::default(),
        };
        let product = service.create(NewProduct { details, on_hand }, None).await.unwrap().fresh().unwrap();
        ids.push(product.id);
        let mut book = world.book.lock().unwrap();
        book.initial.insert(product.id, on_hand);
        book.stock.insert(product.id, product.stock);
    }
    ids
}

async fn held(products: &Arc<dyn ProductStore>) -> usize {
    let query = ReservationQuery { state: Some(ReservationState::Held), ..ReservationQuery::default() };
    let page = PageRequest { limit: Limit::new(Limit::MAX).unwrap(), after: None };
    products.reservations(&query, &page).await.unwrap().len()
}

/// Waits until nothing is under way, held or open, and has been so for a while.
async fn settle(world: &Arc<World>, orders: &Arc<dyn OrderStore>, products: &Arc<dyn ProductStore>) {
    let (began, mut quiet) = (world.elapsed(), 0);
    while quiet < 3 {
        sleep(Duration::from_secs(1)).await;
        let (held, (open, _)) = (held(products).await, orders.open_settlements(1).await.unwrap());
        let is_quiet = held == 0 && open == 0 && world.late_messages.load(Ordering::Relaxed) == 0;
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

fn sums<'a>(orders: impl Iterator<Item = &'a Order>) -> BTreeMap<ProductId, i64> {
    let mut sums = BTreeMap::new();
    for line in orders.flat_map(|order| &order.lines) {
        *sums.entry(line.product_id).or_insert(0) += line.quantity;
    }
    sums
}

/// What the stores hold is what the clients were told, and each other's.
async fn end(
    world: &Arc<World>,
    orders: &Arc<dyn OrderStore>,
    products: &Arc<dyn ProductStore>,
    ids: &[ProductId],
) -> Report {
    let events = orders.events(None, 0, usize::MAX).await.unwrap();
    let mut last: BTreeMap<OrderId, &Order> = BTreeMap::new();
    for (n, event) in events.iter().enumerate() {
        if event.sequence != n as u64 + 1 {
            world.wrong(format!("event {} is at place {n}", event.sequence));
        }
        last.insert(event.order_id, &event.order);
    }
    let is = |status: OrderStatus| last.values().copied().filter(move |order| order.status == status);
    let placed = sums(is(OrderStatus::Placed));
    let shipped = sums(is(OrderStatus::Shipped).chain(is(OrderStatus::Delivered)));
    let footprint = Footprint { products: ids.iter().copied().collect(), ..Footprint::default() };
    let found = products.load(&footprint).await.unwrap().products;
    let book = world.book.lock().unwrap();
    let mut faults = Vec::new();
    for id in ids {
        let of = |sums: &BTreeMap<ProductId, i64>| sums.get(id).copied().unwrap_or(0);
        let expected = Stock { on_hand: book.initial[id] - of(&shipped), allocated: of(&placed) };
        if found[id].stock != expected {
            faults.push(format!("stock of {id} is {:?}; by the orders {expected:?}", found[id].stock));
        }
    }
    for told in &book.told {
        let of_order = || events.iter().filter(|event| event.order_id == told.order);
        let is_there = match told.is_deleted {
            true => of_order().any(|event| event.kind == EventType::Deleted),
            false => of_order()
                .any(|event| event.order.version == told.version && event.order.status == told.status),
        };
        if !is_there {
            let Told { what, order, .. } = told;
            faults.push(format!("a client was told that {order} is {what}, and it is not so: {told:?}"));
        }
    }
    let count = |kind: EventType| events.iter().filter(|event: &&Event| event.kind == kind).count() as u64;
    let report = Report {
        hash: world.hash(),
        placed: count(EventType::Placed),
        shipped: count(EventType::Shipped),
        cancelled: count(EventType::Cancelled),
        edited: count(EventType::Edited),
        deleted: count(EventType::Deleted),
        refused: book.refused,
        expired: book.expired,
        crashes: book.crashes,
    };
    drop(book);
    faults.into_iter().for_each(|fault| world.wrong(fault));
    report
}
