//! Rows of the protocol's table that are about products, the clock and the instances as much as about the store of orders.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use shop_core::PageRequest;
use shop_core::Timestamp;
use shop_core::idempotency::Answered;
use shop_products::{
    LocalCatalog, NewAdjustment, ProductCatalog, ProductError, ProductId, ProductRef, ProductService,
    ProductServiceConfig, Stock,
};

use super::failures::crashed_after_the_hold;
use crate::store::OrderQuery;
use crate::testing::OrderStoreFactory;
use crate::testing::broken::FlakyStore;
use crate::testing::catalog::{Fault, FaultyCatalog, Gate};
use crate::testing::crashing::CrashingProducts;
use crate::testing::sample::at;
use crate::testing::shop::{Shop, answer, by_hand, fresh, keyed, new, replayed};
use crate::{OrderError, OrderService, OrderServiceConfig, reservation_of};

const YEAR: i64 = 365 * 24 * 3_600 * 1_000;

/// Row 1: an instance that stops before its hold is sent leaves nothing; who asks again with the key gets an order, and one.
pub async fn row_01_a_crash_before_the_hold_leaves_nothing(factory: &dyn OrderStoreFactory) {
    let shop = Shop::open(factory).await;
    let product = shop.product("A", "1 EUR", 10).await;
    let gate = Gate::closed();
    shop.catalog.at_hold(Fault::HeldUpBefore(gate.clone()));
    let orders = shop.orders.clone();
    let flow = tokio::spawn(async move { orders.place(new(&[(product, 2)]), Some(keyed("k", "two"))).await });
    gate.arrival().await;
    shop.clock.advance(OrderServiceConfig::default().grace + Duration::from_secs(1));
    assert_eq!(shop.other.recover_now().await.expect("recovery"), 0, "there is nothing to recover");
    assert_eq!(shop.stock(product).await.allocated, 0);
    assert_eq!(shop.other.count(&OrderQuery::default()).await.expect("count"), 0);
    let order = fresh(shop.other.place(new(&[(product, 2)]), Some(keyed("k", "two"))).await);
    assert_eq!(order.holds[0].reservation_id, reservation_of("orders", &"k".parse().expect("a key"), 1));
    shop.assert_sound().await;
    // It was only slow, and sends the hold after all.
    gate.open();
    assert_eq!(replayed(flow.await.expect("no panic")), answer(&order));
    assert_eq!(shop.stock(product).await.allocated, 2);
    shop.assert_sound().await;
}

/// Row 3: at whatever moment of a hold products crash, all of its lines are taken or none; the same call again, to another
/// instance, finds out.
pub async fn row_03_products_that_crash_inside_the_hold_took_all_of_it_or_nothing(
    factory: &dyn OrderStoreFactory,
) {
    let shop = Shop::open(factory).await;
    let (a, b) = (shop.product("A", "1 EUR", 100).await, shop.product("B", "1 EUR", 100).await);
    let moments = [0, 1, 2, 3, 5, 8, 13].map(Some).into_iter().chain([None]);
    for (crashes, polls) in (1..).zip(moments) {
        let dying = Arc::new(CrashingProducts::over(shop.stock.store.clone(), polls));
        let products =
            ProductService::start(dying.clone(), shop.clock.clone(), ProductServiceConfig::default());
        let catalog = FaultyCatalog::over(Arc::new(LocalCatalog(products)));
        let store = shop.store.store.clone();
        let orders = OrderService::start(store, catalog.clone(), shop.clock.clone(), by_hand());
        let name = format!("k-{crashes}");
        let key = || Some(keyed(&name, "both"));
        let crash = async {
            dying.death().await;
            catalog.set_known_to_be_down(true);
        };
        let (unanswered, ()) = tokio::join!(orders.place(new(&[(a, 1), (b, 2)]), key()), crash);
        assert!(matches!(unanswered, Err(OrderError::ProductsUnavailable)), "{unanswered:?}");
        let order = fresh(shop.other.place(new(&[(a, 1), (b, 2)]), key()).await);
        let first = reservation_of("orders", &name.parse().expect("a key"), 1);
        assert_eq!(order.holds[0].reservation_id, first, "the same call again");
        assert_eq!((shop.stock(a).await.allocated, shop.stock(b).await.allocated), (crashes, 2 * crashes));
    }
    shop.assert_sound().await;
}

