//! Documents as they are kept, and the domain's values.

use mongodb::bson::spec::BinarySubtype;
use mongodb::bson::{Binary, Uuid as BsonUuid};
use serde::{Deserialize, Serialize};
use shop_core::id::Uuid;
use shop_core::idempotency::{Fingerprint, IdempotencyRecord, StoredAnswer};
use shop_core::{Currency, Money, StoreError, StoreErrorKind, StoreResult, Timestamp};

use crate::store::text;
use crate::{
    Adjustment, AdjustmentId, Product, ProductDetails, ProductId, ProductStatus, Reservation, ReservationId,
    ReservationState, ReservedLine, Stock,
};

/// A UUID as binary subtype 4: compared as its bytes are.
pub(super) fn key(id: Uuid) -> BsonUuid {
    BsonUuid::from_bytes(*id.as_bytes())
}

fn id(key: BsonUuid) -> Uuid {
    Uuid::from_bytes(key.bytes())
}

pub(super) fn corrupt(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> StoreError {
    StoreError::new(StoreErrorKind::Corrupt, "read a document").with_source(error)
}

pub(super) fn unwritable(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> StoreError {
    StoreError::new(StoreErrorKind::Internal, "write a document").with_source(error)
}

/// Versions start at 1 and rise by one: they never come near the end of 63 bits.
pub(super) fn signed(version: u64) -> i64 {
    i64::try_from(version).unwrap_or(i64::MAX)
}

fn unsigned(version: i64) -> StoreResult<u64> {
    u64::try_from(version).map_err(corrupt)
}

fn money(minor: i64, code: &str) -> StoreResult<Money> {
    let currency = Currency::from_code(code).ok_or_else(|| corrupt("not a currency"))?;
    Ok(Money::from_minor(minor, currency))
}

pub(super) fn status_code(status: ProductStatus) -> i32 {
    match status {
        ProductStatus::Draft => 0,
        ProductStatus::Active => 1,
        ProductStatus::Archived => 2,
    }
}

pub(super) fn state_code(state: ReservationState) -> i32 {
    match state {
        ReservationState::Held => 0,
        ReservationState::Committed => 1,
        ReservationState::Released => 2,
        ReservationState::Fulfilled => 3,
    }
}

/// A product with its stock. `price` is in ten-thousandths of the major unit, for order and range; `attributes` is JSON,
/// whose keys are not those that BSON allows; what is deleted is not `live`, and has no words.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct ProductDoc {
    _id: BsonUuid,
    sku: String,
    live: bool,
    name: String,
    description: String,
    minor: i64,
    currency: String,
    price: i64,
    attributes: String,
    tags: Vec<String>,
    #[serde(default)]
    words: Vec<String>,
    status: i32,
    created_at: i64,
    updated_at: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    deleted_at: Option<i64>,
    version: i64,
    edited_version: i64,
    on_hand: i64,
    allocated: i64,
}

impl ProductDoc {
    pub(super) fn of(product: &Product) -> StoreResult<Self> {
        let details = &product.details;
        let live = product.deleted_at.is_none();
        Ok(Self {
            _id: key(product.id.0),
            sku: details.sku.to_string(),
            live,
            name: details.name.clone(),
            description: details.description.clone(),
            minor: details.price.minor(),
            currency: details.price.currency().code().to_owned(),
            price: details.price.ten_thousandths().unwrap_or(i64::MAX),
            attributes: serde_json::to_string(&details.attributes).map_err(unwritable)?,
            tags: details.tags.clone(),
            words: if live { text::words_of(product) } else { Vec::new() },
            status: status_code(details.status),
            created_at: product.created_at.as_millis(),
            updated_at: product.updated_at.as_millis(),
            deleted_at: product.deleted_at.map(Timestamp::as_millis),
            version: signed(product.version),
            edited_version: signed(product.edited_version),
            on_hand: product.stock.on_hand,
            allocated: product.stock.allocated,
        })
    }

    pub(super) fn product(self) -> StoreResult<Product> {
        Ok(Product {
            id: ProductId(id(self._id)),
            details: ProductDetails {
                sku: self.sku.parse().map_err(corrupt)?,
                name: self.name,
                description: self.description,
                price: money(self.minor, &self.currency)?,
                attributes: serde_json::from_str(&self.attributes).map_err(corrupt)?,
                tags: self.tags,
                status: match self.status {
                    0 => ProductStatus::Draft,
                    1 => ProductStatus::Active,
                    2 => ProductStatus::Archived,
                    _ => return Err(corrupt("not a status")),
                },
            },
            stock: Stock { on_hand: self.on_hand, allocated: self.allocated },
            version: unsigned(self.version)?,
            edited_version: unsigned(self.edited_version)?,
            created_at: Timestamp::from_millis(self.created_at),
            updated_at: Timestamp::from_millis(self.updated_at),
            deleted_at: self.deleted_at.map(Timestamp::from_millis),
        })
    }
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct ReservationDoc {
    _id: BsonUuid,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    owner: Option<String>,
    state: i32,
    lines: Vec<LineDoc>,
    created_at: i64,
    updated_at: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    expires_at: Option<i64>,
}

#[derive(Debug, Serialize, Deserialize)]
struct LineDoc {
    product: BsonUuid,
    sku: String,
    name: String,
    quantity: i64,
    held: i64,
    minor: i64,
    currency: String,
}

impl ReservationDoc {
    pub(super) fn of(reservation: &Reservation) -> Self {
        let lines = reservation.lines.iter().map(|line| LineDoc {
            product: key(line.product_id.0),
            sku: line.sku.to_string(),
            name: line.name.clone(),
            quantity: line.quantity,
            held: line.held,
            minor: line.unit_price.minor(),
            currency: line.unit_price.currency().code().to_owned(),
        });
        Self {
            _id: key(reservation.id.0),
            owner: reservation.owner.clone(),
            state: state_code(reservation.state),
            lines: lines.collect(),
            created_at: reservation.created_at.as_millis(),
            updated_at: reservation.updated_at.as_millis(),
            expires_at: reservation.expires_at.map(Timestamp::as_millis),
        }
    }

    pub(super) fn reservation(self) -> StoreResult<Reservation> {
        let line = |line: LineDoc| -> StoreResult<ReservedLine> {
            Ok(ReservedLine {
                product_id: ProductId(id(line.product)),
                sku: line.sku.parse().map_err(corrupt)?,
                name: line.name,
                quantity: line.quantity,
                held: line.held,
                unit_price: money(line.minor, &line.currency)?,
            })
        };
        Ok(Reservation {
            id: ReservationId(id(self._id)),
            owner: self.owner,
            state: match self.state {
                0 => ReservationState::Held,
                1 => ReservationState::Committed,
                2 => ReservationState::Released,
                3 => ReservationState::Fulfilled,
                _ => return Err(corrupt("not a state")),
            },
            lines: self.lines.into_iter().map(line).collect::<StoreResult<_>>()?,
            created_at: Timestamp::from_millis(self.created_at),
            updated_at: Timestamp::from_millis(self.updated_at),
            expires_at: self.expires_at.map(Timestamp::from_millis),
        })
    }
}

/// The order of its fields is the order of the list.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(super) struct AdjustmentKey {
    pub(super) product: BsonUuid,
    pub(super) id: BsonUuid,
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct AdjustmentDoc {
    _id: AdjustmentKey,
    delta: i64,
    reason: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    reference: Option<String>,
    on_hand: i64,
    created_at: i64,
}

impl AdjustmentDoc {
    pub(super) fn of(new: &Adjustment) -> Self {
        Self {
            _id: AdjustmentKey { product: key(new.product_id.0), id: key(new.id.0) },
            delta: new.delta,
            reason: new.reason.clone(),
            reference: new.reference.clone(),
            on_hand: new.on_hand,
            created_at: new.created_at.as_millis(),
        }
    }

    pub(super) fn adjustment(self) -> StoreResult<Adjustment> {
        Ok(Adjustment {
            id: AdjustmentId(id(self._id.id)),
            product_id: ProductId(id(self._id.product)),
            delta: self.delta,
            reason: self.reason,
            reference: self.reference,
            on_hand: self.on_hand,
            created_at: Timestamp::from_millis(self.created_at),
        })
    }
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct RecordDoc {
    _id: String,
    fingerprint: Binary,
    status: i32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    location: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    etag: Option<String>,
    body: String,
    at: i64,
}

impl RecordDoc {
    pub(super) fn of(record: &IdempotencyRecord) -> Self {
        Self {
            _id: record.key.as_str().to_owned(),
            fingerprint: Binary { subtype: BinarySubtype::Generic, bytes: record.fingerprint.0.to_vec() },
            status: i32::from(record.answer.status),
            location: record.answer.location.clone(),
            etag: record.answer.etag.clone(),
            body: record.answer.body.clone(),
            at: record.at.as_millis(),
        }
    }

    pub(super) fn record(self) -> StoreResult<IdempotencyRecord> {
        Ok(IdempotencyRecord {
            key: self._id.parse().map_err(corrupt)?,
            fingerprint: Fingerprint(
                self.fingerprint.bytes.try_into().map_err(|_| corrupt("not a fingerprint"))?,
            ),
            answer: StoredAnswer {
                status: u16::try_from(self.status).map_err(corrupt)?,
                location: self.location,
                etag: self.etag,
                body: self.body,
            },
            at: Timestamp::from_millis(self.at),
        })
    }
}
