//! Stores that break the contract, each in one deliberate way: they prove that the suite can fail.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use shop_core::{Clock, Limit, PageRequest, StoreErrorKind, StoreResult, SystemClock, Timestamp};

use crate::store::memory::MemoryProductStore;
use crate::store::{
    ChangeSet, Footprint, ProductChange, ProductChanges, ProductKey, ProductQuery, ProductStore,
    ReservationQuery, Snapshot,
};
use crate::testing::ProductStoreFactory;
use crate::{Adjustment, AdjustmentId, HeldKey, Product, ProductId, Reservation};

/// What a [`BrokenStore`] does wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// Edits overwrite whatever version is there.
    IgnoresVersions,
    /// Reservations overwrite whatever state is there.
    IgnoresReservationStates,
    /// Stock changes whatever the details are now.
    IgnoresEditedVersions,
    /// A taken SKU is no conflict: the new product is dropped silently.
    IgnoresSkus,
    /// A key that is there is no conflict.
    IgnoresKeys,
    /// Stock that would not be sound is left as it is, and the rest written.
    SkipsUnsoundStock,
    /// The parts of a change set are written one after another.
    WritesInParts,
    /// The caller's going away stops a commit between two of its parts.
    StopsWhenDropped,
    /// Reservations are not kept.
    LosesReservations,
    /// The lines of a reservation that need not be written again are gone.
    LosesLines,
    /// A reservation that is there has its lines for ever.
    NeverWritesLines,
    /// Idempotency records are not kept.
    LosesRecords,
    /// Adjustments are not kept.
    LosesAdjustments,
    /// What is read is what was there at the reading before.
    ReadsStale,
    /// Reservations come without the products of their lines.
    LeavesOutProducts,
    /// Deleted products are gone.
    ForgetsDeleted,
    /// Nothing expires.
    NeverExpires,
    /// Everything held with a time to expire has expired.
    ExpiresEarly,
    /// Pages are counted off, not keyed.
    PagesByOffset,
    /// Descending lists are ascending.
    IgnoresDirection,
    /// `in_stock` is not looked at.
    IgnoresInStock,
    /// Words are not looked at.
    IgnoresWords,
    /// The newest adjustments are last.
    AdjustmentsOldestFirst,
    /// Of held reservations the owner is not looked at.
    IgnoresOwners,
    /// A purge takes what is newer, too.
    PurgesTooMuch,
    /// Opened anew it is empty.
    NotDurable,
    /// Says that nothing was changed, whatever was.
    TellsNothing,
    /// Says nothing of what was before, nor that it does not.
    TellsNoGap,
}

/// A memory store with a fault.
#[derive(Debug, Clone)]
pub struct BrokenStore {
    fault: Fault,
    inner: MemoryProductStore,
    memory: Arc<Mutex<Remembered>>,
}

#[derive(Debug, Default)]
struct Remembered {
    loads: Vec<(Footprint, Snapshot)>,
    offset: usize,
}

/// Gives stores with a fault to the suite.
#[derive(Debug, Clone, Copy)]
pub struct BrokenFactory(pub Fault);

#[async_trait]
impl ProductStoreFactory for BrokenFactory {
    type Guard = BrokenStore;

    async fn fresh(&self) -> (BrokenStore, Arc<dyn ProductStore>) {
        let store =
            BrokenStore { fault: self.0, inner: MemoryProductStore::default(), memory: Arc::default() };
        (store.clone(), Arc::new(store))
    }

    async fn reopen(&self, guard: &BrokenStore) -> Arc<dyn ProductStore> {
        if self.0 == Fault::NotDurable {
            return self.fresh().await.1;
        }
        Arc::new(guard.clone())
    }
}

