//! The SQLite store: one file, no server. The embedded default.
//!
//! A load is one row, and a commit one statement, whatever the size of the batch: rows travel as JSON. See
//! [`shop_core::sqlite`] for how the file is opened and written.

use std::collections::BTreeSet;
use std::sync::Arc;

use async_trait::async_trait;
use shop_core::sqlite::{Query, SqliteConfig, SqliteDb, TransactionFuture, classified};
use shop_core::{Clock, Limit, PageRequest, StoreResult, SystemClock, Timestamp};
use sqlx::Executor as _;

use super::{
    ChangeSet, Footprint, ProductChanges, ProductKey, ProductQuery, ProductStore, ReservationQuery, Snapshot,
    text,
};
use crate::{Adjustment, AdjustmentId, HeldKey, Product, ProductId, Reservation};

mod changes;
mod commit;
mod list;
mod load;
mod rows;
mod schema;
mod session;

use changes::SqliteProductChanges;

/// [`ProductStore`] in a SQLite file (feature `sqlite`). Clones share its connections; several processes may use one file.
#[derive(Debug, Clone)]
pub struct SqliteProductStore {
    db: SqliteDb,
    clock: Arc<dyn Clock>,
}

impl SqliteProductStore {
    /// Opens a file (`sqlite:PATH` or a bare path); makes it if it is missing, and brings its schema up to date.
    ///
    /// # Errors
    /// If the file cannot be opened, is no database, or was written by a newer version.
    pub async fn connect(url: &str) -> StoreResult<Self> {
        Self::connect_with(url, SqliteConfig::default(), Arc::new(SystemClock)).await
    }

    /// [`connect`](Self::connect) with settings and a clock.
    ///
    /// # Errors
    /// Those of [`connect`](Self::connect).
    pub async fn connect_with(url: &str, config: SqliteConfig, clock: Arc<dyn Clock>) -> StoreResult<Self> {
        let db = SqliteDb::open_with_session(url, schema::SCHEMA, config, session::SESSION).await?;
        Ok(Self { db, clock })
    }

    /// Closes the file, once what runs has ended.
    pub async fn close(&self) {
        self.db.close().await;
    }
}

impl SqliteProductStore {
    /// A page of products with words that many have. The index of words would first collect all of them; a page of such
    /// is sooner found by looking at the next few hundred products. `None` if it is not found there.
    async fn common_words(
        &self,
        query: &ProductQuery,
        page: &PageRequest<ProductKey>,
    ) -> StoreResult<Option<Vec<Product>>> {
        let asked = text::words_asked(query);
        if asked.is_empty() || query.tag.is_some() {
            return Ok(None);
        }
        let limit = Limit::new(Limit::MAX).unwrap_or_default();
        let next = PageRequest { limit, after: page.after.clone() };
        let found =
            self.db.read("list products", list::products(query, &list::Filter::default(), &next)).await?;
        let whole = found.len() <= limit.get();
        let mut found = rows::all(&found, rows::product)?;
        found.retain(|product| text::has_words(product, &asked));
        let wanted = page.limit.get() + 1;
        let enough = whole || found.len() >= wanted;
        found.truncate(wanted);
        Ok(enough.then_some(found))
    }
}

#[async_trait]
impl ProductStore for SqliteProductStore {
    async fn load(&self, footprint: &Footprint) -> StoreResult<Snapshot> {
        let now = self.clock.now();
        let mut found = Snapshot {
            now,
            products: Default::default(),
            reservations: Default::default(),
            records: Default::default(),
        };
        load::read(&self.db, &mut found, load::query(footprint, now)).await?;
        // Reservations bring the products of their lines with them, in a second step that a hold rarely needs.
        let lines =
            found.reservations.values().flat_map(|held| held.lines.iter().map(|line| line.product_id));
        let missing: BTreeSet<ProductId> = lines.filter(|id| !found.products.contains_key(id)).collect();
        if !missing.is_empty() {
            let footprint = Footprint { products: missing, ..Footprint::default() };
            load::read(&self.db, &mut found, load::query(&footprint, now)).await?;
        }
        Ok(found)
    }

    async fn commit(&self, changes: &ChangeSet) -> StoreResult<()> {
        self.db.execute("commit products", commit::statement(changes)?).await
    }

    async fn products(
        &self,
        query: &ProductQuery,
        page: &PageRequest<ProductKey>,
    ) -> StoreResult<Vec<Product>> {
        if let Some(found) = self.common_words(query, page).await? {
            return Ok(found);
        }
        let filter = list::Filter::of(&self.db, query).await?;
        let found = self.db.read("list products", list::products(query, &filter, page)).await?;
        rows::all(&found, rows::product)
    }

    async fn count_products(&self, query: &ProductQuery) -> StoreResult<u64> {
        let filter = list::Filter::of(&self.db, query).await?;
        // With a reader: it may take long.
        let found = self.db.read("count products", list::count(query, &filter)).await?;
        found.first().map_or(Ok(0), rows::count)
    }

    async fn reservations(
        &self,
        query: &ReservationQuery,
        page: &PageRequest<HeldKey>,
    ) -> StoreResult<Vec<Reservation>> {
        let found = self.db.read("list reservations", list::reservations(query, page)).await?;
        rows::all(&found, rows::reservation)
    }

    async fn adjustments(
        &self,
        product: ProductId,
        page: &PageRequest<AdjustmentId>,
    ) -> StoreResult<Vec<Adjustment>> {
        let found = self.db.read("list adjustments", list::adjustments(product, page)).await?;
        rows::all(&found, rows::adjustment)
    }

    async fn purge(&self, before: Timestamp, limit: usize) -> StoreResult<u64> {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        self.db
            .transaction("purge products", move |connection| -> TransactionFuture<'_, u64> {
                Box::pin(async move {
                    let mut gone = 0;
                    for sql in [
                        "DELETE FROM records WHERE key IN (SELECT key FROM records WHERE at < ? ORDER BY at LIMIT ?)",
                        "DELETE FROM reservations WHERE seq IN (SELECT seq FROM reservations \
                         WHERE state >= 2 AND updated_at < ? ORDER BY updated_at LIMIT ?)",
                    ] {
                        let delete = sqlx::query(sql).bind(before.as_millis()).bind(limit);
                        let done = connection.execute(delete).await.map_err(|e| classified("purge products", e, false))?;
                        gone += done.rows_affected();
                    }
                    Ok(gone)
                })
            })
            .await
    }

    async fn ping(&self) -> StoreResult<()> {
        self.db.ping().await
    }

    fn changes(&self) -> Option<Box<dyn ProductChanges>> {
        Some(Box::new(SqliteProductChanges::new(self.db.clone(), self.clock.clone())))
    }
}

/// A query of `sql` with nothing bound yet.
fn query(sql: impl Into<String>) -> Query {
    Query::new(sql)
}
