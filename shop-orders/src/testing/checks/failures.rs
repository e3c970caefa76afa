use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use shop_core::PageRequest;
use shop_core::Timestamp;
use shop_products::{ProductCatalog, SettleAction, Settlement};

use crate::store::OrderQuery;
use crate::testing::OrderStoreFactory;
use crate::testing::broken::{CommitFault, FlakyStore};
use crate::testing::catalog::{Fault, Gate};
use crate::testing::shop::{Shop, answer, by_hand, fresh, keyed, lines, new, replayed};
use crate::{Backoff, InDoubtKind, OrderError, OrderPatch, OrderService, OrderServiceConfig, reservation_of};

const LEASE: Duration = Duration::from_secs(30);

/// Starts an order whose instance stops for ever after the hold: the gate stays closed.
pub(super) async fn crashed_after_the_hold(
    shop: &Shop,
    product: shop_products::ProductId,
    key: &'static str,
) -> (Arc<Gate>, tokio::task::JoinHandle<Result<shop_core::idempotency::Answered<crate::Order>, OrderError>>)
{
    let gate = Gate::closed();
    shop.catalog.at_hold(Fault::HeldUpAfter(gate.clone()));
    let orders = shop.orders.clone();
    let flow = tokio::spawn(async move { orders.place(new(&[(product, 1)]), Some(keyed(key, "one"))).await });
    gate.arrival().await;
    (gate, flow)
}

/// Row 2: a hold or its answer that is lost is asked for again under the same id, and taken once.
pub async fn row_02_a_lost_hold_is_asked_again(factory: &dyn OrderStoreFactory) {
    let shop = Shop::open(factory).await;
    let product = shop.product("A", "1 EUR", 10).await;
    for fault in [Fault::LostCall, Fault::LostAnswer] {
        shop.catalog.at_hold(fault.clone());
        shop.catalog.at_hold(fault);
        shop.place(&[(product, 1)]).await;
    }
    let asked: Vec<_> = shop.catalog.asked().iter().map(|request| request.id).collect();
    assert_eq!(asked.len(), 6);
    assert!(asked[..3].iter().all(|id| *id == asked[0]) && asked[3..].iter().all(|id| *id == asked[3]));
    assert_eq!(shop.stock(product).await.allocated, 2);
    shop.assert_sound().await;
}

/// Row 5: what a crashed instance held is given up and released; the same key makes the next attempt.
pub async fn row_05_a_crash_after_the_hold_is_recovered(factory: &dyn OrderStoreFactory) {
    let shop = Shop::open(factory).await;
    let product = shop.product("A", "1 EUR", 1).await;
    let (_closed_for_ever, _flow) = crashed_after_the_hold(&shop, product, "k").await;
    assert_eq!(shop.other.recover_now().await.expect("recovery"), 0, "not before the grace time");
    assert_eq!(shop.stock(product).await.allocated, 1);
    shop.recover(&shop.other).await;
    assert_eq!(shop.stock(product).await.allocated, 0);
    let order = fresh(shop.other.place(new(&[(product, 1)]), Some(keyed("k", "one"))).await);
    let key = "k".parse().expect("a key");
    assert_eq!(shop.catalog.asked()[0].id, reservation_of("orders", &key, 1));
    assert_eq!(order.holds[0].reservation_id, reservation_of("orders", &key, 2));
    let again = shop.other.place(new(&[(product, 1)]), Some(keyed("k", "one"))).await;
    assert_eq!(replayed(again), answer(&order));
    assert_eq!(shop.other.recover_now().await.expect("recovery"), 0);
    assert_eq!(shop.other.figures().orders_in_doubt, 0);
    shop.assert_sound().await;
}

/// Row 6: a decision that comes after recovery meets the expired row: not placed, and nothing is taken.
pub async fn row_06_a_slow_decision_after_recovery_is_not_placed(factory: &dyn OrderStoreFactory) {
    let shop = Shop::open(factory).await;
    let product = shop.product("A", "1 EUR", 10).await;
    let (gate, flow) = crashed_after_the_hold(&shop, product, "k").await;
    shop.recover(&shop.other).await;
    gate.open();
    let late = flow.await.expect("no panic");
    assert!(matches!(late, Err(OrderError::NotPlaced)), "{late:?}");
    assert!(late.is_err_and(|error| error.is_retryable()));
    assert_eq!(shop.orders.count(&OrderQuery::default()).await.expect("count"), 0);
    shop.assert_sound().await;
    fresh(shop.orders.place(new(&[(product, 1)]), Some(keyed("k", "one"))).await);
    shop.assert_sound().await;
}