impl BrokenStore {
    /// The change set as the fault has it.
    async fn bent(&self, changes: &ChangeSet) -> StoreResult<ChangeSet> {
        let mut changes = changes.clone();
        let footprint = Footprint {
            products: changes
                .edited
                .iter()
                .map(|edit| edit.product.id)
                .chain(changes.stock.iter().map(|change| change.product_id))
                .collect(),
            skus: changes.created.iter().map(|product| product.details.sku.clone()).collect(),
            reservations: changes.reservations.iter().map(|write| write.reservation.id).collect(),
            keys: changes.records.iter().map(|record| record.key.clone()).collect(),
            expired: 0,
        };
        let there = self.inner.load(&footprint).await?;
        match self.fault {
            Fault::IgnoresVersions => {
                for edit in &mut changes.edited {
                    if let Some(product) = there.products.get(&edit.product.id) {
                        edit.expected_version = product.version;
                    }
                }
            }
            Fault::IgnoresReservationStates => {
                for write in &mut changes.reservations {
                    let found = there.reservations.get(&write.reservation.id);
                    write.expected = found.map(|found| (found.state, found.updated_at));
                }
            }
            Fault::IgnoresEditedVersions => {
                changes.stock.iter_mut().for_each(|change| change.expected_edited_version = None);
            }
            Fault::IgnoresSkus => {
                let taken =
                    |product: &Product| there.products.values().any(|p| p.details.sku == product.details.sku);
                changes.created.retain(|product| !taken(product));
            }
            Fault::IgnoresKeys => changes.records.retain(|record| !there.records.contains_key(&record.key)),
            Fault::SkipsUnsoundStock => changes.stock.retain(|change| {
                let stock = there.products.get(&change.product_id).map(|product| product.stock);
                stock.is_some_and(|stock| stock.changed(change.on_hand, change.allocated).is_some())
            }),
            Fault::LosesReservations => changes.reservations.clear(),
            Fault::LosesLines => {
                let kept = changes.reservations.iter_mut().filter(|write| write.keeps_lines);
                kept.for_each(|write| write.reservation.lines.clear());
            }
            Fault::NeverWritesLines => {
                for write in &mut changes.reservations {
                    if let Some(found) = there.reservations.get(&write.reservation.id) {
                        write.reservation.lines.clone_from(&found.lines);
                    }
                }
            }
            Fault::LosesRecords => changes.records.clear(),
            Fault::LosesAdjustments => changes.adjustments.clear(),
            _ => {}
        }
        Ok(changes)
    }

    async fn in_parts(&self, changes: ChangeSet) -> StoreResult<()> {
        let ChangeSet { created, edited, stock, reservations, adjustments, records } = changes;
        for part in [
            ChangeSet { created, ..ChangeSet::default() },
            ChangeSet { edited, ..ChangeSet::default() },
            ChangeSet { stock, ..ChangeSet::default() },
            ChangeSet { reservations, ..ChangeSet::default() },
            ChangeSet { adjustments, ..ChangeSet::default() },
            ChangeSet { records, ..ChangeSet::default() },
        ] {
            self.inner.commit(&part).await?;
            tokio::task::yield_now().await;
        }
        Ok(())
    }
}

#[async_trait]
impl ProductStore for BrokenStore {
    async fn load(&self, footprint: &Footprint) -> StoreResult<Snapshot> {
        let mut found = self.inner.load(footprint).await?;
        match self.fault {
            Fault::ReadsStale => {
                let mut memory = self.memory.lock().unwrap_or_else(PoisonError::into_inner);
                match memory.loads.iter_mut().find(|(asked, _)| asked == footprint) {
                    Some((_, before)) => std::mem::swap(before, &mut found),
                    None => memory.loads.push((footprint.clone(), found.clone())),
                }
            }
            Fault::LeavesOutProducts => {
                let Footprint { products, skus, .. } = footprint;
                found
                    .products
                    .retain(|id, product| products.contains(id) || skus.contains(&product.details.sku));
            }
            Fault::ForgetsDeleted => found.products.retain(|_, product| product.deleted_at.is_none()),
            Fault::NeverExpires => found.reservations.retain(|id, _| footprint.reservations.contains(id)),
            Fault::ExpiresEarly if footprint.expired > 0 => {
                let held =
                    self.inner.reservations(&ReservationQuery::default(), &PageRequest::default()).await?;
                let early = held.into_iter().filter(|held| held.expires_at.is_some());
                found.reservations.extend(early.map(|held| (held.id, held)));
            }
            _ => {}
        }
        Ok(found)
    }

