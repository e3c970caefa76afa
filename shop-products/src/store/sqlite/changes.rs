use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use shop_core::sqlite::{OthersWrites, SqliteDb};
use shop_core::{Clock, StoreResult};
use tokio::time::{Instant, sleep_until};

use crate::store::{ProductChange, ProductChanges};

/// How often it is looked whether another process has written.
const EVERY: Duration = Duration::from_millis(100);

/// SQLite tells that another process has committed, not what: each time is a gap.
#[derive(Debug)]
pub(super) struct SqliteProductChanges {
    db: SqliteDb,
    clock: Arc<dyn Clock>,
    seen: Option<OthersWrites>,
    next: Instant,
}

impl SqliteProductChanges {
    pub(super) fn new(db: SqliteDb, clock: Arc<dyn Clock>) -> Self {
        Self { db, clock, seen: None, next: Instant::now() }
    }
}

#[async_trait]
impl ProductChanges for SqliteProductChanges {
    async fn next(&mut self) -> StoreResult<ProductChange> {
        sleep_until(self.next).await;
        let at = self.clock.now();
        let found = self.db.others("follow the products").await;
        self.next = Instant::now() + EVERY;
        let same = self.seen.is_some() && self.seen == found.as_ref().ok().copied();
        self.seen = found.as_ref().ok().copied();
        found.map(|_| if same { ProductChange::Current(at) } else { ProductChange::Gap })
    }
}
