//! The MongoDB store: a replica set, which one node can be.
//!
//! A load is a few finds at the same time, and a commit one transaction with a command a collection, whatever the size of
//! the batch. All work of the driver runs in tasks that are never dropped half-way.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use async_trait::async_trait;
use mongodb::Database;
use mongodb::bson::{Bson, Document, doc};
use mongodb::options::{Hint, ReadPreference, SelectionCriteria};
use shop_core::task::in_a_task;
use shop_core::{Clock, PageRequest, StoreError, StoreErrorKind, StoreResult, SystemClock, Timestamp};
use tokio::sync::Mutex;

use super::{
    ChangeSet, Footprint, ProductChanges, ProductKey, ProductQuery, ProductStore, ReservationQuery, Snapshot,
};
use crate::{Adjustment, AdjustmentId, HeldKey, Product, ProductId, Reservation};

mod abandoned;
mod changes;
mod commit;
mod config;
mod documents;
mod doubt;
mod error;
mod list;
mod load;
mod patience;
mod schema;
#[cfg(feature = "testing")]
mod test_database;

use abandoned::Abandoned;
use changes::MongoProductChanges;
pub use config::MongoConfig;
use documents::{AdjustmentDoc, ProductDoc, ReservationDoc};
use doubt::Doubts;
use error::classified;
use patience::within;
use schema::{ADJUSTMENTS, BY_STATE, PRODUCTS, RECORDS, RESERVATIONS};
#[cfg(feature = "testing")]
pub use test_database::{TEST_MONGODB_URL, TestDatabase};

/// [`ProductStore`] in MongoDB (feature `mongodb`). Clones share its connections; any number of processes may use one
/// database.
///
/// A process that dies inside a commit leaves its transaction to the server, which would keep it, and the products that it
/// has written, for `transactionLifetimeLimitSeconds` (a minute). The next instance in whose way it is ends it after
/// [`abandoned_after`](MongoConfig::abandoned_after). A user with `readWrite` on the database may do that on a replica set;
/// on a sharded cluster he needs `inprog` as well, without which a warning says so.
#[derive(Debug, Clone)]
pub struct MongoProductStore {
    db: Database,
    config: MongoConfig,
    clock: Arc<dyn Clock>,
    /// One commit at a time: two of one process would only end each other as conflicts.
    turn: Arc<Mutex<()>>,
    doubts: Doubts,
    abandoned: Abandoned,
    /// Ends the streams of changes, which the driver waits for when it is shut down.
    closing: Arc<AtomicBool>,
}

impl MongoProductStore {
    /// Connects to the primary of a replica set (`mongodb://HOST/DATABASE?replicaSet=NAME`), and makes the collections and
    /// indexes that are missing. A collection that no longer refuses what it must is made to again, for which the user needs
    /// the right to `collMod`. Writes are acknowledged by a majority that has them in its journal, whatever the URL says.
    ///
    /// # Errors
    /// If no primary can be reached, or the server is a standalone one: a hold is a transaction.
    pub async fn connect(url: &str) -> StoreResult<Self> {
        Self::connect_with(url, MongoConfig::default(), Arc::new(SystemClock)).await
    }

    /// [`connect`](Self::connect) with settings and a clock.
    ///
    /// # Errors
    /// Those of [`connect`](Self::connect).
    pub async fn connect_with(url: &str, config: MongoConfig, clock: Arc<dyn Clock>) -> StoreResult<Self> {
        let (url, opened) = (url.to_owned(), config.clone());
        // Building indexes on what is there already may take long.
        let patience = config.patience.saturating_mul(10);
        let db = within("connect to MongoDB", patience, StoreErrorKind::Unavailable, async move {
            let db = opened.open(&url).await?;
            schema::prepare(&db).await?;
            Ok(db)
        })
        .await?;
        let abandoned = Abandoned::new(db.name(), config.abandoned_after);
        Ok(Self {
            db,
            config,
            clock,
            turn: Arc::default(),
            doubts: Doubts::default(),
            abandoned,
            closing: Arc::default(),
        })
    }

    /// Closes the connections, once what runs has ended.
    pub async fn close(&self) {
        self.closing.store(true, Ordering::Relaxed);
        self.db.client().clone().shutdown().await;
    }

    async fn reading<T: Send + 'static>(
        &self,
        operation: &'static str,
        work: impl Future<Output = StoreResult<T>> + Send + 'static,
    ) -> StoreResult<T> {
        within(operation, self.config.patience, StoreErrorKind::Unavailable, work).await
    }
}

/// One document more than the page has, in one answer.
fn over(limit: usize) -> (i64, u32) {
    let over = limit.saturating_add(1);
    (i64::try_from(over).unwrap_or(i64::MAX), u32::try_from(over + 1).unwrap_or(u32::MAX))
}

/// Deletes up to `limit` documents that a filter finds by an index.
async fn purge(
    db: &Database,
    collection: &str,
    filter: Document,
    index: &str,
    limit: usize,
) -> StoreResult<u64> {
    const OPERATION: &str = "purge products";
    let collection = db.collection::<Document>(collection);
    let (limit, _) = over(limit.saturating_sub(1));
    let index = Hint::Name(index.to_owned());
    let found = collection.find(filter.clone()).hint(index).limit(limit).projection(doc! { "_id": 1 });
    let ids: Vec<Bson> = load::all(OPERATION, found.await, |mut found| {
        found.remove("_id").ok_or_else(|| documents::corrupt("a document without its key"))
    })
    .await?;
    if ids.is_empty() {
        return Ok(0);
    }
    // What it is found by is said again: it may have changed.
    let gone = doc! { "$and": [{ "_id": { "$in": ids } }, filter] };
    let done = collection.delete_many(gone).await.map_err(|e| classified(OPERATION, e))?;
    Ok(done.deleted_count)
}