/// Row 7: after a commit with an unknown result the deciding rows are read again: there, or not there.
pub async fn row_07_an_unknown_commit_is_read_again(factory: &dyn OrderStoreFactory) {
    let shop = Shop::open(factory).await;
    let product = shop.product("A", "1 EUR", 10).await;
    let flaky = FlakyStore::over(shop.store.store.clone());
    let service = shop.service_over(flaky.clone(), by_hand());
    let next = |fault| flaky.next(fault);
    next(CommitFault::LostAnswer);
    let order = fresh(service.place(new(&[(product, 1)]), Some(keyed("a", "one"))).await);
    assert_eq!(shop.orders.get(order.id).await.expect("it was written"), order);
    next(CommitFault::LostAnswer);
    let cancelled = fresh(service.cancel(order.id, Some(vec![1]), None).await);
    assert_eq!(shop.orders.get(order.id).await.expect("it was written"), cancelled);

    next(CommitFault::LostCall);
    let unclear = service.place(new(&[(product, 1)]), Some(keyed("b", "one"))).await;
    assert!(
        matches!(&unclear, Err(error @ OrderError::Unavailable(_)) if error.is_retryable()),
        "{unclear:?}"
    );
    next(CommitFault::LostCall);
    let without_key = service.place(new(&[(product, 1)]), None).await;
    assert!(matches!(without_key, Err(OrderError::Unavailable(_))), "{without_key:?}");
    assert_eq!(shop.orders.count(&OrderQuery::default()).await.expect("count"), 1);
    // The same key takes up the same reservation; the one without a key is cleaned up.
    let placed = fresh(service.place(new(&[(product, 1)]), Some(keyed("b", "one"))).await);
    assert_eq!(placed.holds[0].reservation_id, reservation_of("orders", &"b".parse().expect("a key"), 1));
    // Lost races are run again.
    (0..10).for_each(|_| next(CommitFault::Conflict));
    fresh(service.place(new(&[(product, 1)]), None).await);
    shop.recover(&shop.other).await;
    shop.assert_sound().await;
    assert_eq!(shop.stock(product).await.allocated, 2);
}

/// Row 9: settlements that are lost, sent twice, late or out of order leave the same state.
pub async fn row_09_settlements_may_be_lost_repeated_and_late(factory: &dyn OrderStoreFactory) {
    let shop = Shop::open(factory).await;
    let product = shop.product("A", "1 EUR", 100).await;
    let mut orders = Vec::new();
    for _ in 0..4 {
        orders.push(shop.place(&[(product, 5)]).await);
    }
    for fault in [Fault::LostCall, Fault::LostAnswer] {
        shop.catalog.at_settle(fault);
        shop.orders.settle_now().await.expect_err("not acknowledged");
        assert!(shop.store.store.open_settlements(1).await.expect("open").0 > 0, "it stays open");
    }
    shop.orders.settle_now().await.expect("settling");
    fresh(shop.orders.cancel(orders[0].id, None, None).await);
    fresh(shop.orders.ship(orders[1].id, None, None).await);
    shop.orders
        .edit(orders[2].id, None, OrderPatch { lines: Some(lines(&[(product, 2)])), ..OrderPatch::default() })
        .await
        .expect("edit");
    shop.orders.settle_now().await.expect("settling");
    // Everything that was ever sent, once more: as it was, then the other way round, then what was first last.
    let mut told = shop.catalog.told();
    let _ = shop.catalog.settle(&told).await.expect("settled");
    told.reverse();
    for settlement in &told {
        shop.catalog.settle(std::slice::from_ref(settlement)).await.expect("settled");
    }
    shop.assert_sound().await;
    // A release that overtakes the commit.
    let order = shop.place(&[(product, 5)]).await;
    let reservation_id = order.holds[0].reservation_id;
    fresh(shop.orders.cancel(order.id, None, None).await);
    shop.catalog
        .settle(&[Settlement { reservation_id, action: SettleAction::Release }])
        .await
        .expect("settled");
    shop.assert_sound().await;
    assert_eq!((shop.stock(product).await.on_hand, shop.stock(product).await.allocated), (95, 7));
}

