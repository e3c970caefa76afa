use std::collections::BTreeMap;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use shop_core::PageRequest;
use shop_products::{ReservationId, SettleAction, Settlement};

use super::{assert_conflict, found, fresh, load};
use crate::store::{ChangeSet, Footprint, OrderQuery};
use crate::testing::OrderStoreFactory;
use crate::testing::sample::{at, changed, expired, key, order, placed, record, with_details};
use crate::{Decision, EventType, OrderStatus, Outcome};

/// Nothing is found in a store that nothing was put into, and the first number is 1.
pub async fn a_fresh_store_is_empty(factory: &dyn OrderStoreFactory) {
    let (fresh, _) = fresh(factory).await;
    let footprint = Footprint {
        orders: [order(1, at(0)).id].into(),
        keys: [key("k")].into(),
        reservations: [ReservationId::generate()].into(),
        numbers: 1,
    };
    let snapshot = load(&fresh.store, footprint).await;
    assert!(snapshot.orders.is_empty() && snapshot.records.is_empty() && snapshot.decisions.is_empty());
    assert_eq!(snapshot.first_number, 1);
    assert_eq!(snapshot.now, at(0), "the store goes by its clock");
    assert_eq!(
        fresh.store.orders(&OrderQuery::default(), &PageRequest::default()).await.expect("list"),
        vec![]
    );
    assert_eq!(fresh.store.events(None, 0, 10).await.expect("events"), vec![]);
    assert_eq!(fresh.store.open_settlements(10).await.expect("open"), (0, vec![]));
    assert_eq!(fresh.store.claim_settlements(Duration::from_secs(1), 10).await.expect("claim"), vec![]);
}

/// All of a change set is there as it was written, and another instance sees it.
pub async fn what_was_committed_is_there(factory: &dyn OrderStoreFactory) {
    let (fresh, _) = fresh(factory).await;
    let key = key("k-1");
    let order = with_details(order(1, at(5)), "c-1", "r-1");
    let written = placed(&order, Some(&key));
    fresh.store.commit(&written).await.expect("commit");
    for store in [&fresh.store, &fresh.other] {
        let by_reservation = [order.holds[0].reservation_id].into();
        let snapshot = load(store, Footprint { reservations: by_reservation, ..Footprint::default() }).await;
        assert_eq!(snapshot.orders.get(&order.id), Some(&order), "a decision comes with its order");
        assert_eq!(snapshot.decisions.values().collect::<Vec<_>>(), vec![&written.decisions[0]]);
        let snapshot = load(store, Footprint { keys: [key.clone()].into(), ..Footprint::default() }).await;
        assert_eq!(snapshot.records.values().collect::<Vec<_>>(), vec![&written.records[0]]);
        assert_eq!(
            snapshot.decisions.values().collect::<Vec<_>>(),
            vec![&written.decisions[0]],
            "by its key"
        );
        assert_eq!(found(store, &order).await.as_ref(), Some(&order));
        let (open, settlements) = store.open_settlements(10).await.expect("open");
        assert_eq!(open, 1, "the settlement is in the outbox");
        assert_eq!(settlements[0].settlement, written.settlements[0]);
        let events = store.events(None, 0, 10).await.expect("events");
        assert_eq!(events.len(), 1);
        assert_eq!((events[0].kind, events[0].at, &events[0].order), (EventType::Placed, at(5), &order));
    }
    // Every member of an order comes back, whatever happened to it.
    let full = changed(&order, EventType::Deleted, at(9), |order| {
        order.status = OrderStatus::Delivered;
        order.shipped_at = Some(at(6));
        order.delivered_at = Some(at(7));
        order.cancelled_at = Some(at(8));
        order.deleted_at = Some(at(9));
        order.holds.push(order.holds[0].clone());
        order.lines.pop();
    });
    fresh.other.commit(&full).await.expect("commit by the other instance");
    assert_eq!(found(&fresh.store, &order).await.as_ref(), Some(&full.edited[0].order));
}

