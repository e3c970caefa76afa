use shop_core::{Limit, PageRequest, Timestamp};

use super::{found, fresh};
use crate::store::{OrderKey, OrderQuery};
use crate::testing::OrderStoreFactory;
use crate::testing::sample::{at, changed, order, placed, with_details};
use crate::{EventType, Order, OrderStatus, OrderStore};

fn limit(rows: u16) -> Limit {
    Limit::new(rows).expect("in range")
}

fn key_of(order: &Order, ascending: bool) -> OrderKey {
    OrderKey { ascending, placed_at: order.placed_at, id: order.id }
}

/// Walks a list to its end, page by page; `between` runs after each page.
async fn walk(
    store: &dyn OrderStore,
    query: &OrderQuery,
    rows: u16,
    mut between: impl AsyncFnMut(usize),
) -> Vec<Order> {
    let mut seen: Vec<Order> = Vec::new();
    let mut page = PageRequest { limit: limit(rows), after: None };
    for round in 0.. {
        let mut found = store.orders(query, &page).await.expect("list");
        let more = found.len() > usize::from(rows);
        found.truncate(usize::from(rows));
        page.after = found.last().map(|order| key_of(order, query.ascending));
        seen.extend(found);
        if !more {
            break;
        }
        between(round).await;
    }
    seen
}

fn numbers(orders: &[Order]) -> Vec<u64> {
    orders.iter().map(|order| order.number).collect()
}

/// Every filter narrows a list and its count down, and filters add up.
pub async fn lists_narrow_down(factory: &dyn OrderStoreFactory) {
    let (fresh, _) = fresh(factory).await;
    for n in 0..12_u64 {
        let placed_at = at(n.cast_signed() * 10);
        let order = with_details(order(n + 1, placed_at), &format!("c-{}", n % 3), &format!("r-{}", n % 4));
        fresh.store.commit(&placed(&order, None)).await.expect("commit");
        let status = [OrderStatus::Placed, OrderStatus::Shipped, OrderStatus::Cancelled]
            [usize::try_from(n / 4).expect("small")];
        if status != OrderStatus::Placed {
            let next = changed(&order, EventType::Edited, placed_at, |order| order.status = status);
            fresh.store.commit(&next).await.expect("commit");
        }
    }
    fresh.store.commit(&placed(&order(13, at(120)), None)).await.expect("one without customer and reference");
    let all = OrderQuery { ascending: true, ..OrderQuery::default() };
    let customer = || Some("c-1".to_owned());
    let between = |from: i64, to: i64| (Some(at(from)), Some(at(to)));
    let (placed_after, placed_before) = between(30, 90);
    let cases: [(OrderQuery, Vec<u64>); 8] = [
        (all.clone(), (1..=13).collect()),
        (OrderQuery { status: Some(OrderStatus::Shipped), ..all.clone() }, vec![5, 6, 7, 8]),
        (OrderQuery { customer_id: customer(), ..all.clone() }, vec![2, 5, 8, 11]),
        (OrderQuery { reference: Some("r-3".to_owned()), ..all.clone() }, vec![4, 8, 12]),
        (OrderQuery { placed_after, placed_before, ..all.clone() }, vec![4, 5, 6, 7, 8, 9]),
        (
            OrderQuery {
                customer_id: customer(),
                status: Some(OrderStatus::Shipped),
                placed_before,
                ..all.clone()
            },
            vec![5, 8],
        ),
        (OrderQuery { reference: Some("r-3".to_owned()), customer_id: customer(), ..all.clone() }, vec![8]),
        (OrderQuery { status: Some(OrderStatus::Delivered), ..all }, vec![]),
    ];
    for (query, expected) in cases {
        for ascending in [true, false] {
            let query = OrderQuery { ascending, ..query.clone() };
            let mut expected = expected.clone();
            if !ascending {
                expected.reverse();
            }
            let listed = walk(&*fresh.other, &query, 2, async |_| {}).await;
            assert_eq!(numbers(&listed), expected, "{query:?}");
            assert_eq!(
                fresh.store.count_orders(&query).await.expect("count") as usize,
                expected.len(),
                "{query:?}"
            );
        }
    }
}