/// Row 10: a hold that is delivered again after its release is refused; once products have forgotten, it is cleaned up.
pub async fn row_10_a_late_hold_after_release_takes_nothing(factory: &dyn OrderStoreFactory) {
    let shop = Shop::open(factory).await;
    let product = shop.product("A", "1 EUR", 10).await;
    let (_closed_for_ever, _flow) = crashed_after_the_hold(&shop, product, "k").await;
    shop.recover(&shop.other).await;
    let late = shop.catalog.asked()[0].clone();
    shop.other_catalog.hold(&late).await.expect_err("released");
    shop.assert_sound().await;
    shop.clock.advance(Duration::from_secs(25 * 3_600));
    assert!(shop.products.purge().await.expect("purge") > 0);
    shop.other_catalog.hold(&late).await.expect("products have forgotten it");
    assert_eq!(shop.stock(product).await.allocated, 1);
    shop.recover(&shop.other).await;
    shop.assert_sound().await;
    // Products remember, orders have forgotten: the next attempt, once the row is written again.
    let far = Timestamp::from_millis(i64::MAX);
    shop.store.store.purge(far, far, 100).await.expect("purge");
    let order = fresh(shop.other.place(new(&[(product, 1)]), Some(keyed("k", "one"))).await);
    assert_eq!(order.holds[0].reservation_id, reservation_of("orders", &"k".parse().expect("a key"), 2));
    shop.assert_sound().await;
}

/// Row 12: products that cannot be reached, or that do not answer, are a retryable refusal that leaves nothing behind;
/// what is placed already is settled when they are back.
pub async fn row_12_unreachable_products_leave_nothing(factory: &dyn OrderStoreFactory) {
    let shop = Shop::open(factory).await;
    let impatient = OrderServiceConfig { place_deadline: Duration::from_millis(20), ..by_hand() };
    let impatient = shop.service_over(shop.store.store.clone(), impatient);
    let product = shop.product("A", "1 EUR", 10).await;
    let placed = shop.place(&[(product, 1)]).await;
    shop.catalog.set_down(true);
    let down = impatient.place(new(&[(product, 1)]), Some(keyed("k", "one"))).await;
    assert!(
        matches!(&down, Err(error @ OrderError::ProductsUnavailable) if error.is_retryable()),
        "{down:?}"
    );
    shop.orders.settle_now().await.expect_err("products are down");
    fresh(shop.orders.cancel(placed.id, None, None).await);
    shop.catalog.set_down(false);
    assert_eq!(shop.stock(product).await.allocated, 1, "only what was placed before");
    // Reachable one way: every hold is done, no answer arrives.
    shop.catalog.set_deaf(true);
    let deaf = impatient.place(new(&[(product, 2)]), None).await;
    assert!(matches!(deaf, Err(OrderError::ProductsUnavailable)), "{deaf:?}");
    shop.catalog.set_deaf(false);
    let held = async {
        while shop.stock(product).await.allocated != 3 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), held)
        .await
        .expect("held, and the orders service cannot know");
    shop.recover(&shop.orders).await;
    shop.assert_sound().await;
    assert_eq!(shop.stock(product).await.allocated, 0);
    fresh(shop.orders.place(new(&[(product, 1)]), Some(keyed("k", "one"))).await);
    shop.assert_sound().await;
}

/// Row 12: products that are known to be out of reach are not waited for: the answer comes at once, and nothing is held.
pub async fn row_12_products_known_to_be_out_of_reach_are_not_asked_again(factory: &dyn OrderStoreFactory) {
    let hour = Duration::from_secs(3_600);
    let patient = OrderServiceConfig { place_deadline: hour, grace: 2 * hour, ..by_hand() };
    let shop = Shop::open_with(factory, patient).await;
    let product = shop.product("A", "1 EUR", 10).await;
    let order = shop.place(&[(product, 1)]).await;
    shop.catalog.set_known_to_be_down(true);
    let asked = shop.catalog.asked().len();
    let two = OrderPatch { lines: Some(lines(&[(product, 2)])), ..OrderPatch::default() };
    let both = async {
        let placing = shop.orders.place(new(&[(product, 1)]), Some(keyed("k", "one"))).await;
        (placing.map(|_| ()), shop.orders.edit(order.id, None, two).await.map(|_| ()))
    };
    let (placing, editing) = tokio::time::timeout(Duration::from_secs(20), both).await.expect("at once");
    for refused in [placing, editing] {
        assert!(matches!(&refused, Err(error @ OrderError::ProductsUnavailable) if error.is_retryable()));
    }
    assert_eq!(shop.catalog.asked().len(), asked + 2, "each asked once");
    shop.orders.settle_now().await.expect_err("out of reach");
    shop.catalog.set_known_to_be_down(false);
    fresh(shop.orders.place(new(&[(product, 1)]), Some(keyed("k", "one"))).await);
    shop.assert_sound().await;
}

