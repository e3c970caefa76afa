use serde::Serialize;
use serde::de::DeserializeOwned;
use shop_core::idempotency::{Fingerprint, IdempotencyRecord, StoredAnswer};
use shop_core::postgres::PgRow;
use shop_core::{StoreError, StoreErrorKind, StoreResult, Timestamp};
use shop_products::{ReservationId, Settlement};
use sqlx::Row as _;
use uuid::Uuid;

use crate::store::OpenSettlement;
use crate::store::body::Body;
use crate::{Decision, Event, Order, OrderId, Outcome};

pub(super) fn corrupt(source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> StoreError {
    StoreError::new(StoreErrorKind::Corrupt, "read orders").with_source(source)
}

/// What cannot be kept as it is.
pub(super) fn unwritable(source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> StoreError {
    StoreError::new(StoreErrorKind::Internal, "write orders").with_source(source)
}

/// A column by its place.
pub(super) fn column<'r, T>(row: &'r PgRow, at: usize) -> StoreResult<T>
where
    T: sqlx::Decode<'r, sqlx::Postgres> + sqlx::Type<sqlx::Postgres>,
{
    row.try_get(at).map_err(corrupt)
}

pub(super) fn unsigned(row: &PgRow, at: usize) -> StoreResult<u64> {
    u64::try_from(column::<i64>(row, at)?).map_err(corrupt)
}

/// A number of the domain as the database has it, which knows no larger one.
pub(super) fn signed(value: u64) -> StoreResult<i64> {
    i64::try_from(value).map_err(unwritable)
}

pub(super) fn time(row: &PgRow, at: usize) -> StoreResult<Timestamp> {
    column(row, at).map(Timestamp::from_millis)
}

fn json<T: DeserializeOwned>(text: &str) -> StoreResult<T> {
    serde_json::from_str(text).map_err(corrupt)
}

pub(super) fn to_json<T: Serialize>(value: &T) -> StoreResult<String> {
    serde_json::to_string(value).map_err(unwritable)
}

/// The name of a status or of what happened: the same as in the API.
pub(super) fn name<T: Serialize>(of: T) -> StoreResult<String> {
    match serde_json::to_value(of).map_err(unwritable)? {
        serde_json::Value::String(name) => Ok(name),
        _ => Err(unwritable("it has no name")),
    }
}

fn named<T: DeserializeOwned>(name: &str) -> StoreResult<T> {
    serde_json::from_value(serde_json::Value::String(name.to_owned())).map_err(corrupt)
}

pub(super) fn order(row: &PgRow, at: usize) -> StoreResult<Order> {
    json::<Body>(column(row, at)?)?.into_order().ok_or_else(|| corrupt("the currency of an order is none"))
}

/// From `id, key, n, order_id, at`.
pub(super) fn decision(row: &PgRow, from: usize) -> StoreResult<Decision> {
    let key: Option<&str> = column(row, from + 1)?;
    let order: Option<Uuid> = column(row, from + 3)?;
    Ok(Decision {
        reservation_id: ReservationId(column(row, from)?),
        key: key.map(str::parse).transpose().map_err(corrupt)?,
        attempt: u32::try_from(unsigned(row, from + 2)?).map_err(corrupt)?,
        outcome: order.map_or(Outcome::Expired, |order| Outcome::Placed(OrderId(order))),
        at: time(row, from + 4)?,
    })
}

/// From `key, status, order_id, at, body, fingerprint, location, etag`.
pub(super) fn record(row: &PgRow, from: usize) -> StoreResult<IdempotencyRecord> {
    let fingerprint: &[u8] = column(row, from + 5)?;
    let answer = StoredAnswer {
        status: u16::try_from(unsigned(row, from + 1)?).map_err(corrupt)?,
        location: column(row, from + 6)?,
        etag: column(row, from + 7)?,
        body: column(row, from + 4)?,
    };
    Ok(IdempotencyRecord {
        key: column::<&str>(row, from)?.parse().map_err(corrupt)?,
        fingerprint: Fingerprint(fingerprint.try_into().map_err(corrupt)?),
        answer,
        at: time(row, from + 3)?,
    })
}

/// From `sequence, order_id, kind, at, body`.
pub(super) fn event(row: &PgRow) -> StoreResult<Event> {
    Ok(Event {
        sequence: unsigned(row, 0)?,
        order_id: OrderId(column(row, 1)?),
        kind: named(column(row, 2)?)?,
        at: time(row, 3)?,
        order: order(row, 4)?,
    })
}

/// From `sequence, reservation_id, action, at`.
pub(super) fn settlement(row: &PgRow, from: usize) -> StoreResult<OpenSettlement> {
    let settlement = Settlement {
        reservation_id: ReservationId(column(row, from + 1)?),
        action: json(column(row, from + 2)?)?,
    };
    Ok(OpenSettlement { sequence: unsigned(row, from)?, settlement, at: time(row, from + 3)? })
}
