//! Stores that break one promise each. The suite catches every one of them.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use shop_core::{Clock, Limit, PageRequest, StoreError, StoreErrorKind, StoreResult, Timestamp};

use super::{FreshStore, OrderStoreFactory};
use crate::store::memory::MemoryOrderStore;
use crate::store::{ChangeSet, Footprint, OpenSettlement, OrderKey, OrderQuery, Snapshot};
use crate::{Event, Order, OrderId, OrderStore, Outcome};

/// The promise that is broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Breakage {
    /// Two live orders of one key.
    KeysPlaceTwice,
    /// Writes an order in spite of the row that gave its reservation up.
    DecidesBlindly,
    /// Replaces an order whatever its version.
    IgnoresVersions,
    /// Writes an order twice over.
    CreatesAgain,
    /// Loses the settlements of a commit.
    LosesSettlements,
    /// Writes the new orders even if the rest conflicts.
    NotAtomic,
    /// Logs the events of a commit the wrong way round.
    ReversesEvents,
    /// Shows an event's order as it is now.
    EventsShowTheLatest,
    /// Loses the idempotency records.
    ForgetsRecords,
    /// Gives the same settlement to two workers.
    ClaimsTwice,
    /// Closes nothing.
    ClosesNothing,
    /// Lists orders of any status.
    IgnoresFilters,
    /// Pages by counting rows.
    PagesByOffset,
    /// Reads no row beyond the page.
    ReadsNoRowMore,
    /// Gives the same number again.
    RepeatsNumbers,
    /// Purges nothing.
    PurgesNothing,
    /// Drops what is unusual in a text.
    CleansTexts,
    /// Another instance sees nothing.
    OtherInstanceIsBlind,
}

/// Makes memory stores with one breakage.
#[derive(Debug, Clone, Copy)]
pub struct BrokenFactory(pub Breakage);

#[async_trait]
impl OrderStoreFactory for BrokenFactory {
    async fn fresh(&self, clock: Arc<dyn Clock>) -> FreshStore {
        let inner = MemoryOrderStore::with_clock(clock.clone());
        let store = Arc::new(BrokenStore { inner, breakage: self.0, served: Mutex::default() });
        let other: Arc<dyn OrderStore> = match self.0 {
            Breakage::OtherInstanceIsBlind => Arc::new(MemoryOrderStore::with_clock(clock)),
            _ => store.clone(),
        };
        FreshStore { store, other, guard: Box::new(()) }
    }
}

/// A memory store with one breakage.
#[derive(Debug)]
pub struct BrokenStore {
    inner: MemoryOrderStore,
    breakage: Breakage,
    /// Rows that the pages of the list have had.
    served: Mutex<usize>,
}

impl BrokenStore {
    fn is(&self, breakage: Breakage) -> bool {
        self.breakage == breakage
    }

    /// The decisions and orders that a change set is about, as they are.
    async fn around(&self, changes: &ChangeSet) -> StoreResult<Snapshot> {
        let footprint = Footprint {
            orders: changes.edited.iter().map(|edit| edit.order.id).collect(),
            keys: changes.decisions.iter().filter_map(|decision| decision.key.clone()).collect(),
            reservations: changes.decisions.iter().map(|decision| decision.reservation_id).collect(),
            numbers: 0,
        };
        self.inner.load(&footprint).await
    }
}

#[async_trait]
impl OrderStore for BrokenStore {
    async fn load(&self, footprint: &Footprint) -> StoreResult<Snapshot> {
        let mut snapshot = self.inner.load(footprint).await?;
        if self.is(Breakage::RepeatsNumbers) {
            snapshot.first_number = 1;
        }
        Ok(snapshot)
    }

