use std::collections::HashMap;

use serde::Serialize;
use shop_core::sqlite::Script;
use shop_core::{StoreError, StoreErrorKind, StoreResult, Timestamp};
use uuid::Uuid;
use uuid::fmt::Simple;

use super::body::Body;
use super::row::{event_code, status_code};
use crate::store::ChangeSet;
use crate::{Order, OrderId, Outcome};

const CREATE: &str = "INSERT INTO orders (number, id, version, status, placed_at, customer_id, reference, deleted, body) \
    SELECT value->>0, unhex(value->>1), value->>2, value->>3, value->>4, value->>5, value->>6, value->>7, value->8 \
    FROM json_each(?)";
/// Gives the last event of each of these orders the body that it shared with the order until now.
const KEEP_EVENTS: &str = "UPDATE order_events SET body = (SELECT body FROM orders WHERE id = order_id) \
    WHERE order_id IN (SELECT unhex(value) FROM json_each(?)) AND body IS NULL";
const REPLACE: &str = "UPDATE orders SET version = value->>3, status = value->>4, customer_id = value->>5, \
    reference = value->>6, deleted = value->>7, body = value->8 \
    FROM json_each(?) WHERE number = value->>0 AND orders.id = unhex(value->>1) AND version = value->>2";
const DECIDE: &str = "INSERT INTO order_decisions (reservation_id, key, attempt, order_id, at) \
    SELECT unhex(value->>0), value->>1, value->>2, unhex(value->>3), value->>4 FROM json_each(?)";
const LOG: &str = "INSERT INTO order_events (order_id, kind, at, body) \
    SELECT unhex(value->>0), value->>1, value->>2, nullif(value->3, 'null') FROM json_each(?)";
const RECORD: &str = "INSERT INTO order_records (key, fingerprint, status, location, etag, body, at) \
    SELECT value->>0, unhex(value->>1), value->>2, value->>3, value->>4, value->>5, value->>6 FROM json_each(?)";
const SETTLE: &str = "INSERT INTO order_settlements (reservation_id, action, at) \
    SELECT unhex(value->>0), value->1, value->>2 FROM json_each(?)";

/// A change set as one transaction of at most seven statements, however many rows it has.
pub(super) fn script(changes: &ChangeSet, now: Timestamp) -> StoreResult<Script> {
    let mut script = Script::new();
    if !changes.decisions.is_empty() {
        let rows = changes.decisions.iter().map(|decision| {
            let order = match decision.outcome {
                Outcome::Placed(order) => Some(hex(order.0)),
                Outcome::Expired => None,
            };
            let key = decision.key.as_ref().map(|key| key.as_str());
            (hex(decision.reservation_id.0), key, decision.attempt, order, decision.at.as_millis())
        });
        script.run(DECIDE, [json(rows)?.into()]);
    }
    if !changes.created.is_empty() {
        let rows = changes.created.iter().map(|order| {
            (order.number, hex(order.id.0), order.version, status_code(order.status), order.placed_at.as_millis(), Rest::of(order))
        });
        let rows = rows.map(|(number, id, version, status, placed, rest)| {
            (number, id, version, status, placed, rest.customer, rest.reference, rest.deleted, rest.body)
        });
        script.run(CREATE, [json(rows)?.into()]);
    }
    if !changes.edited.is_empty() {
        script.run(KEEP_EVENTS, [json(changes.edited.iter().map(|edit| hex(edit.order.id.0)))?.into()]);
        let rows = changes.edited.iter().map(|edit| {
            let (order, rest) = (&edit.order, Rest::of(&edit.order));
            let status = status_code(order.status);
            let (customer, reference) = (rest.customer, rest.reference);
            (order.number, hex(order.id.0), edit.expected_version, order.version, status, customer, reference, rest.deleted, rest.body)
        });
        script.run(REPLACE, [json(rows)?.into()]).expect(changes.edited.len());
    }
    if !changes.events.is_empty() {
        // The last event of an order in this change set shares the order's body, if it is the order as it is now.
        let last: HashMap<OrderId, usize> =
            changes.events.iter().enumerate().map(|(place, event)| (event.order.id, place)).collect();
        let written: HashMap<OrderId, &Order> = (changes.created.iter())
            .chain(changes.edited.iter().map(|edit| &edit.order))
            .map(|order| (order.id, order))
            .collect();
        let rows = changes.events.iter().enumerate().map(|(place, event)| {
            let shares = last.get(&event.order.id) == Some(&place) && written.get(&event.order.id) == Some(&&event.order);
            let body = (!shares).then(|| Body::from(&event.order));
            (hex(event.order.id.0), event_code(event.kind), event.at.as_millis(), body)
        });
        script.run(LOG, [json(rows)?.into()]);
    }
    if !changes.records.is_empty() {
        let rows = changes.records.iter().map(|record| {
            let answer = &record.answer;
            let fingerprint = record.fingerprint.0.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
            let (location, etag) = (answer.location.as_deref(), answer.etag.as_deref());
            (record.key.as_str(), fingerprint, answer.status, location, etag, answer.body.as_str(), record.at.as_millis())
        });
        script.run(RECORD, [json(rows)?.into()]);
    }
    if !changes.settlements.is_empty() {
        let rows = changes.settlements.iter().map(|settlement| {
            (hex(settlement.reservation_id.0), &settlement.action, now.as_millis())
        });
        script.run(SETTLE, [json(rows)?.into()]);
    }
    Ok(script)
}

/// The columns that an order's row has besides those that never change.
struct Rest<'a> {
    customer: Option<&'a str>,
    reference: Option<&'a str>,
    deleted: i64,
    body: Body,
}

impl<'a> Rest<'a> {
    fn of(order: &'a Order) -> Self {
        Self {
            customer: order.details.customer_id.as_deref(),
            reference: order.details.reference.as_deref(),
            deleted: i64::from(order.deleted_at.is_some()),
            body: Body::from(order),
        }
    }
}

fn hex(id: Uuid) -> Simple {
    id.simple()
}

/// Rows as one JSON array, streamed: a batch is never held twice.
pub(super) fn json<T: Serialize>(rows: impl Iterator<Item = T>) -> StoreResult<String> {
    let failed = |e| StoreError::new(StoreErrorKind::Internal, "write orders").with_source(e);
    let mut text = Vec::from(*b"[");
    for (place, row) in rows.enumerate() {
        if place > 0 {
            text.push(b',');
        }
        serde_json::to_writer(&mut text, &row).map_err(failed)?;
    }
    text.push(b']');
    String::from_utf8(text).map_err(|e| StoreError::new(StoreErrorKind::Internal, "write orders").with_source(e))
}
