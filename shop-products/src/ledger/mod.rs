//! The decisions: what a batch of commands, in arrival order, makes of a snapshot. Pure: no I/O, no clock of its own.
//!
//! A command is checked in full before it changes anything, so a refused command changes nothing. The working copy at the
//! end and the snapshot differ by exactly the [`ChangeSet`].

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use shop_core::idempotency::{IdempotencyKey, IdempotencyRecord, Keyed, Replay, StoredAnswer};
use shop_core::{StoreError, StoreErrorKind, Timestamp};

use crate::store::{ChangeSet, ProductEdit, ReservationWrite, Snapshot, StockChange};
use crate::view::{ViewRow, Written};
use crate::{
    Adjustment, Product, ProductError, ProductId, ProductRef, Reservation, ReservationId, ReservationState,
    Sku, Stock,
};

mod command;
mod products;
mod reservations;
#[cfg(test)]
mod tests;

pub(crate) use command::{Command, Outcome};

/// A working copy of a snapshot, on which a batch is decided.
#[derive(Debug)]
pub(crate) struct Ledger {
    now: Timestamp,
    products: HashMap<ProductId, ProductEntry>,
    /// Of the products that are not deleted.
    skus: HashMap<Sku, ProductId>,
    reservations: HashMap<ReservationId, ReservationEntry>,
    records: HashMap<IdempotencyKey, IdempotencyRecord>,
    new_records: Vec<IdempotencyRecord>,
    adjustments: Vec<Adjustment>,
    expired: usize,
}

#[derive(Debug)]
struct ProductEntry {
    product: Product,
    /// As the store has it; `None` for a product made in this batch.
    origin: Option<Origin>,
    change: Change,
}

#[derive(Debug, Clone, Copy)]
struct Origin {
    stock: Stock,
    version: u64,
    edited_version: u64,
}

/// How a product was changed, which says how it is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Change {
    None,
    /// Stock alone, by difference. `relies`: on the details being what they were, as a hold does.
    Stock {
        relies: bool,
    },
    /// The whole product.
    Whole,
}

#[derive(Debug)]
struct ReservationEntry {
    reservation: Reservation,
    origin: Option<(ReservationState, Timestamp)>,
    changed: bool,
    shrunk: bool,
}

/// What a batch comes to.
#[derive(Debug)]
pub(crate) struct Decided {
    pub(crate) changes: ChangeSet,
    /// Every product of the working copy, for the view.
    pub(crate) rows: Vec<Written>,
    /// Those of them whose details are as the store has them.
    pub(crate) unedited: Vec<Product>,
    /// Reservations released since they had expired.
    pub(crate) expired: usize,
}

impl Ledger {
    /// A working copy, in which expired reservations are released already.
    pub(crate) fn new(snapshot: Snapshot) -> Self {
        let Snapshot { now, products, reservations, records } = snapshot;
        let skus = products
            .values()
            .filter(|product| product.deleted_at.is_none())
            .map(|product| (product.details.sku.clone(), product.id))
            .collect();
        let products =
            products.into_iter().map(|(id, product)| (id, ProductEntry::loaded(product))).collect();
        let reservations = reservations
            .into_iter()
            .map(|(id, reservation)| {
                let origin = Some((reservation.state, reservation.updated_at));
                (id, ReservationEntry { reservation, origin, changed: false, shrunk: false })
            })
            .collect();
        let mut ledger = Self {
            now,
            products,
            skus,
            reservations,
            records,
            new_records: Vec::new(),
            adjustments: Vec::new(),
            expired: 0,
        };
        ledger.release_expired();
        ledger
    }