/// Row 13: while the orders cannot be reached, what is held stays held, nobody else gets it, and recovery comes later.
pub async fn row_13_holds_stay_while_the_orders_are_out_of_reach(factory: &dyn OrderStoreFactory) {
    let shop = Shop::open(factory).await;
    let product = shop.product("A", "1 EUR", 1).await;
    let store = FlakyStore::over(shop.store.store.clone());
    let service = shop.service_over(store.clone(), by_hand());
    let gate = Gate::closed();
    shop.catalog.at_hold(Fault::HeldUpAfter(gate.clone()));
    let orders = service.clone();
    let flow = tokio::spawn(async move { orders.place(new(&[(product, 1)]), Some(keyed("k", "one"))).await });
    gate.arrival().await;
    store.is_away.store(true, Ordering::SeqCst);
    gate.open();
    let undecided = flow.await.expect("no panic");
    assert!(undecided.is_err_and(|error| error.is_retryable()));
    shop.clock.advance(OrderServiceConfig::default().grace + Duration::from_secs(1));
    assert_eq!(service.recover_now().await.expect("recovery"), 1);
    assert_eq!(service.figures().orders_in_doubt, 1, "it cannot know what to release");
    assert_eq!(shop.stock(product).await.allocated, 1);
    let second = shop.other.place(new(&[(product, 1)]), None).await;
    assert!(matches!(second, Err(OrderError::InsufficientStock(_))), "{second:?}");
    store.is_away.store(false, Ordering::SeqCst);
    shop.recover(&service).await;
    assert_eq!(shop.stock(product).await.allocated, 0);
    shop.assert_sound().await;
    fresh(service.place(new(&[(product, 1)]), Some(keyed("k", "one"))).await);
    shop.assert_sound().await;
}

/// Counts so many units in or out.
async fn adjusted(shop: &Shop, product: ProductId, delta: i64) -> Result<Stock, ProductError> {
    let counted = NewAdjustment { delta, reason: "counted".to_owned(), reference: None };
    let adjusted = shop.products.adjust(&ProductRef::Id(product), counted, None).await?;
    Ok(adjusted.fresh().expect("without a key").1.stock)
}

/// Row 15: what orders have cannot be counted away, also if both happen at once.
pub async fn row_15_on_hand_does_not_fall_below_what_is_allocated(factory: &dyn OrderStoreFactory) {
    let shop = Shop::open(factory).await;
    let product = shop.product("A", "1 EUR", 10).await;
    let order = shop.place(&[(product, 4)]).await;
    let refused = adjusted(&shop, product, -7).await;
    assert!(matches!(refused, Err(ProductError::BelowAllocated { on_hand: 3, allocated: 4 })), "{refused:?}");
    assert_eq!(shop.stock(product).await, Stock { on_hand: 10, allocated: 4 });
    assert_eq!(adjusted(&shop, product, -6).await.expect("enough"), Stock { on_hand: 4, allocated: 4 });
    fresh(shop.orders.ship(order.id, None, None).await);
    adjusted(&shop, product, 6).await.expect("more");
    shop.assert_sound().await;
    for round in 0..10 {
        let product = shop.product(&format!("LAST-{round}"), "1 EUR", 1).await;
        let (gone, placed) =
            tokio::join!(adjusted(&shop, product, -1), shop.other.place(new(&[(product, 1)]), None));
        match (gone, placed) {
            (Ok(_), Err(OrderError::InsufficientStock(_))) => {
                adjusted(&shop, product, 1).await.expect("found again");
            }
            (Err(ProductError::BelowAllocated { on_hand: 0, allocated: 1 }), Ok(_)) => {}
            other => panic!("one of both, not {other:?}"),
        }
    }
    shop.assert_sound().await;
}

