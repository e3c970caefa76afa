//! What there is at first, and what there must be in the end.

use std::collections::BTreeMap;
use std::sync::Arc;

use shop_core::{Limit, PageRequest};
use shop_orders::{Event, EventType, Order, OrderId, OrderStatus, OrderStore};
use shop_products::store::{Footprint, ReservationQuery};
use shop_products::{
    NewProduct, ProductDetails, ProductId, ProductService, ProductServiceConfig, ProductStore,
    ReservationState, Stock,
};

use crate::book::Told;
use crate::world::World;

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

/// A few products, scarce two times in three.
pub(crate) async fn stock_up(world: &Arc<World>, store: &Arc<dyn ProductStore>) -> Vec<ProductId> {
    let service = ProductService::start(store.clone(), world.clock(5), ProductServiceConfig::default());
    let is_scarce = world.below(3) > 0;
    world.book.lock().unwrap().is_ample = !is_scarce;
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

/// How many reservations are held.
pub(crate) async fn held(products: &Arc<dyn ProductStore>) -> usize {
    let query = ReservationQuery { state: Some(ReservationState::Held), ..ReservationQuery::default() };
    let page = PageRequest { limit: Limit::new(Limit::MAX).unwrap(), after: None };
    products.reservations(&query, &page).await.unwrap().len()
}

fn sums<'a>(orders: impl Iterator<Item = &'a Order>) -> BTreeMap<ProductId, i64> {
    let mut sums = BTreeMap::new();
    for line in orders.flat_map(|order| &order.lines) {
        *sums.entry(line.product_id).or_insert(0) += line.quantity;
    }
    sums
}

/// What the stores hold is what the clients were told, and each other's.
pub(crate) async fn end(
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
        let expected =
            Stock { on_hand: book.initial[id] + of(&book.adjusted) - of(&shipped), allocated: of(&placed) };
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
