use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};

use shop_core::idempotency::Answered;

use crate::store::OrderQuery;
use crate::testing::OrderStoreFactory;
use crate::testing::broken::FlakyStore;
use crate::testing::shop::{Shop, answer, by_hand, fresh, keyed, lines, new};
use crate::{OrderError, OrderPatch, OrderStatus};

/// Row 4: one key at two instances at once is one reservation and one order, and both get the same answer.
pub async fn row_04_two_instances_with_one_key_place_one_order(factory: &dyn OrderStoreFactory) {
    let shop = Shop::open(factory).await;
    let product = shop.product("A", "1 EUR", 1_000).await;
    for round in 0..15 {
        let key = || Some(keyed(&format!("k-{round}"), "two"));
        let answers = tokio::join!(
            shop.orders.place(new(&[(product, 2)]), key()),
            shop.other.place(new(&[(product, 2)]), key()),
        );
        let order = match answers {
            (Ok(Answered::Fresh(order)), Ok(Answered::Replayed(stored)))
            | (Ok(Answered::Replayed(stored)), Ok(Answered::Fresh(order))) => {
                assert_eq!(stored, answer(&order), "both get the same answer");
                order
            }
            other => panic!("one is placed, the other gets its answer, not {other:?}"),
        };
        assert_eq!(shop.orders.get(order.id).await.expect("there").number, order.number);
    }
    assert_eq!(shop.orders.count(&OrderQuery::default()).await.expect("count"), 15);
    shop.assert_sound().await;
}

/// Row 11: of a cancel and a ship at once one wins, and the stock is what the winner says.
pub async fn row_11_cancel_and_ship_have_one_winner(factory: &dyn OrderStoreFactory) {
    let shop = Shop::open(factory).await;
    let product = shop.product("A", "1 EUR", 1_000).await;
    for _ in 0..15 {
        let order = shop.place(&[(product, 2)]).await;
        let (cancel, ship) =
            tokio::join!(shop.orders.cancel(order.id, None, None), shop.other.ship(order.id, None, None));
        let (winner, loser) = if cancel.is_ok() { (cancel, ship) } else { (ship, cancel) };
        let status = fresh(winner).status;
        assert!(
            matches!(&loser, Err(OrderError::IllegalTransition { from, .. }) if *from == status),
            "{loser:?}"
        );
        assert_eq!(shop.orders.get(order.id).await.expect("there").status, status);
    }
    shop.assert_sound().await;
}

/// Row 11: an edit that grows and a cancel at once: whoever is first, nothing stays taken.
pub async fn row_11_edit_and_cancel_leave_the_sums_right(factory: &dyn OrderStoreFactory) {
    let shop = Shop::open(factory).await;
    let product = shop.product("A", "1 EUR", 1_000).await;
    for _ in 0..15 {
        let order = shop.place(&[(product, 2)]).await;
        let patch = OrderPatch { lines: Some(lines(&[(product, 5)])), ..OrderPatch::default() };
        let (edit, cancel) = tokio::join!(
            shop.orders.edit(order.id, None, patch.clone()),
            shop.other.cancel(order.id, None, None)
        );
        let cancelled = fresh(cancel);
        match edit {
            Ok(edited) => assert_eq!((edited.version, cancelled.version), (2, 3)),
            Err(OrderError::IllegalTransition { from: OrderStatus::Cancelled, .. }) => {
                assert_eq!(cancelled.version, 2);
            }
            other => panic!("{other:?}"),
        }
        // Two edits of one version: one is refused.
        let order = shop.place(&[(product, 2)]).await;
        let seen = || Some(vec![1]);
        let edits = tokio::join!(
            shop.orders.edit(order.id, seen(), patch.clone()),
            shop.other.edit(
                order.id,
                seen(),
                OrderPatch { reference: Some(Some("r".to_owned())), ..OrderPatch::default() }
            ),
        );
        match edits {
            (Ok(_), Err(OrderError::VersionMismatch { current: 2 }))
            | (Err(OrderError::VersionMismatch { current: 2 }), Ok(_)) => {}
            other => panic!("one of two edits of one version is refused, not {other:?}"),
        }
    }
    shop.assert_sound().await;
}

/// Row 17: orders for the same products in opposite order all end.
pub async fn row_17_opposite_line_orders_all_end(factory: &dyn OrderStoreFactory) {
    let shop = Shop::open(factory).await;
    let (a, b) = (shop.product("A", "1 EUR", 1_000).await, shop.product("B", "1 EUR", 1_000).await);
    let flows: Vec<_> = (0..100)
        .map(|n| {
            let service = if n % 2 == 0 { shop.orders.clone() } else { shop.other.clone() };
            let order = if n % 2 == 0 { new(&[(a, 1), (b, 2)]) } else { new(&[(b, 2), (a, 1)]) };
            tokio::spawn(async move { service.place(order, None).await })
        })
        .collect();
    for flow in flows {
        fresh(flow.await.expect("no panic"));
    }
    shop.assert_sound().await;
    assert_eq!((shop.stock(a).await.allocated, shop.stock(b).await.allocated), (100, 200));
}

/// Two instances that place all the time do not lose race after race for the next number.
pub async fn two_instances_place_without_end_of_races(factory: &dyn OrderStoreFactory) {
    let shop = Shop::open(factory).await;
    let product = shop.product("A", "1 EUR", 1_000_000).await;
    let stores = [FlakyStore::over(shop.store.store.clone()), FlakyStore::over(shop.store.other.clone())];
    let services = stores.clone().map(|store| shop.service_over(store, by_hand()));
    let callers: Vec<_> = (0..16)
        .map(|n| {
            let service = services[n % 2].clone();
            tokio::spawn(async move {
                let mut numbers = Vec::new();
                for _ in 0..40 {
                    numbers.push(fresh(service.place(new(&[(product, 1)]), None).await).number);
                }
                numbers
            })
        })
        .collect();
    let mut numbers = BTreeSet::new();
    for caller in callers {
        numbers.extend(caller.await.expect("no panic"));
    }
    assert_eq!(numbers.len(), 640, "all are placed, each with its own number");
    let sum = |count: fn(&FlakyStore) -> &AtomicUsize| -> usize {
        stores.iter().map(|store| count(store).load(Ordering::SeqCst)).sum()
    };
    let (commits, conflicts) = (sum(|store| &store.written), sum(|store| &store.conflicts));
    assert!(conflicts < 10 + commits / 10, "{conflicts} of {commits} commits were in vain");
    shop.assert_sound().await;
}
