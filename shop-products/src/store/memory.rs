//! The memory store: for tests, demonstrations, and shops that begin anew with every start.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use shop_core::idempotency::{IdempotencyKey, IdempotencyRecord};
use shop_core::{Clock, PageRequest, StoreError, StoreResult, SystemClock, Timestamp};

use super::{
    ChangeSet, Footprint, ProductChanges, ProductKey, ProductQuery, ProductSort, ProductSortField,
    ProductStore, ReservationQuery, Snapshot, SortValue, text,
};
use crate::{
    Adjustment, AdjustmentId, HeldKey, Product, ProductId, Reservation, ReservationId, ReservationState, Sku,
};

/// [`ProductStore`] in memory. Clones share what they hold; it is gone with the last of them.
#[derive(Debug, Clone)]
pub struct MemoryProductStore {
    state: Arc<Mutex<State>>,
    clock: Arc<dyn Clock>,
}

#[derive(Debug, Default)]
struct State {
    products: HashMap<ProductId, Arc<Product>>,
    /// Of the products that are not deleted.
    skus: HashMap<Sku, ProductId>,
    /// Places in the lists of products that are not deleted, one for each order.
    sorted: [BTreeSet<(SortValue, ProductId)>; SORTS.len()],
    reservations: HashMap<ReservationId, Reservation>,
    /// Places in the list of all reservations, and in that of the held ones.
    listed: BTreeSet<HeldKey>,
    held: BTreeSet<HeldKey>,
    expiring: BTreeSet<(Timestamp, ReservationId)>,
    ended: BTreeSet<(Timestamp, ReservationId)>,
    adjustments: BTreeMap<(ProductId, AdjustmentId), Adjustment>,
    records: HashMap<IdempotencyKey, IdempotencyRecord>,
    recorded: BTreeSet<(Timestamp, IdempotencyKey)>,
}

const SORTS: [ProductSortField; 5] = [
    ProductSortField::CreatedAt,
    ProductSortField::Name,
    ProductSortField::Sku,
    ProductSortField::Price,
    ProductSortField::UpdatedAt,
];

impl Default for MemoryProductStore {
    fn default() -> Self {
        Self::new()
    }
}

impl MemoryProductStore {
    /// An empty store.
    pub fn new() -> Self {
        Self::with_clock(Arc::new(SystemClock))
    }