/// So much is worked on at once, and more is refused.
pub async fn flows_are_bounded(factory: &dyn OrderStoreFactory) {
    let narrow = OrderServiceConfig { max_flows: 2, ..by_hand() };
    let shop = Shop::open_with(factory, narrow).await;
    let product = shop.product("A", "1 EUR", 10).await;
    let (other_gate, first) = crashed_after_the_hold(&shop, product, "a").await;
    let (gate, second) = crashed_after_the_hold(&shop, product, "b").await;
    let third = shop.orders.place(new(&[(product, 1)]), None).await;
    assert!(matches!(&third, Err(error @ OrderError::Unavailable(_)) if error.is_retryable()), "{third:?}");
    assert_eq!(shop.catalog.asked().len(), 2);
    gate.open();
    fresh(second.await.expect("no panic"));
    fresh(shop.orders.place(new(&[(product, 1)]), None).await);
    other_gate.open();
    fresh(first.await.expect("no panic"));
    shop.assert_sound().await;
}

/// A settlement that products refuse for good holds up no other; it stays open, is told, and is sent again.
pub async fn a_refused_settlement_holds_up_no_other(factory: &dyn OrderStoreFactory) {
    let shop = Shop::open(factory).await;
    let product = shop.product("A", "1 EUR", 100).await;
    let mut orders = Vec::new();
    for _ in 0..7 {
        orders.push(shop.place(&[(product, 2)]).await);
    }
    let offender = orders[3].holds[0].reservation_id;
    shop.catalog.set_refused(offender, true);
    let one = OrderPatch { lines: Some(lines(&[(product, 1)])), ..OrderPatch::default() };
    shop.orders.edit(orders[0].id, None, one.clone()).await.expect("edit");
    shop.orders.edit(orders[3].id, None, one).await.expect("edit");
    fresh(shop.orders.ship(orders[3].id, None, None).await);
    fresh(shop.orders.ship(orders[5].id, None, None).await);
    assert_eq!(shop.orders.settle_now().await.expect("the others are settled"), 8);
    assert_eq!(shop.store.store.open_settlements(1).await.expect("open").0, 3);
    assert_eq!((shop.stock(product).await.on_hand, shop.stock(product).await.allocated), (98, 11));
    let found = shop.orders.doctor().await.expect("doctor");
    let told: Vec<_> = found.iter().filter(|entry| entry.kind == InDoubtKind::Mismatch).collect();
    assert_eq!((told.len(), told[0].order_id), (1, Some(orders[3].id)), "{found:?}");
    assert!(told[0].step.contains("they do not like it"), "{found:?}");
    assert_eq!(shop.orders.figures().mismatches, 1);
    // It waits for its lease; what comes later does not wait for it.
    shop.place(&[(product, 2)]).await;
    assert_eq!(shop.orders.settle_now().await.expect("settling"), 1);
    shop.clock.advance(LEASE + Duration::from_secs(1));
    assert_eq!(shop.orders.settle_now().await.expect("settling"), 0, "sent again, and refused again");
    assert_eq!(shop.orders.recover_now().await.expect("recovery"), 1);
    assert_eq!((shop.orders.figures().orders_in_doubt, shop.orders.figures().mismatches), (1, 1));
    shop.catalog.set_refused(offender, false);
    shop.clock.advance(LEASE);
    assert_eq!(shop.orders.settle_now().await.expect("settling"), 3);
    assert_eq!(shop.orders.doctor().await.expect("doctor"), vec![]);
    shop.assert_sound().await;
}

