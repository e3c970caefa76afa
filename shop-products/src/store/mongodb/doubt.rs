use std::sync::{Arc, Mutex, PoisonError};

use mongodb::Database;
use mongodb::bson::{Document, doc};
use shop_core::{StoreError, StoreErrorKind, StoreResult};

use super::error::classified;
use super::schema::BARRIER;

const OPERATION: &str = "settle a commit of unknown result";

/// The sessions whose commits have an unknown result. Such a transaction may still be open, or be committed on the primary
/// and not yet by a majority, which is what a load sees: what a load does not find might come to be there afterwards. So
/// these are settled before the next load, which is then to be relied upon.
#[derive(Debug, Clone, Default)]
pub(super) struct Doubts(Arc<Mutex<Vec<Document>>>);

impl Doubts {
    pub(super) fn add(&self, session: &Document) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(session.clone());
    }

    /// Ends what is still open of these transactions, and waits for what was written before to be with a majority.
    pub(super) async fn settle(&self, db: &Database) -> StoreResult<()> {
        let sessions = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if sessions.is_empty() {
            return Ok(());
        }
        let failed = |error| {
            let error = classified(OPERATION, error);
            // As far as a load is concerned it has only to be tried again.
            StoreError::new(StoreErrorKind::Unavailable, OPERATION).with_source(error)
        };
        db.run_command(doc! { "killSessions": &sessions }).await.map_err(failed)?;
        let barrier = db.collection::<Document>(BARRIER);
        let step = barrier.update_one(doc! { "_id": 0 }, doc! { "$inc": { "step": 1_i64 } }).upsert(true);
        step.await.map_err(failed)?;
        self.0.lock().unwrap_or_else(PoisonError::into_inner).retain(|session| !sessions.contains(session));
        Ok(())
    }
}
