use serde::de::DeserializeOwned;
use shop_core::idempotency::{Fingerprint, IdempotencyRecord, StoredAnswer};
use shop_core::{StoreError, StoreErrorKind, StoreResult, Timestamp};
use shop_products::{ReservationId, Settlement};
use sqlx::Row as _;
use sqlx::sqlite::SqliteRow;
use uuid::Uuid;

use crate::store::OpenSettlement;
use crate::store::body::Body;
use crate::{Decision, Event, EventType, Order, OrderId, OrderStatus, Outcome};

pub(super) fn corrupt(source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> StoreError {
    StoreError::new(StoreErrorKind::Corrupt, "read orders").with_source(source)
}

/// A column by its place.
pub(super) fn column<'r, T>(row: &'r SqliteRow, at: usize) -> StoreResult<T>
where
    T: sqlx::Decode<'r, sqlx::Sqlite> + sqlx::Type<sqlx::Sqlite>,
{
    row.try_get(at).map_err(corrupt)
}

pub(super) fn id(row: &SqliteRow, at: usize) -> StoreResult<Uuid> {
    Uuid::from_slice(column(row, at)?).map_err(corrupt)
}

pub(super) fn unsigned(row: &SqliteRow, at: usize) -> StoreResult<u64> {
    u64::try_from(column::<i64>(row, at)?).map_err(corrupt)
}

pub(super) fn time(row: &SqliteRow, at: usize) -> StoreResult<Timestamp> {
    column(row, at).map(Timestamp::from_millis)
}

fn json<T: DeserializeOwned>(text: &str) -> StoreResult<T> {
    serde_json::from_str(text).map_err(corrupt)
}

pub(super) fn order(row: &SqliteRow, at: usize) -> StoreResult<Order> {
    json::<Body>(column(row, at)?)?.into_order().ok_or_else(|| corrupt("the currency of an order is none"))
}

/// From `reservation_id, key, attempt, order_id, at`.
pub(super) fn decision(row: &SqliteRow, from: usize) -> StoreResult<Decision> {
    let key: Option<&str> = column(row, from + 1)?;
    let order: Option<&[u8]> = column(row, from + 3)?;
    let outcome = match order {
        Some(_) => Outcome::Placed(OrderId(id(row, from + 3)?)),
        None => Outcome::Expired,
    };
    Ok(Decision {
        reservation_id: ReservationId(id(row, from)?),
        key: key.map(str::parse).transpose().map_err(corrupt)?,
        attempt: u32::try_from(unsigned(row, from + 2)?).map_err(corrupt)?,
        outcome,
        at: time(row, from + 4)?,
    })
}

/// From `key, fingerprint, status, location, etag, body, at`.
pub(super) fn record(row: &SqliteRow, from: usize) -> StoreResult<IdempotencyRecord> {
    let fingerprint: &[u8] = column(row, from + 1)?;
    let answer = StoredAnswer {
        status: u16::try_from(unsigned(row, from + 2)?).map_err(corrupt)?,
        location: column(row, from + 3)?,
        etag: column(row, from + 4)?,
        body: column(row, from + 5)?,
    };
    Ok(IdempotencyRecord {
        key: column::<&str>(row, from)?.parse().map_err(corrupt)?,
        fingerprint: Fingerprint(fingerprint.try_into().map_err(corrupt)?),
        answer,
        at: time(row, from + 6)?,
    })
}

/// From `sequence, order_id, kind, at, body`.
pub(super) fn event(row: &SqliteRow) -> StoreResult<Event> {
    Ok(Event {
        sequence: unsigned(row, 0)?,
        order_id: OrderId(id(row, 1)?),
        kind: event_type(column(row, 2)?)?,
        at: time(row, 3)?,
        order: order(row, 4)?,
    })
}

/// From an array of `[sequence, reservation_id, action, at]`.
pub(super) fn settlements(row: &SqliteRow, at: usize) -> StoreResult<Vec<OpenSettlement>> {
    let rows: Vec<(u64, Uuid, String, i64)> = json(column(row, at)?)?;
    let settlement = |(sequence, id, action, at): (u64, Uuid, String, i64)| {
        let settlement = Settlement { reservation_id: ReservationId(id), action: json(&action)? };
        Ok(OpenSettlement { sequence, settlement, at: Timestamp::from_millis(at) })
    };
    rows.into_iter().map(settlement).collect()
}

pub(super) fn status_code(status: OrderStatus) -> i64 {
    match status {
        OrderStatus::Placed => 0,
        OrderStatus::Shipped => 1,
        OrderStatus::Delivered => 2,
        OrderStatus::Cancelled => 3,
    }
}

pub(super) fn event_code(kind: EventType) -> i64 {
    match kind {
        EventType::Placed => 0,
        EventType::Edited => 1,
        EventType::Cancelled => 2,
        EventType::Shipped => 3,
        EventType::Delivered => 4,
        EventType::Deleted => 5,
    }
}

fn event_type(code: i64) -> StoreResult<EventType> {
    Ok(match code {
        0 => EventType::Placed,
        1 => EventType::Edited,
        2 => EventType::Cancelled,
        3 => EventType::Shipped,
        4 => EventType::Delivered,
        5 => EventType::Deleted,
        other => return Err(corrupt(format!("an event of type {other}"))),
    })
}
