//! One of the two databases is from an old backup: what differs is found, each kind of it, and mended where it can be.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use shop_core::{Limit, ManualClock, PageRequest, Timestamp};
use shop_orders::store::memory::MemoryOrderStore;
use shop_orders::store::{self, OrderQuery};
use shop_orders::{
    Difference, NewOrder, Order, OrderDetails, OrderPatch, OrderSays, OrderService, OrderServiceConfig,
    OrderStore, Reconcile, ReconcilePage, Repair,
};
use shop_products::store::memory::MemoryProductStore;
use shop_products::store::{ProductQuery, ReservationQuery, ReservationWrite};
use shop_products::{
    HoldLine, HoldRequest, LineStatus, LocalCatalog, NewAdjustment, NewProduct, ProductDetails, ProductId,
    ProductRef, ProductService, ProductServiceConfig, ProductStore, ReservationId, ReservationState,
    SettleAction, Settlement, Stock,
};

const DAY: Duration = Duration::from_secs(24 * 3_600);

/// Both databases, and services over them whose workers do nothing by themselves.
struct Shop {
    clock: Arc<ManualClock>,
    products_store: Arc<MemoryProductStore>,
    orders_store: Arc<MemoryOrderStore>,
    products: ProductService,
    orders: OrderService,
}

fn all<K>() -> PageRequest<K> {
    PageRequest { limit: Limit::new(Limit::MAX).unwrap(), after: None }
}

impl Shop {
    fn new() -> Self {
        let clock = Arc::new(ManualClock::new(Timestamp::from_millis(1_800_000_000_000)));
        let products = Arc::new(MemoryProductStore::with_clock(clock.clone()));
        let orders = Arc::new(MemoryOrderStore::with_clock(clock.clone()));
        Self::over(clock, products, orders)
    }

    fn over(
        clock: Arc<ManualClock>,
        products_store: Arc<MemoryProductStore>,
        orders_store: Arc<MemoryOrderStore>,
    ) -> Self {
        let never = Duration::from_secs(1_000_000);
        let products =
            ProductService::start(products_store.clone(), clock.clone(), ProductServiceConfig::default());
        let config = OrderServiceConfig {
            recovery_interval: never,
            settle_interval: never,
            maintenance_interval: never,
            ..OrderServiceConfig::default()
        };
        let catalog = Arc::new(LocalCatalog(products.clone()));
        let orders = OrderService::start(orders_store.clone(), catalog, clock.clone(), config);
        Self { clock, products_store, orders_store, products, orders }
    }

    async fn product(&self, sku: &str, on_hand: i64) -> ProductId {
        let details = ProductDetails {
            sku: sku.parse().unwrap(),
            name: sku.to_owned(),
            description: String::new(),
            price: "1.00 EUR".parse().unwrap(),
            attributes: BTreeMap::new(),
            tags: Vec::new(),
            status: Default::default(),
        };
        let made = self.products.create(NewProduct { details, on_hand }, None).await.unwrap();
        made.fresh().unwrap().id
    }

    async fn place(&self, product: ProductId, quantity: i64) -> Order {
        let lines = vec![HoldLine { product: ProductRef::Id(product), quantity }];
        let new = NewOrder { lines, details: OrderDetails::default(), expected_total: None };
        let order = self.orders.place(new, None).await.unwrap().fresh().unwrap();
        // Each at its own time, so that lists have one order.
        self.clock.advance(Duration::from_millis(1));
        order
    }

    /// Holds for orders, without an order.
    async fn hold(&self, product: ProductId, quantity: i64) -> ReservationId {
        self.hold_as(ReservationId::generate(), product, quantity).await
    }

    async fn hold_as(&self, id: ReservationId, product: ProductId, quantity: i64) -> ReservationId {
        let lines = vec![HoldLine { product: ProductRef::Id(product), quantity }];
        let request = HoldRequest { id, owner: Some("orders".to_owned()), lines, expires_in: None };
        self.products.hold(&request).await.unwrap();
        id
    }

    async fn edit(&self, order: &Order, quantity: i64) {
        let product = ProductRef::Id(order.lines[0].product_id);
        let lines = Some(vec![HoldLine { product, quantity }]);
        self.orders.edit(order.id, None, OrderPatch { lines, ..OrderPatch::default() }).await.unwrap();
    }