    async fn commit(&self, changes: &ChangeSet) -> StoreResult<()> {
        let bent = self.bent(changes).await?;
        match self.fault {
            Fault::WritesInParts => self.in_parts(bent).await,
            // Right as long as the caller stays.
            Fault::StopsWhenDropped if self.would_hold(&bent).await => self.in_parts(bent).await,
            _ => self.inner.commit(&bent).await,
        }
    }

    async fn products(
        &self,
        query: &ProductQuery,
        page: &PageRequest<ProductKey>,
    ) -> StoreResult<Vec<Product>> {
        let (mut query, page) = (query.clone(), page.clone());
        match self.fault {
            Fault::IgnoresDirection => query.sort.descending = false,
            Fault::IgnoresInStock => query.in_stock = None,
            Fault::IgnoresWords => query.text = None,
            Fault::PagesByOffset => return self.by_offset(&query, &page).await,
            _ => {}
        }
        self.inner.products(&query, &page).await
    }

    async fn count_products(&self, query: &ProductQuery) -> StoreResult<u64> {
        self.inner.count_products(query).await
    }

    async fn reservations(
        &self,
        query: &ReservationQuery,
        page: &PageRequest<HeldKey>,
    ) -> StoreResult<Vec<Reservation>> {
        let mut query = query.clone();
        if self.fault == Fault::IgnoresOwners {
            query.owner = None;
        }
        self.inner.reservations(&query, page).await
    }

    async fn adjustments(
        &self,
        product: ProductId,
        page: &PageRequest<AdjustmentId>,
    ) -> StoreResult<Vec<Adjustment>> {
        let mut found = self.inner.adjustments(product, page).await?;
        if self.fault == Fault::AdjustmentsOldestFirst {
            found.reverse();
        }
        Ok(found)
    }

    async fn purge(&self, before: Timestamp, limit: usize) -> StoreResult<u64> {
        let before =
            if self.fault == Fault::PurgesTooMuch { before.plus(Duration::from_secs(60)) } else { before };
        self.inner.purge(before, limit).await
    }

    async fn ping(&self) -> StoreResult<()> {
        self.inner.ping().await
    }

    fn changes(&self) -> Option<Box<dyn ProductChanges>> {
        let begun = match self.fault {
            Fault::TellsNothing => false,
            Fault::TellsNoGap => true,
            _ => return self.inner.changes(),
        };
        Some(Box::new(Mute { begun }))
    }
}

/// Says that nothing was changed.
#[derive(Debug)]
struct Mute {
    begun: bool,
}

#[async_trait]
impl ProductChanges for Mute {
    async fn next(&mut self) -> StoreResult<ProductChange> {
        tokio::task::yield_now().await;
        let begun = std::mem::replace(&mut self.begun, true);
        Ok(if begun { ProductChange::Current(SystemClock.now()) } else { ProductChange::Gap })
    }
}

impl BrokenStore {
    async fn by_offset(
        &self,
        query: &ProductQuery,
        page: &PageRequest<ProductKey>,
    ) -> StoreResult<Vec<Product>> {
        let all = PageRequest { limit: Limit::new(Limit::MAX).unwrap_or_default(), after: None };
        let found = self.inner.products(query, &all).await?;
        let mut memory = self.memory.lock().unwrap_or_else(PoisonError::into_inner);
        memory.offset = if page.after.is_some() { memory.offset + page.limit.get() } else { 0 };
        Ok(found.into_iter().skip(memory.offset).take(page.limit.get() + 1).collect())
    }

