use std::collections::HashMap;

use shop_core::postgres::{PgRow, Query};
use shop_core::{PageRequest, StoreResult, Timestamp};
use uuid::Uuid;

use super::row;
use crate::store::{Footprint, OrderKey, OrderQuery, Snapshot};
use crate::{Order, OrderId};

const NOW: i32 = 0;
const ORDER: i32 = 1;
const DECISION: i32 = 2;
const RECORD: i32 = 3;

/// All parts of a footprint in one statement, so of one moment; the first column of a row says what it is. Its text is
/// always the same, and so it is prepared once.
const LOAD: &str = "\
SELECT 0 AS part, NULL::uuid AS id, NULL AS key, (SELECT coalesce(max(number), 0) + 1 FROM orders WHERE $2) AS n, \
    NULL::uuid AS order_id, shop_orders_now_v1($1) AS at, NULL AS body, NULL::bytea AS fingerprint, \
    NULL AS location, NULL AS etag \
UNION ALL SELECT 1, NULL, NULL, NULL, NULL, NULL, body::text, NULL, NULL, NULL FROM orders WHERE id = ANY ($3) \
UNION ALL SELECT 2, reservation_id, key, attempt, order_id, d.at, \
        (SELECT o.body::text FROM orders o WHERE o.id = d.order_id), NULL, NULL, NULL \
    FROM order_decisions d WHERE reservation_id = ANY ($4) \
UNION ALL SELECT 2, reservation_id, key, attempt, order_id, at, NULL, NULL, NULL, NULL \
    FROM order_decisions WHERE key = ANY ($5) AND key IS NOT NULL AND order_id IS NOT NULL \
UNION ALL SELECT 3, NULL, key, status, NULL, at, body, fingerprint, location, etag \
    FROM order_records WHERE key = ANY ($5)";

pub(super) fn load(footprint: &Footprint, now: Option<i64>) -> Query {
    bound(Query::new(LOAD), footprint, now)
}

#[cfg(test)]
pub(super) fn explain_load(footprint: &Footprint) -> Query {
    bound(Query::new(format!("EXPLAIN (COSTS OFF) {LOAD}")), footprint, None)
}

fn bound(mut query: Query, footprint: &Footprint, now: Option<i64>) -> Query {
    query.bind(now).bind(footprint.numbers > 0);
    query.bind(footprint.orders.iter().map(|id| id.0).collect::<Vec<Uuid>>());
    query.bind(footprint.reservations.iter().map(|id| id.0).collect::<Vec<Uuid>>());
    query.bind(footprint.keys.iter().map(|key| key.as_str()).collect::<Vec<&str>>());
    query
}

pub(super) fn snapshot(rows: &[PgRow]) -> StoreResult<Snapshot> {
    let mut snapshot = Snapshot {
        now: Timestamp::from_millis(0),
        orders: HashMap::new(),
        records: HashMap::new(),
        decisions: HashMap::new(),
        first_number: 1,
    };
    for found in rows {
        match row::column::<i32>(found, 0)? {
            NOW => {
                snapshot.first_number = row::unsigned(found, 3)?;
                snapshot.now = row::time(found, 5)?;
            }
            ORDER => put(&mut snapshot, row::order(found, 6)?),
            DECISION => {
                let decision = row::decision(found, 1)?;
                snapshot.decisions.insert(decision.reservation_id, decision);
                if row::column::<Option<&str>>(found, 6)?.is_some() {
                    put(&mut snapshot, row::order(found, 6)?);
                }
            }
            RECORD => {
                let record = row::record(found, 2)?;
                snapshot.records.insert(record.key.clone(), record);
            }
            other => return Err(row::corrupt(format!("a row of type {other}"))),
        }
    }
    Ok(snapshot)
}

fn put(snapshot: &mut Snapshot, order: Order) {
    snapshot.orders.insert(order.id, order);
}

/// A page: a walk along the index of the narrowest filter, from the key on.
pub(super) fn orders(query: &OrderQuery, page: &PageRequest<OrderKey>) -> StoreResult<Query> {
    orders_as("SELECT body::text FROM orders", query, page)
}

pub(super) fn orders_as(
    select: &'static str,
    query: &OrderQuery,
    page: &PageRequest<OrderKey>,
) -> StoreResult<Query> {
    let mut sql = Query::new(select);
    narrow(&mut sql, query)?;
    let (after, order) = if query.ascending {
        (" AND (placed_at, id) > (", " ORDER BY placed_at, id LIMIT ")
    } else {
        (" AND (placed_at, id) < (", " ORDER BY placed_at DESC, id DESC LIMIT ")
    };
    if let Some(key) = page.after {
        sql.push(after).push_bind(key.placed_at.as_millis()).push(", ").push_bind(key.id.0).push(")");
    }
    sql.push(order).push_bind(limit(page.limit.get() + 1));
    Ok(sql)
}

pub(super) fn count(query: &OrderQuery) -> StoreResult<Query> {
    let mut sql = Query::new("SELECT count(*) FROM orders");
    narrow(&mut sql, query)?;
    Ok(sql)
}

fn narrow(sql: &mut Query, query: &OrderQuery) -> StoreResult<()> {
    sql.push(" WHERE NOT deleted");
    if let Some(status) = query.status {
        sql.push(" AND status = ").push_bind(row::name(status)?);
    }
    for (column, text) in
        [(" AND customer_id = ", &query.customer_id), (" AND reference = ", &query.reference)]
    {
        match text.as_deref() {
            None => {}
            // PostgreSQL knows no such text, so no order has it.
            Some(text) if text.contains('\0') => {
                sql.push(" AND false");
            }
            Some(text) => {
                sql.push(column).push_bind(text);
            }
        }
    }
    if let Some(from) = query.placed_after {
        sql.push(" AND placed_at >= ").push_bind(from.as_millis());
    }
    if let Some(to) = query.placed_before {
        sql.push(" AND placed_at < ").push_bind(to.as_millis());
    }
    Ok(())
}

pub(super) fn events(of: Option<OrderId>, after: u64, most: usize) -> Query {
    let mut sql =
        Query::new("SELECT sequence, order_id, kind, at, body::text FROM order_events WHERE sequence > ");
    sql.push_bind(i64::try_from(after).unwrap_or(i64::MAX));
    if let Some(order) = of {
        sql.push(" AND order_id = ").push_bind(order.0);
    }
    sql.push(" ORDER BY sequence LIMIT ").push_bind(limit(most));
    sql
}

pub(super) fn limit(rows: usize) -> i64 {
    i64::try_from(rows).unwrap_or(i64::MAX)
}