    async fn cancel(&self, order: &Order) {
        self.orders.cancel(order.id, None, None).await.unwrap();
    }

    async fn ship(&self, order: &Order) {
        self.orders.ship(order.id, None, None).await.unwrap();
    }

    async fn settle(&self) {
        self.orders.settle_now().await.unwrap();
    }

    /// Settles, and lets the grace time pass.
    async fn rest(&self) {
        self.settle().await;
        self.clock.advance(Duration::from_secs(60));
    }

    async fn stock(&self, product: ProductId) -> (i64, i64) {
        let Stock { on_hand, allocated } = self.products.get(&ProductRef::Id(product)).await.unwrap().stock;
        (on_hand, allocated)
    }

    async fn copy_of_products(&self) -> Arc<MemoryProductStore> {
        let copy = Arc::new(MemoryProductStore::with_clock(self.clock.clone()));
        let created = self.products_store.products(&ProductQuery::default(), &all()).await.unwrap();
        let found = self.products_store.reservations(&ReservationQuery::default(), &all()).await.unwrap();
        let write = |reservation| ReservationWrite { reservation, expected: None, keeps_lines: false };
        let reservations = found.into_iter().map(write).collect();
        let changes = shop_products::store::ChangeSet { created, reservations, ..Default::default() };
        copy.commit(&changes).await.unwrap();
        copy
    }

    /// With its decisions; nothing must be left to settle.
    async fn copy_of_orders(&self) -> Arc<MemoryOrderStore> {
        let copy = Arc::new(MemoryOrderStore::with_clock(self.clock.clone()));
        let created = self.orders_store.orders(&OrderQuery::default(), &all()).await.unwrap();
        let holds = created.iter().flat_map(|order| &order.holds);
        let reservations = holds.map(|hold| hold.reservation_id).collect();
        let footprint = store::Footprint { reservations, ..Default::default() };
        let decisions = self.orders_store.load(&footprint).await.unwrap().decisions.into_values().collect();
        copy.commit(&store::ChangeSet { created, decisions, ..Default::default() }).await.unwrap();
        copy
    }

    fn with_products(self, restored: Arc<MemoryProductStore>) -> Self {
        Self::over(self.clock, restored, self.orders_store)
    }

    fn with_orders(self, restored: Arc<MemoryOrderStore>) -> Self {
        Self::over(self.clock, self.products_store, restored)
    }

    async fn look(&self) -> ReconcilePage {
        self.walk(false, Limit::MAX).await
    }

    async fn mend(&self) -> ReconcilePage {
        self.walk(true, Limit::MAX).await
    }

    /// All pages as one.
    async fn walk(&self, apply: bool, limit: u16) -> ReconcilePage {
        let how = Reconcile { apply, pause: Duration::ZERO, ..Reconcile::default() };
        let (mut sum, mut after) = (ReconcilePage::default(), None);
        loop {
            let limit = Limit::new(limit).unwrap();
            let page = self.orders.reconcile(how, PageRequest { limit, after }).await.unwrap();
            assert!(page.reservations.max(page.orders) <= limit.get() as u64, "{page:?}");
            sum.reservations += page.reservations;
            sum.orders += page.orders;
            sum.under_way += page.under_way;
            sum.forgotten += page.forgotten;
            sum.differences.extend(page.differences);
            let Some(cursor) = page.next_cursor else { return sum };
            after = Some(cursor.decode().unwrap());
        }
    }
}

fn hold_of(order: &Order) -> ReservationId {
    order.holds[0].reservation_id
}

type Told = (ReservationId, OrderSays, Option<ReservationState>, Repair, (i64, i64), bool);

fn told(page: &ReconcilePage) -> BTreeSet<String> {
    page.differences.iter().map(|found| text(&tell(found))).collect()
}

/// What is compared of a difference, whose products are one.
fn tell(found: &Difference) -> Told {
    let line = &found.lines[0];
    let units = (line.ordered, line.reserved);
    (found.reservation_id, found.order, found.reservation, found.repair, units, found.applied)
}

fn text(told: &Told) -> String {
    format!("{told:?}")
}

fn expected(all: &[Told]) -> BTreeSet<String> {
    all.iter().map(text).collect()
}

