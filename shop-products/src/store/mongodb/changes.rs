use std::time::Duration;

use async_trait::async_trait;
use mongodb::Database;
use mongodb::bson::{Bson, Document, doc};
use mongodb::change_stream::event::ChangeStreamEvent;
use shop_core::id::Uuid;
use shop_core::{StoreError, StoreErrorKind, StoreResult};
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::error::classified;
use super::schema::PRODUCTS;
use crate::ProductId;
use crate::store::{ChangedProduct, ProductChange, ProductChanges};

const OPERATION: &str = "follow the products";
/// How long the server waits for a change before it answers that there is none.
const AWAIT: Duration = Duration::from_secs(1);
/// How long an answer may take before the connection is held to be lost: the driver itself would wait for ever.
const PATIENCE: Duration = Duration::from_secs(6);
/// The most products in one item.
const MOST: usize = 1_000;

/// What a change stream of the products tells. A task has the stream, since the driver's futures are not to be dropped
/// half-way; it ends with this. Short losses of the connection are bridged by the driver, with the stream's token.
#[derive(Debug)]
pub(super) struct MongoProductChanges {
    db: Database,
    /// From the task, while there is one.
    told: Option<mpsc::Receiver<StoreResult<ProductChange>>>,
    /// What was received after changes that were given in one item.
    next: Option<StoreResult<ProductChange>>,
}

impl MongoProductChanges {
    pub(super) fn new(db: Database) -> Self {
        Self { db, told: None, next: None }
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
            tokio::spawn(follow(self.db.clone(), tell));
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
async fn follow(db: Database, tell: mpsc::Sender<StoreResult<ProductChange>>) {
    if let Err(error) = stream(&db, &tell).await {
        // Nobody listens any more: then nobody is to be told.
        let _ = tell.send(Err(error)).await;
    }
}

async fn stream(db: &Database, tell: &mpsc::Sender<StoreResult<ProductChange>>) -> StoreResult<()> {
    let failed = |error| classified(OPERATION, error);
    let late = |elapsed| StoreError::new(StoreErrorKind::Unavailable, OPERATION).with_source(elapsed);
    // No more of a document than its version is sent.
    let slim = doc! { "$project": {
        "operationType": 1, "ns": 1, "documentKey": 1, "fullDocument.version": 1, "updateDescription": {
            "updatedFields": { "version": "$updateDescription.updatedFields.version" },
            "removedFields": [],
        },
    } };
    let products = db.collection::<Document>(PRODUCTS);
    let watch = products.watch().pipeline([slim]).max_await_time(AWAIT);
    let mut changes = timeout(PATIENCE, watch).await.map_err(late)?.map_err(failed)?;
    if tell.send(Ok(ProductChange::Gap)).await.is_err() {
        return Ok(());
    }
    while changes.is_alive() {
        let event = timeout(PATIENCE, changes.next_if_any()).await.map_err(late)?.map_err(failed)?;
        if let Some(changed) = event.as_ref().and_then(changed)
            && tell.send(Ok(ProductChange::Changed(vec![changed]))).await.is_err()
        {
            return Ok(());
        }
        if tell.is_closed() {
            return Ok(());
        }
    }
    // The collection was dropped or renamed.
    Err(StoreError::new(StoreErrorKind::Unavailable, OPERATION).with_source("the change stream has ended"))
}

fn changed(event: &ChangeStreamEvent<Document>) -> Option<ChangedProduct> {
    let Bson::Binary(key) = event.document_key.as_ref()?.get("_id")? else { return None };
    let id = ProductId(Uuid::from_slice(&key.bytes).ok()?);
    let updated = event.update_description.as_ref().map(|update| &update.updated_fields);
    let version = event.full_document.as_ref().or(updated).and_then(|fields| fields.get_i64("version").ok());
    Some(ChangedProduct { id, version: version.and_then(|version| u64::try_from(version).ok()) })
}
