//! A products' instance that dies while it writes.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Waker};

use async_trait::async_trait;
use shop_core::{PageRequest, StoreError, StoreErrorKind, StoreResult, Timestamp};
use shop_products::store::{
    ChangeSet, Footprint, ProductChanges, ProductKey, ProductQuery, ReservationQuery, Snapshot,
};
use shop_products::{Adjustment, AdjustmentId, HeldKey, Product, ProductId, ProductStore, Reservation};
use tokio::sync::Notify;

/// Another store as a process has it that dies in its first commit: from then on nothing is answered.
#[derive(Debug)]
pub(super) struct CrashingProducts {
    inner: Arc<dyn ProductStore>,
    polls: Option<usize>,
    is_dead: AtomicBool,
    died: Notify,
}

impl CrashingProducts {
    /// Dies once the commit was polled so often; `None`: once it is done, and before it is told.
    pub(super) fn over(inner: Arc<dyn ProductStore>, polls: Option<usize>) -> Self {
        Self { inner, polls, is_dead: AtomicBool::new(false), died: Notify::new() }
    }

    /// Waits until it is dead.
    pub(super) async fn death(&self) {
        self.died.notified().await;
    }

    /// As much of a commit as there is time for.
    async fn begin(&self, changes: &ChangeSet) -> StoreResult<()> {
        let mut commit = self.inner.commit(changes);
        let Some(polls) = self.polls else { return commit.await };
        for _ in 0..polls {
            if let Poll::Ready(done) = commit.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
                return done;
            }
            tokio::task::yield_now().await;
        }
        Ok(())
    }

    fn alive(&self) -> StoreResult<()> {
        if self.is_dead.load(Ordering::SeqCst) { Err(died(StoreErrorKind::Unavailable)) } else { Ok(()) }
    }
}

fn died(kind: StoreErrorKind) -> StoreError {
    StoreError::new(kind, "ask a store whose process has died")
}

#[async_trait]
impl ProductStore for CrashingProducts {
    async fn load(&self, footprint: &Footprint) -> StoreResult<Snapshot> {
        self.alive()?;
        self.inner.load(footprint).await
    }

    async fn commit(&self, changes: &ChangeSet) -> StoreResult<()> {
        if self.is_dead.swap(true, Ordering::SeqCst) {
            return Err(died(StoreErrorKind::Unavailable));
        }
        let begun = self.begin(changes).await;
        self.died.notify_one();
        begun?;
        Err(died(StoreErrorKind::Unknown))
    }

    async fn products(
        &self,
        query: &ProductQuery,
        page: &PageRequest<ProductKey>,
    ) -> StoreResult<Vec<Product>> {
        self.alive()?;
        self.inner.products(query, page).await
    }

    async fn count_products(&self, query: &ProductQuery) -> StoreResult<u64> {
        self.alive()?;
        self.inner.count_products(query).await
    }

    async fn reservations(
        &self,
        query: &ReservationQuery,
        page: &PageRequest<HeldKey>,
    ) -> StoreResult<Vec<Reservation>> {
        self.alive()?;
        self.inner.reservations(query, page).await
    }

    async fn adjustments(
        &self,
        product: ProductId,
        page: &PageRequest<AdjustmentId>,
    ) -> StoreResult<Vec<Adjustment>> {
        self.alive()?;
        self.inner.adjustments(product, page).await
    }

    async fn purge(&self, before: Timestamp, limit: usize) -> StoreResult<u64> {
        self.alive()?;
        self.inner.purge(before, limit).await
    }

    async fn ping(&self) -> StoreResult<()> {
        self.alive()
    }

    fn changes(&self) -> Option<Box<dyn ProductChanges>> {
        None
    }
}