/// Row 17: products that everybody wants lock nobody out: of 64 clients at two instances each is served, again and again,
/// whatever the order of their lines.
pub async fn row_17_five_hot_products_serve_sixty_four_clients(factory: &dyn OrderStoreFactory) {
    const CLIENTS: usize = 64;
    const ORDERS: usize = 4;
    let minute = Duration::from_secs(60);
    let patient = OrderServiceConfig { place_deadline: minute, grace: 2 * minute, ..by_hand() };
    let shop = Shop::open_with(factory, patient).await;
    let mut hot = Vec::new();
    for n in 0..5 {
        hot.push(shop.product(&format!("HOT-{n}"), "1 EUR", 10_000).await);
    }
    let clients: Vec<_> = (0..CLIENTS)
        .map(|client| {
            let service = if client % 2 == 0 { shop.orders.clone() } else { shop.other.clone() };
            let mut lines: Vec<_> = hot.iter().map(|product| (*product, 1)).collect();
            lines.rotate_left(client % 5);
            if client % 3 == 0 {
                lines.reverse();
            }
            tokio::spawn(async move {
                for n in 0..ORDERS {
                    let order = fresh(service.place(new(&lines), None).await);
                    if n % 2 == 1 {
                        fresh(service.cancel(order.id, None, None).await);
                    }
                }
            })
        })
        .collect();
    for client in clients {
        client.await.expect("served");
    }
    shop.assert_sound().await;
    for product in hot {
        assert_eq!(shop.stock(product).await.allocated, (CLIENTS * ORDERS / 2) as i64);
    }
}

/// Row 18: of a thousand buyers of one unit one gets it.
pub async fn row_18_a_thousand_buyers_of_one_unit(factory: &dyn OrderStoreFactory) {
    let minute = Duration::from_secs(60);
    let patient = OrderServiceConfig { place_deadline: minute, grace: 2 * minute, ..by_hand() };
    let shop = Shop::open_with(factory, patient).await;
    let product = shop.product("A", "1 EUR", 1).await;
    let buyers: Vec<_> = (0..1_000)
        .map(|n| {
            let service = if n % 2 == 0 { shop.orders.clone() } else { shop.other.clone() };
            tokio::spawn(async move {
                service.place(new(&[(product, 1)]), Some(keyed(&format!("k-{n}"), "one"))).await
            })
        })
        .collect();
    let (mut placed, mut refused) = (0, 0);
    for buyer in buyers {
        match buyer.await.expect("no panic") {
            Ok(Answered::Fresh(_)) => placed += 1,
            Err(OrderError::InsufficientStock(lines)) if lines[0].available == 0 => refused += 1,
            other => panic!("{other:?}"),
        }
    }
    assert_eq!((placed, refused), (1, 999));
    assert_eq!(shop.stock(product).await, Stock { on_hand: 1, allocated: 1 });
    shop.assert_sound().await;
}

/// Row 21: a clock that jumps starts recovery early or late; what an order has, it keeps, and what none has, is given back.
pub async fn row_21_a_clock_that_jumps_decides_nothing(factory: &dyn OrderStoreFactory) {
    let shop = Shop::open(factory).await;
    let product = shop.product("A", "1 EUR", 10).await;
    let kept = shop.place(&[(product, 2)]).await;
    // A year ahead: recovery gives up an order that is only slow, and no other.
    let (gate, slow) = crashed_after_the_hold(&shop, product, "slow").await;
    shop.clock.set(at(YEAR));
    assert_eq!(shop.other.recover_now().await.expect("recovery"), 2);
    assert_eq!(shop.stock(product).await.allocated, 2);
    gate.open();
    let late = slow.await.expect("no panic");
    assert!(matches!(&late, Err(error @ OrderError::NotPlaced) if error.is_retryable()), "{late:?}");
    fresh(shop.orders.place(new(&[(product, 1)]), Some(keyed("slow", "one"))).await);
    shop.assert_sound().await;
    // Back again: recovery waits, and all else goes on.
    let (_closed_for_ever, _flow) = crashed_after_the_hold(&shop, product, "lost").await;
    shop.clock.set(at(0));
    assert_eq!(shop.other.recover_now().await.expect("recovery"), 0);
    let sold = shop.place(&[(product, 3)]).await;
    fresh(shop.other.ship(sold.id, None, None).await);
    fresh(shop.other.cancel(kept.id, None, None).await);
    shop.orders.settle_now().await.expect("settling");
    assert_eq!(shop.stock(product).await, Stock { on_hand: 7, allocated: 2 });
    let far = Timestamp::from_millis(i64::MAX);
    let held = shop.catalog.held("orders", far, &PageRequest::default()).await.expect("held");
    assert_eq!(held.data.len(), 1, "what nobody decided waits");
    shop.clock.set(at(YEAR));
    shop.recover(&shop.other).await;
    assert_eq!(shop.stock(product).await, Stock { on_hand: 7, allocated: 1 });
    shop.assert_sound().await;
}