#[tokio::test]
async fn products_from_an_old_backup_get_back_what_orders_say() {
    use ReservationState::Committed;
    let shop = Shop::new();
    let a = shop.product("A", 100).await;
    let (kept, cancelled) = (shop.place(a, 1).await, shop.place(a, 2).await);
    let (shipped, shrunk, grown) = (shop.place(a, 3).await, shop.place(a, 9).await, shop.place(a, 5).await);
    shop.settle().await;
    let old = shop.copy_of_products().await;
    shop.cancel(&cancelled).await;
    shop.ship(&shipped).await;
    shop.edit(&shrunk, 4).await;
    shop.edit(&grown, 7).await;
    let (new, sent) = (shop.place(a, 10).await, shop.place(a, 20).await);
    let gone = shop.place(a, 30).await;
    shop.ship(&sent).await;
    shop.cancel(&gone).await;
    shop.rest().await;
    let before = shop.stock(a).await;
    assert_eq!(before, (77, 1 + 4 + 7 + 10));
    assert_eq!(told(&shop.look().await), expected(&[]), "nothing differs before");

    let shop = shop.with_products(old);
    assert_eq!(shop.stock(a).await, (100, 20));
    let growth = shop.orders.get(grown.id).await.unwrap().holds[1].reservation_id;
    let all = |applied| {
        expected(&[
            (hold_of(&cancelled), OrderSays::Cancelled, Some(Committed), Repair::Release, (2, 2), applied),
            (hold_of(&shipped), OrderSays::Shipped, Some(Committed), Repair::Fulfil, (3, 3), applied),
            (hold_of(&shrunk), OrderSays::Placed, Some(Committed), Repair::Shrink, (4, 9), applied),
            (growth, OrderSays::Placed, None, Repair::HoldAndCommit, (2, 0), applied),
            (hold_of(&new), OrderSays::Placed, None, Repair::HoldAndCommit, (10, 0), applied),
            (hold_of(&sent), OrderSays::Shipped, None, Repair::HoldAndFulfil, (20, 0), applied),
        ])
    };
    assert_eq!(told(&shop.look().await), all(false));
    assert_eq!(told(&shop.walk(false, 1).await), all(false), "the same a row at a time");
    assert_eq!(shop.stock(a).await, (100, 20), "only looked at");
    assert_eq!(told(&shop.mend().await), all(true));
    assert_eq!(shop.stock(a).await, before);
    assert_eq!(told(&shop.mend().await), expected(&[]), "nothing more to do");
    shop.rest().await;
    assert_eq!(told(&shop.mend().await), expected(&[]), "nor later");
    assert_eq!(shop.stock(a).await, before);
    shop.cancel(&kept).await;
    shop.cancel(&new).await;
    shop.rest().await;
    assert_eq!(shop.stock(a).await, (77, 4 + 7), "orders go on with what was mended");
}

#[tokio::test]
async fn orders_from_an_old_backup_give_back_what_no_order_has() {
    use ReservationState::{Committed, Fulfilled, Released};
    let shop = Shop::new();
    let a = shop.product("A", 100).await;
    let (cancelled, shipped) = (shop.place(a, 2).await, shop.place(a, 3).await);
    let (shrunk, grown) = (shop.place(a, 9).await, shop.place(a, 5).await);
    shop.settle().await;
    let old = shop.copy_of_orders().await;
    shop.cancel(&cancelled).await;
    shop.ship(&shipped).await;
    shop.edit(&shrunk, 4).await;
    shop.edit(&grown, 7).await;
    let growth = shop.orders.get(grown.id).await.unwrap().holds[1].reservation_id;
    let (lost, sent) = (shop.place(a, 10).await, shop.place(a, 20).await);
    shop.ship(&sent).await;
    shop.rest().await;

    let shop = shop.with_orders(old);
    let by_hand = [
        (hold_of(&cancelled), OrderSays::Placed, Some(Released), Repair::CancelByHand, (2, 2), false),
        (hold_of(&shipped), OrderSays::Placed, Some(Fulfilled), Repair::ShipByHand, (3, 3), false),
        (hold_of(&shrunk), OrderSays::Placed, Some(Committed), Repair::EditByHand, (9, 4), false),
        (hold_of(&sent), OrderSays::NoOrder, Some(Fulfilled), Repair::FindByHand, (0, 20), false),
    ];
    let all = |applied| {
        let none = OrderSays::NoOrder;
        let given_up = [
            (growth, none, Some(Committed), Repair::ExpireAndRelease, (0, 2), applied),
            (hold_of(&lost), none, Some(Committed), Repair::ExpireAndRelease, (0, 10), applied),
        ];
        expected(&[&by_hand[..], &given_up].concat())
    };
    assert_eq!(told(&shop.look().await), all(false));
    assert_eq!(shop.stock(a).await, (77, 4 + 7 + 10), "only looked at");
    assert_eq!(told(&shop.mend().await), all(true));
    assert_eq!(shop.stock(a).await, (77, 4 + 5));
    shop.rest().await;
    assert_eq!(told(&shop.mend().await), expected(&by_hand), "these need a human");
    let given_up = store::Footprint { reservations: [hold_of(&lost)].into(), ..Default::default() };
    assert_eq!(shop.orders_store.load(&given_up).await.unwrap().decisions.len(), 1, "the row forbids it");

    // What is said to do by hand mends it.
    shop.cancel(&cancelled).await;
    shop.ship(&shipped).await;
    shop.edit(&shrunk, 4).await;
    shop.edit(&shrunk, 9).await;
    shop.rest().await;
    assert_eq!(told(&shop.look().await), expected(&by_hand[3..]));
    assert_eq!(shop.stock(a).await, (77, 9 + 5));
}

