use super::fresh;
use crate::testing::OrderStoreFactory;
use crate::testing::sample::{at, changed, event, order, placed};
use crate::{EventType, OrderStatus};

/// Events come in the order of their commits, and within one in its own; each shows the order as it was then.
pub async fn events_keep_their_order_and_their_state(factory: &dyn OrderStoreFactory) {
    let (fresh, _) = fresh(factory).await;
    let (first, second) = (order(1, at(0)), order(2, at(1)));
    let mut both = placed(&first, None);
    let more = placed(&second, None);
    both.created.extend(more.created);
    both.decisions.extend(more.decisions);
    both.events.extend(more.events);
    fresh.store.commit(&both).await.expect("commit");
    // Two events of one order in one change set: it is cancelled, then deleted.
    let mut delete = changed(&first, EventType::Deleted, at(3), |order| {
        order.version += 1;
        order.status = OrderStatus::Cancelled;
        order.deleted_at = Some(at(3));
    });
    let mut cancelled = delete.edited[0].order.clone();
    cancelled.version = 2;
    cancelled.deleted_at = None;
    delete.events.insert(0, event(EventType::Cancelled, &cancelled));
    fresh.other.commit(&delete).await.expect("commit");
    let edit =
        changed(&second, EventType::Edited, at(4), |order| order.details.reference = Some("new".to_owned()));
    fresh.store.commit(&edit).await.expect("commit");
    let edited = edit.edited[0].order.clone();
    let ship = changed(&edited, EventType::Shipped, at(5), |order| order.status = OrderStatus::Shipped);
    fresh.store.commit(&ship).await.expect("commit");

    let expected = [
        (EventType::Placed, &first),
        (EventType::Placed, &second),
        (EventType::Cancelled, &cancelled),
        (EventType::Deleted, &delete.edited[0].order),
        (EventType::Edited, &edited),
        (EventType::Shipped, &ship.edited[0].order),
    ];
    for store in [&fresh.store, &fresh.other] {
        let events = store.events(None, 0, 100).await.expect("events");
        let seen: Vec<_> = events.iter().map(|event| (event.kind, &event.order)).collect();
        assert_eq!(seen, expected);
        assert!(events.is_sorted_by(|a, b| a.sequence < b.sequence), "sequences rise");
        assert!(events.iter().all(|event| event.order_id == event.order.id));
    }
    let history = fresh.store.events(Some(second.id), 0, 100).await.expect("events");
    let kinds: Vec<_> = history.iter().map(|event| event.kind).collect();
    assert_eq!(kinds, [EventType::Placed, EventType::Edited, EventType::Shipped]);
}

/// A reader that asks for what is after the last event it has gets every event once.
pub async fn events_are_paged(factory: &dyn OrderStoreFactory) {
    let (fresh, _) = fresh(factory).await;
    let orders: Vec<_> = (1..=25).map(|number| order(number, at(0))).collect();
    for order in &orders {
        fresh.store.commit(&placed(order, None)).await.expect("commit");
    }
    let mut seen = Vec::new();
    let mut after = 0;
    loop {
        let page = fresh.other.events(None, after, 7).await.expect("events");
        assert!(page.len() <= 7);
        let Some(last) = page.last() else { break };
        after = last.sequence;
        seen.extend(page.iter().map(|event| event.order_id));
    }
    assert_eq!(seen, orders.iter().map(|order| order.id).collect::<Vec<_>>());
    let own = fresh.store.events(Some(orders[3].id), 0, 7).await.expect("events");
    assert_eq!(own.len(), 1);
    assert_eq!(fresh.store.events(Some(orders[3].id), own[0].sequence, 7).await.expect("events"), vec![]);
}
