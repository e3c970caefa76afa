//! Rows as they are kept, and the domain's values. Rows come as JSON arrays: one value is one trip between threads, and a
//! column of its own would be several.

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

/// A product of `products p` and `stock s` as JSON, in the order of [`ProductRow`].
pub(super) const PRODUCT: &str = "json_array(hex(p.id), p.sku, p.name, p.description, p.minor, p.currency, \
     p.attributes, p.tags, p.status, p.created_at, p.updated_at, p.deleted_at, s.on_hand, s.allocated, s.version, \
     s.edited_version)";

pub(super) type ProductRow = (
    String,
    Sku,
    String,
    String,
    i64,
    String,
    String,
    String,
    i64,
    i64,
    i64,
    Option<i64>,
    i64,
    i64,
    u64,
    u64,
);

/// A reservation as JSON, in the order of [`ReservationRow`].
pub(super) const RESERVATION: &str =
    "json_array(hex(id), owner, state, lines, created_at, updated_at, expires_at)";

pub(super) type ReservationRow = (String, Option<String>, i64, String, i64, i64, Option<i64>);

/// A line as it is kept: product, SKU, name, quantity, held, price in the smallest unit, currency.
pub(super) type LineRow = (String, Sku, String, i64, i64, i64, String);

/// An adjustment as JSON, in the order of [`AdjustmentRow`].
pub(super) const ADJUSTMENT: &str =
    "json_array(hex(id), hex(product), delta, reason, reference, on_hand, created_at)";

pub(super) type AdjustmentRow = (String, String, i64, String, Option<String>, i64, i64);

/// An idempotency record as JSON, in the order of [`RecordRow`].
pub(super) const RECORD: &str = "json_array(key, hex(fingerprint), status, location, etag, body, at)";

pub(super) type RecordRow = (String, String, u16, Option<String>, Option<String>, String, i64);

pub(super) fn get<'r, T: Decode<'r, Sqlite> + Type<Sqlite>>(
    row: &'r SqliteRow,
    column: usize,
) -> StoreResult<T> {
    row.try_get(column).map_err(|error| classified("read a row", error, false))
}

/// The only column of each row, which is JSON, as what it stands for.
pub(super) fn all<R: DeserializeOwned, T>(
    rows: &[SqliteRow],
    convert: impl Fn(R) -> StoreResult<T>,
) -> StoreResult<Vec<T>> {
    rows.iter().map(|row| convert(json(get(row, 0)?)?)).collect()
}

/// The number in the only row.
pub(super) fn count(row: &SqliteRow) -> StoreResult<u64> {
    u64::try_from(get::<i64>(row, 0)?).map_err(corrupt)
}

pub(super) fn json<T: DeserializeOwned>(text: &str) -> StoreResult<T> {
    serde_json::from_str(text).map_err(corrupt)
}

fn corrupt(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> StoreError {
    StoreError::new(StoreErrorKind::Corrupt, "read a row").with_source(error)
}

fn id(hex: &str) -> StoreResult<Uuid> {
    Uuid::try_parse(hex).map_err(corrupt)
}

fn money(minor: i64, code: &str) -> StoreResult<Money> {
    let currency = Currency::from_code(code).ok_or_else(|| corrupt("not a currency"))?;
    Ok(Money::from_minor(minor, currency))
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

pub(super) fn product(row: ProductRow) -> StoreResult<Product> {
    let (
        key,
        sku,
        name,
        description,
        minor,
        currency,
        attributes,
        tags,
        status,
        created,
        updated,
        deleted,
        ..,
    ) = &row;
    let (.., on_hand, allocated, version, edited_version) = row;
    Ok(Product {
        id: ProductId(id(key)?),
        details: ProductDetails {
            sku: sku.clone(),
            name: name.clone(),
            description: description.clone(),
            price: money(*minor, currency)?,
            // Most products have none.
            attributes: if attributes == "{}" { BTreeMap::<String, Value>::new() } else { json(attributes)? },
            tags: if tags == "[]" { Vec::new() } else { json(tags)? },
            status: match status {
                0 => ProductStatus::Draft,
                1 => ProductStatus::Active,
                2 => ProductStatus::Archived,
                _ => return Err(corrupt("not a status")),
            },
        },
        created_at: Timestamp::from_millis(*created),
        updated_at: Timestamp::from_millis(*updated),
        deleted_at: deleted.map(Timestamp::from_millis),
        stock: Stock { on_hand, allocated },
        version,
        edited_version,
    })
}

pub(super) fn line_row(line: &ReservedLine) -> LineRow {
    (
        line.product_id.0.simple().to_string(),
        line.sku.clone(),
        line.name.clone(),
        line.quantity,
        line.held,
        line.unit_price.minor(),
        line.unit_price.currency().code().to_owned(),
    )
}

fn line((product_id, sku, name, quantity, held, minor, currency): LineRow) -> StoreResult<ReservedLine> {
    let unit_price = money(minor, &currency)?;
    Ok(ReservedLine { product_id: ProductId(id(&product_id)?), sku, name, quantity, held, unit_price })
}

pub(super) fn reservation(row: ReservationRow) -> StoreResult<Reservation> {
    let (key, owner, state, lines, created, updated, expires) = row;
    let lines: Vec<LineRow> = json(&lines)?;
    Ok(Reservation {
        id: ReservationId(id(&key)?),
        owner,
        state: match state {
            0 => ReservationState::Held,
            1 => ReservationState::Committed,
            2 => ReservationState::Released,
            3 => ReservationState::Fulfilled,
            _ => return Err(corrupt("not a state")),
        },
        lines: lines.into_iter().map(line).collect::<StoreResult<_>>()?,
        created_at: Timestamp::from_millis(created),
        updated_at: Timestamp::from_millis(updated),
        expires_at: expires.map(Timestamp::from_millis),
    })
}

pub(super) fn adjustment(row: AdjustmentRow) -> StoreResult<Adjustment> {
    let (key, product, delta, reason, reference, on_hand, created) = row;
    Ok(Adjustment {
        id: AdjustmentId(id(&key)?),
        product_id: ProductId(id(&product)?),
        delta,
        reason,
        reference,
        on_hand,
        created_at: Timestamp::from_millis(created),
    })
}

pub(super) fn record(row: RecordRow) -> StoreResult<IdempotencyRecord> {
    let (key, fingerprint, status, location, etag, body, at) = row;
    let mut bytes = [0; 32];
    if fingerprint.len() != 64 || !fingerprint.is_ascii() {
        return Err(corrupt("not a fingerprint"));
    }
    for (n, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&fingerprint[2 * n..2 * n + 2], 16).map_err(corrupt)?;
    }
    Ok(IdempotencyRecord {
        key: key.parse().map_err(corrupt)?,
        fingerprint: Fingerprint(bytes),
        answer: StoredAnswer { status, location, etag, body },
        at: Timestamp::from_millis(at),
    })
}