#[tokio::test]
async fn what_is_oversold_is_said_and_the_oldest_order_comes_first() {
    let shop = Shop::new();
    let a = shop.product("A", 4).await;
    let old = shop.copy_of_products().await;
    let more = NewAdjustment { delta: 6, reason: "delivery".to_owned(), reference: None };
    shop.products.adjust(&ProductRef::Id(a), more, None).await.unwrap();
    let (first, second) = (shop.place(a, 3).await, shop.place(a, 5).await);
    shop.rest().await;
    let shop = shop.with_products(old);
    let page = shop.mend().await;
    let all = [(&first, (3, 0), true), (&second, (5, 0), false)];
    let all = all.map(|(order, units, applied)| {
        (hold_of(order), OrderSays::Placed, None, Repair::HoldAndCommit, units, applied)
    });
    assert_eq!(told(&page), expected(&all));
    let short = &page.differences[1].lines[0];
    assert_eq!((short.available, short.status), (Some(1), Some(LineStatus::Insufficient)));
    assert_eq!(short.sku.as_ref().map(|sku| sku.as_str()), Some("A"));
    assert_eq!(shop.stock(a).await, (4, 3), "nothing is taken that is not there");
    assert_eq!(told(&shop.mend().await), expected(&all[1..]), "a human decides");
    shop.cancel(&second).await;
    shop.rest().await;
    assert_eq!(told(&shop.mend().await), expected(&[]));
    assert_eq!(shop.stock(a).await, (4, 3));
}

#[tokio::test]
async fn an_order_whose_product_the_backup_does_not_have_is_said() {
    let shop = Shop::new();
    let old = shop.copy_of_products().await;
    let a = shop.product("A", 4).await;
    let order = shop.place(a, 1).await;
    shop.rest().await;
    let shop = shop.with_products(old);
    let page = shop.mend().await;
    let repair = Repair::HoldAndCommit;
    assert_eq!(told(&page), expected(&[(hold_of(&order), OrderSays::Placed, None, repair, (1, 0), false)]));
}

#[tokio::test]
async fn what_products_may_forget_is_no_difference() {
    let shop = Shop::new();
    let a = shop.product("A", 100).await;
    let (shipped, cancelled) = (shop.place(a, 1).await, shop.place(a, 2).await);
    shop.place(a, 4).await;
    shop.settle().await;
    shop.ship(&shipped).await;
    shop.cancel(&cancelled).await;
    shop.rest().await;
    assert_eq!(shop.look().await.forgotten, 0);
    shop.clock.advance(DAY);
    assert!(shop.products.purge().await.unwrap() > 0);
    let page = shop.mend().await;
    assert_eq!((told(&page), page.forgotten), (expected(&[]), 1));
    assert_eq!((page.reservations, page.orders), (1, 3));
    // A late duplicate of its hold, which recovery gives back: it is not fulfilled twice.
    shop.hold_as(hold_of(&shipped), a, 1).await;
    shop.rest().await;
    assert_eq!(told(&shop.mend().await), expected(&[]));
    shop.orders.recover_now().await.unwrap();
    assert_eq!(shop.stock(a).await, (99, 4));
}

