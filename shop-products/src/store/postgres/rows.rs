//! Rows as they are kept, and the domain's values. What is not compared in the database is in a JSON array, the `body`.

use std::collections::BTreeMap;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use shop_core::id::Uuid;
use shop_core::idempotency::{Fingerprint, IdempotencyRecord, StoredAnswer};
use shop_core::postgres::PgRow;
use shop_core::{Currency, Money, StoreError, StoreErrorKind, StoreResult, Timestamp};
use sqlx::Row as _;

use crate::{
    Adjustment, AdjustmentId, Product, ProductDetails, ProductId, ProductStatus, Reservation, ReservationId,
    ReservationState, ReservedLine, Sku, Stock,
};

/// A product of `products p` and `product_stock s`.
pub(super) const PRODUCT: &str = "p.id, p.body, s.on_hand, s.allocated, s.version, s.edited_version";

/// SKU, name, description, price in the smallest unit, currency, attributes, tags, status, when made, edited, deleted.
type ProductBody =
    (Sku, String, String, i64, String, BTreeMap<String, Value>, Vec<String>, i16, i64, i64, Option<i64>);

/// A reservation.
pub(super) const RESERVATION: &str = "id, owner, lines, state::bigint, created_at, updated_at, expires_at";

/// Product, SKU, name, quantity, held, price in the smallest unit, currency.
type Line = (Uuid, Sku, String, i64, i64, i64, String);

/// Delta, reason, reference, on hand, when made.
type AdjustmentBody = (i64, String, Option<String>, i64, i64);

/// Fingerprint, status, location, etag, body.
type RecordBody = ([u8; 32], u16, Option<String>, Option<String>, String);

