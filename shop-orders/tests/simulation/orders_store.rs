//! The orders' store through a bad connection: slow, sometimes away, and sometimes silent about what it wrote.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use shop_core::{PageRequest, StoreError, StoreErrorKind, StoreResult, Timestamp};
use shop_orders::store::{ChangeSet, Footprint, OpenSettlement, OrderKey, OrderQuery, Snapshot};
use shop_orders::{Event, Order, OrderId, OrderStore};

use crate::bad_line::BadLine;
use crate::world::Broken;

#[derive(Debug)]
pub(crate) struct BadOrderStore {
    pub(crate) inner: Arc<dyn OrderStore>,
    pub(crate) line: BadLine,
}

impl BadOrderStore {
    /// What a broken store makes of a change set.
    async fn spoilt(&self, changes: &ChangeSet) -> StoreResult<ChangeSet> {
        let mut changes = changes.clone();
        match self.line.world.broken {
            Broken::LosesSettlements => changes.settlements.clear(),
            Broken::LosesOrders if self.line.world.below(4) == 0 => {
                changes.created.clear();
                changes.decisions.clear();
                changes.events.clear();
                changes.records.clear();
                changes.settlements.clear();
            }
            Broken::DecidesBlindly => {
                let reservations = changes.decisions.iter().map(|decision| decision.reservation_id).collect();
                let there =
                    self.inner.load(&Footprint { reservations, ..Footprint::default() }).await?.decisions;
                changes.decisions.retain(|decision| !there.contains_key(&decision.reservation_id));
            }
            _ => {}
        }
        Ok(changes)
    }
}

#[async_trait]
impl OrderStore for BadOrderStore {
    async fn load(&self, footprint: &Footprint) -> StoreResult<Snapshot> {
        self.line.before().await?;
        let found = self.inner.load(footprint).await;
        self.line.after().await;
        found
    }

    async fn commit(&self, changes: &ChangeSet) -> StoreResult<()> {
        self.line.before().await?;
        let unknown = || StoreError::new(StoreErrorKind::Unknown, "commit");
        if self.line.is_broken() {
            self.line.after().await;
            return Err(unknown());
        }
        let written = self.inner.commit(&self.spoilt(changes).await?).await;
        let said = written.is_ok();
        if said {
            self.line.world.decided(changes);
        }
        let is_silent = said && self.line.is_broken();
        self.line.after().await;
        if is_silent { Err(unknown()) } else { written }
    }

    async fn orders(&self, query: &OrderQuery, page: &PageRequest<OrderKey>) -> StoreResult<Vec<Order>> {
        self.line.before().await?;
        self.inner.orders(query, page).await
    }

    async fn count_orders(&self, query: &OrderQuery) -> StoreResult<u64> {
        self.line.before().await?;
        self.inner.count_orders(query).await
    }

    async fn events(&self, of: Option<OrderId>, after: u64, limit: usize) -> StoreResult<Vec<Event>> {
        self.line.before().await?;
        self.inner.events(of, after, limit).await
    }

    async fn claim_settlements(&self, lease: Duration, limit: usize) -> StoreResult<Vec<OpenSettlement>> {
        self.line.before().await?;
        let claimed = self.inner.claim_settlements(lease, limit).await;
        self.line.after().await;
        claimed
    }

    async fn close_settlements(&self, sequences: &[u64]) -> StoreResult<()> {
        self.line.before().await?;
        let closed = self.inner.close_settlements(sequences).await;
        self.line.after().await;
        closed
    }

    async fn open_settlements(&self, limit: usize) -> StoreResult<(u64, Vec<OpenSettlement>)> {
        self.line.before().await?;
        self.inner.open_settlements(limit).await
    }

    async fn purge(&self, records: Timestamp, decisions: Timestamp, limit: usize) -> StoreResult<u64> {
        self.line.before().await?;
        self.inner.purge(records, decisions, limit).await
    }

    async fn ping(&self) -> StoreResult<()> {
        self.line.before().await
    }
}
