//! The SQLite store: [`SqliteOrderStore`].

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use shop_core::sqlite::{Query, SqliteConfig, SqliteDb, classified};
use shop_core::{Clock, PageRequest, StoreResult, SystemClock, Timestamp};
use sqlx::Row as _;

use super::{ChangeSet, Footprint, OpenSettlement, OrderKey, OrderQuery, OrderStore, Snapshot};
use crate::{Event, Order, OrderId};

mod read;
mod row;
mod schema;
mod write;

/// Orders in a SQLite file: WAL, `synchronous=FULL`, one writer. A clone is the same store, and so is another one, in
/// this process or another on the same machine, that opens the same file.
///
/// A commit is one transaction in one hop to the writer's thread, of as many statements whatever the batch's size.
#[derive(Debug, Clone)]
pub struct SqliteOrderStore {
    db: SqliteDb,
    clock: Arc<dyn Clock>,
}

impl SqliteOrderStore {
    /// Opens a database file (`sqlite:PATH` or a bare path), makes it if it is missing, and brings its schema up to date.
    ///
    /// # Errors
    /// See [`SqliteDb::open`].
    pub async fn connect(url: &str) -> StoreResult<Self> {
        Self::connect_with(url, SqliteConfig::default(), Arc::new(SystemClock)).await
    }

    /// [`connect`](Self::connect) with settings and a clock.
    ///
    /// # Errors
    /// See [`SqliteDb::open`].
    pub async fn connect_with(url: &str, config: SqliteConfig, clock: Arc<dyn Clock>) -> StoreResult<Self> {
        let db = SqliteDb::open_with_session(url, schema::SCHEMA, config, write::SESSION).await?;
        Ok(Self { db, clock })
    }

    /// Closes the database once what runs has ended.
    pub async fn close(&self) {
        self.db.close().await;
    }
}

#[async_trait]
impl OrderStore for SqliteOrderStore {
    async fn load(&self, footprint: &Footprint) -> StoreResult<Snapshot> {
        let now = self.clock.now();
        if *footprint == Footprint::default() {
            return read::snapshot(&[], now);
        }
        let rows = self.db.read("load orders", read::load(footprint)?).await?;
        read::snapshot(&rows, now)
    }

    async fn commit(&self, changes: &ChangeSet) -> StoreResult<()> {
        self.db.execute("commit orders", write::statement(changes, self.clock.now())?).await
    }

    async fn orders(&self, query: &OrderQuery, page: &PageRequest<OrderKey>) -> StoreResult<Vec<Order>> {
        let rows = self.db.read("list orders", read::orders(query, page)).await?;
        rows.iter().map(|found| row::order(found, 0)).collect()
    }

    async fn count_orders(&self, query: &OrderQuery) -> StoreResult<u64> {
        let rows = self.db.read("count orders", read::count(query)).await?;
        rows.first().map_or(Ok(0), |found| row::unsigned(found, 0))
    }

    async fn events(&self, of: Option<OrderId>, after: u64, limit: usize) -> StoreResult<Vec<Event>> {
        let rows = self.db.read("read events", read::events(of, after, limit)).await?;
        rows.iter().map(row::event).collect()
    }

    async fn claim_settlements(&self, lease: Duration, limit: usize) -> StoreResult<Vec<OpenSettlement>> {
        let now = self.clock.now();
        let lapsed = now.minus(lease).as_millis();
        let mut free = Query::new(
            "SELECT 1 FROM order_settlements WHERE claimed_at IS NULL OR claimed_at <= ? ORDER BY sequence LIMIT 1",
        );
        free.bind(lapsed);
        // An idle outbox is not worth a write.
        if self.db.read("look for settlements", free).await?.is_empty() {
            return Ok(Vec::new());
        }
        let limit = read::limit(limit);
        self.db
            .transaction("claim settlements", move |writer| {
                Box::pin(async move {
                    let failed = |e| classified("claim settlements", e, false);
                    // One row for all: the driver makes a hop for each row.
                    let free = sqlx::query(
                        "SELECT json_group_array(json_array(sequence, lower(hex(reservation_id)), action, at)) FROM \
                         (SELECT * FROM order_settlements WHERE claimed_at IS NULL OR claimed_at <= ? \
                          ORDER BY sequence LIMIT ?)",
                    );
                    let free = free.bind(lapsed).bind(limit).fetch_one(&mut *writer).await.map_err(failed)?;
                    let claimed = row::settlements(&free, 0)?;
                    let claim = sqlx::query(
                        "UPDATE order_settlements SET claimed_at = ? \
                         WHERE sequence IN (SELECT value FROM json_each(?))",
                    );
                    let sequences = write::json(claimed.iter().map(|open| open.sequence))?;
                    let claim = claim.bind(now.as_millis()).bind(sequences);
                    claim.execute(&mut *writer).await.map_err(failed)?;
                    Ok(claimed)
                })
            })
            .await
    }