/// Whatever a text may hold comes back as it was: quotes, escapes, other scripts, no text at all.
pub async fn odd_texts_come_back_as_they_were(factory: &dyn OrderStoreFactory) {
    let (fresh, _) = fresh(factory).await;
    let odd =
        ["", "'; DROP TABLE orders; --", "\"\\\n\t", "日本語 🎁 é\u{301}", "null", "$[0]", "%_", "{\"a\":1}"];
    let mut order = with_details(order(1, at(0)), "o'Brien \"x\" \\ 🎁", "null");
    order.details.metadata =
        odd.iter().enumerate().map(|(n, text)| (format!("k{n} {text}"), (*text).to_owned())).collect();
    order.lines[0].name = "Ünïcode 'quoted' \"name\" \\u0041".to_owned();
    let other = with_details(crate::testing::sample::order(2, at(1)), "o", "null ");
    let batch = ChangeSet { created: vec![order.clone(), other.clone()], ..ChangeSet::default() };
    fresh.store.commit(&batch).await.expect("commit");
    assert_eq!(found(&fresh.store, &order).await.as_ref(), Some(&order));
    let query = OrderQuery { customer_id: order.details.customer_id.clone(), ..OrderQuery::default() };
    let listed = fresh.store.orders(&query, &PageRequest::default()).await.expect("list");
    assert_eq!(listed, vec![order.clone()]);
    let query = OrderQuery { reference: Some("null".to_owned()), ..OrderQuery::default() };
    assert_eq!(fresh.store.orders(&query, &PageRequest::default()).await.expect("list"), vec![order]);
}

/// An order's id and number are taken once.
pub async fn an_order_is_created_once(factory: &dyn OrderStoreFactory) {
    let (fresh, _) = fresh(factory).await;
    let first = order(1, at(0));
    let created = |order| ChangeSet { created: vec![order], ..ChangeSet::default() };
    fresh.store.commit(&created(first.clone())).await.expect("commit");
    let mut same_id = order(2, at(0));
    same_id.id = first.id;
    assert_conflict(fresh.store.commit(&created(same_id)).await, "the same id");
    assert_conflict(fresh.store.commit(&created(order(1, at(0)))).await, "the same number");
    assert_conflict(fresh.other.commit(&created(first.clone())).await, "the same order");
    let twins = ChangeSet { created: vec![order(5, at(0)), order(5, at(0))], ..ChangeSet::default() };
    assert_conflict(fresh.store.commit(&twins).await, "a number twice in one change set");
    assert_eq!(found(&fresh.store, &first).await, Some(first));
}

/// An order is replaced only from the version that the decision saw.
pub async fn an_edit_expects_its_version(factory: &dyn OrderStoreFactory) {
    let (fresh, _) = fresh(factory).await;
    let (first, never) = (order(1, at(0)), order(2, at(0)));
    fresh.store.commit(&placed(&first, None)).await.expect("commit");
    let ship = changed(&first, EventType::Shipped, at(1), |order| order.status = OrderStatus::Shipped);
    fresh.store.commit(&ship).await.expect("the version is as expected");
    let shipped = ship.edited[0].order.clone();
    let cancel = changed(&first, EventType::Cancelled, at(2), |order| order.status = OrderStatus::Cancelled);
    assert_conflict(fresh.other.commit(&cancel).await, "an old version");
    let mut ahead =
        changed(&shipped, EventType::Cancelled, at(2), |order| order.status = OrderStatus::Cancelled);
    ahead.edited[0].expected_version = 3;
    assert_conflict(fresh.store.commit(&ahead).await, "a version that is not there yet");
    let missing = changed(&never, EventType::Shipped, at(2), |_| {});
    assert_conflict(fresh.store.commit(&missing).await, "an order that is not there");
    assert_eq!(found(&fresh.store, &first).await, Some(shipped));
    assert_eq!(
        fresh.store.events(None, 0, 10).await.expect("events").len(),
        2,
        "a refused edit logs nothing"
    );
}

