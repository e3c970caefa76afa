use std::sync::Arc;
use std::time::Duration;

use shop_core::{Clock, PageRequest};
use shop_products::{HoldLine, ProductRef, ShortLine};

use crate::store::OrderQuery;
use crate::testing::OrderStoreFactory;
use crate::testing::catalog::{Fault, Gate};
use crate::testing::shop::{Shop, answer, fresh, keyed, money, new, replayed};
use crate::{NewOrder, OrderDetails, OrderError, OrderStatus, reservation_of};

/// Row 8: a key that placed an order answers the same again, from any instance, and takes nothing more.
pub async fn row_08_a_repeated_key_gets_the_stored_answer(factory: &dyn OrderStoreFactory) {
    let shop = Shop::open(factory).await;
    let product = shop.product("A", "19.99 EUR", 10).await;
    let order = fresh(shop.orders.place(new(&[(product, 2)]), Some(keyed("k", "two"))).await);
    assert_eq!((order.status, order.version, order.total), (OrderStatus::Placed, 1, money("39.98 EUR")));
    for service in [&shop.orders, &shop.other] {
        let again = service.place(new(&[(product, 2)]), Some(keyed("k", "two"))).await;
        assert_eq!(replayed(again), answer(&order));
    }
    // Also after the order moved on.
    fresh(shop.orders.cancel(order.id, None, None).await);
    let again = shop.other.place(new(&[(product, 2)]), Some(keyed("k", "two"))).await;
    assert_eq!(replayed(again), answer(&order));
    assert_eq!(shop.orders.count(&OrderQuery::default()).await.expect("count"), 1);
    shop.assert_sound().await;
}

/// Row 16: several lines of one product stay lines of the order; together they are held.
pub async fn row_16_lines_of_one_product_are_summed(factory: &dyn OrderStoreFactory) {
    let shop = Shop::open(factory).await;
    let a = shop.product("A", "2.50 EUR", 5).await;
    let b = shop.product("B", "1.00 EUR", 5).await;
    let by_sku = HoldLine { product: ProductRef::Sku("A".parse().expect("a SKU")), quantity: 2 };
    let mut asked = new(&[(a, 2), (b, 1)]);
    asked.lines.push(by_sku.clone());
    let order = fresh(shop.orders.place(asked.clone(), None).await);
    let seen: Vec<_> =
        order.lines.iter().map(|line| (line.line, line.product_id, line.quantity, line.total)).collect();
    let euros = |text: &str| money(&format!("{text} EUR"));
    assert_eq!(seen, [(1, a, 2, euros("5.00")), (2, b, 1, euros("1.00")), (3, a, 2, euros("5.00"))]);
    assert_eq!(order.total, euros("11.00"));
    assert_eq!((&*order.lines[0].name, order.lines[2].sku.as_str()), ("The A", "A"));
    // One is left of five: two lines of one each are too much together.
    let result = shop.orders.place(new(&[(a, 1), (a, 1)]), None).await;
    let short = ShortLine { product_id: a, sku: "A".parse().expect("a SKU"), requested: 2, available: 1 };
    assert!(matches!(&result, Err(OrderError::InsufficientStock(lines)) if *lines == [short]), "{result:?}");
    shop.assert_sound().await;
}

/// A caller that goes away, half-way, drops the answer; the order is placed all the same.
pub async fn a_caller_that_goes_away_drops_only_the_answer(factory: &dyn OrderStoreFactory) {
    let shop = Shop::open(factory).await;
    let product = shop.product("A", "1 EUR", 10).await;
    for fault in [Fault::HeldUpBefore, Fault::HeldUpAfter] {
        let gate = Gate::closed();
        shop.catalog.at_hold(fault(gate.clone()));
        let orders = shop.orders.clone();
        let caller = tokio::spawn(async move { orders.place(new(&[(product, 1)]), None).await });
        gate.arrival().await;
        caller.abort();
        assert!(caller.await.expect_err("gone").is_cancelled());
        gate.open();
    }
    // Waits for the flows that run.
    shop.orders.shutdown().await;
    assert_eq!(shop.other.count(&OrderQuery::default()).await.expect("count"), 2);
    shop.assert_sound().await;
}

/// While a key is worked on, the same key is refused by this instance; afterwards it gets the stored answer.
pub async fn a_key_in_flight_is_refused(factory: &dyn OrderStoreFactory) {
    let shop = Shop::open(factory).await;
    let product = shop.product("A", "1 EUR", 10).await;
    let gate = Gate::closed();
    shop.catalog.at_hold(Fault::HeldUpAfter(gate.clone()));
    let orders = shop.orders.clone();
    let first =
        tokio::spawn(async move { orders.place(new(&[(product, 1)]), Some(keyed("k", "one"))).await });
    gate.arrival().await;
    let second = shop.orders.place(new(&[(product, 1)]), Some(keyed("k", "one"))).await;
    assert!(matches!(second, Err(OrderError::KeyInFlight)), "{second:?}");
    let unrelated = shop.orders.place(new(&[(product, 1)]), Some(keyed("other", "one"))).await;
    fresh(unrelated);
    gate.open();
    let order = fresh(first.await.expect("no panic"));
    let third = shop.orders.place(new(&[(product, 1)]), Some(keyed("k", "one"))).await;
    assert_eq!(replayed(third), answer(&order));
    shop.assert_sound().await;
}

