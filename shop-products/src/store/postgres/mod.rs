//! The PostgreSQL store: [`PgProductStore`].

use std::sync::Arc;

use async_trait::async_trait;
use shop_core::postgres::{PgConfig, PgDb, Query};
use shop_core::{Clock, PageRequest, StoreResult, SystemClock, Timestamp};

use super::{
    ChangeSet, Footprint, ProductChanges, ProductKey, ProductQuery, ProductStore, ReservationQuery, Snapshot,
};
use crate::{Adjustment, AdjustmentId, HeldKey, Product, ProductId, Reservation};

mod changes;
mod commit;
mod list;
mod load;
mod rows;
mod schema;
#[cfg(test)]
mod tests;
mod words;

use changes::{CHANNEL, PgProductChanges};
use list::Matches;

/// Products in PostgreSQL (feature `postgres`). Any number of instances, on any number of machines, may use one database at
/// the same time.
///
/// A commit is one call of a function in the database: one transaction and one round trip, whatever the batch's size. Rows
/// of stock are locked in the order of their ids, so that no two commits wait for each other in a ring.
///
/// Every commit tells what it has written by `NOTIFY`, in its own transaction, for the instances that follow
/// [`changes`](ProductStore::changes). PostgreSQL commits one such transaction at a time: the commits of several instances
/// follow one another, so larger batches are what makes it fast.
#[derive(Debug, Clone)]
pub struct PgProductStore {
    db: PgDb,
    clock: Arc<dyn Clock>,
}

impl PgProductStore {
    /// Connects to a database (`postgres://…`) and brings its schema up to date.
    ///
    /// # Errors
    /// See [`PgDb::connect`].
    pub async fn connect(url: &str) -> StoreResult<Self> {
        let config = PgConfig { application_name: "shop-products".to_owned(), ..PgConfig::default() };
        Self::connect_with(url, config).await
    }

    /// [`connect`](Self::connect) with settings.
    ///
    /// # Errors
    /// See [`PgDb::connect`].
    pub async fn connect_with(url: &str, config: PgConfig) -> StoreResult<Self> {
        Ok(Self { db: PgDb::connect(url, schema::SCHEMA, config).await?, clock: Arc::new(SystemClock) })
    }

    /// The same store by another clock than the system's.
    #[must_use]
    pub fn with_clock(self, clock: Arc<dyn Clock>) -> Self {
        Self { clock, ..self }
    }

    /// Closes the connections once what runs has ended.
    pub async fn close(&self) {
        self.db.close().await;
    }

    async fn matches(&self, query: &ProductQuery) -> StoreResult<Matches> {
        let Some(count) = list::matching(query) else { return Ok(Matches::All) };
        Ok(Matches::of(rows::unsigned(&self.db.read_row("estimate a filter", count).await?, 0)?))
    }
}

#[async_trait]
impl ProductStore for PgProductStore {
    async fn load(&self, footprint: &Footprint) -> StoreResult<Snapshot> {
        let now = self.clock.now();
        let mut snapshot = load::empty(now);
        load::add(&mut snapshot, &self.db.read("load products", load::query(footprint, now)).await?)?;
        let missing = load::missing(&snapshot);
        // A second step, which a hold rarely needs.
        if !missing.is_empty() {
            let footprint = Footprint { products: missing, ..Footprint::default() };
            load::add(&mut snapshot, &self.db.read("load products", load::query(&footprint, now)).await?)?;
        }
        Ok(snapshot)
    }

    async fn commit(&self, changes: &ChangeSet) -> StoreResult<()> {
        if changes.is_empty() {
            return Ok(());
        }
        self.db.execute("commit products", commit::statement(changes)?).await.map(|_| ())
    }

    async fn products(
        &self,
        query: &ProductQuery,
        page: &PageRequest<ProductKey>,
    ) -> StoreResult<Vec<Product>> {
        let matches = self.matches(query).await?;
        let found = self.db.read("list products", list::products(query, matches, page)).await?;
        found.iter().map(|row| rows::product(row, [0, 1, 2, 3, 4, 5])).collect()
    }

    async fn count_products(&self, query: &ProductQuery) -> StoreResult<u64> {
        rows::unsigned(&self.db.read_row("count products", list::count(query)).await?, 0)
    }

    async fn reservations(
        &self,
        query: &ReservationQuery,
        page: &PageRequest<HeldKey>,
    ) -> StoreResult<Vec<Reservation>> {
        let found = self.db.read("list reservations", list::reservations(query, page)).await?;
        found.iter().map(|row| rows::reservation(row, 0)).collect()
    }

    async fn adjustments(
        &self,
        product: ProductId,
        page: &PageRequest<AdjustmentId>,
    ) -> StoreResult<Vec<Adjustment>> {
        let found = self.db.read("list adjustments", list::adjustments(product, page)).await?;
        found.iter().map(|row| rows::adjustment(row, product)).collect()
    }

    async fn purge(&self, before: Timestamp, limit: usize) -> StoreResult<u64> {
        let mut purge = Query::new("SELECT shop_products_purge_v1($1, $2)");
        purge.bind(before.as_millis()).bind(i64::try_from(limit).unwrap_or(i64::MAX));
        let purged = self.db.execute_returning("purge products", purge).await?;
        purged.first().map_or(Ok(0), |row| rows::unsigned(row, 0))
    }

    async fn ping(&self) -> StoreResult<()> {
        self.db.ping().await
    }

    fn changes(&self) -> Option<Box<dyn ProductChanges>> {
        Some(Box::new(PgProductChanges { feed: self.db.feed(CHANNEL, self.clock.clone()) }))
    }
}