    async fn commit(&self, changes: &ChangeSet) -> StoreResult<()> {
        let mut changes = changes.clone();
        let now = self.around(&changes).await?;
        match self.breakage {
            Breakage::KeysPlaceTwice => {
                let placed = |decision: &&crate::Decision| matches!(decision.outcome, Outcome::Placed(_));
                let taken: Vec<_> =
                    now.decisions.values().filter(placed).map(|decision| decision.key.clone()).collect();
                for decision in changes.decisions.iter_mut().filter(|decision| taken.contains(&decision.key))
                {
                    decision.key = None;
                }
                changes.records.clear();
            }
            Breakage::DecidesBlindly => {
                changes.decisions.retain(|decision| !now.decisions.contains_key(&decision.reservation_id));
            }
            Breakage::IgnoresVersions => {
                for edit in &mut changes.edited {
                    let found = now.orders.get(&edit.order.id);
                    edit.expected_version = found.map_or(edit.expected_version, |order| order.version);
                }
            }
            Breakage::CreatesAgain => {
                let orders = changes.created.iter().map(|order| order.id).collect();
                let found = self.inner.load(&Footprint { orders, ..Footprint::default() }).await?.orders;
                changes.created.retain(|order| !found.contains_key(&order.id));
            }
            Breakage::LosesSettlements => changes.settlements.clear(),
            Breakage::NotAtomic => {
                let first =
                    ChangeSet { created: std::mem::take(&mut changes.created), ..ChangeSet::default() };
                self.inner.commit(&first).await?;
            }
            Breakage::ReversesEvents => changes.events.reverse(),
            Breakage::ForgetsRecords => changes.records.clear(),
            Breakage::CleansTexts => {
                for order in &mut changes.created {
                    for value in order.details.metadata.values_mut() {
                        value.retain(|c| c.is_ascii_alphanumeric());
                    }
                }
            }
            _ => {}
        }
        self.inner.commit(&changes).await
    }

    async fn orders(&self, query: &OrderQuery, page: &PageRequest<OrderKey>) -> StoreResult<Vec<Order>> {
        let mut query = query.clone();
        if self.is(Breakage::IgnoresFilters) {
            query.status = None;
        }
        if self.is(Breakage::PagesByOffset) {
            let all = PageRequest { limit: Limit::new(Limit::MAX).expect("in range"), after: None };
            let rows = self.inner.orders(&query, &all).await?;
            let mut served = self.served.lock().expect("no check panics while it holds this");
            if page.after.is_none() {
                *served = 0;
            }
            let skipped = *served;
            *served += page.limit.get();
            return Ok(rows.into_iter().skip(skipped).take(page.limit.get() + 1).collect());
        }
        let mut rows = self.inner.orders(&query, page).await?;
        if self.is(Breakage::ReadsNoRowMore) {
            rows.truncate(page.limit.get());
        }
        Ok(rows)
    }

    async fn count_orders(&self, query: &OrderQuery) -> StoreResult<u64> {
        self.inner.count_orders(query).await
    }

    async fn events(&self, of: Option<OrderId>, after: u64, limit: usize) -> StoreResult<Vec<Event>> {
        let mut events = self.inner.events(of, after, limit).await?;
        if self.is(Breakage::EventsShowTheLatest) {
            let orders = events.iter().map(|event| event.order_id).collect();
            let now = self.inner.load(&Footprint { orders, ..Footprint::default() }).await?;
            for event in &mut events {
                event.order = now.orders[&event.order_id].clone();
            }
        }
        Ok(events)
    }

    async fn claim_settlements(&self, lease: Duration, limit: usize) -> StoreResult<Vec<OpenSettlement>> {
        let lease = if self.is(Breakage::ClaimsTwice) { Duration::ZERO } else { lease };
        self.inner.claim_settlements(lease, limit).await
    }

    async fn close_settlements(&self, sequences: &[u64]) -> StoreResult<()> {
        if self.is(Breakage::ClosesNothing) {
            return Ok(());
        }
        self.inner.close_settlements(sequences).await
    }

    async fn open_settlements(&self, limit: usize) -> StoreResult<(u64, Vec<OpenSettlement>)> {
        self.inner.open_settlements(limit).await
    }

    async fn purge(
        &self,
        records_before: Timestamp,
        decisions_before: Timestamp,
        limit: usize,
    ) -> StoreResult<u64> {
        if self.is(Breakage::PurgesNothing) {
            return Ok(0);
        }
        self.inner.purge(records_before, decisions_before, limit).await
    }

    async fn ping(&self) -> StoreResult<()> {
        self.inner.ping().await
    }
}

/// What happens to the next commit of a [`FlakyStore`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CommitFault {
    /// It is written; the answer is lost.
    LostAnswer,
    /// It is not written; the answer is lost all the same.
    LostCall,
    /// It is written, and one of the orders that it changed is changed again by another; the answer is lost.
    #[cfg(test)]
    Overtaken,
    /// It met another state.
    Conflict,
}