/// Edits and deletions whose calls to products are lost, or whose instance stops half-way, leave the sums right.
pub async fn edits_and_deletions_survive_lost_calls_and_crashes(factory: &dyn OrderStoreFactory) {
    let shop = Shop::open(factory).await;
    let product = shop.product("A", "1 EUR", 100).await;
    let to = |quantity| OrderPatch { lines: Some(lines(&[(product, quantity)])), ..OrderPatch::default() };
    for fault in [Fault::LostCall, Fault::LostAnswer] {
        let (kept, gone) = (shop.place(&[(product, 2)]).await, shop.place(&[(product, 2)]).await);
        for order in [&kept, &gone] {
            shop.catalog.at_hold(fault.clone());
            let edited = shop.orders.edit(order.id, None, to(7)).await.expect("the hold is asked again");
            assert_eq!(edited.holds.len(), 2);
            shop.other.edit(order.id, Some(vec![2]), to(4)).await.expect("edit");
        }
        shop.other.delete(gone.id, Some(vec![3])).await.expect("delete");
        shop.catalog.at_settle(fault);
        shop.orders.settle_now().await.expect_err("not acknowledged");
        shop.recover(&shop.other).await;
        assert!(matches!(shop.orders.get(gone.id).await, Err(OrderError::NotFound)));
        assert_eq!(shop.orders.get(kept.id).await.expect("there").lines[0].quantity, 4);
        shop.assert_sound().await;
    }
    // An instance stops for ever after it held what grows; meanwhile the order shrinks, or goes.
    for is_deleted in [false, true] {
        let order = shop.place(&[(product, 2)]).await;
        let gate = Gate::closed();
        shop.catalog.at_hold(Fault::HeldUpAfter(gate.clone()));
        let (orders, id, patch) = (shop.orders.clone(), order.id, to(9));
        let flow = tokio::spawn(async move { orders.edit(id, None, patch).await });
        gate.arrival().await;
        if is_deleted {
            shop.other.delete(order.id, None).await.expect("delete");
        } else {
            shop.other.edit(order.id, None, to(1)).await.expect("edit");
            fresh(shop.other.ship(order.id, None, None).await);
        }
        shop.recover(&shop.other).await;
        shop.assert_sound().await;
        gate.open();
        let late = flow.await.expect("no panic");
        assert!(late.is_err(), "{late:?}");
        shop.assert_sound().await;
    }
}

/// Row 13: an orders' store that does not answer is a retryable refusal at the deadline.
pub async fn row_13_a_store_that_does_not_answer_is_waited_for_until_the_deadline(
    factory: &dyn OrderStoreFactory,
) {
    let shop = Shop::open(factory).await;
    let product = shop.product("A", "1 EUR", 10).await;
    let stalled = FlakyStore::over(shop.store.store.clone());
    stalled.stalled.store(true, Ordering::SeqCst);
    let impatient = OrderServiceConfig { place_deadline: Duration::from_millis(20), ..by_hand() };
    let service = shop.service_over(stalled, impatient);
    let placing = service.place(new(&[(product, 1)]), Some(keyed("k", "one")));
    let ended = tokio::time::timeout(Duration::from_secs(20), placing).await.expect("it ends");
    assert!(matches!(&ended, Err(error @ OrderError::Unavailable(_)) if error.is_retryable()), "{ended:?}");
    shop.assert_sound().await;
}

/// What leaves the warehouse is what the order has in the end, though the fulfilment overtakes an edit's settlement.
pub async fn a_shrunk_order_ships_what_it_has(factory: &dyn OrderStoreFactory) {
    let shop = Shop::open(factory).await;
    let product = shop.product("A", "1 EUR", 10).await;
    let order = shop.place(&[(product, 5)]).await;
    let three = OrderPatch { lines: Some(lines(&[(product, 3)])), ..OrderPatch::default() };
    shop.orders.edit(order.id, None, three).await.expect("edit");
    // A worker claims the commit and the shrink, and is slow.
    let stalled = shop.store.other.claim_settlements(LEASE, 10).await.expect("claim");
    assert_eq!(stalled.len(), 2);
    fresh(shop.orders.ship(order.id, None, None).await);
    assert_eq!(shop.orders.settle_now().await.expect("settling"), 1, "the fulfilment alone");
    assert_eq!((shop.stock(product).await.on_hand, shop.stock(product).await.allocated), (7, 0));
    let late: Vec<Settlement> = stalled.iter().map(|open| open.settlement.clone()).collect();
    shop.other_catalog.settle(&late).await.expect("settled");
    let sequences: Vec<u64> = stalled.iter().map(|open| open.sequence).collect();
    shop.store.other.close_settlements(&sequences).await.expect("close");
    shop.assert_sound().await;
}