    async fn close_settlements(&self, sequences: &[u64]) -> StoreResult<()> {
        if sequences.is_empty() {
            return Ok(());
        }
        let mut close =
            Query::new("DELETE FROM order_settlements WHERE sequence IN (SELECT value FROM json_each(?))");
        close.bind(write::json(sequences.iter())?);
        self.db.execute("close settlements", close).await
    }

    async fn open_settlements(&self, limit: usize) -> StoreResult<(u64, Vec<OpenSettlement>)> {
        let mut open = Query::new(
            "SELECT (SELECT count(*) FROM order_settlements), \
             json_group_array(json_array(sequence, lower(hex(reservation_id)), action, at)) FROM \
             (SELECT * FROM order_settlements ORDER BY sequence LIMIT ?)",
        );
        open.bind(read::limit(limit));
        let found = self.db.read_row("list settlements", open).await?;
        Ok((row::unsigned(&found, 0)?, row::settlements(&found, 1)?))
    }

    async fn purge(
        &self,
        records_before: Timestamp,
        decisions_before: Timestamp,
        limit: usize,
    ) -> StoreResult<u64> {
        let limit = read::limit(limit);
        let failed = |e| classified("purge orders", e, false);
        self.db
            .transaction("purge orders", move |writer| {
                Box::pin(async move {
                    let records = sqlx::query(
                        "DELETE FROM order_records WHERE key IN \
                         (SELECT key FROM order_records WHERE at < ? ORDER BY at LIMIT ?) RETURNING key",
                    );
                    let records = records.bind(records_before.as_millis()).bind(limit);
                    let records = records.fetch_all(&mut *writer).await.map_err(failed)?;
                    let keys = records.iter().map(|found| found.try_get::<String, _>(0).map_err(failed));
                    let keys = write::json(keys.collect::<StoreResult<Vec<_>>>()?.iter())?;
                    for of_outcome in [
                        "UPDATE order_decisions SET key = NULL \
                         WHERE key IN (SELECT value FROM json_each(?)) AND key IS NOT NULL AND order_id IS NOT NULL",
                        "UPDATE order_decisions SET key = NULL \
                         WHERE key IN (SELECT value FROM json_each(?)) AND key IS NOT NULL AND order_id IS NULL",
                    ] {
                        sqlx::query(of_outcome).bind(keys.as_str()).execute(&mut *writer).await.map_err(failed)?;
                    }
                    let decisions = sqlx::query(
                        "DELETE FROM order_decisions WHERE reservation_id IN (SELECT reservation_id \
                         FROM order_decisions WHERE order_id IS NULL AND at < ? ORDER BY at LIMIT ?)",
                    );
                    let decisions = decisions.bind(decisions_before.as_millis()).bind(limit);
                    let decisions = decisions.execute(&mut *writer).await.map_err(failed)?;
                    Ok(records.len() as u64 + decisions.rows_affected())
                })
            })
            .await
    }

    async fn ping(&self) -> StoreResult<()> {
        self.db.ping().await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::OrderStatus;
    use shop_core::Timestamp;

    #[tokio::test]
    async fn a_page_is_a_walk_along_an_index_whatever_the_filter() {
        let folder = tempfile::tempdir().unwrap();
        let store =
            SqliteOrderStore::connect(folder.path().join("orders.db").to_str().unwrap()).await.unwrap();
        let at = Timestamp::from_millis(1);
        let after = Some(OrderKey { ascending: false, placed_at: at, id: OrderId::generate() });
        let text = || Some("x".to_owned());
        let all = OrderQuery::default();
        let queries = [
            all.clone(),
            OrderQuery { placed_after: Some(at), placed_before: Some(at), ..all.clone() },
            OrderQuery { status: Some(OrderStatus::Placed), ..all.clone() },
            OrderQuery { customer_id: text(), status: Some(OrderStatus::Placed), ..all.clone() },
            OrderQuery { reference: text(), customer_id: text(), ..all },
        ];
        for query in queries {
            for ascending in [false, true] {
                for after in [None, after] {
                    let query = OrderQuery { ascending, ..query.clone() };
                    let page = PageRequest { after, ..PageRequest::default() };
                    let plan = read::orders_as("EXPLAIN QUERY PLAN SELECT body FROM orders", &query, &page);
                    let plan = store.db.read("explain", plan).await.unwrap();
                    let steps: Vec<String> = plan.iter().map(|step| step.get(3)).collect();
                    assert!(steps.len() == 1 && steps[0].contains("USING INDEX"), "{query:?}: {steps:?}");
                    if after.is_some() {
                        let from_the_key =
                            if ascending { "(placed_at,id)>(?,?)" } else { "(placed_at,id)<(?,?)" };
                        assert!(steps[0].contains(from_the_key) || query.placed_after.is_some(), "{steps:?}");
                    }
                }
            }
        }
    }
}