    /// An empty store whose time is this clock's.
    pub fn with_clock(clock: Arc<dyn Clock>) -> Self {
        Self { state: Arc::default(), clock }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A change is checked in full before it begins, so there is no half-made state to be afraid of.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl ProductStore for MemoryProductStore {
    async fn load(&self, footprint: &Footprint) -> StoreResult<Snapshot> {
        let now = self.clock.now();
        Ok(self.state().snapshot(footprint, now))
    }

    async fn commit(&self, changes: &ChangeSet) -> StoreResult<()> {
        let mut state = self.state();
        state.check(changes)?;
        state.apply(changes);
        Ok(())
    }

    async fn products(
        &self,
        query: &ProductQuery,
        page: &PageRequest<ProductKey>,
    ) -> StoreResult<Vec<Product>> {
        let state = self.state();
        let asked = text::words_asked(query);
        let found = state.in_order(query.sort, page.after.as_ref());
        let found = found.filter(|product| matches(query, &asked, product));
        Ok(found.take(page.limit.get() + 1).map(|product| product.as_ref().clone()).collect())
    }

    async fn count_products(&self, query: &ProductQuery) -> StoreResult<u64> {
        let state = self.state();
        let asked = text::words_asked(query);
        let found = state.in_order(query.sort, None);
        Ok(found.filter(|product| matches(query, &asked, product)).count() as u64)
    }

    async fn reservations(
        &self,
        query: &ReservationQuery,
        page: &PageRequest<HeldKey>,
    ) -> StoreResult<Vec<Reservation>> {
        let state = self.state();
        let places = if query.state == Some(ReservationState::Held) { &state.held } else { &state.listed };
        let after = page.after.map_or(Bound::Unbounded, Bound::Excluded);
        let found = places
            .range((after, Bound::Unbounded))
            .take_while(|place| query.created_before.is_none_or(|before| place.0 < before))
            .filter_map(|place| state.reservations.get(&place.1))
            .filter(|reservation| query.state.is_none_or(|state| reservation.state == state))
            .filter(|reservation| query.owner.is_none() || reservation.owner == query.owner);
        Ok(found.take(page.limit.get() + 1).cloned().collect())
    }

    async fn adjustments(
        &self,
        product: ProductId,
        page: &PageRequest<AdjustmentId>,
    ) -> StoreResult<Vec<Adjustment>> {
        use shop_core::id::Uuid;
        let state = self.state();
        let first = (product, AdjustmentId(Uuid::nil()));
        let last = page.after.map_or(Bound::Included((product, AdjustmentId(Uuid::max()))), |id| {
            Bound::Excluded((product, id))
        });
        let found =
            state.adjustments.range((Bound::Included(first), last)).rev().map(|(_, adjustment)| adjustment);
        Ok(found.take(page.limit.get() + 1).cloned().collect())
    }

    async fn purge(&self, before: Timestamp, limit: usize) -> StoreResult<u64> {
        let mut state = self.state();
        let mut gone = 0;
        for _ in 0..limit {
            match state.recorded.first() {
                Some((at, _)) if *at < before => {}
                _ => break,
            }
            if let Some((_, key)) = state.recorded.pop_first() {
                state.records.remove(&key);
                gone += 1;
            }
        }
        for _ in 0..limit {
            let Some((_, id)) = state.ended.first().copied().filter(|(at, _)| *at < before) else { break };
            state.remove_reservation(id);
            gone += 1;
        }
        Ok(gone)
    }

    async fn ping(&self) -> StoreResult<()> {
        Ok(())
    }

    fn changes(&self) -> Option<Box<dyn ProductChanges>> {
        // Its instances are of one process, and mostly one.
        None
    }
}

fn matches(query: &ProductQuery, asked: &[String], product: &Product) -> bool {
    let details = &product.details;
    let price = details.price.ten_thousandths().unwrap_or(i64::MAX);
    query.sku.as_ref().is_none_or(|sku| details.sku == *sku)
        && query.tag.as_ref().is_none_or(|tag| details.tags.contains(tag))
        && query.status.is_none_or(|status| details.status == status)
        && query.price_min.is_none_or(|min| price >= min)
        && query.price_max.is_none_or(|max| price <= max)
        && query.in_stock.is_none_or(|wanted| (product.stock.available() > 0) == wanted)
        && text::has_words(product, asked)
}

impl State {
    fn snapshot(&self, footprint: &Footprint, now: Timestamp) -> Snapshot {
        let mut reservations: HashMap<_, _> = footprint
            .reservations
            .iter()
            .filter_map(|id| self.reservations.get(id).map(|found| (*id, found.clone())))
            .collect();
        for (_, id) in self.expiring.iter().take_while(|(at, _)| *at <= now).take(footprint.expired) {
            reservations.extend(self.reservations.get(id).map(|found| (*id, found.clone())));
        }
        let by_sku = footprint.skus.iter().filter_map(|sku| self.skus.get(sku)).copied();
        let by_line = reservations.values().flat_map(|held| held.lines.iter().map(|line| line.product_id));
        let products = footprint
            .products
            .iter()
            .copied()
            .chain(by_sku)
            .chain(by_line)
            .filter_map(|id| self.products.get(&id).map(|found| (id, found.as_ref().clone())))
            .collect();
        let records = footprint
            .keys
            .iter()
            .filter_map(|key| self.records.get(key).map(|record| (key.clone(), record.clone())))
            .collect();
        Snapshot { now, products, reservations, records }
    }

    /// Whether every expectation of a change set holds.
    fn check(&self, changes: &ChangeSet) -> StoreResult<()> {
        let holds = self.products_hold(changes)
            && changes.stock.iter().all(|change| {
                self.products.get(&change.product_id).is_some_and(|product| {
                    let same = change
                        .expected_edited_version
                        .is_none_or(|version| product.edited_version == version);
                    same && product.stock.changed(change.on_hand, change.allocated).is_some()
                })
            })
            && changes.reservations.iter().all(|write| {
                let there = self.reservations.get(&write.reservation.id);
                there.map(|reservation| (reservation.state, reservation.updated_at)) == write.expected
            })
            && changes
                .adjustments
                .iter()
                .all(|new| !self.adjustments.contains_key(&(new.product_id, new.id)))
            && changes.records.iter().all(|record| !self.records.contains_key(&record.key));
        if holds { Ok(()) } else { Err(StoreError::conflict("commit to memory")) }
    }

    fn products_hold(&self, changes: &ChangeSet) -> bool {
        let edits: HashMap<_, _> =
            changes.edited.iter().map(|edit| (edit.product.id, &edit.product)).collect();
        let versions = changes.edited.iter().all(|edit| {
            self.products
                .get(&edit.product.id)
                .is_some_and(|product| product.version == edit.expected_version)
        });
        let new = changes.created.iter().all(|product| !self.products.contains_key(&product.id));
        let sound =
            changes.created.iter().chain(edits.values().copied()).all(|p| p.stock.changed(0, 0).is_some());
        // SKUs as they will be, when those that this very change set frees are free.
        let mut taken = HashSet::new();
        let unique = changes
            .created
            .iter()
            .chain(edits.values().copied())
            .filter(|product| product.deleted_at.is_none())
            .all(|product| {
                let sku = &product.details.sku;
                let holder = self.skus.get(sku).filter(|holder| !edits.contains_key(holder));
                holder.is_none() && taken.insert(sku)
            });
        versions && new && sound && unique
    }

    fn apply(&mut self, changes: &ChangeSet) {
        for edit in &changes.edited {
            self.unlist(edit.product.id);
        }
        for product in changes.created.iter().chain(changes.edited.iter().map(|edit| &edit.product)) {
            self.list(product);
            self.products.insert(product.id, Arc::new(product.clone()));
        }
        for change in &changes.stock {
            if let Some(product) = self.products.get_mut(&change.product_id) {
                let product = Arc::make_mut(product);
                product.stock.on_hand += change.on_hand;
                product.stock.allocated += change.allocated;
                product.version += change.versions;
            }
        }
        for write in &changes.reservations {
            self.remove_reservation(write.reservation.id);
            self.add_reservation(write.reservation.clone());
        }
        for adjustment in &changes.adjustments {
            self.adjustments.insert((adjustment.product_id, adjustment.id), adjustment.clone());
        }
        for record in &changes.records {
            self.recorded.insert((record.at, record.key.clone()));
            self.records.insert(record.key.clone(), record.clone());
        }
    }

    fn list(&mut self, product: &Product) {
        if product.deleted_at.is_none() {
            self.skus.insert(product.details.sku.clone(), product.id);
            for (field, places) in SORTS.into_iter().zip(&mut self.sorted) {
                places.insert(place(product, field));
            }
        }
    }

    fn unlist(&mut self, id: ProductId) {
        let Some(product) = self.products.get(&id).filter(|product| product.deleted_at.is_none()) else {
            return;
        };
        self.skus.remove(&product.details.sku);
        for (field, places) in SORTS.into_iter().zip(&mut self.sorted) {
            places.remove(&place(product, field));
        }
    }

    fn in_order(
        &self,
        sort: ProductSort,
        after: Option<&ProductKey>,
    ) -> Box<dyn Iterator<Item = &Arc<Product>> + '_> {
        let number = SORTS.iter().position(|field| *field == sort.field).unwrap_or_default();
        let places = &self.sorted[number];
        let after = after.map_or(Bound::Unbounded, |key| Bound::Excluded((key.value.clone(), key.id)));
        let found = |place: &(SortValue, ProductId)| self.products.get(&place.1);
        if sort.descending {
            Box::new(places.range((Bound::Unbounded, after)).rev().filter_map(found))
        } else {
            Box::new(places.range((after, Bound::Unbounded)).filter_map(found))
        }
    }

    fn add_reservation(&mut self, reservation: Reservation) {
        let key = HeldKey(reservation.created_at, reservation.id);
        self.listed.insert(key);
        if reservation.state == ReservationState::Held {
            self.held.insert(key);
            self.expiring.extend(reservation.expires_at.map(|at| (at, reservation.id)));
        }
        if !reservation.state.is_live() {
            self.ended.insert((reservation.updated_at, reservation.id));
        }
        self.reservations.insert(reservation.id, reservation);
    }

    fn remove_reservation(&mut self, id: ReservationId) {
        let Some(reservation) = self.reservations.remove(&id) else { return };
        let key = HeldKey(reservation.created_at, id);
        self.listed.remove(&key);
        self.held.remove(&key);
        self.ended.remove(&(reservation.updated_at, id));
        if let Some(at) = reservation.expires_at {
            self.expiring.remove(&(at, id));
        }
    }
}

fn place(product: &Product, field: ProductSortField) -> (SortValue, ProductId) {
    let key = ProductKey::of(product, ProductSort { field, descending: false });
    (key.value, key.id)
}
