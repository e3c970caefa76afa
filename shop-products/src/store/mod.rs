//! The storage port of products: [`ProductStore`].

use std::collections::{BTreeSet, HashMap};
use std::fmt;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use shop_core::idempotency::{IdempotencyKey, IdempotencyRecord};
use shop_core::{PageRequest, StoreResult, Timestamp};

use crate::{
    Adjustment, AdjustmentId, HeldKey, Product, ProductId, ProductStatus, Reservation, ReservationId,
    ReservationState, Sku,
};

mod changes;
pub mod memory;
#[cfg(feature = "mongodb")]
pub mod mongodb;
#[cfg(feature = "postgres")]
pub mod postgres;
#[cfg(feature = "sqlite")]
pub mod sqlite;
mod text;

pub use changes::{ChangedProduct, ProductChange, ProductChanges};

/// Where products, stock and reservations are kept.
///
/// # Contract
/// The service decides on a [`Snapshot`] and writes the outcome as one [`ChangeSet`]; a store only keeps it. What must hold:
/// - [`commit`](Self::commit) is atomic and durable: all of a change set or nothing, and once it returned `Ok` a crash of
///   this process, of the store or of the machine does not undo it.
/// - Every write says what it expects; a write whose expectation does not hold fails the whole change set with
///   [`StoreErrorKind::Conflict`](shop_core::StoreErrorKind::Conflict), and the service loads and decides again. The
///   expectation is checked in the same atomic step as the write.
/// - After `Ok` from `commit`, every later [`load`](Self::load) and list of any instance sees the change set.
/// - A clone of a store, or another instance of it over the same data, is the same store.
///
/// # Cancel safety
/// Dropping a future of a store must not leave a transaction open or a connection unusable; whether the commit happened
/// is then unknown.
#[async_trait]
pub trait ProductStore: fmt::Debug + Send + Sync + 'static {
    /// Reads what a batch of decisions needs. What does not exist is absent from the snapshot.
    ///
    /// A deleted product is found by its id, not by its SKU. Parts of a snapshot may be read at slightly different
    /// moments: the expectations of the commit catch what changed between.
    async fn load(&self, footprint: &Footprint) -> StoreResult<Snapshot>;

    /// Writes all of a change set or nothing.
    async fn commit(&self, changes: &ChangeSet) -> StoreResult<()>;

    /// A page of products that are not deleted, in the order of `query.sort`, then by id: up to `limit + 1` rows after
    /// the key, so that the caller sees whether there are more. A row inserted or changed meanwhile shifts no other row.
    async fn products(
        &self,
        query: &ProductQuery,
        page: &PageRequest<ProductKey>,
    ) -> StoreResult<Vec<Product>>;

    /// How many products a query has, on all pages.
    async fn count_products(&self, query: &ProductQuery) -> StoreResult<u64>;

    /// A page of reservations, oldest first: up to `limit + 1` rows.
    async fn reservations(
        &self,
        query: &ReservationQuery,
        page: &PageRequest<HeldKey>,
    ) -> StoreResult<Vec<Reservation>>;

    /// A page of a product's adjustments, newest first: up to `limit + 1` rows.
    async fn adjustments(
        &self,
        product: ProductId,
        page: &PageRequest<AdjustmentId>,
    ) -> StoreResult<Vec<Adjustment>>;

    /// Forgets up to `limit` idempotency records from before `before` and up to `limit` reservations that ended
    /// (released or fulfilled) before it. Returns how many rows went.
    async fn purge(&self, before: Timestamp, limit: usize) -> StoreResult<u64>;

    /// Whether the store can be used now; for readiness.
    async fn ping(&self) -> StoreResult<()>;

    /// A new subscription to what is changed, so that a memory of products can follow the writes of other instances.
    /// `None` if this store does not tell: then what a memory of products holds is as old as its last look at the store.
    ///
    /// Connects nothing yet: the subscription does, when it is first asked.
    fn changes(&self) -> Option<Box<dyn ProductChanges>>;
}

/// What a batch of decisions touches.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Footprint {
    /// Products by id.
    pub products: BTreeSet<ProductId>,
    /// Products by SKU.
    pub skus: BTreeSet<Sku>,
    /// Reservations, each with all products of its lines.
    pub reservations: BTreeSet<ReservationId>,
    /// Idempotency records.
    pub keys: BTreeSet<IdempotencyKey>,
    /// Up to so many held reservations whose `expires_at` has come by the store's clock, with all products of their lines.
    pub expired: usize,
}

/// What a store holds of a footprint.
#[derive(Debug, Clone, PartialEq)]
pub struct Snapshot {
    /// The store's clock at the read.
    pub now: Timestamp,
    /// The products found, deleted ones included when asked for by id or needed by a reservation.
    pub products: HashMap<ProductId, Product>,
    /// The reservations found, expired ones included.
    pub reservations: HashMap<ReservationId, Reservation>,
    /// The idempotency records found.
    pub records: HashMap<IdempotencyKey, IdempotencyRecord>,
}