pub(super) fn corrupt(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> StoreError {
    StoreError::new(StoreErrorKind::Corrupt, "read products").with_source(error)
}

/// What cannot be kept as it is.
pub(super) fn unwritable(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> StoreError {
    StoreError::new(StoreErrorKind::Internal, "write products").with_source(error)
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

pub(super) fn json<T: Serialize>(value: &T) -> StoreResult<String> {
    serde_json::to_string(value).map_err(unwritable)
}

fn parsed<T: DeserializeOwned>(row: &PgRow, at: usize) -> StoreResult<T> {
    serde_json::from_str(column(row, at)?).map_err(corrupt)
}

fn money(minor: i64, code: &str) -> StoreResult<Money> {
    let currency = Currency::from_code(code).ok_or_else(|| corrupt("not a currency"))?;
    Ok(Money::from_minor(minor, currency))
}

pub(super) fn status_code(status: ProductStatus) -> i16 {
    match status {
        ProductStatus::Draft => 0,
        ProductStatus::Active => 1,
        ProductStatus::Archived => 2,
    }
}

pub(super) fn state_code(state: ReservationState) -> i16 {
    match state {
        ReservationState::Held => 0,
        ReservationState::Committed => 1,
        ReservationState::Released => 2,
        ReservationState::Fulfilled => 3,
    }
}

fn state(code: i64) -> StoreResult<ReservationState> {
    match code {
        0 => Ok(ReservationState::Held),
        1 => Ok(ReservationState::Committed),
        2 => Ok(ReservationState::Released),
        3 => Ok(ReservationState::Fulfilled),
        _ => Err(corrupt("not a state")),
    }
}

pub(super) fn product_body(product: &Product) -> StoreResult<String> {
    let details = &product.details;
    json(&(
        &details.sku,
        &details.name,
        &details.description,
        details.price.minor(),
        details.price.currency().code(),
        &details.attributes,
        &details.tags,
        status_code(details.status),
        product.created_at.as_millis(),
        product.updated_at.as_millis(),
        product.deleted_at.map(|at| at.as_millis()),
    ))
}

/// From `id, body, on_hand, allocated, version, edited_version`.
pub(super) fn product(row: &PgRow, places: [usize; 6]) -> StoreResult<Product> {
    let [id, body, on_hand, allocated, version, edited_version] = places;
    let (sku, name, description, minor, currency, attributes, tags, status, created, updated, deleted): ProductBody =
        parsed(row, body)?;
    let status = match status {
        0 => ProductStatus::Draft,
        1 => ProductStatus::Active,
        2 => ProductStatus::Archived,
        _ => return Err(corrupt("not a status")),
    };
    let price = money(minor, &currency)?;
    Ok(Product {
        id: ProductId(column(row, id)?),
        details: ProductDetails { sku, name, description, price, attributes, tags, status },
        created_at: Timestamp::from_millis(created),
        updated_at: Timestamp::from_millis(updated),
        deleted_at: deleted.map(Timestamp::from_millis),
        stock: Stock { on_hand: column(row, on_hand)?, allocated: column(row, allocated)? },
        version: unsigned(row, version)?,
        edited_version: unsigned(row, edited_version)?,
    })
}

pub(super) fn lines(reservation: &Reservation) -> StoreResult<String> {
    let line = |line: &ReservedLine| -> Line {
        let (price, name) = (line.unit_price, line.name.clone());
        let (minor, currency) = (price.minor(), price.currency().code().to_owned());
        (line.product_id.0, line.sku.clone(), name, line.quantity, line.held, minor, currency)
    };
    json(&reservation.lines.iter().map(line).collect::<Vec<_>>())
}

fn line((product_id, sku, name, quantity, held, minor, currency): Line) -> StoreResult<ReservedLine> {
    let unit_price = money(minor, &currency)?;
    Ok(ReservedLine { product_id: ProductId(product_id), sku, name, quantity, held, unit_price })
}

/// From `id, owner, lines, state, created_at, updated_at, expires_at`.
pub(super) fn reservation(row: &PgRow, from: usize) -> StoreResult<Reservation> {
    let lines: Vec<Line> = parsed(row, from + 2)?;
    Ok(Reservation {
        id: ReservationId(column(row, from)?),
        owner: column(row, from + 1)?,
        lines: lines.into_iter().map(line).collect::<StoreResult<_>>()?,
        state: state(column(row, from + 3)?)?,
        created_at: Timestamp::from_millis(column(row, from + 4)?),
        updated_at: Timestamp::from_millis(column(row, from + 5)?),
        expires_at: column::<Option<i64>>(row, from + 6)?.map(Timestamp::from_millis),
    })
}

pub(super) fn adjustment_body(new: &Adjustment) -> StoreResult<String> {
    json(&(new.delta, &new.reason, &new.reference, new.on_hand, new.created_at.as_millis()))
}

/// From `id, body`.
pub(super) fn adjustment(row: &PgRow, product_id: ProductId) -> StoreResult<Adjustment> {
    let (delta, reason, reference, on_hand, created): AdjustmentBody = parsed(row, 1)?;
    Ok(Adjustment {
        id: AdjustmentId(column(row, 0)?),
        product_id,
        delta,
        reason,
        reference,
        on_hand,
        created_at: Timestamp::from_millis(created),
    })
}

pub(super) fn record_body(record: &IdempotencyRecord) -> StoreResult<String> {
    let answer = &record.answer;
    json(&(record.fingerprint.0, answer.status, &answer.location, &answer.etag, &answer.body))
}

/// From a key, a body and a time.
pub(super) fn record(row: &PgRow, [key, body, at]: [usize; 3]) -> StoreResult<IdempotencyRecord> {
    let (fingerprint, status, location, etag, answer): RecordBody = parsed(row, body)?;
    Ok(IdempotencyRecord {
        key: column::<&str>(row, key)?.parse().map_err(corrupt)?,
        fingerprint: Fingerprint(fingerprint),
        answer: StoredAnswer { status, location, etag, body: answer },
        at: Timestamp::from_millis(column(row, at)?),
    })
}
