//! Rows as they are kept, and the domain's values.

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;
use serde_json::Value;
use shop_core::id::Uuid;
use shop_core::idempotency::{Fingerprint, IdempotencyRecord, StoredAnswer};
use shop_core::sqlite::classified;
use shop_core::{Currency, Money, StoreError, StoreErrorKind, StoreResult, Timestamp};
use sqlx::sqlite::SqliteRow;
use sqlx::{Decode, Row, Sqlite, Type};

use crate::{
    Adjustment, AdjustmentId, Product, ProductDetails, ProductId, ProductStatus, Reservation, ReservationId,
    ReservationState, ReservedLine, Sku, Stock,
};

/// The columns of a product, in the order that [`product`] reads them.
pub(super) const PRODUCT: &str = "p.id, p.sku, p.name, p.description, p.minor, p.currency, p.attributes, p.tags, \
     p.status, p.created_at, p.updated_at, p.deleted_at, s.on_hand, s.allocated, s.version, s.edited_version";

/// The columns of a reservation, in the order that [`reservation`] reads them.
pub(super) const RESERVATION: &str = "id, owner, state, lines, created_at, updated_at, expires_at";

/// A line as it is kept: product, SKU, name, quantity, held, price in the smallest unit, currency.
pub(super) type LineRow = (String, String, String, i64, i64, i64, String);

pub(super) fn get<'r, T: Decode<'r, Sqlite> + Type<Sqlite>>(
    row: &'r SqliteRow,
    column: usize,
) -> StoreResult<T> {
    row.try_get(column).map_err(|error| classified("read a row", error, false))
}

