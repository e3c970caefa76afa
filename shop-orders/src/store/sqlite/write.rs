use std::collections::HashMap;

use serde::Serialize;
use shop_core::sqlite::Query;
use shop_core::{StoreError, StoreErrorKind, StoreResult, Timestamp};
use uuid::Uuid;
use uuid::fmt::Simple;

use super::row::{event_code, status_code};
use crate::store::ChangeSet;
use crate::store::body::Body;
use crate::{Order, OrderId, Outcome};

/// A commit is one `INSERT` into this view, which costs the driver one hop whatever it writes: its trigger runs all
/// statements, and a statement is a transaction of its own. A part that is `NULL` has no rows.
pub(super) const SESSION: &str = "
CREATE TEMP VIEW order_commit AS SELECT
    NULL AS decisions, NULL AS created, NULL AS kept, NULL AS replaced, NULL AS replacements,
    NULL AS events, NULL AS records, NULL AS settlements;
CREATE TEMP TRIGGER order_commit_all INSTEAD OF INSERT ON order_commit BEGIN
    INSERT INTO order_decisions (reservation_id, key, attempt, order_id, at)
        SELECT unhex(value->>0), value->>1, value->>2, unhex(value->>3), value->>4 FROM jsonb_each(NEW.decisions);
    INSERT INTO orders (number, id, version, status, placed_at, customer_id, reference, deleted, body)
        SELECT value->>0, unhex(value->>1), value->>2, value->>3, value->>4, value->>5, value->>6, value->>7, value->>8
        FROM jsonb_each(NEW.created);
    -- The last event of each of these orders gets the body that it shared with the order until now.
    UPDATE order_events SET body = (SELECT body FROM orders WHERE orders.id = order_id)
        WHERE order_id IN (SELECT unhex(value) FROM jsonb_each(NEW.kept)) AND body IS NULL;
    UPDATE orders SET version = value->>3, status = value->>4, customer_id = value->>5, reference = value->>6,
        deleted = value->>7, body = value->>8
        FROM jsonb_each(NEW.replaced)
        WHERE orders.number = value->>0 AND orders.id = unhex(value->>1) AND orders.version = value->>2;
    SELECT RAISE(ABORT, 'an order has another version') WHERE changes() <> NEW.replacements;
    INSERT INTO order_events (order_id, kind, at, body)
        SELECT unhex(value->>0), value->>1, value->>2, value->>3 FROM jsonb_each(NEW.events);
    INSERT INTO order_records (key, fingerprint, status, location, etag, body, at)
        SELECT value->>0, unhex(value->>1), value->>2, value->>3, value->>4, value->>5, value->>6
        FROM jsonb_each(NEW.records);
    INSERT INTO order_settlements (reservation_id, action, at)
        SELECT unhex(value->>0), value->>1, value->>2 FROM jsonb_each(NEW.settlements);
END;
";

/// A change set as one statement, however many rows it has.
pub(super) fn statement(changes: &ChangeSet, now: Timestamp) -> StoreResult<Query> {
    let mut statement = Query::new("INSERT INTO temp.order_commit VALUES (?, ?, ?, ?, ?, ?, ?, ?)");
    statement.bind(rows(&changes.decisions, |_, decision| {
        let order = match decision.outcome {
            Outcome::Placed(order) => Some(hex(order.0)),
            Outcome::Expired => None,
        };
        let key = decision.key.as_ref().map(|key| key.as_str());
        Ok((hex(decision.reservation_id.0), key, decision.attempt, order, decision.at.as_millis()))
    })?);
    statement.bind(rows(&changes.created, |_, order| {
        let (status, placed, deleted) =
            (status_code(order.status), order.placed_at.as_millis(), is_deleted(order));
        let (customer, reference) = (&order.details.customer_id, &order.details.reference);
        Ok((
            order.number,
            hex(order.id.0),
            order.version,
            status,
            placed,
            customer,
            reference,
            deleted,
            body(order)?,
        ))
    })?);
    statement.bind(rows(&changes.edited, |_, edit| Ok(hex(edit.order.id.0)))?);
    statement.bind(rows(&changes.edited, |_, edit| {
        let order = &edit.order;
        let (status, deleted) = (status_code(order.status), is_deleted(order));
        let (customer, reference) = (&order.details.customer_id, &order.details.reference);
        let expected = edit.expected_version;
        Ok((
            order.number,
            hex(order.id.0),
            expected,
            order.version,
            status,
            customer,
            reference,
            deleted,
            body(order)?,
        ))
    })?);
    statement.bind(i64::try_from(changes.edited.len()).unwrap_or(i64::MAX));
    // The last event of an order in this change set shares the order's body, if it is the order as it is now.
    let last: HashMap<OrderId, usize> =
        changes.events.iter().enumerate().map(|(place, event)| (event.order.id, place)).collect();
    let written: HashMap<OrderId, &Order> = (changes.created.iter())
        .chain(changes.edited.iter().map(|edit| &edit.order))
        .map(|order| (order.id, order))
        .collect();
    statement.bind(rows(&changes.events, |place, event| {
        let order = &event.order;
        let shares = last.get(&order.id) == Some(&place) && written.get(&order.id) == Some(&order);
        let body = if shares { None } else { Some(body(order)?) };
        Ok((hex(order.id.0), event_code(event.kind), event.at.as_millis(), body))
    })?);
    statement.bind(rows(&changes.records, |_, record| {
        let answer = &record.answer;
        let fingerprint: String = record.fingerprint.0.iter().map(|byte| format!("{byte:02x}")).collect();
        let (key, at) = (record.key.as_str(), record.at.as_millis());
        Ok((key, fingerprint, answer.status, &answer.location, &answer.etag, &answer.body, at))
    })?);
    statement.bind(rows(&changes.settlements, |_, settlement| {
        let action = serde_json::to_string(&settlement.action).map_err(unwritable)?;
        Ok((hex(settlement.reservation_id.0), action, now.as_millis()))
    })?);
    Ok(statement)
}

fn is_deleted(order: &Order) -> i64 {
    i64::from(order.deleted_at.is_some())
}

fn body(order: &Order) -> StoreResult<String> {
    serde_json::to_string(&Body::from(order)).map_err(unwritable)
}

fn hex(id: Uuid) -> Simple {
    id.simple()
}

fn unwritable(error: serde_json::Error) -> StoreError {
    StoreError::new(StoreErrorKind::Internal, "write orders").with_source(error)
}

/// Rows as one JSON array; `None` if there are none.
fn rows<'a, T, R: Serialize>(
    of: &'a [T],
    mut row: impl FnMut(usize, &'a T) -> StoreResult<R>,
) -> StoreResult<Option<String>> {
    if of.is_empty() {
        return Ok(None);
    }
    let mut text = Vec::from(*b"[");
    for (place, of) in of.iter().enumerate() {
        if place > 0 {
            text.push(b',');
        }
        serde_json::to_writer(&mut text, &row(place, of)?).map_err(unwritable)?;
    }
    text.push(b']');
    let text = String::from_utf8(text)
        .map_err(|error| StoreError::new(StoreErrorKind::Internal, "write orders").with_source(error))?;
    Ok(Some(text))
}

/// Plain values as one JSON array.
pub(super) fn json<T: Serialize>(values: impl Iterator<Item = T>) -> StoreResult<String> {
    let values: Vec<T> = values.collect();
    serde_json::to_string(&values).map_err(unwritable)
}