/// A sound store behind an unsound connection.
#[derive(Debug)]
pub(crate) struct FlakyStore {
    pub(crate) inner: Arc<dyn OrderStore>,
    pub(crate) commits: Mutex<Vec<CommitFault>>,
    /// Whether reads never end.
    pub(crate) stalled: AtomicBool,
    /// Whether nothing reaches it.
    pub(crate) is_away: AtomicBool,
    /// Commits that were passed on.
    pub(crate) written: AtomicUsize,
    /// Those of them that met another state.
    pub(crate) conflicts: AtomicUsize,
}

impl FlakyStore {
    pub(crate) fn over(inner: Arc<dyn OrderStore>) -> Arc<Self> {
        Arc::new(Self {
            inner,
            commits: Mutex::default(),
            stalled: false.into(),
            is_away: false.into(),
            written: 0.into(),
            conflicts: 0.into(),
        })
    }

    /// The next commit meets this, before those that were told earlier.
    pub(crate) fn next(&self, fault: CommitFault) {
        self.commits.lock().expect("no check panics while it holds this").push(fault);
    }

    fn reached(&self) -> StoreResult<()> {
        if self.is_away.load(Ordering::SeqCst) {
            return Err(StoreError::new(StoreErrorKind::Unavailable, "reach a store that is away"));
        }
        Ok(())
    }
}

#[async_trait]
impl OrderStore for FlakyStore {
    async fn load(&self, footprint: &Footprint) -> StoreResult<Snapshot> {
        self.reached()?;
        if self.stalled.load(Ordering::SeqCst) {
            std::future::pending::<()>().await;
        }
        self.inner.load(footprint).await
    }

    async fn commit(&self, changes: &ChangeSet) -> StoreResult<()> {
        self.reached()?;
        let fault = self.commits.lock().expect("no check panics while it holds this").pop();
        let lost = || StoreError::new(StoreErrorKind::Unknown, "commit through a bad connection");
        match fault {
            None => {
                let written = self.inner.commit(changes).await;
                self.written.fetch_add(1, Ordering::SeqCst);
                let is_conflict = |error: &StoreError| error.kind() == StoreErrorKind::Conflict;
                self.conflicts.fetch_add(written.as_ref().is_err_and(is_conflict).into(), Ordering::SeqCst);
                written
            }
            Some(CommitFault::LostAnswer) => {
                self.inner.commit(changes).await?;
                Err(lost())
            }
            #[cfg(test)]
            Some(CommitFault::Overtaken) => {
                self.inner.commit(changes).await?;
                let order = &changes.edited[0].order;
                let at = order.updated_at;
                let next = super::sample::changed(order, crate::EventType::Edited, at, |order| {
                    order.details.reference = Some("another".to_owned());
                });
                self.inner.commit(&next).await?;
                Err(lost())
            }
            Some(CommitFault::LostCall) => Err(lost()),
            Some(CommitFault::Conflict) => Err(StoreError::conflict("commit through a bad connection")),
        }
    }

    async fn orders(&self, query: &OrderQuery, page: &PageRequest<OrderKey>) -> StoreResult<Vec<Order>> {
        self.inner.orders(query, page).await
    }

    async fn count_orders(&self, query: &OrderQuery) -> StoreResult<u64> {
        self.inner.count_orders(query).await
    }

    async fn events(&self, of: Option<OrderId>, after: u64, limit: usize) -> StoreResult<Vec<Event>> {
        self.inner.events(of, after, limit).await
    }

    async fn claim_settlements(&self, lease: Duration, limit: usize) -> StoreResult<Vec<OpenSettlement>> {
        self.inner.claim_settlements(lease, limit).await
    }

    async fn close_settlements(&self, sequences: &[u64]) -> StoreResult<()> {
        self.inner.close_settlements(sequences).await
    }

    async fn open_settlements(&self, limit: usize) -> StoreResult<(u64, Vec<OpenSettlement>)> {
        self.inner.open_settlements(limit).await
    }

    async fn purge(&self, records: Timestamp, decisions: Timestamp, limit: usize) -> StoreResult<u64> {
        self.inner.purge(records, decisions, limit).await
    }

    async fn ping(&self) -> StoreResult<()> {
        self.inner.ping().await
    }
}
