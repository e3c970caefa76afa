//! Orders made by hand, for checks of a store alone.

use std::collections::BTreeMap;

use shop_core::idempotency::{Fingerprint, IdempotencyKey, IdempotencyRecord, StoredAnswer};
use shop_core::{Currency, Money, Timestamp};
use shop_products::{ProductId, ReservationId, SettleAction, Settlement};

use crate::store::{ChangeSet, OrderEdit};
use crate::{
    Decision, EventType, NewEvent, Order, OrderDetails, OrderHold, OrderId, OrderLine, OrderStatus, Outcome,
};

pub(crate) fn at(millis: i64) -> Timestamp {
    Timestamp::from_millis(1_800_000_000_000 + millis)
}

pub(crate) fn key(text: &str) -> IdempotencyKey {
    text.parse().expect("a key")
}

/// An order of two lines, placed at this moment.
pub(crate) fn order(number: u64, placed_at: Timestamp) -> Order {
    let price = |minor| Money::from_minor(minor, Currency::EUR);
    let line = |line: u32, minor: i64, quantity: i64| OrderLine {
        line,
        product_id: ProductId::generate(),
        sku: format!("SKU-{number}-{line}").parse().expect("a SKU"),
        name: format!("Thing {line} of {number}"),
        unit_price: price(minor),
        quantity,
        total: price(minor * quantity),
    };
    let lines = vec![line(1, 1_999, 2), line(2, 250, 3)];
    let quantities = lines.iter().map(|line| (line.product_id, line.quantity)).collect();
    Order {
        id: OrderId::generate(),
        number,
        status: OrderStatus::Placed,
        details: OrderDetails::default(),
        total: price(1_999 * 2 + 250 * 3),
        lines,
        version: 1,
        placed_at,
        updated_at: placed_at,
        shipped_at: None,
        delivered_at: None,
        cancelled_at: None,
        deleted_at: None,
        holds: vec![OrderHold { reservation_id: ReservationId::generate(), quantities }],
    }
}

pub(crate) fn with_details(mut order: Order, customer: &str, reference: &str) -> Order {
    order.details = OrderDetails {
        customer_id: Some(customer.to_owned()),
        reference: Some(reference.to_owned()),
        metadata: BTreeMap::from([("channel".to_owned(), "web".to_owned())]),
    };
    order
}

/// All that is written when an order is placed.
pub(crate) fn placed(order: &Order, key: Option<&IdempotencyKey>) -> ChangeSet {
    let reservation_id = order.holds[0].reservation_id;
    ChangeSet {
        created: vec![order.clone()],
        edited: Vec::new(),
        decisions: vec![Decision {
            reservation_id,
            key: key.cloned(),
            attempt: 1,
            outcome: Outcome::Placed(order.id),
            at: order.placed_at,
        }],
        events: vec![event(EventType::Placed, order)],
        records: key.map(|key| record(key, order.placed_at)).into_iter().collect(),
        settlements: vec![Settlement { reservation_id, action: SettleAction::Commit }],
    }
}

pub(crate) fn event(kind: EventType, order: &Order) -> NewEvent {
    NewEvent { kind, at: order.updated_at, order: order.clone() }
}

pub(crate) fn record(key: &IdempotencyKey, at: Timestamp) -> IdempotencyRecord {
    IdempotencyRecord {
        key: key.clone(),
        fingerprint: Fingerprint::of_request("POST", "/v1/orders", key.as_str().as_bytes()),
        answer: StoredAnswer {
            status: 201,
            location: Some(format!("/v1/orders/{key}")),
            etag: Some("\"1\"".to_owned()),
            body: format!(r#"{{"key":"{key}","text":"é\n\"quoted\""}}"#),
        },
        at,
    }
}

pub(crate) fn expired(
    reservation_id: ReservationId,
    key: Option<&IdempotencyKey>,
    at: Timestamp,
) -> Decision {
    Decision { reservation_id, key: key.cloned(), attempt: 1, outcome: Outcome::Expired, at }
}

/// The next version of an order, changed, with its event.
pub(crate) fn changed(
    order: &Order,
    kind: EventType,
    at: Timestamp,
    change: impl FnOnce(&mut Order),
) -> ChangeSet {
    let mut next = order.clone();
    next.version += 1;
    next.updated_at = at;
    change(&mut next);
    ChangeSet {
        events: vec![event(kind, &next)],
        edited: vec![OrderEdit { order: next, expected_version: order.version }],
        ..ChangeSet::default()
    }
}
