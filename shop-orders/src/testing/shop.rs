//! A whole shop for the checks of flows: products in memory, two instances of the orders service over the store.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use shop_core::idempotency::{Answered, Fingerprint, Idempotency, Keyed, StoredAnswer};
use shop_core::page::Limit;
use shop_core::{ManualClock, Money, PageRequest, Timestamp};
use shop_products::{
    HoldLine, LocalCatalog, NewProduct, ProductCatalog, ProductDetails, ProductId, ProductRef,
    ProductService, ProductServiceConfig, ProductStatus, ProductStore, Stock,
};

use super::catalog::FaultyCatalog;
use super::sample::{at, key};
use super::{FreshProducts, FreshStore, OrderStoreFactory};
use crate::{
    Backoff, Event, NewOrder, Order, OrderDetails, OrderError, OrderId, OrderService, OrderServiceConfig,
    OrderStatus, OrderStore,
};

pub(super) struct Shop {
    pub(super) clock: Arc<ManualClock>,
    /// The instance that `orders` ask; `other` ask another one over the same data.
    pub(super) products: ProductService,
    /// Between `orders` and products.
    pub(super) catalog: Arc<FaultyCatalog>,
    pub(super) orders: OrderService,
    /// Between `other` and products.
    pub(super) other_catalog: Arc<FaultyCatalog>,
    /// Another instance over the same data.
    pub(super) other: OrderService,
    pub(super) store: FreshStore,
    /// The data of products.
    pub(super) stock: FreshProducts,
    stocked: Mutex<Vec<(ProductId, i64)>>,
}

/// Workers that do nothing by themselves, so that a check decides when they do.
pub(super) fn by_hand() -> OrderServiceConfig {
    let never = Duration::from_secs(100_000);
    OrderServiceConfig {
        recovery_interval: never,
        settle_interval: never,
        maintenance_interval: never,
        hold_backoff: Backoff { first: Duration::from_millis(1), most: Duration::from_millis(2) },
        ..OrderServiceConfig::default()
    }
}

impl Shop {
    pub(super) async fn open(factory: &dyn OrderStoreFactory) -> Self {
        Self::open_with(factory, by_hand()).await
    }

    pub(super) async fn open_with(factory: &dyn OrderStoreFactory, config: OrderServiceConfig) -> Self {
        let clock = Arc::new(ManualClock::new(at(0)));
        let (store, stock) = (factory.fresh(clock.clone()).await, factory.products(clock.clone()).await);
        let service = |store: &Arc<dyn ProductStore>| {
            ProductService::start(store.clone(), clock.clone(), ProductServiceConfig::default())
        };
        let products = service(&stock.store);
        let catalog = FaultyCatalog::over(Arc::new(LocalCatalog(products.clone())));
        let other_catalog = FaultyCatalog::over(Arc::new(LocalCatalog(service(&stock.other))));
        let orders = OrderService::start(store.store.clone(), catalog.clone(), clock.clone(), config.clone());
        let other = OrderService::start(store.other.clone(), other_catalog.clone(), clock.clone(), config);
        Self {
            clock,
            products,
            catalog,
            orders,
            other_catalog,
            other,
            store,
            stock,
            stocked: Mutex::default(),
        }
    }

    /// Another service of this shop's, over another store of the same data.
    pub(super) fn service_over(
        &self,
        store: Arc<dyn OrderStore>,
        config: OrderServiceConfig,
    ) -> OrderService {
        OrderService::start(store, self.catalog.clone(), self.clock.clone(), config)
    }

    pub(super) async fn product(&self, sku: &str, price: &str, on_hand: i64) -> ProductId {
        let details = ProductDetails {
            sku: sku.parse().expect("a SKU"),
            name: format!("The {sku}"),
            description: String::new(),
            price: money(price),
            attributes: BTreeMap::new(),
            tags: Vec::new(),
            status: ProductStatus::Active,
        };
        let made = self.products.create(NewProduct { details, on_hand }, None).await.expect("a product");
        let id = made.fresh().expect("made now").id;
        self.stocked.lock().unwrap_or_else(PoisonError::into_inner).push((id, on_hand));
        id
    }

    pub(super) async fn stock(&self, id: ProductId) -> Stock {
        self.products.get(&ProductRef::Id(id)).await.expect("a product").stock
    }

    pub(super) async fn place(&self, lines: &[(ProductId, i64)]) -> Order {
        fresh(self.orders.place(new(lines), None).await)
    }