    /// Whether a change set would be written, found out on a copy.
    async fn would_hold(&self, changes: &ChangeSet) -> bool {
        let copy = MemoryProductStore::default();
        let footprint = Footprint {
            products: changes
                .created
                .iter()
                .map(|product| product.id)
                .chain(changes.edited.iter().map(|edit| edit.product.id))
                .chain(changes.stock.iter().map(|change| change.product_id))
                .collect(),
            skus: changes.created.iter().map(|product| product.details.sku.clone()).collect(),
            reservations: changes.reservations.iter().map(|write| write.reservation.id).collect(),
            keys: changes.records.iter().map(|record| record.key.clone()).collect(),
            expired: 0,
        };
        let Ok(found) = self.inner.load(&footprint).await else { return false };
        let setup = ChangeSet {
            created: found.products.into_values().collect(),
            reservations: found
                .reservations
                .into_values()
                .map(|reservation| crate::store::ReservationWrite {
                    reservation,
                    expected: None,
                    keeps_lines: false,
                })
                .collect(),
            records: found.records.into_values().collect(),
            ..ChangeSet::default()
        };
        let ready = copy.commit(&setup).await.is_ok();
        ready && !copy.commit(changes).await.is_err_and(|error| error.kind() == StoreErrorKind::Conflict)
    }
}

/// Every fault, with the check that catches it.
pub fn caught_by() -> HashMap<&'static str, Vec<Fault>> {
    use Fault::{
        AdjustmentsOldestFirst, ExpiresEarly, ForgetsDeleted, IgnoresDirection, IgnoresEditedVersions,
        IgnoresInStock, IgnoresKeys, IgnoresOwners, IgnoresReservationStates, IgnoresSkus, IgnoresVersions,
        IgnoresWords, LeavesOutProducts, LosesAdjustments, LosesLines, LosesRecords, LosesReservations,
        NeverExpires, NeverWritesLines, NotDurable, PagesByOffset, PurgesTooMuch, ReadsStale,
        SkipsUnsoundStock, StopsWhenDropped, TellsNoGap, TellsNothing, WritesInParts,
    };
    [
        (
            "a_broken_expectation_writes_nothing",
            vec![
                IgnoresVersions,
                IgnoresReservationStates,
                IgnoresEditedVersions,
                IgnoresSkus,
                IgnoresKeys,
                SkipsUnsoundStock,
                WritesInParts,
            ],
        ),
        (
            "every_row_comes_back_as_it_was_written",
            vec![LosesReservations, LosesLines, NeverWritesLines, LosesRecords, LosesAdjustments],
        ),
        ("skus_are_unique_among_live_products", vec![ForgetsDeleted]),
        ("what_was_committed_is_seen_by_every_instance", vec![ReadsStale]),
        ("what_was_committed_survives_reopening", vec![NotDurable, LosesRecords, LosesReservations]),
        ("what_others_commit_is_told", vec![TellsNothing, TellsNoGap]),
        ("a_dropped_commit_is_whole_or_nothing", vec![StopsWhenDropped, WritesInParts]),
        ("a_load_brings_what_reservations_need", vec![LeavesOutProducts, ForgetsDeleted]),
        ("expired_reservations_are_found_by_the_stores_clock", vec![NeverExpires, ExpiresEarly]),
        ("every_order_is_paged_through_once", vec![IgnoresDirection]),
        ("rows_that_come_while_paging_shift_no_other", vec![PagesByOffset]),
        ("filters_narrow_down_together", vec![IgnoresInStock]),
        ("words_are_found", vec![IgnoresWords]),
        ("what_thousands_match_is_listed_as_what_few_do", vec![IgnoresDirection, IgnoresInStock]),
        ("reservations_are_listed_oldest_first", vec![IgnoresOwners]),
        ("adjustments_are_listed_newest_first", vec![AdjustmentsOldestFirst]),
        ("a_purge_takes_only_what_ended_before", vec![PurgesTooMuch]),
        ("a_release_before_the_hold_refuses_it", vec![LosesReservations]),
        ("an_expired_hold_gives_its_units_back", vec![NeverExpires]),
        ("a_deleted_product_keeps_what_is_allocated", vec![ForgetsDeleted, LeavesOutProducts]),
        ("a_key_is_done_once", vec![LosesRecords]),
    ]
    .into()
}