#[async_trait]
impl ProductStore for MongoProductStore {
    async fn load(&self, footprint: &Footprint) -> StoreResult<Snapshot> {
        let (db, footprint, now) = (self.db.clone(), footprint.clone(), self.clock.now());
        let doubts = self.doubts.clone();
        self.reading("load products", async move {
            doubts.settle(&db).await?;
            load::read(&db, &footprint, now).await
        })
        .await
    }

    async fn commit(&self, changes: &ChangeSet) -> StoreResult<()> {
        const OPERATION: &str = "commit products";
        let parts = commit::parts(changes)?;
        let turn = tokio::time::timeout(self.config.patience, self.turn.clone().lock_owned());
        let turn = turn
            .await
            .map_err(|late| StoreError::new(StoreErrorKind::Unavailable, OPERATION).with_source(late))?;
        let (store, db) = (self.clone(), self.db.clone());
        let MongoConfig { patience, commit_patience, .. } = self.config;
        in_a_task(OPERATION, async move {
            let session = Arc::new(OnceLock::new());
            let begun = session.clone();
            let done = within(OPERATION, patience, StoreErrorKind::Unknown, async move {
                commit::run(&db, parts, commit_patience, &begun).await
            })
            .await;
            match done.as_ref().map_err(StoreError::kind) {
                Err(StoreErrorKind::Unknown) => session.get().into_iter().for_each(|it| store.doubts.add(it)),
                Err(StoreErrorKind::Conflict) => store.abandoned.end(&store.db, patience).await,
                _ => {}
            }
            // The turn ends with the patience: a commit that is never answered stands in no other's way.
            drop(turn);
            done
        })
        .await
    }

    async fn products(
        &self,
        query: &ProductQuery,
        page: &PageRequest<ProductKey>,
    ) -> StoreResult<Vec<Product>> {
        let collection = self.db.collection::<ProductDoc>(PRODUCTS);
        let (filter, order) = (list::products(query, page.after.as_ref()), list::order(query.sort));
        let (limit, batch) = over(page.limit.get());
        self.reading("list products", async move {
            let found =
                collection.find(filter).sort(order).limit(limit).batch_size(batch).allow_disk_use(true);
            load::all("list products", found.await, ProductDoc::product).await
        })
        .await
    }

    async fn count_products(&self, query: &ProductQuery) -> StoreResult<u64> {
        let collection = self.db.collection::<Document>(PRODUCTS);
        let filter = list::products(query, None);
        self.reading("count products", async move {
            collection.count_documents(filter).await.map_err(|e| classified("count products", e))
        })
        .await
    }

    async fn reservations(
        &self,
        query: &ReservationQuery,
        page: &PageRequest<HeldKey>,
    ) -> StoreResult<Vec<Reservation>> {
        let collection = self.db.collection::<ReservationDoc>(RESERVATIONS);
        let filter = list::reservations(query, page);
        let index = Hint::Name(list::reservations_index(query).to_owned());
        let (limit, batch) = over(page.limit.get());
        self.reading("list reservations", async move {
            let order = doc! { "created_at": 1, "_id": 1 };
            let found = collection.find(filter).sort(order).hint(index).limit(limit).batch_size(batch);
            load::all("list reservations", found.await, ReservationDoc::reservation).await
        })
        .await
    }

    async fn adjustments(
        &self,
        product: ProductId,
        page: &PageRequest<AdjustmentId>,
    ) -> StoreResult<Vec<Adjustment>> {
        let collection = self.db.collection::<AdjustmentDoc>(ADJUSTMENTS);
        let filter = list::adjustments(product, page);
        let (limit, batch) = over(page.limit.get());
        self.reading("list adjustments", async move {
            let found = collection.find(filter).sort(doc! { "_id": -1 }).limit(limit).batch_size(batch);
            load::all("list adjustments", found.await, AdjustmentDoc::adjustment).await
        })
        .await
    }

    async fn purge(&self, before: Timestamp, limit: usize) -> StoreResult<u64> {
        if limit == 0 {
            return Ok(0);
        }
        let (db, before) = (self.db.clone(), before.as_millis());
        within("purge products", self.config.patience, StoreErrorKind::Unknown, async move {
            let records = purge(&db, RECORDS, doc! { "at": { "$lt": before } }, "by_time", limit).await?;
            // When it was made bounds the index; it cannot have ended before.
            let mut ended = list::in_states(|state| !state.is_live());
            ended.extend(doc! { "created_at": { "$lt": before }, "updated_at": { "$lt": before } });
            Ok(records + purge(&db, RESERVATIONS, ended, BY_STATE, limit).await?)
        })
        .await
    }

    async fn ping(&self) -> StoreResult<()> {
        let db = self.db.clone();
        self.reading("ping MongoDB", async move {
            let primary = SelectionCriteria::ReadPreference(ReadPreference::Primary);
            db.run_command(doc! { "ping": 1 })
                .selection_criteria(primary)
                .await
                .map(|_| ())
                .map_err(|e| classified("ping MongoDB", e))
        })
        .await
    }

    fn changes(&self) -> Option<Box<dyn ProductChanges>> {
        Some(Box::new(MongoProductChanges::new(self.clone())))
    }
}