    /// The write that makes the store what the working copy is.
    pub(crate) fn finish(self) -> Decided {
        let mut changes =
            ChangeSet { adjustments: self.adjustments, records: self.new_records, ..ChangeSet::default() };
        let mut rows = Vec::with_capacity(self.products.len());
        let mut unedited = Vec::new();
        for ProductEntry { product, origin, change } in self.products.into_values() {
            let from = origin.map(|origin| origin.version);
            rows.push(Written { row: ViewRow::of(&product), from });
            match (change, origin) {
                (Change::None, _) => unedited.push(product),
                (_, None) => changes.created.push(product),
                (Change::Whole, Some(origin)) => {
                    changes.edited.push(ProductEdit { product, expected_version: origin.version });
                }
                (Change::Stock { relies }, Some(origin)) => {
                    changes.stock.push(StockChange {
                        product_id: product.id,
                        on_hand: product.stock.on_hand - origin.stock.on_hand,
                        allocated: product.stock.allocated - origin.stock.allocated,
                        versions: product.version - origin.version,
                        expected_edited_version: relies.then_some(origin.edited_version),
                    });
                    unedited.push(product);
                }
            }
        }
        let changed = self.reservations.into_values().filter(|entry| entry.changed);
        changes.reservations = changed
            .map(|ReservationEntry { reservation, origin, shrunk, .. }| {
                let keeps_lines = origin.is_some() && !shrunk;
                ReservationWrite { reservation, expected: origin, keeps_lines }
            })
            .collect();
        // In the order of their ids, always: stores that lock row by row do not meet head-on.
        changes.created.sort_unstable_by_key(|product| product.id);
        changes.edited.sort_unstable_by_key(|edit| edit.product.id);
        changes.stock.sort_unstable_by_key(|change| change.product_id);
        changes.reservations.sort_unstable_by_key(|write| write.reservation.id);
        Decided { changes, rows, unedited, expired: self.expired }
    }

    /// The answer that a key was given before.
    fn replay<T>(&self, keyed: Option<&Keyed<T>>) -> Result<Option<StoredAnswer>, ProductError> {
        let Some(keyed) = keyed else { return Ok(None) };
        match self.records.get(&keyed.idempotency.key).map(|record| record.replay(&keyed.idempotency)) {
            None => Ok(None),
            Some(Replay::Stored(answer)) => Ok(Some(answer)),
            Some(Replay::Mismatch) => Err(ProductError::KeyReused),
        }
    }

    /// Keeps the answer to a fresh outcome, unless the answer is a refusal: that is decided anew.
    fn record<T>(&mut self, keyed: Option<&Keyed<T>>, outcome: &T) {
        let Some(keyed) = keyed else { return };
        let answer = (keyed.answer)(outcome);
        if answer.status >= 400 {
            return;
        }
        let record = IdempotencyRecord {
            key: keyed.idempotency.key.clone(),
            fingerprint: keyed.idempotency.fingerprint,
            answer,
            at: self.now,
        };
        self.new_records.push(record.clone());
        self.records.insert(record.key.clone(), record);
    }

    /// The product, deleted or not.
    fn find(&self, product: &ProductRef) -> Option<&Product> {
        let id = match product {
            ProductRef::Id(id) => id,
            ProductRef::Sku(sku) => self.skus.get(sku)?,
        };
        self.products.get(id).map(|entry| &entry.product)
    }

    /// The product, if it is not deleted.
    fn live(&self, product: &ProductRef) -> Result<&Product, ProductError> {
        self.find(product).filter(|product| product.deleted_at.is_none()).ok_or(ProductError::NotFound)
    }

    fn entry(&mut self, id: ProductId) -> &mut ProductEntry {
        self.products.get_mut(&id).expect("looked up before it is changed")
    }

    fn add(&mut self, product: Product) {
        self.skus.insert(product.details.sku.clone(), product.id);
        if let Entry::Vacant(place) = self.products.entry(product.id) {
            place.insert(ProductEntry { product, origin: None, change: Change::Whole });
        }
    }
}

impl ProductEntry {
    fn loaded(product: Product) -> Self {
        let origin =
            Origin { stock: product.stock, version: product.version, edited_version: product.edited_version };
        Self { product, origin: Some(origin), change: Change::None }
    }

    /// Changes stock alone. The caller has checked that the result is sound.
    fn move_stock(&mut self, on_hand: i64, allocated: i64, relies: bool) {
        self.product.stock.on_hand += on_hand;
        self.product.stock.allocated += allocated;
        self.product.version += 1;
        self.change = match self.change {
            Change::Whole => Change::Whole,
            Change::Stock { relies: before } => Change::Stock { relies: before || relies },
            Change::None => Change::Stock { relies },
        };
    }

    /// Marks a change of the whole product that is not one of its details.
    fn touch(&mut self) {
        self.product.version += 1;
        self.change = Change::Whole;
    }

    /// Marks a change of its details.
    fn edit(&mut self, now: Timestamp) {
        self.touch();
        self.product.edited_version = self.product.version;
        self.product.updated_at = now;
    }
}

/// A store that gave a reservation without the products of its lines.
fn incomplete() -> ProductError {
    StoreError::new(StoreErrorKind::Corrupt, "load the products of a reservation").into()
}