#[tokio::test]
async fn what_is_being_worked_on_is_no_difference() {
    let shop = Shop::new();
    let a = shop.product("A", 100).await;
    let placed = shop.place(a, 1).await;
    let page = shop.look().await;
    assert_eq!((told(&page), page.under_way), (expected(&[]), 1), "within the grace time");
    shop.clock.advance(Duration::from_secs(60));
    let page = shop.mend().await;
    assert_eq!((told(&page), page.under_way), (expected(&[]), 1), "its settlement is to come");
    shop.settle().await;
    shop.cancel(&placed).await;
    let page = shop.mend().await;
    assert_eq!((told(&page), page.under_way), (expected(&[]), 1));
    shop.rest().await;
    assert_eq!((told(&shop.look().await), shop.look().await.under_way), (expected(&[]), 0));
    assert_eq!(shop.stock(a).await, (100, 0));
}

#[tokio::test(start_paused = true)]
async fn what_mends_itself_between_the_two_looks_is_no_difference() {
    let shop = Shop::new();
    let a = shop.product("A", 100).await;
    let order = shop.place(a, 1).await;
    shop.settle().await;
    let old = shop.copy_of_products().await;
    shop.cancel(&order).await;
    shop.rest().await;
    let shop = shop.with_products(old);
    let how = Reconcile { pause: Duration::from_secs(2), ..Reconcile::default() };
    let orders = shop.orders.clone();
    let looking = tokio::spawn(async move { orders.reconcile(how, all()).await.unwrap() });
    tokio::time::sleep(Duration::from_secs(1)).await;
    let release = Settlement { reservation_id: hold_of(&order), action: SettleAction::Release };
    shop.products.settle(&[release], None).await.unwrap();
    let page = looking.await.unwrap();
    assert_eq!((told(&page), page.under_way), (expected(&[]), 1));
}

#[tokio::test]
async fn what_products_held_at_the_time_of_the_backup_is_settled() {
    use ReservationState::Held;
    let shop = Shop::new();
    let a = shop.product("A", 100).await;
    let (placed, shipped) = (shop.place(a, 1).await, shop.place(a, 2).await);
    let orphan = shop.hold(a, 8).await;
    let old = shop.copy_of_products().await;
    shop.settle().await;
    shop.ship(&shipped).await;
    shop.rest().await;
    let shop = shop.with_products(old);
    let all = [
        (hold_of(&placed), OrderSays::Placed, Some(Held), Repair::Commit, (1, 1), true),
        (hold_of(&shipped), OrderSays::Shipped, Some(Held), Repair::Fulfil, (2, 2), true),
        (orphan, OrderSays::NoOrder, Some(Held), Repair::ExpireAndRelease, (0, 8), true),
    ];
    assert_eq!(told(&shop.mend().await), expected(&all));
    assert_eq!(shop.stock(a).await, (98, 1));

    let orphan = shop.hold(a, 8).await;
    let old = shop.copy_of_products().await;
    shop.clock.advance(Duration::from_secs(60));
    shop.orders.recover_now().await.unwrap();
    shop.rest().await;
    let shop = shop.with_products(old);
    let given_up = (orphan, OrderSays::GivenUp, Some(Held), Repair::Release, (0, 8), true);
    assert_eq!(told(&shop.mend().await), expected(&[given_up]));
    assert_eq!(shop.stock(a).await, (98, 1));
}

#[tokio::test]
async fn stock_that_came_back_though_its_order_was_shipped_is_for_a_human() {
    let shop = Shop::new();
    let a = shop.product("A", 100).await;
    let order = shop.place(a, 4).await;
    shop.settle().await;
    let release = Settlement { reservation_id: hold_of(&order), action: SettleAction::Release };
    shop.products.settle(&[release], None).await.unwrap();
    shop.ship(&order).await;
    shop.rest().await;
    assert_eq!(shop.orders.figures().mismatches, 1, "the settler has met it");
    let (released, adjust) = (Some(ReservationState::Released), Repair::AdjustByHand);
    let found = (hold_of(&order), OrderSays::Shipped, released, adjust, (4, 4), false);
    assert_eq!(told(&shop.mend().await), expected(&[found]));
    assert_eq!(shop.stock(a).await, (100, 0));
}