/// A key with other content is refused, whatever it was used for, and nothing is taken.
pub async fn a_key_of_something_else_is_refused(factory: &dyn OrderStoreFactory) {
    let shop = Shop::open(factory).await;
    let product = shop.product("A", "1 EUR", 10).await;
    let order = fresh(shop.orders.place(new(&[(product, 1)]), Some(keyed("k", "one"))).await);
    let other_lines = shop.other.place(new(&[(product, 2)]), Some(keyed("k", "two"))).await;
    assert!(matches!(other_lines, Err(OrderError::KeyReused)), "{other_lines:?}");
    let other_use = shop.other.cancel(order.id, None, Some(keyed("k", "cancel"))).await;
    assert!(matches!(other_use, Err(OrderError::KeyReused)), "{other_use:?}");
    // And the other way round: the key of a cancellation cannot place.
    fresh(shop.orders.cancel(order.id, None, Some(keyed("c", "cancel"))).await);
    let placing = shop.orders.place(new(&[(product, 1)]), Some(keyed("c", "one"))).await;
    assert!(matches!(placing, Err(OrderError::KeyReused)), "{placing:?}");
    // Two instances at work on one key with different content: the hold tells.
    let gate = Gate::closed();
    shop.catalog.at_hold(Fault::HeldUpAfter(gate.clone()));
    let orders = shop.orders.clone();
    let first =
        tokio::spawn(async move { orders.place(new(&[(product, 1)]), Some(keyed("both", "one"))).await });
    gate.arrival().await;
    let second = shop.other.place(new(&[(product, 2)]), Some(keyed("both", "two"))).await;
    assert!(matches!(second, Err(OrderError::KeyReused)), "{second:?}");
    gate.open();
    fresh(first.await.expect("no panic"));
    shop.assert_sound().await;
}

/// A refused request leaves no record: the same key is decided anew.
pub async fn a_refusal_leaves_no_record(factory: &dyn OrderStoreFactory) {
    let shop = Shop::open(factory).await;
    let product = shop.product("A", "1 EUR", 1).await;
    let first = shop.place(&[(product, 1)]).await;
    for _ in 0..2 {
        let refused = shop.orders.place(new(&[(product, 1)]), Some(keyed("k", "one"))).await;
        assert!(
            matches!(&refused, Err(OrderError::InsufficientStock(lines)) if lines.len() == 1),
            "{refused:?}"
        );
    }
    let unknown = NewOrder {
        lines: vec![HoldLine { product: ProductRef::Sku("NONE".parse().expect("a SKU")), quantity: 1 }; 2],
        ..new(&[])
    };
    let refused = shop.orders.place(unknown, Some(keyed("k", "none"))).await;
    let lines = |error: &OrderError| matches!(error, OrderError::UnknownProducts(lines) if lines.len() == 2);
    assert!(refused.as_ref().is_err_and(lines), "every unknown line: {refused:?}");
    fresh(shop.orders.cancel(first.id, None, None).await);
    shop.orders.settle_now().await.expect("settling");
    fresh(shop.orders.place(new(&[(product, 1)]), Some(keyed("k", "one"))).await);
    shop.assert_sound().await;
}

/// What is refused after the hold is given back before the answer, and its key is decided anew.
pub async fn a_refusal_after_the_hold_takes_nothing(factory: &dyn OrderStoreFactory) {
    let shop = Shop::open(factory).await;
    let euro = shop.product("A", "1.10 EUR", 5).await;
    let yen = shop.product("B", "100 JPY", 5).await;
    let dear = shop.product("C", "922337203685477.58 EUR", 1_000).await;
    let expecting = NewOrder { expected_total: Some(money("2.00 EUR")), ..new(&[(euro, 2)]) };
    let refused = shop.orders.place(expecting.clone(), Some(keyed("k", "cheap"))).await;
    let (expected, actual) = (money("2.00 EUR"), money("2.20 EUR"));
    let is_it = |error: &OrderError| matches!(error, OrderError::PriceChanged { expected: e, actual: a } if (*e, *a) == (expected, actual));
    assert!(refused.as_ref().is_err_and(is_it), "{refused:?}");
    assert_eq!(shop.stock(euro).await.allocated, 0, "given back before the answer");
    let mixed = shop.orders.place(new(&[(euro, 1), (yen, 1)]), Some(keyed("m", "mixed"))).await;
    assert!(matches!(mixed, Err(OrderError::MixedCurrencies)), "{mixed:?}");
    for too_dear in [new(&[(dear, 1_000)]), new(&[(dear, 100), (euro, 1)])] {
        let refused = shop.orders.place(too_dear, None).await;
        assert!(matches!(refused, Err(OrderError::Invalid(_))), "{refused:?}");
    }
    for product in [euro, yen, dear] {
        assert_eq!(shop.stock(product).await.allocated, 0);
    }
    // Decided anew with the same key: the next attempt, under another reservation.
    let again = shop.other.place(expecting, Some(keyed("k", "cheap"))).await;
    assert!(matches!(again, Err(OrderError::PriceChanged { .. })), "{again:?}");
    let right = NewOrder { expected_total: Some(actual), ..new(&[(euro, 2)]) };
    let order = fresh(shop.orders.place(right, Some(keyed("k", "right"))).await);
    assert_eq!(order.holds[0].reservation_id, reservation_of("orders", &"k".parse().expect("a key"), 3));
    shop.assert_sound().await;
}

