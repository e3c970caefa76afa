//! The products' store through a bad connection.

use std::sync::Arc;

use async_trait::async_trait;
use shop_core::{PageRequest, StoreError, StoreErrorKind, StoreResult, Timestamp};
use shop_products::store::{
    ChangeSet, Footprint, ProductChanges, ProductKey, ProductQuery, ReservationQuery, Snapshot,
};
use shop_products::{
    Adjustment, AdjustmentId, HeldKey, Product, ProductId, ProductStore, Reservation, ReservationState,
};

use crate::bad_line::BadLine;
use crate::world::Broken;

#[derive(Debug)]
pub(crate) struct BadProductStore {
    pub(crate) inner: Arc<dyn ProductStore>,
    pub(crate) line: BadLine,
}

#[async_trait]
impl ProductStore for BadProductStore {
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
        let mut spoilt = changes.clone();
        let releases = changes
            .reservations
            .iter()
            .any(|write| write.reservation.state == ReservationState::Released && write.expected.is_some());
        if self.line.world.broken == Broken::GivesBackTwice && releases {
            for change in spoilt.stock.iter_mut().filter(|change| change.allocated < 0) {
                change.allocated *= 2;
            }
            // Where that cannot be, it is sound once more.
            if self.inner.commit(&spoilt).await.is_ok() {
                self.line.world.moved(&spoilt);
                return Ok(());
            }
        }
        let written = self.inner.commit(changes).await;
        if written.is_ok() {
            self.line.world.moved(changes);
        }
        let is_silent = written.is_ok() && self.line.is_broken();
        self.line.after().await;
        if is_silent { Err(unknown()) } else { written }
    }

    async fn products(
        &self,
        query: &ProductQuery,
        page: &PageRequest<ProductKey>,
    ) -> StoreResult<Vec<Product>> {
        self.line.before().await?;
        self.inner.products(query, page).await
    }

    async fn count_products(&self, query: &ProductQuery) -> StoreResult<u64> {
        self.line.before().await?;
        self.inner.count_products(query).await
    }

    async fn reservations(
        &self,
        query: &ReservationQuery,
        page: &PageRequest<HeldKey>,
    ) -> StoreResult<Vec<Reservation>> {
        self.line.before().await?;
        self.inner.reservations(query, page).await
    }

    async fn adjustments(
        &self,
        product: ProductId,
        page: &PageRequest<AdjustmentId>,
    ) -> StoreResult<Vec<Adjustment>> {
        self.line.before().await?;
        self.inner.adjustments(product, page).await
    }

    async fn purge(&self, before: Timestamp, limit: usize) -> StoreResult<u64> {
        self.line.before().await?;
        self.inner.purge(before, limit).await
    }

    async fn ping(&self) -> StoreResult<()> {
        self.line.before().await
    }

    fn changes(&self) -> Option<Box<dyn ProductChanges>> {
        None
    }
}
