use std::collections::HashMap;

use shop_core::sqlite::Query;
use shop_core::{PageRequest, StoreResult, Timestamp};
use sqlx::sqlite::SqliteRow;

use super::row;
use super::write::json;
use crate::store::{Footprint, OrderKey, OrderQuery, Snapshot};
use crate::{Order, OrderId};

const NUMBER: i64 = 0;
const ORDER: i64 = 1;
const DECISION: i64 = 2;
const RECORD: i64 = 3;

/// All parts of a footprint in one statement; the first column of a row says what it is.
pub(super) fn load(footprint: &Footprint) -> StoreResult<Query> {
    let mut query = Query::new("SELECT NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL WHERE false");
    if footprint.numbers > 0 {
        query.push(" UNION ALL SELECT 0, coalesce(max(number), 0) + 1, NULL, NULL, NULL, NULL, NULL, NULL FROM orders");
    }
    if !footprint.orders.is_empty() {
        query.push(
            " UNION ALL SELECT 1, body, NULL, NULL, NULL, NULL, NULL, NULL FROM orders \
             WHERE id IN (SELECT unhex(value) FROM json_each(?))",
        );
        query.bind(json(footprint.orders.iter().map(|id| id.0.simple()))?);
    }
    if !footprint.reservations.is_empty() {
        query.push(
            " UNION ALL SELECT 2, d.reservation_id, d.key, d.attempt, d.order_id, d.at, \
             (SELECT body FROM orders WHERE id = d.order_id), NULL \
             FROM order_decisions d WHERE d.reservation_id IN (SELECT unhex(value) FROM json_each(?))",
        );
        query.bind(json(footprint.reservations.iter().map(|id| id.0.simple()))?);
    }
    if !footprint.keys.is_empty() {
        let keys = json(footprint.keys.iter().map(|key| key.as_str()))?;
        for part in [
            " UNION ALL SELECT 2, reservation_id, key, attempt, order_id, at, NULL, NULL FROM order_decisions \
             WHERE key IN (SELECT value FROM json_each(?)) AND key IS NOT NULL AND order_id IS NOT NULL",
            " UNION ALL SELECT 3, key, fingerprint, status, location, etag, body, at FROM order_records \
             WHERE key IN (SELECT value FROM json_each(?))",
        ] {
            query.push(part).bind(keys.as_str());
        }
    }
    Ok(query)
}

pub(super) fn snapshot(rows: &[SqliteRow], now: Timestamp) -> StoreResult<Snapshot> {
    let mut snapshot = Snapshot {
        now,
        orders: HashMap::new(),
        records: HashMap::new(),
        decisions: HashMap::new(),
        first_number: 1,
    };
    for found in rows {
        match row::column::<i64>(found, 0)? {
            NUMBER => snapshot.first_number = row::unsigned(found, 1)?,
            ORDER => put(&mut snapshot, row::order(found, 1)?),
            DECISION => {
                let decision = row::decision(found, 1)?;
                snapshot.decisions.insert(decision.reservation_id, decision);
                if row::column::<Option<&str>>(found, 6)?.is_some() {
                    put(&mut snapshot, row::order(found, 6)?);
                }
            }
            RECORD => {
                let record = row::record(found, 1)?;
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
pub(super) fn orders(query: &OrderQuery, page: &PageRequest<OrderKey>) -> Query {
    orders_as("SELECT body FROM orders", query, page)
}

pub(super) fn orders_as(select: &'static str, query: &OrderQuery, page: &PageRequest<OrderKey>) -> Query {
    let mut sql = Query::new(select);
    narrow(&mut sql, query);
    let (after, order) = if query.ascending {
        (" AND (placed_at, id) > (?, ?)", " ORDER BY placed_at, id LIMIT ?")
    } else {
        (" AND (placed_at, id) < (?, ?)", " ORDER BY placed_at DESC, id DESC LIMIT ?")
    };
    if let Some(key) = page.after {
        sql.push(after).bind(key.placed_at.as_millis()).bind(key.id.0);
    }
    sql.push(order).bind(limit(page.limit.get() + 1));
    sql
}

pub(super) fn count(query: &OrderQuery) -> Query {
    let mut sql = Query::new("SELECT count(*) FROM orders");
    narrow(&mut sql, query);
    sql
}

fn narrow(sql: &mut Query, query: &OrderQuery) {
    sql.push(match query {
        OrderQuery { reference: Some(_), .. } => " INDEXED BY orders_reference",
        OrderQuery { customer_id: Some(_), .. } => " INDEXED BY orders_customer",
        OrderQuery { status: Some(_), .. } => " INDEXED BY orders_status",
        _ => " INDEXED BY orders_placed",
    });
    sql.push(" WHERE deleted = 0");
    if let Some(status) = query.status {
        sql.push(" AND status = ?").bind(row::status_code(status));
    }
    if let Some(customer) = &query.customer_id {
        sql.push(" AND customer_id = ?").bind(customer.as_str());
    }
    if let Some(reference) = &query.reference {
        sql.push(" AND reference = ?").bind(reference.as_str());
    }
    if let Some(from) = query.placed_after {
        sql.push(" AND placed_at >= ?").bind(from.as_millis());
    }
    if let Some(to) = query.placed_before {
        sql.push(" AND placed_at < ?").bind(to.as_millis());
    }
}

pub(super) fn events(of: Option<OrderId>, after: u64, most: usize) -> Query {
    let mut sql = Query::new(
        "SELECT sequence, order_id, kind, at, coalesce(body, (SELECT body FROM orders WHERE id = order_id)) \
         FROM order_events WHERE sequence > ?",
    );
    sql.bind(i64::try_from(after).unwrap_or(i64::MAX));
    if let Some(order) = of {
        sql.push(" AND order_id = ?").bind(order.0);
    }
    sql.push(" ORDER BY sequence LIMIT ?").bind(limit(most));
    sql
}

pub(super) fn limit(rows: usize) -> i64 {
    i64::try_from(rows).unwrap_or(i64::MAX)
}