/// Both directions show the same orders; those of one moment are sorted by id.
pub async fn lists_go_both_ways(factory: &dyn OrderStoreFactory) {
    let (fresh, _) = fresh(factory).await;
    let mut orders: Vec<Order> =
        (1..=30).map(|number| order(number, at(i64::try_from(number).expect("small") / 10))).collect();
    for order in &orders {
        fresh.store.commit(&placed(order, None)).await.expect("commit");
    }
    orders.sort_by_key(|order| (order.placed_at, order.id));
    let oldest_first = OrderQuery { ascending: true, ..OrderQuery::default() };
    assert_eq!(walk(&*fresh.store, &oldest_first, 7, async |_| {}).await, orders);
    orders.reverse();
    assert_eq!(walk(&*fresh.store, &OrderQuery::default(), 7, async |_| {}).await, orders);
}

/// A page is read with one row more than asked for, so that the caller sees whether there is a next one.
pub async fn a_page_tells_whether_there_is_more(factory: &dyn OrderStoreFactory) {
    let (fresh, _) = fresh(factory).await;
    for number in 1..=3 {
        let order = order(number, at(i64::try_from(number).expect("small")));
        fresh.store.commit(&placed(&order, None)).await.expect("commit");
    }
    for (rows, read) in [(1, 2), (2, 3), (3, 3), (4, 3)] {
        let page = PageRequest { limit: limit(rows), after: None };
        assert_eq!(
            fresh.store.orders(&OrderQuery::default(), &page).await.expect("list").len(),
            read,
            "limit {rows}"
        );
    }
}

/// Rows inserted, changed and deleted while a list is walked shift no other row.
pub async fn rows_inserted_meanwhile_shift_nothing(factory: &dyn OrderStoreFactory) {
    let (fresh, _) = fresh(factory).await;
    let orders: Vec<Order> =
        (1..=20).map(|number| order(number, at(i64::try_from(number).expect("small") * 10))).collect();
    for order in &orders {
        fresh.store.commit(&placed(order, None)).await.expect("commit");
    }
    let store = &fresh.store;
    let seen = walk(&*fresh.other, &OrderQuery::default(), 3, async |round| {
        // One newer than all, one older than all; one of those already seen is changed, another deleted.
        let number = 100 + 2 * round as u64;
        let new =
            [order(number, at(1_000 + i64::try_from(round).expect("small"))), order(number + 1, at(-1))];
        for order in new {
            store.commit(&placed(&order, None)).await.expect("commit");
        }
        let seen = &orders[19 - round];
        let gone = (round % 2 == 1).then_some(at(2_000));
        let change = changed(seen, EventType::Edited, at(2_000), |order| order.deleted_at = gone);
        store.commit(&change).await.expect("commit");
    })
    .await;
    let old: Vec<u64> = numbers(&seen).into_iter().filter(|number| *number < 100).collect();
    assert_eq!(old, (1..=20).rev().collect::<Vec<_>>(), "each row that was there all the time is seen once");
    let mut ids: Vec<_> = seen.iter().map(|order| order.id).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), seen.len(), "no row is seen twice");
}

/// A deleted order is in no list and no count; whoever decides about it still finds it.
pub async fn a_deleted_order_is_loaded_but_not_listed(factory: &dyn OrderStoreFactory) {
    let (fresh, _) = fresh(factory).await;
    let order = with_details(order(1, at(0)), "c", "r");
    fresh.store.commit(&placed(&order, None)).await.expect("commit");
    let deleted_at: Option<Timestamp> = Some(at(1));
    let delete = changed(&order, EventType::Deleted, at(1), |order| order.deleted_at = deleted_at);
    fresh.store.commit(&delete).await.expect("commit");
    let queries = [
        OrderQuery::default(),
        OrderQuery { status: Some(OrderStatus::Placed), ..OrderQuery::default() },
        OrderQuery { customer_id: Some("c".to_owned()), ..OrderQuery::default() },
        OrderQuery { reference: Some("r".to_owned()), ..OrderQuery::default() },
    ];
    for query in queries {
        assert_eq!(fresh.store.orders(&query, &PageRequest::default()).await.expect("list"), vec![]);
        assert_eq!(fresh.store.count_orders(&query).await.expect("count"), 0);
    }
    assert_eq!(found(&fresh.other, &order).await.expect("loaded").deleted_at, deleted_at);
    assert_eq!(fresh.store.events(Some(order.id), 0, 10).await.expect("events").len(), 2, "its events stay");
}