pub(super) fn corrupt(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> StoreError {
    StoreError::new(StoreErrorKind::Corrupt, "read a row").with_source(error)
}

fn id(row: &SqliteRow, column: usize) -> StoreResult<Uuid> {
    Uuid::from_slice(get::<&[u8]>(row, column)?).map_err(corrupt)
}

fn time(row: &SqliteRow, column: usize) -> StoreResult<Timestamp> {
    Ok(Timestamp::from_millis(get(row, column)?))
}

fn maybe_time(row: &SqliteRow, column: usize) -> StoreResult<Option<Timestamp>> {
    Ok(get::<Option<i64>>(row, column)?.map(Timestamp::from_millis))
}

fn json<T: DeserializeOwned>(row: &SqliteRow, column: usize) -> StoreResult<T> {
    serde_json::from_str(get::<&str>(row, column)?).map_err(corrupt)
}

fn number(row: &SqliteRow, column: usize) -> StoreResult<u64> {
    u64::try_from(get::<i64>(row, column)?).map_err(corrupt)
}

fn money(minor: i64, code: &str) -> StoreResult<Money> {
    let currency = Currency::from_code(code).ok_or_else(|| corrupt("not a currency"))?;
    Ok(Money::from_minor(minor, currency))
}

fn sku(text: &str) -> StoreResult<Sku> {
    text.parse().map_err(corrupt)
}

pub(super) fn status_code(status: ProductStatus) -> i64 {
    match status {
        ProductStatus::Draft => 0,
        ProductStatus::Active => 1,
        ProductStatus::Archived => 2,
    }
}

pub(super) fn state_code(state: ReservationState) -> i64 {
    match state {
        ReservationState::Held => 0,
        ReservationState::Committed => 1,
        ReservationState::Released => 2,
        ReservationState::Fulfilled => 3,
    }
}

/// A product from its [`PRODUCT`] columns, which begin at column `at`.
pub(super) fn product(row: &SqliteRow, at: usize) -> StoreResult<Product> {
    let attributes: &str = get(row, at + 6)?;
    let tags: &str = get(row, at + 7)?;
    Ok(Product {
        id: ProductId(id(row, at)?),
        details: ProductDetails {
            sku: sku(get(row, at + 1)?)?,
            name: get(row, at + 2)?,
            description: get(row, at + 3)?,
            price: money(get(row, at + 4)?, get(row, at + 5)?)?,
            // Most products have none.
            attributes: if attributes == "{}" {
                BTreeMap::<String, Value>::new()
            } else {
                serde_json::from_str(attributes).map_err(corrupt)?
            },
            tags: if tags == "[]" { Vec::new() } else { serde_json::from_str(tags).map_err(corrupt)? },
            status: match get::<i64>(row, at + 8)? {
                0 => ProductStatus::Draft,
                1 => ProductStatus::Active,
                2 => ProductStatus::Archived,
                _ => return Err(corrupt("not a status")),
            },
        },
        created_at: time(row, at + 9)?,
        updated_at: time(row, at + 10)?,
        deleted_at: maybe_time(row, at + 11)?,
        stock: Stock { on_hand: get(row, at + 12)?, allocated: get(row, at + 13)? },
        version: number(row, at + 14)?,
        edited_version: number(row, at + 15)?,
    })
}

pub(super) fn line_row(line: &ReservedLine) -> LineRow {
    (
        line.product_id.0.simple().to_string(),
        line.sku.to_string(),
        line.name.clone(),
        line.quantity,
        line.held,
        line.unit_price.minor(),
        line.unit_price.currency().code().to_owned(),
    )
}

fn line((product_id, line_sku, name, quantity, held, minor, currency): LineRow) -> StoreResult<ReservedLine> {
    Ok(ReservedLine {
        product_id: product_id.parse().map_err(corrupt)?,
        sku: sku(&line_sku)?,
        name,
        quantity,
        held,
        unit_price: money(minor, &currency)?,
    })
}

/// A reservation from its [`RESERVATION`] columns, which begin at column `at`.
pub(super) fn reservation(row: &SqliteRow, at: usize) -> StoreResult<Reservation> {
    let lines: Vec<LineRow> = json(row, at + 3)?;
    Ok(Reservation {
        id: ReservationId(id(row, at)?),
        owner: get(row, at + 1)?,
        state: match get::<i64>(row, at + 2)? {
            0 => ReservationState::Held,
            1 => ReservationState::Committed,
            2 => ReservationState::Released,
            3 => ReservationState::Fulfilled,
            _ => return Err(corrupt("not a state")),
        },
        lines: lines.into_iter().map(line).collect::<StoreResult<_>>()?,
        created_at: time(row, at + 4)?,
        updated_at: time(row, at + 5)?,
        expires_at: maybe_time(row, at + 6)?,
    })
}

/// An adjustment from `id, product, delta, reason, reference, on_hand, created_at`.
pub(super) fn adjustment(row: &SqliteRow) -> StoreResult<Adjustment> {
    Ok(Adjustment {
        id: AdjustmentId(id(row, 0)?),
        product_id: ProductId(id(row, 1)?),
        delta: get(row, 2)?,
        reason: get(row, 3)?,
        reference: get(row, 4)?,
        on_hand: get(row, 5)?,
        created_at: time(row, 6)?,
    })
}

/// A record from `key, fingerprint, status, location, etag, body, at`, which begin at column `at`.
pub(super) fn record(row: &SqliteRow, at: usize) -> StoreResult<IdempotencyRecord> {
    Ok(IdempotencyRecord {
        key: get::<&str>(row, at)?.parse().map_err(corrupt)?,
        fingerprint: Fingerprint(get::<&[u8]>(row, at + 1)?.try_into().map_err(corrupt)?),
        answer: StoredAnswer {
            status: get(row, at + 2)?,
            location: get(row, at + 3)?,
            etag: get(row, at + 4)?,
            body: get(row, at + 5)?,
        },
        at: time(row, at + 6)?,
    })
}

/// The number in the only row.
pub(super) fn count(rows: &[SqliteRow]) -> StoreResult<u64> {
    rows.first().ok_or_else(|| corrupt("no row")).and_then(|row| number(row, 0))
}