/// Recovery that is faster than the settler ships what the order has, not what was held for it at first.
pub async fn recovery_ships_no_more_than_the_order_has(factory: &dyn OrderStoreFactory) {
    let shop = Shop::open(factory).await;
    let product = shop.product("A", "1 EUR", 10).await;
    let order = shop.place(&[(product, 5)]).await;
    // Nothing of it is delivered: not the commit, not the shrink, not the fulfilment.
    shop.catalog.set_down(true);
    let three = OrderPatch { lines: Some(lines(&[(product, 3)])), ..OrderPatch::default() };
    shop.orders.edit(order.id, None, three).await.expect("edit");
    fresh(shop.orders.ship(order.id, None, None).await);
    shop.orders.settle_now().await.expect_err("products are down");
    shop.clock.advance(OrderServiceConfig::default().grace + Duration::from_secs(1));
    assert_eq!(shop.other.recover_now().await.expect("recovery"), 1);
    assert_eq!((shop.stock(product).await.on_hand, shop.stock(product).await.allocated), (7, 0));
    assert_eq!(shop.other.figures().orders_in_doubt, 0);
    shop.catalog.set_down(false);
    shop.assert_sound().await;
    // The same once it is delivered, and with a second reservation of which a part was given back.
    let order = shop.place(&[(product, 1)]).await;
    shop.catalog.set_down(true);
    for quantity in [5, 2] {
        shop.catalog.set_down(quantity == 2);
        let patch = OrderPatch { lines: Some(lines(&[(product, quantity)])), ..OrderPatch::default() };
        shop.orders.edit(order.id, None, patch).await.expect("edit");
    }
    fresh(shop.orders.ship(order.id, None, None).await);
    fresh(shop.orders.deliver(order.id, None, None).await);
    shop.clock.advance(OrderServiceConfig::default().grace + Duration::from_secs(1));
    assert_eq!(shop.other.recover_now().await.expect("recovery"), 2, "both reservations");
    assert_eq!((shop.stock(product).await.on_hand, shop.stock(product).await.allocated), (5, 0));
    shop.catalog.set_down(false);
    shop.assert_sound().await;
}

/// Row 10: a hold that is delivered once more after its order was shipped, when products have forgotten it, is given back: the
/// order was fulfilled already.
pub async fn row_10_a_late_hold_of_a_shipped_order_is_given_back(factory: &dyn OrderStoreFactory) {
    let shop = Shop::open(factory).await;
    let product = shop.product("A", "1 EUR", 10).await;
    let order = fresh(shop.orders.place(new(&[(product, 4)]), Some(keyed("k", "four"))).await);
    fresh(shop.orders.ship(order.id, None, None).await);
    shop.assert_sound().await;
    let late = shop.catalog.asked()[0].clone();
    shop.clock.advance(Duration::from_secs(25 * 3_600));
    assert!(shop.products.purge().await.expect("purge") > 0);
    shop.other_catalog.hold(&late).await.expect("products have forgotten it");
    assert_eq!((shop.stock(product).await.on_hand, shop.stock(product).await.allocated), (6, 4));
    shop.recover(&shop.other).await;
    assert_eq!((shop.stock(product).await.on_hand, shop.stock(product).await.allocated), (6, 0));
    shop.assert_sound().await;
}