    /// Moves the clock past the grace time, recovers and settles.
    pub(super) async fn recover(&self, by: &OrderService) {
        self.clock.advance(OrderServiceConfig::default().grace + Duration::from_secs(1));
        by.recover_now().await.expect("recovery");
        by.settle_now().await.expect("settling");
    }

    pub(super) async fn all_events(&self) -> Vec<Event> {
        let mut events: Vec<Event> = Vec::new();
        loop {
            let after = events.last().map_or(0, |event| event.sequence);
            let page = self.other.events(after, Limit::default()).await.expect("events");
            if page.is_empty() {
                return events;
            }
            events.extend(page);
        }
    }

    /// Everything fits: what products have is what orders say, nothing is held, nothing is owed, the log is complete.
    pub(super) async fn assert_sound(&self) {
        for service in [&self.orders, &self.other] {
            service.settle_now().await.expect("settling");
        }
        let (open, _) = self.store.store.open_settlements(1).await.expect("open settlements");
        assert_eq!(open, 0, "nothing is left to settle");
        let end_of_time = Timestamp::from_millis(i64::MAX);
        let held =
            self.other_catalog.held("orders", end_of_time, &PageRequest::default()).await.expect("held");
        assert_eq!(held.data, vec![], "nothing is left held");
        let mut latest: BTreeMap<OrderId, Order> = BTreeMap::new();
        for event in self.all_events().await {
            let before = latest.get(&event.order_id).map_or(0, |order| order.version);
            assert_eq!(event.order.version, before + 1, "every change of an order is in the log, once");
            latest.insert(event.order_id, event.order);
        }
        let (mut allocated, mut shipped) =
            (BTreeMap::<ProductId, i64>::new(), BTreeMap::<ProductId, i64>::new());
        for order in latest.values() {
            let sum = match order.status {
                OrderStatus::Placed => &mut allocated,
                OrderStatus::Shipped | OrderStatus::Delivered => &mut shipped,
                OrderStatus::Cancelled => continue,
            };
            for line in &order.lines {
                *sum.entry(line.product_id).or_default() += line.quantity;
            }
        }
        let stocked = self.stocked.lock().unwrap_or_else(PoisonError::into_inner).clone();
        for (id, on_hand) in stocked {
            let taken = |sum: &BTreeMap<ProductId, i64>| sum.get(&id).copied().unwrap_or(0);
            let expected = Stock { on_hand: on_hand - taken(&shipped), allocated: taken(&allocated) };
            assert_eq!(self.stock(id).await, expected, "the stock of {id} is what orders say");
        }
        assert_eq!(self.orders.figures().mismatches + self.other.figures().mismatches, 0);
    }
}

pub(super) fn money(text: &str) -> Money {
    text.parse().expect("money")
}

pub(super) fn lines(lines: &[(ProductId, i64)]) -> Vec<HoldLine> {
    lines
        .iter()
        .map(|(id, quantity)| HoldLine { product: ProductRef::Id(*id), quantity: *quantity })
        .collect()
}

pub(super) fn new(of: &[(ProductId, i64)]) -> NewOrder {
    NewOrder { lines: lines(of), details: OrderDetails::default(), expected_total: None }
}

/// A key with what it is used for.
pub(super) fn keyed(name: &str, content: &str) -> Keyed<Order> {
    let fingerprint = Fingerprint::of_request("POST", "/v1/orders", content.as_bytes());
    Keyed { idempotency: Idempotency { key: key(name), fingerprint }, answer }
}

pub(super) fn answer(order: &Order) -> StoredAnswer {
    StoredAnswer {
        status: 201,
        location: Some(format!("/v1/orders/{}", order.id)),
        etag: Some(format!("\"{}\"", order.version)),
        body: serde_json::to_string(order).expect("plain data"),
    }
}

#[track_caller]
pub(super) fn fresh(result: Result<Answered<Order>, OrderError>) -> Order {
    match result {
        Ok(Answered::Fresh(order)) => order,
        other => panic!("done now, it should be, not {other:?}"),
    }
}

#[track_caller]
pub(super) fn replayed(result: Result<Answered<Order>, OrderError>) -> StoredAnswer {
    match result {
        Ok(Answered::Replayed(answer)) => answer,
        other => panic!("a stored answer was due, not {other:?}"),
    }
}
