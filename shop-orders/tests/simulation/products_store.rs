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

use crate::host::Life;
use crate::world::{Broken, World};

#[derive(Debug)]
pub(crate) struct BadProductStore {
    pub(crate) inner: Arc<dyn ProductStore>,
    pub(crate) life: Life,
    pub(crate) world: Arc<World>,
}

impl BadProductStore {
    async fn before(&self) -> StoreResult<()> {
        self.world.pause(self.world.weather.store_wait).await;
        self.life.go_on().await;
        match self.world.unlucky(self.world.weather.store_faults) {
            true => Err(StoreError::new(StoreErrorKind::Unavailable, "reach the store")),
            false => Ok(()),
        }
    }

    async fn after(&self) {
        self.world.pause(self.world.weather.store_wait).await;
        self.life.go_on().await;
    }
}

#[async_trait]
impl ProductStore for BadProductStore {
    async fn load(&self, footprint: &Footprint) -> StoreResult<Snapshot> {
        self.before().await?;
        let found = self.inner.load(footprint).await;
        self.after().await;
        found
    }

    async fn commit(&self, changes: &ChangeSet) -> StoreResult<()> {
        self.before().await?;
        let unknown = || StoreError::new(StoreErrorKind::Unknown, "commit");
        if self.world.unlucky(self.world.weather.store_faults) {
            self.after().await;
            return Err(unknown());
        }
        let mut spoilt = changes.clone();
        let releases = changes
            .reservations
            .iter()
            .any(|write| write.reservation.state == ReservationState::Released && write.expected.is_some());
        if self.world.broken == Broken::GivesBackTwice && releases {
            for change in spoilt.stock.iter_mut().filter(|change| change.allocated < 0) {
                change.allocated *= 2;
            }
            // Where that cannot be, it is sound once more.
            if self.inner.commit(&spoilt).await.is_ok() {
                self.world.moved(&spoilt);
                return Ok(());
            }
        }
        let written = self.inner.commit(changes).await;
        if written.is_ok() {
            self.world.moved(changes);
        }
        let is_silent = written.is_ok() && self.world.unlucky(self.world.weather.store_faults);
        self.after().await;
        if is_silent { Err(unknown()) } else { written }
    }

    async fn products(
        &self,
        query: &ProductQuery,
        page: &PageRequest<ProductKey>,
    ) -> StoreResult<Vec<Product>> {
        self.before().await?;
        self.inner.products(query, page).await
    }

    async fn count_products(&self, query: &ProductQuery) -> StoreResult<u64> {
        self.before().await?;
        self.inner.count_products(query).await
    }

    async fn reservations(
        &self,
        query: &ReservationQuery,
        page: &PageRequest<HeldKey>,
    ) -> StoreResult<Vec<Reservation>> {
        self.before().await?;
        self.inner.reservations(query, page).await
    }

    async fn adjustments(
        &self,
        product: ProductId,
        page: &PageRequest<AdjustmentId>,
    ) -> StoreResult<Vec<Adjustment>> {
        self.before().await?;
        self.inner.adjustments(product, page).await
    }

    async fn purge(&self, before: Timestamp, limit: usize) -> StoreResult<u64> {
        self.before().await?;
        self.inner.purge(before, limit).await
    }

    async fn ping(&self) -> StoreResult<()> {
        self.before().await
    }

    fn changes(&self) -> Option<Box<dyn ProductChanges>> {
        None
    }
}