/// The first decision of a reservation stands: nobody places an order with one that was given up, or the other way round.
pub async fn a_reservation_is_decided_once(factory: &dyn OrderStoreFactory) {
    let (fresh, _) = fresh(factory).await;
    let (late, live) = (order(1, at(0)), order(2, at(0)));
    let give_up = |id| ChangeSet { decisions: vec![expired(id, None, at(1))], ..ChangeSet::default() };
    let (gone, taken) = (late.holds[0].reservation_id, live.holds[0].reservation_id);
    fresh.store.commit(&give_up(gone)).await.expect("given up");
    assert_conflict(fresh.other.commit(&placed(&late, None)).await, "placed after it was given up");
    assert_eq!(found(&fresh.store, &late).await, None);
    fresh.store.commit(&placed(&live, None)).await.expect("placed");
    assert_conflict(fresh.other.commit(&give_up(taken)).await, "given up after it was placed");
    assert_conflict(fresh.store.commit(&give_up(gone)).await, "given up twice");
    let twice = ReservationId::generate();
    let both = ChangeSet {
        decisions: vec![expired(twice, None, at(1)), expired(twice, None, at(1))],
        ..ChangeSet::default()
    };
    assert_conflict(fresh.store.commit(&both).await, "twice in one change set");
    let footprint = Footprint { reservations: [gone, taken].into(), ..Footprint::default() };
    let snapshot = load(&fresh.store, footprint).await;
    assert_eq!(snapshot.decisions[&gone].outcome, Outcome::Expired);
    assert_eq!(snapshot.decisions[&taken].outcome, Outcome::Placed(live.id));
    assert!(!snapshot.orders.contains_key(&late.id) && snapshot.orders.contains_key(&live.id));
}

/// A key has any number of attempts that were given up, and one at most that placed an order.
pub async fn a_key_places_once(factory: &dyn OrderStoreFactory) {
    let (fresh, _) = fresh(factory).await;
    let key = key("k");
    let give_up = || ChangeSet {
        decisions: vec![expired(ReservationId::generate(), Some(&key), at(0))],
        ..ChangeSet::default()
    };
    fresh.store.commit(&give_up()).await.expect("a first attempt given up");
    fresh.store.commit(&give_up()).await.expect("a second attempt given up");
    let without_record = |number| {
        let mut changes = placed(&order(number, at(0)), Some(&key));
        changes.records.clear();
        changes
    };
    fresh.store.commit(&without_record(1)).await.expect("placed");
    assert_conflict(fresh.other.commit(&without_record(2)).await, "a second live order of the key");
    let mut twins = without_record(3);
    let twin = Decision { reservation_id: ReservationId::generate(), ..twins.decisions[0].clone() };
    twins.decisions[0].key = Some("other".parse().expect("a key"));
    twins.decisions.push(Decision { key: twins.decisions[0].key.clone(), ..twin });
    assert_conflict(fresh.store.commit(&twins).await, "two live orders of one key in one change set");
    fresh.store.commit(&give_up()).await.expect("a late attempt given up");
    let snapshot = load(&fresh.store, Footprint { keys: [key].into(), ..Footprint::default() }).await;
    let live = snapshot.decisions.values().filter(|decision| decision.outcome != Outcome::Expired).count();
    assert_eq!((snapshot.decisions.len(), live), (1, 1), "of a key the placed decision alone is read");
}

/// The first record of a key stands.
pub async fn a_key_has_one_record(factory: &dyn OrderStoreFactory) {
    let (fresh, _) = fresh(factory).await;
    let key = key("k");
    let first = ChangeSet { records: vec![record(&key, at(1))], ..ChangeSet::default() };
    let second = ChangeSet { records: vec![record(&key, at(2))], ..ChangeSet::default() };
    fresh.store.commit(&first).await.expect("commit");
    assert_conflict(fresh.other.commit(&second).await, "a second record");
    let snapshot = load(&fresh.store, Footprint { keys: [key.clone()].into(), ..Footprint::default() }).await;
    assert_eq!(snapshot.records[&key], first.records[0]);
}

