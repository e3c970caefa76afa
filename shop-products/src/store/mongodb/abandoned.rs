use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use mongodb::Database;
use mongodb::bson::{Bson, Document, doc};
use mongodb::options::ReadConcern;
use shop_core::StoreResult;

use super::error::classified;
use super::load::all;
use super::patience::within;

const OPERATION: &str = "end abandoned transactions";
/// The server is not asked more often, however many commits meet a conflict.
const EVERY: Duration = Duration::from_millis(500);
/// Nor until so long after it could not be asked.
const PAUSE: Duration = Duration::from_secs(60);

/// What the connections to a database say that they are for, so that no other program's transactions are taken for ours.
pub(super) fn mark(database: &str) -> String {
    format!("shop-products:{database}")
}

/// Ends the transactions that a process has begun and left. The server does not end one with its connection: it keeps the
/// locks of what it wrote for `transactionLifetimeLimitSeconds`, by default a minute, in which every commit of the same
/// products fails. Neither does `maxTimeMS` end one that is idle.
///
/// The server says, by its own clock, which ones have been idle for long. Whose process is not dead but slow or stopped
/// finds that its transaction was surely not committed, and decides again; or it is told that its commit was interrupted,
/// whose result is then unknown and settled. What was committed stays committed.
#[derive(Debug, Clone)]
pub(super) struct Abandoned {
    mark: String,
    after: Duration,
    next: Arc<Mutex<Instant>>,
}

impl Abandoned {
    pub(super) fn new(database: &str, after: Duration) -> Self {
        Self { mark: mark(database), after, next: Arc::new(Mutex::new(Instant::now())) }
    }

    /// To be run when a commit has met a conflict. A user needs no privilege for his own sessions; but on a sharded
    /// cluster `inprog`, without which this can only say so.
    pub(super) async fn end(&self, db: &Database, patience: Duration) {
        if !self.is_due() {
            return;
        }
        let (db, mark, after) = (db.clone(), self.mark.clone(), self.after);
        let late = shop_core::StoreErrorKind::Unavailable;
        let ended = within(OPERATION, patience, late, async move { end(&db, &mark, after).await }).await;
        match ended {
            Ok(0) => {}
            Ok(ended) => tracing::warn!(ended, "transactions were open that their processes had left"),
            Err(error) => {
                self.wait(PAUSE);
                tracing::warn!(
                    error = %error.chain(),
                    "transactions that a dead process has left cannot be ended, and stand in the way of others for as long \
                     as transactionLifetimeLimitSeconds of the server"
                );
            }
        }
    }

    fn is_due(&self) -> bool {
        let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let due = *next <= now;
        if due {
            *next = now + EVERY;
        }
        due
    }

    fn wait(&self, pause: Duration) {
        *self.next.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now() + pause;
    }
}

/// How many there were.
async fn end(db: &Database, mark: &str, after: Duration) -> StoreResult<usize> {
    let sessions = find(db, mark, after).await?;
    if !sessions.is_empty() {
        let kill = db.run_command(doc! { "killSessions": &sessions });
        kill.await.map_err(|e| classified(OPERATION, e))?;
    }
    Ok(sessions.len())
}

/// The sessions whose transaction has been idle for so long in all, as `killSessions` takes them. One that is at work
/// just now is none.
async fn find(db: &Database, mark: &str, after: Duration) -> StoreResult<Vec<Document>> {
    let after = i64::try_from(after.as_micros()).unwrap_or(i64::MAX);
    let idle = doc! { "type": "idleSession", "transaction.timeInactiveMicros": { "$gte": after } };
    let who = doc! { "_id": 0, "lsid": "$lsid.id", "driver": "$clientMetadata.driver.name" };
    let stages =
        [doc! { "$currentOp": { "idleSessions": true } }, doc! { "$match": idle }, doc! { "$project": who }];
    let admin = db.client().database("admin");
    let found = admin.aggregate(stages).read_concern(ReadConcern::local()).await;
    let found = all(OPERATION, found, |found: Document| Ok(ours(&found, mark))).await?;
    Ok(found.into_iter().flatten().collect())
}

fn ours(found: &Document, mark: &str) -> Option<Document> {
    // The driver's own name comes before.
    let (_, marked) = found.get_str("driver").ok()?.split_once('|')?;
    let id @ Bson::Binary(_) = found.get("lsid")? else { return None };
    (marked == mark).then(|| doc! { "id": id.clone() })
}

#[cfg(test)]
mod tests {
    use mongodb::bson::{Binary, spec::BinarySubtype};

    use super::*;

    #[test]
    fn only_sessions_over_the_same_database_are_ours() {
        let id = Binary { subtype: BinarySubtype::Uuid, bytes: vec![7; 16] };
        let of = |driver: &str| ours(&doc! { "lsid": id.clone(), "driver": driver }, &mark("shop"));
        assert_eq!(of("mongo-rust-driver|shop-products:shop"), Some(doc! { "id": id.clone() }));
        for other in
            ["mongo-rust-driver", "mongo-rust-driver|shop-products:shop2", "PyMongo|c", "shop-products:shop"]
        {
            assert_eq!(of(other), None, "{other}");
        }
    }

    #[test]
    fn the_server_is_not_asked_at_every_conflict() {
        let abandoned = Abandoned::new("shop", Duration::ZERO);
        assert!(abandoned.is_due());
        assert!(!abandoned.is_due());
    }
}
