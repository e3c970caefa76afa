use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use mongodb::Database;
use mongodb::bson::{Bson, Document, Timestamp as OperationTime, doc};
use mongodb::change_stream::event::ChangeStreamEvent;
use mongodb::options::{ReadPreference, SelectionCriteria};
use shop_core::id::Uuid;
use shop_core::{Clock, StoreError, StoreErrorKind, StoreResult, Timestamp};
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::MongoProductStore;
use super::error::classified;
use super::schema::PRODUCTS;
use crate::ProductId;
use crate::store::{ChangedProduct, ProductChange, ProductChanges};

const OPERATION: &str = "follow the products";
/// How long the server waits for a change before it answers that there is none.
const AWAIT: Duration = Duration::from_millis(250);
/// How often at most the stream is measured against the primary.
const MARKS: Duration = Duration::from_millis(100);
/// How long an answer may take before the connection is held to be lost: the driver itself would wait for ever.
const PATIENCE: Duration = Duration::from_secs(6);
/// The most products in one item.
const MOST: usize = 1_000;

/// What a change stream of the products tells. A task has the stream, since the driver's futures are not to be dropped
/// half-way; it ends with this. Short losses of the connection are bridged by the driver, with the stream's token.
#[derive(Debug)]
pub(super) struct MongoProductChanges {
    store: MongoProductStore,
    /// From the task, while there is one.
    told: Option<mpsc::Receiver<StoreResult<ProductChange>>>,
    /// What was received after changes that were given in one item.
    next: Option<StoreResult<ProductChange>>,
}

impl MongoProductChanges {
    pub(super) fn new(store: MongoProductStore) -> Self {
        Self { store, told: None, next: None }
    }
}

#[async_trait]
impl ProductChanges for MongoProductChanges {
    async fn next(&mut self) -> StoreResult<ProductChange> {
        if let Some(item) = self.next.take() {
            return item;
        }
        let told = self.told.get_or_insert_with(|| {
            let (tell, told) = mpsc::channel(256);
            tokio::spawn(follow(self.store.clone(), tell));
            told
        });
        let item = told.recv().await;
        let Some(item) = item else {
            self.told = None;
            return Err(StoreError::new(StoreErrorKind::Unavailable, OPERATION));
        };
        let Ok(ProductChange::Changed(mut changed)) = item else { return item };
        while changed.len() < MOST {
            match told.try_recv() {
                Ok(Ok(ProductChange::Changed(more))) => changed.extend(more),
                Ok(other) => {
                    self.next = Some(other);
                    break;
                }
                Err(_) => break,
            }
        }
        Ok(ProductChange::Changed(changed))
    }
}

/// Follows until the stream is lost, or nobody listens.
async fn follow(store: MongoProductStore, tell: mpsc::Sender<StoreResult<ProductChange>>) {
    if let Err(error) = stream(&store, &tell).await {
        // Nobody listens any more: then nobody is to be told.
        let _ = tell.send(Err(error)).await;
    }
}

async fn stream(
    store: &MongoProductStore,
    tell: &mpsc::Sender<StoreResult<ProductChange>>,
) -> StoreResult<()> {
    let MongoProductStore { db, clock, closing, .. } = store;
    let failed = |error| classified(OPERATION, error);
    // No more of a document than its version is sent.
    let slim = doc! { "$project": {
        "operationType": 1, "ns": 1, "clusterTime": 1, "documentKey": 1, "fullDocument.version": 1,
        "updateDescription": {
            "updatedFields": { "version": "$updateDescription.updatedFields.version" },
            "removedFields": [],
        },
    } };
    let first = Mark::set(db, clock.as_ref()).await?;
    let products = db.collection::<Document>(PRODUCTS);
    let watch = products.watch().pipeline([slim]).max_await_time(AWAIT);
    let mut changes = patiently(watch.into_future()).await?.map_err(failed)?;
    if tell.send(Ok(ProductChange::Gap)).await.is_err() {
        return Ok(());
    }
    let mut mark: Option<Mark> = None;
    let mut marked = Instant::now();
    while changes.is_alive() && !tell.is_closed() && !closing.load(Ordering::Relaxed) {
        if mark.is_none() && marked.elapsed() >= MARKS {
            marked = Instant::now();
            mark = Some(Mark::set(db, clock.as_ref()).await?.of_one_term(&first)?);
        }
        let event = patiently(changes.next_if_any()).await?.map_err(failed)?;
        let passed = match &event {
            Some(event) => mark.take_if(|mark| mark.is_before(event)),
            // Asked after the mark was set, the server has nothing more.
            None => mark.take(),
        };
        let changed = event.as_ref().and_then(changed);
        let items = changed.map(|changed| ProductChange::Changed(vec![changed])).into_iter();
        for item in items.chain(passed.map(|mark| ProductChange::Current(mark.at))) {
            if tell.send(Ok(item)).await.is_err() {
                return Ok(());
            }
        }
    }
    // The collection was dropped or renamed, the store is closed, or nobody listens.
    Err(lost("the change stream has ended"))
}

/// A moment, and what the primary had by then: the stream is current as of it once it is past that.
#[derive(Debug)]
struct Mark {
    at: Timestamp,
    /// The last operation of the primary. What was committed before is older, or this.
    last: Option<OperationTime>,
    /// Whose primary it is; a sharded cluster has none to tell.
    term: Option<Bson>,
}

impl Mark {
    async fn set(db: &Database, clock: &dyn Clock) -> StoreResult<Self> {
        let at = clock.now();
        let primary = SelectionCriteria::ReadPreference(ReadPreference::Primary);
        let hello = db.run_command(doc! { "hello": 1 }).selection_criteria(primary);
        let mut hello =
            patiently(hello.into_future()).await?.map_err(|error| classified(OPERATION, error))?;
        let last = hello.get_timestamp("operationTime").ok();
        Ok(Self { at, last, term: hello.remove("electionId") })
    }

    fn is_before(&self, event: &ChangeStreamEvent<Document>) -> bool {
        self.last.is_some() && event.cluster_time > self.last
    }

    /// The stream is that of the primary of the time at which it began, which may be a secondary by now, and behind: then
    /// it is lost.
    fn of_one_term(self, first: &Self) -> StoreResult<Self> {
        if self.term == first.term { Ok(self) } else { Err(lost("there is another primary")) }
    }
}

async fn patiently<T>(work: impl Future<Output = T>) -> StoreResult<T> {
    let late = |elapsed| StoreError::new(StoreErrorKind::Unavailable, OPERATION).with_source(elapsed);
    timeout(PATIENCE, work).await.map_err(late)
}

fn lost(why: &'static str) -> StoreError {
    StoreError::new(StoreErrorKind::Unavailable, OPERATION).with_source(why)
}

fn changed(event: &ChangeStreamEvent<Document>) -> Option<ChangedProduct> {
    let Bson::Binary(key) = event.document_key.as_ref()?.get("_id")? else { return None };
    let id = ProductId(Uuid::from_slice(&key.bytes).ok()?);
    let updated = event.update_description.as_ref().map(|update| &update.updated_fields);
    let version = event.full_document.as_ref().or(updated).and_then(|fields| fields.get_i64("version").ok());
    Some(ChangedProduct { id, version: version.and_then(|version| u64::try_from(version).ok()) })
}