/// Whatever part of a change set conflicts, no other part of it is written.
pub async fn a_change_set_is_atomic(factory: &dyn OrderStoreFactory) {
    let (fresh, _) = fresh(factory).await;
    let key = key("taken");
    let there = order(1, at(0));
    fresh.store.commit(&placed(&there, Some(&key))).await.expect("commit");
    let stale = {
        let mut edit = changed(&there, EventType::Edited, at(1), |_| {});
        edit.edited[0].expected_version = 7;
        edit
    };
    type Conflict = fn(&mut ChangeSet, &ChangeSet, &ChangeSet);
    let conflicts: [(&str, Conflict); 5] = [
        ("created", |changes, there, _| changes.created.push(there.created[0].clone())),
        ("edited", |changes, _, stale| changes.edited.extend(stale.edited.clone())),
        ("decisions", |changes, there, _| changes.decisions.extend(there.decisions.clone())),
        ("records", |changes, there, _| changes.records.extend(there.records.clone())),
        ("decisions of a key", |changes, there, _| {
            changes.decisions[0].key = there.decisions[0].key.clone();
        }),
    ];
    let taken = placed(&there, Some(&key));
    for (part, conflict) in conflicts {
        let new = order(2, at(2));
        let mut changes = placed(&new, Some(&"new".parse().expect("a key")));
        conflict(&mut changes, &taken, &stale);
        assert_conflict(fresh.store.commit(&changes).await, part);
        let footprint = Footprint {
            orders: [new.id].into(),
            keys: ["new".parse().expect("a key")].into(),
            reservations: [new.holds[0].reservation_id].into(),
            numbers: 1,
        };
        let snapshot = load(&fresh.other, footprint).await;
        assert!(snapshot.orders.is_empty(), "an order was written beside conflicting {part}");
        assert!(snapshot.decisions.is_empty(), "a decision was written beside conflicting {part}");
        assert!(snapshot.records.is_empty(), "a record was written beside conflicting {part}");
        assert_eq!(fresh.store.events(None, 0, 10).await.expect("events").len(), 1, "{part}");
        assert_eq!(fresh.store.open_settlements(10).await.expect("open").0, 1, "{part}");
    }
    assert_eq!(found(&fresh.store, &there).await, Some(there));
}

/// A number that was asked for is above all that were given.
pub async fn numbers_follow_each_other(factory: &dyn OrderStoreFactory) {
    let (fresh, _) = fresh(factory).await;
    let numbers = |numbers| Footprint { numbers, ..Footprint::default() };
    for round in 0..5 {
        let first = load(&fresh.store, numbers(3)).await.first_number;
        assert!(first > round * 3, "number {first} was given before");
        let created = (first..first + 3).map(|number| order(number, at(0))).collect();
        fresh.store.commit(&ChangeSet { created, ..ChangeSet::default() }).await.expect("commit");
    }
    assert!(load(&fresh.other, numbers(1)).await.first_number > 15);
    // A free number may be given whatever the last one is: another instance has a range of its own.
    for (number, next) in [(1_000, 1_001), (500, 1_001)] {
        let created = vec![order(number, at(0))];
        fresh.store.commit(&ChangeSet { created, ..ChangeSet::default() }).await.expect("a free number");
        assert_eq!(load(&fresh.other, numbers(1)).await.first_number, next);
    }
}

/// A batch of some hundred orders is one change set, with each order in its place.
pub async fn a_batch_may_be_large(factory: &dyn OrderStoreFactory) {
    let (fresh, _) = fresh(factory).await;
    let orders: Vec<_> = (1..=400).map(|number| order(number, at(number.cast_signed()))).collect();
    let mut batch = ChangeSet::default();
    for (n, order) in orders.iter().enumerate() {
        let one = placed(order, Some(&key(&format!("k-{n}"))));
        batch.created.extend(one.created);
        batch.decisions.extend(one.decisions);
        batch.events.extend(one.events);
        batch.records.extend(one.records);
        batch.settlements.extend(one.settlements);
    }
    fresh.store.commit(&batch).await.expect("commit");
    let edits: Vec<ChangeSet> = orders
        .iter()
        .map(|order| {
            changed(order, EventType::Shipped, at(1_000), |order| order.status = OrderStatus::Shipped)
        })
        .collect();
    let mut ship = ChangeSet::default();
    for edit in &edits {
        ship.edited.extend(edit.edited.clone());
        ship.events.extend(edit.events.clone());
    }
    fresh.store.commit(&ship).await.expect("commit");
    let footprint = Footprint {
        orders: orders.iter().map(|order| order.id).collect(),
        keys: (0..400).map(|n| key(&format!("k-{n}"))).collect(),
        reservations: orders.iter().map(|order| order.holds[0].reservation_id).collect(),
        numbers: 0,
    };
    let snapshot = load(&fresh.other, footprint).await;
    assert_eq!((snapshot.orders.len(), snapshot.records.len(), snapshot.decisions.len()), (400, 400, 400));
    for (order, edit) in orders.iter().zip(&edits) {
        assert_eq!(snapshot.orders[&order.id], edit.edited[0].order);
        assert_eq!(snapshot.decisions[&order.holds[0].reservation_id].outcome, Outcome::Placed(order.id));
    }
    let events = fresh.store.events(None, 0, 1_000).await.expect("events");
    let logged: Vec<u64> = events.iter().map(|event| event.order.number).collect();
    assert_eq!(logged, (1..=400).chain(1..=400).collect::<Vec<_>>());
    let (open, oldest) = fresh.store.open_settlements(1_000).await.expect("open");
    assert_eq!(open, 400);
    let sent: Vec<_> = oldest.iter().map(|open| open.settlement.clone()).collect();
    assert_eq!(sent, batch.settlements);
}

