//! What is there, compared with what was acknowledged.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::client::{Client, path};
use super::load::{Known, lines_in, sku};

/// Every order that there is.
pub(crate) async fn all_orders(client: &Client) -> Vec<Value> {
    let (mut target, mut orders) = (Some("/v1/orders?limit=500".to_owned()), Vec::new());
    while let Some(asked) = target {
        let page = client.get(&asked).await;
        orders.extend(page.ok(200)["data"].as_array().unwrap().clone());
        target = page.next();
    }
    orders
}

/// Compares what is there with what was acknowledged; how many orders of unknown outcome are there.
pub(crate) async fn check(client: &Client, known: &Known, on_hand: &[i64], orders: &[Value]) -> usize {
    let mut by_reference: BTreeMap<&str, Vec<&Value>> = BTreeMap::new();
    for order in orders {
        by_reference.entry(order["reference"].as_str().unwrap()).or_default().push(order);
    }
    for (reference, same) in &by_reference {
        assert_eq!(same.len(), 1, "placed twice with one key: {same:?}");
        assert!(
            known.placed.contains_key(*reference) || known.unknown.contains(*reference),
            "whose? {same:?}"
        );
    }
    for (reference, body) in &known.placed {
        let acknowledged: Value = serde_json::from_slice(body).unwrap();
        let id = acknowledged["id"].as_str().unwrap();
        let statuses = &known.status[id];
        let Some(order) = by_reference.get(&**reference).map(|same| same[0]) else {
            assert!(statuses.contains(&"deleted"), "lost: {acknowledged}");
            let gone = client.get(&path(&acknowledged)).await;
            gone.problem(404, "not_found");
            continue;
        };
        for name in ["id", "number", "placed_at"] {
            assert_eq!(order[name], acknowledged[name], "{name} of {order}");
        }
        match known.edited.get(id) {
            None => {
                assert_eq!(
                    (&order["lines"], &order["total"]),
                    (&acknowledged["lines"], &acknowledged["total"])
                );
            }
            Some(lines) => assert!(lines.contains(&lines_in(order)), "{lines:?}: {order}"),
        }
        let cents = 495 * lines_in(order).iter().map(|(_, quantity)| quantity).sum::<i64>();
        assert_eq!(order["total"]["amount"], format!("{}.{:02}", cents / 100, cents % 100), "{order}");
        assert!(statuses.contains(&order["status"].as_str().unwrap()), "{statuses:?}: {order}");
        assert_eq!(client.get(&path(order)).await.ok(200), *order);
    }
    let (mut allocated, mut shipped) = (BTreeMap::<&str, i64>::new(), BTreeMap::<&str, i64>::new());
    for order in orders {
        let sums = match order["status"].as_str().unwrap() {
            "placed" => &mut allocated,
            "cancelled" => continue,
            _ => &mut shipped,
        };
        for line in order["lines"].as_array().unwrap() {
            *sums.entry(line["sku"].as_str().unwrap()).or_default() += line["quantity"].as_i64().unwrap();
        }
    }
    for (n, first) in on_hand.iter().enumerate() {
        let sku = sku(n);
        let of = |sums: &BTreeMap<&str, i64>| sums.get(&*sku).copied().unwrap_or_default();
        let on_hand = first + known.delivered.get(&sku).copied().unwrap_or_default() - of(&shipped);
        assert_eq!(client.stock(&sku).await, (on_hand, of(&allocated), on_hand - of(&allocated)), "{sku}");
    }
    let (mut placed, mut deleted) = (BTreeSet::new(), BTreeSet::new());
    let mut after = 0;
    loop {
        let page = client.get(&format!("/v1/events?after={after}&limit=500")).await.ok(200);
        let events = page["data"].as_array().unwrap();
        for event in events {
            let sequence = event["sequence"].as_u64().unwrap();
            assert!(sequence > after, "{event}");
            after = sequence;
            let id = event["order_id"].as_str().unwrap().to_owned();
            let new = match event["type"].as_str().unwrap() {
                "order.placed" => placed.insert(id),
                "order.deleted" => deleted.insert(id),
                _ => true,
            };
            assert!(new, "twice in the feed: {event}");
        }
        if events.is_empty() {
            break;
        }
    }
    let there: BTreeSet<_> = orders.iter().map(|order| order["id"].as_str().unwrap().to_owned()).collect();
    assert!(deleted.is_subset(&placed) && deleted.is_disjoint(&there), "{deleted:?}");
    assert_eq!(&placed - &deleted, there, "the feed has every order");
    by_reference.keys().filter(|reference| known.unknown.contains(**reference)).count()
}