/// A key whose record is purged is free: it places anew, under another reservation.
pub async fn a_forgotten_key_places_anew(factory: &dyn OrderStoreFactory) {
    let shop = Shop::open(factory).await;
    let product = shop.product("A", "1 EUR", 10).await;
    let first = fresh(shop.orders.place(new(&[(product, 1)]), Some(keyed("k", "one"))).await);
    shop.clock.advance(Duration::from_secs(25 * 3_600));
    let before = shop.clock.now().minus(Duration::from_secs(24 * 3_600));
    assert_eq!(shop.store.store.purge(before, before, 10).await.expect("purge"), 1);
    let second = fresh(shop.orders.place(new(&[(product, 2)]), Some(keyed("k", "two"))).await);
    assert_ne!(first.holds[0].reservation_id, second.holds[0].reservation_id);
    let third = shop.other.place(new(&[(product, 2)]), Some(keyed("k", "two"))).await;
    assert_eq!(replayed(third), answer(&second));
    shop.assert_sound().await;
}

/// Bad content is told with all its faults, and nobody is asked for anything.
pub async fn every_fault_of_the_content_is_told(factory: &dyn OrderStoreFactory) {
    let shop = Shop::open(factory).await;
    let product = shop.product("A", "1 EUR", 10).await;
    let details = OrderDetails {
        customer_id: Some("a\0b".to_owned()),
        reference: Some("x".repeat(256)),
        metadata: [(String::new(), "v".to_owned())].into(),
    };
    let bad = NewOrder { details, ..new(&[(product, 0), (product, 1), (product, -1), (product, 1_000_001)]) };
    let pointers = match shop.orders.place(bad, None).await {
        Err(OrderError::Invalid(faults)) => faults.into_iter().map(|fault| fault.pointer).collect::<Vec<_>>(),
        other => panic!("invalid, it should be, not {other:?}"),
    };
    let expected = [
        "/lines/0/quantity",
        "/lines/2/quantity",
        "/lines/3/quantity",
        "/customer_id",
        "/reference",
        "/metadata/",
    ];
    assert_eq!(pointers, expected);
    for count in [0, 1_001] {
        let result = shop.orders.place(new(&vec![(product, 1); count]), Some(keyed("k", "many"))).await;
        assert!(matches!(result, Err(OrderError::Invalid(_))), "{count} lines: {result:?}");
    }
    assert_eq!(shop.catalog.asked(), vec![]);
    fresh(shop.orders.place(new(&vec![(product, 1); 10]), Some(keyed("k", "ten"))).await);
    shop.assert_sound().await;
}

/// A list that is walked while orders are placed shows each that was there once.
pub async fn lists_hold_still_while_orders_are_placed(factory: &dyn OrderStoreFactory) {
    let shop = Arc::new(Shop::open(factory).await);
    let product = shop.product("A", "1 EUR", 1_000).await;
    let mut there = Vec::new();
    for _ in 0..10 {
        there.push(shop.place(&[(product, 1)]).await.id);
        shop.clock.advance(Duration::from_millis(1));
    }
    let mut seen = Vec::new();
    let mut page = PageRequest { limit: shop_core::Limit::new(3).expect("in range"), after: None };
    loop {
        let found = shop.other.list(&OrderQuery::default(), page.clone()).await.expect("list");
        seen.extend(found.data.iter().map(|order| order.id).filter(|id| there.contains(id)));
        shop.place(&[(product, 1)]).await;
        shop.clock.advance(Duration::from_millis(1));
        let Some(cursor) = found.next_cursor else { break };
        page.after = Some(cursor.decode().expect("its own cursor"));
    }
    there.reverse();
    assert_eq!(seen, there);
    let wrong_way = OrderQuery { ascending: true, ..OrderQuery::default() };
    let refused = shop.orders.list(&wrong_way, page).await;
    assert!(matches!(refused, Err(OrderError::Invalid(_))), "a cursor of the other direction: {refused:?}");
    shop.assert_sound().await;
}