/// The workers do by themselves what the other checks do by hand.
pub async fn the_workers_settle_and_recover_by_themselves(factory: &dyn OrderStoreFactory) {
    let shop = Shop::open(factory).await;
    let product = shop.product("A", "1 EUR", 10).await;
    let (_closed_for_ever, _flow) = crashed_after_the_hold(&shop, product, "k").await;
    let soon = Duration::from_millis(2);
    let eager = OrderServiceConfig {
        recovery_interval: soon,
        settle_interval: soon,
        maintenance_interval: soon,
        settle_backoff: Backoff { first: soon, most: soon },
        ..OrderServiceConfig::default()
    };
    let working =
        OrderService::start(shop.store.other.clone(), shop.other_catalog.clone(), shop.clock.clone(), eager);
    shop.other_catalog.at_settle(Fault::LostCall);
    shop.other_catalog.at_settle(Fault::LostAnswer);
    fresh(working.place(new(&[(product, 2)]), Some(keyed("old", "two"))).await);
    // Past the grace time, and past what records are kept for.
    shop.clock.advance(Duration::from_secs(25 * 3_600));
    let settled = async {
        loop {
            let far = Timestamp::from_millis(i64::MAX);
            let held = shop.catalog.held("orders", far, &PageRequest::default()).await.expect("held");
            let (open, _) = shop.store.store.open_settlements(1).await.expect("open");
            let footprint = crate::store::Footprint {
                keys: ["old".parse().expect("a key")].into(),
                ..Default::default()
            };
            let records = shop.store.store.load(&footprint).await.expect("load").records.len();
            if held.data.is_empty() && open == 0 && records == 0 {
                break;
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), settled)
        .await
        .expect("the workers settle, recover and keep house");
    working.shutdown().await;
    assert_eq!(shop.stock(product).await.allocated, 2);
    shop.assert_sound().await;
}

/// A shutdown waits for what runs, sends what is open, and refuses what comes later.
pub async fn shutdown_sends_what_is_open(factory: &dyn OrderStoreFactory) {
    let shop = Shop::open(factory).await;
    let product = shop.product("A", "1 EUR", 10).await;
    let gate = Gate::closed();
    shop.catalog.at_hold(Fault::HeldUpAfter(gate.clone()));
    let orders = shop.orders.clone();
    let flow = tokio::spawn(async move { orders.place(new(&[(product, 1)]), None).await });
    gate.arrival().await;
    let orders = shop.orders.clone();
    let down = tokio::spawn(async move { orders.shutdown().await });
    tokio::task::yield_now().await;
    gate.open();
    down.await.expect("no panic");
    fresh(flow.await.expect("no panic"));
    assert_eq!(shop.store.store.open_settlements(1).await.expect("open").0, 0);
    let refused = shop.orders.place(new(&[(product, 1)]), None).await;
    assert!(
        matches!(&refused, Err(error @ OrderError::Unavailable(_)) if error.is_retryable()),
        "{refused:?}"
    );
    shop.orders.shutdown().await;
    shop.assert_sound().await;
}

/// The doctor names what is held too long, what is not acknowledged, and what no repetition will mend.
pub async fn the_doctor_explains_what_is_not_settled(factory: &dyn OrderStoreFactory) {
    let shop = Shop::open(factory).await;
    let product = shop.product("A", "1 EUR", 10).await;
    assert_eq!(shop.other.doctor().await.expect("doctor"), vec![]);
    let (_closed_for_ever, _flow) = crashed_after_the_hold(&shop, product, "k").await;
    let order = fresh(shop.other.place(new(&[(product, 2)]), None).await);
    let reservation_id = order.holds[0].reservation_id;
    shop.clock.advance(Duration::from_secs(31));
    let found = shop.other.doctor().await.expect("doctor");
    let held = shop.catalog.asked()[0].id;
    let kinds = |kind| found.iter().filter(move |entry| entry.kind == kind).collect::<Vec<_>>();
    let in_doubt = kinds(InDoubtKind::Held);
    assert_eq!(in_doubt.len(), 2, "{found:?}");
    let undecided = in_doubt.iter().find(|entry| entry.reservation_id == held).expect("the undecided one");
    assert_eq!((undecided.order_id, undecided.since), (None, crate::testing::sample::at(0)));
    let open = kinds(InDoubtKind::OpenSettlement);
    assert_eq!((open.len(), open[0].reservation_id, open[0].order_id), (1, reservation_id, Some(order.id)));
    // Recovery commits what an order decided, and releases what nobody did.
    assert_eq!(shop.other.recover_now().await.expect("recovery"), 2);
    assert_eq!(shop.stock(product).await.allocated, 2);
    shop.assert_sound().await;
    assert_eq!(shop.other.doctor().await.expect("doctor"), vec![]);
    // Somebody releases what an order has: nothing repeats that away, so it is told.
    let robbed = fresh(shop.other.place(new(&[(product, 3)]), None).await);
    let reservation_id = robbed.holds[0].reservation_id;
    shop.catalog
        .settle(&[Settlement { reservation_id, action: SettleAction::Release }])
        .await
        .expect("settled");
    shop.other.settle_now().await.expect("settling");
    let found = shop.other.doctor().await.expect("doctor");
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!((found[0].kind, found[0].order_id), (InDoubtKind::Mismatch, Some(robbed.id)));
    assert_eq!(shop.other.figures().mismatches, 1);
    let json = serde_json::to_value(&found[0]).expect("plain data");
    assert_eq!(json["kind"], "mismatch");
}
