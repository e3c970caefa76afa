//! The PostgreSQL store: [`PgOrderStore`].

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use shop_core::postgres::{PgConfig, PgDb, Query};
use shop_core::{Clock, PageRequest, StoreResult, Timestamp};

use super::{ChangeSet, Footprint, OpenSettlement, OrderKey, OrderQuery, OrderStore, Snapshot};
use crate::{Event, Order, OrderId};

mod read;
mod row;
mod schema;
#[cfg(test)]
mod tests;
mod write;

/// Orders in PostgreSQL. Any number of instances, on any number of machines, may use one database at the same time; the
/// clock of their leases is the database's.
///
/// A commit is one call of a function in the database: one transaction and one round trip, whatever the batch's size.
/// Commits that log events follow one another, in the order of their events, so larger batches are what makes it fast.
#[derive(Debug, Clone)]
pub struct PgOrderStore {
    db: PgDb,
    /// `None`: the database's.
    clock: Option<Arc<dyn Clock>>,
}

impl PgOrderStore {
    /// Connects to a database (`postgres://…`) and brings its schema up to date.
    ///
    /// # Errors
    /// See [`PgDb::connect`].
    pub async fn connect(url: &str) -> StoreResult<Self> {
        let config = PgConfig { application_name: "shop-orders".to_owned(), ..PgConfig::default() };
        Self::connect_with(url, config).await
    }

    /// [`connect`](Self::connect) with settings.
    ///
    /// # Errors
    /// See [`PgDb::connect`].
    pub async fn connect_with(url: &str, config: PgConfig) -> StoreResult<Self> {
        Ok(Self { db: PgDb::connect(url, schema::SCHEMA, config).await?, clock: None })
    }

    /// The same store by this clock instead of the database's.
    #[must_use]
    pub fn with_clock(self, clock: Arc<dyn Clock>) -> Self {
        Self { clock: Some(clock), ..self }
    }

    /// Closes the connections once what runs has ended.
    pub async fn close(&self) {
        self.db.close().await;
    }

    fn now(&self) -> Option<i64> {
        self.clock.as_ref().map(|clock| clock.now().as_millis())
    }
}

#[async_trait]
impl OrderStore for PgOrderStore {
    async fn load(&self, footprint: &Footprint) -> StoreResult<Snapshot> {
        let rows = self.db.read("load orders", read::load(footprint, self.now())).await?;
        read::snapshot(&rows)
    }

    async fn commit(&self, changes: &ChangeSet) -> StoreResult<()> {
        if changes.is_empty() {
            return Ok(());
        }
        self.db.execute("commit orders", write::commit(changes, self.now())?).await.map(|_| ())
    }

    async fn orders(&self, query: &OrderQuery, page: &PageRequest<OrderKey>) -> StoreResult<Vec<Order>> {
        let rows = self.db.read("list orders", read::orders(query, page)?).await?;
        rows.iter().map(|found| row::order(found, 0)).collect()
    }

    async fn count_orders(&self, query: &OrderQuery) -> StoreResult<u64> {
        row::unsigned(&self.db.read_row("count orders", read::count(query)?).await?, 0)
    }

    async fn events(&self, of: Option<OrderId>, after: u64, limit: usize) -> StoreResult<Vec<Event>> {
        let rows = self.db.read("read events", read::events(of, after, limit)).await?;
        rows.iter().map(row::event).collect()
    }

    async fn claim_settlements(&self, lease: Duration, limit: usize) -> StoreResult<Vec<OpenSettlement>> {
        // Nobody waits for what another worker is claiming. Without a free one nothing is written.
        let mut claim = Query::new(
            "WITH free AS MATERIALIZED (\
                 SELECT sequence, now.at FROM order_settlements, shop_orders_now_v1($1) AS now (at) \
                 WHERE claimed_at IS NULL OR claimed_at <= now.at - $2 \
                 ORDER BY sequence LIMIT $3 FOR UPDATE OF order_settlements SKIP LOCKED), \
             claimed AS (\
                 UPDATE order_settlements s SET claimed_at = free.at FROM free WHERE s.sequence = free.sequence \
                 RETURNING s.sequence, s.reservation_id, s.action::text, s.at) \
             SELECT * FROM claimed ORDER BY sequence",
        );
        let lease = i64::try_from(lease.as_millis()).unwrap_or(i64::MAX / 2);
        claim.bind(self.now()).bind(lease).bind(read::limit(limit));
        let claimed = self.db.execute_returning("claim settlements", claim).await?;
        claimed.iter().map(|found| row::settlement(found, 0)).collect()
    }

    async fn close_settlements(&self, sequences: &[u64]) -> StoreResult<()> {
        if sequences.is_empty() {
            return Ok(());
        }
        let mut close = Query::new("DELETE FROM order_settlements WHERE sequence = ANY ($1)");
        close.bind(write::sequences(sequences));
        self.db.execute("close settlements", close).await.map(|_| ())
    }

    async fn open_settlements(&self, limit: usize) -> StoreResult<(u64, Vec<OpenSettlement>)> {
        // One row at least: the count.
        let mut open = Query::new(
            "SELECT every.n, oldest.* FROM (SELECT count(*) AS n FROM order_settlements) every LEFT JOIN \
             (SELECT sequence, reservation_id, action::text, at FROM order_settlements ORDER BY sequence LIMIT $1) \
             oldest ON true ORDER BY oldest.sequence",
        );
        open.bind(read::limit(limit));
        let rows = self.db.read("list settlements", open).await?;
        let count = rows.first().map_or(Ok(0), |found| row::unsigned(found, 0))?;
        let mut oldest = Vec::with_capacity(rows.len());
        for found in &rows {
            if row::column::<Option<i64>>(found, 1)?.is_some() {
                oldest.push(row::settlement(found, 1)?);
            }
        }
        Ok((count, oldest))
    }

    async fn purge(
        &self,
        records_before: Timestamp,
        decisions_before: Timestamp,
        limit: usize,
    ) -> StoreResult<u64> {
        let mut purge = Query::new("SELECT shop_orders_purge_v1($1, $2, $3)");
        purge.bind(records_before.as_millis()).bind(decisions_before.as_millis()).bind(read::limit(limit));
        let purged = self.db.execute_returning("purge orders", purge).await?;
        purged.first().map_or(Ok(0), |row| row::unsigned(row, 0))
    }

    async fn ping(&self) -> StoreResult<()> {
        self.db.ping().await
    }
}