/// Of those that change one version at once, from several instances, one is written.
pub async fn of_many_writers_one_wins(factory: &dyn OrderStoreFactory) {
    let (fresh, _) = fresh(factory).await;
    let first = order(1, at(0));
    fresh.store.commit(&placed(&first, None)).await.expect("commit");
    let writers: Vec<_> = (0..16)
        .map(|n| {
            let store = if n % 2 == 0 { fresh.store.clone() } else { fresh.other.clone() };
            let mut edit = changed(&first, EventType::Edited, at(n), |order| {
                order.details.metadata = BTreeMap::from([("by".to_owned(), n.to_string())]);
            });
            let reservation_id = ReservationId::generate();
            edit.settlements = vec![Settlement { reservation_id, action: SettleAction::Release }];
            tokio::spawn(async move { (n, store.commit(&edit).await) })
        })
        .collect();
    let mut winners = Vec::new();
    for writer in writers {
        match writer.await.expect("no panic") {
            (n, Ok(())) => winners.push(n),
            (_, lost) => assert_conflict(lost, "who lost the race"),
        }
    }
    assert_eq!(winners.len(), 1, "one version was written by {winners:?}");
    let left = found(&fresh.store, &first).await.expect("there");
    assert_eq!((left.version, left.details.metadata["by"].clone()), (2, winners[0].to_string()));
    assert_eq!(fresh.store.events(None, 0, 100).await.expect("events").len(), 2);
    assert_eq!(fresh.store.open_settlements(100).await.expect("open").0, 2);
}

/// A future that is dropped half-way leaves no transaction and no lock behind.
pub async fn a_dropped_commit_leaves_the_store_usable(factory: &dyn OrderStoreFactory) {
    let (fresh, _) = fresh(factory).await;
    for number in 1..=20 {
        let changes = placed(&order(number, at(0)), None);
        let footprint = Footprint { orders: [changes.created[0].id].into(), ..Footprint::default() };
        let mut commit = Box::pin(fresh.store.commit(&changes));
        let mut reading = Box::pin(fresh.store.load(&footprint));
        let mut context = Context::from_waker(Waker::noop());
        let _: Poll<_> = commit.as_mut().poll(&mut context);
        let _: Poll<_> = reading.as_mut().poll(&mut context);
        drop((commit, reading));
    }
    let last = order(100, at(1));
    fresh.store.commit(&placed(&last, None)).await.expect("the store still commits");
    fresh
        .other
        .commit(&changed(&last, EventType::Edited, at(2), |_| {}))
        .await
        .expect("and so does another instance");
    let events = fresh.store.events(None, 0, 100).await.expect("events");
    let listed = fresh.store.count_orders(&OrderQuery::default()).await.expect("count");
    // Each dropped commit was written whole or not at all.
    assert_eq!(listed as usize, events.len() - 1, "as many orders as events that placed one");
}

/// A store that can be used says so.
pub async fn ping_answers(factory: &dyn OrderStoreFactory) {
    let (fresh, _) = fresh(factory).await;
    fresh.store.ping().await.expect("a fresh store can be used");
}