/// What a batch of decisions writes: all or nothing, each write with what it expects.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ChangeSet {
    /// Expected: no product has this id, no product that is not deleted has this SKU.
    pub created: Vec<Product>,
    /// Whole products, stock included, that replace what is there.
    pub edited: Vec<ProductEdit>,
    /// Changes of stock alone.
    pub stock: Vec<StockChange>,
    /// Reservations with their new state.
    pub reservations: Vec<ReservationWrite>,
    /// Expected: no adjustment has this id.
    pub adjustments: Vec<Adjustment>,
    /// Expected: no record has this key.
    pub records: Vec<IdempotencyRecord>,
}

impl ChangeSet {
    /// Whether there is nothing to write.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// A product that replaces what is there.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ProductEdit {
    /// The product as it is to be.
    pub product: Product,
    /// Expected: the product is there with this version, and no other product that is not deleted has its SKU.
    pub expected_version: u64,
}

/// A change of stock by difference, which commutes with other such changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct StockChange {
    /// Whose stock.
    pub product_id: ProductId,
    /// Added to `on_hand`.
    pub on_hand: i64,
    /// Added to `allocated`. Expected: afterwards `0 ≤ allocated ≤ on_hand`.
    pub allocated: i64,
    /// Added to `version`.
    pub versions: u64,
    /// Expected: the product is there with this `edited_version` (its details are those that the decision saw).
    /// `None`: whatever they are now, as when stock is given back.
    pub expected_edited_version: Option<u64>,
}

/// A reservation with its new state.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ReservationWrite {
    /// The reservation as it is to be.
    pub reservation: Reservation,
    /// Expected: it is in this state and was last changed then; `None`: it is not there.
    pub expected: Option<(ReservationState, Timestamp)>,
    /// Its lines are those that it has in the state that is expected: they need not be written again. `false` for one that is
    /// not there.
    pub keeps_lines: bool,
}

/// Which products a list shows. Fields narrow it down together.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ProductQuery {
    /// Every word of it occurs in the name, the description, the SKU or a tag, in any case; the last word may be the
    /// beginning of one.
    pub text: Option<String>,
    /// Has this SKU.
    pub sku: Option<Sku>,
    /// Has this tag.
    pub tag: Option<String>,
    /// Has this status.
    pub status: Option<ProductStatus>,
    /// Costs at least so much, in ten-thousandths of the major unit of its currency.
    pub price_min: Option<i64>,
    /// Costs at most so much, in ten-thousandths of the major unit of its currency.
    pub price_max: Option<i64>,
    /// `true`: something is available; `false`: nothing is.
    pub in_stock: Option<bool>,
    /// The order.
    pub sort: ProductSort,
}

/// The order of a list of products, and its direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ProductSort {
    /// By what.
    pub field: ProductSortField,
    /// Largest first.
    pub descending: bool,
}

/// What a list of products is sorted by; ties are sorted by id, in the same direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum ProductSortField {
    /// When it was made.
    #[default]
    CreatedAt,
    /// Its name, by Unicode code points.
    Name,
    /// Its SKU, by Unicode code points.
    Sku,
    /// Its price in ten-thousandths of the major unit, whatever the currency.
    Price,
    /// When its details last changed.
    UpdatedAt,
}

/// Place in a list of products: the value sorted by, then the id.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProductKey {
    /// The order that the list has; a cursor of another order is refused.
    pub sort: ProductSort,
    /// The value sorted by.
    pub value: SortValue,
    /// The product.
    pub id: ProductId,
}

/// A value that a list is sorted by.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(untagged)]
pub enum SortValue {
    /// Milliseconds, or ten-thousandths of the major unit.
    Number(i64),
    /// A name or SKU.
    Text(String),
}

impl ProductKey {
    /// A product's place in a list of this order.
    pub fn of(product: &Product, sort: ProductSort) -> Self {
        let value = match sort.field {
            ProductSortField::CreatedAt => SortValue::Number(product.created_at.as_millis()),
            ProductSortField::UpdatedAt => SortValue::Number(product.updated_at.as_millis()),
            ProductSortField::Name => SortValue::Text(product.details.name.clone()),
            ProductSortField::Sku => SortValue::Text(product.details.sku.to_string()),
            ProductSortField::Price => {
                SortValue::Number(product.details.price.ten_thousandths().unwrap_or(i64::MAX))
            }
        };
        Self { sort, value, id: product.id }
    }
}

/// Which reservations a list shows.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ReservationQuery {
    /// In this state.
    pub state: Option<ReservationState>,
    /// Of this owner.
    pub owner: Option<String>,
    /// Made before then.
    pub created_before: Option<Timestamp>,
}
