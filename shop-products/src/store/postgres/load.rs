use std::collections::BTreeSet;

use shop_core::id::Uuid;
use shop_core::postgres::{PgRow, Query};
use shop_core::{StoreResult, Timestamp};

use super::rows;
use crate::ProductId;
use crate::store::{Footprint, Snapshot};

const PRODUCT: i32 = 1;
const RESERVATION: i32 = 2;
const RECORD: i32 = 3;

/// All parts of a footprint in one statement; the first column of a row says what it is. Its text is always the same, and
/// so it is prepared once.
const LOAD: &str = "\
SELECT 1 AS part, p.id, NULL AS name, p.body, s.on_hand AS a, s.allocated AS b, s.version AS c, s.edited_version AS d \
    FROM products p JOIN product_stock s ON s.id = p.id WHERE p.id = ANY ($2) \
UNION ALL SELECT 1, p.id, NULL, p.body, s.on_hand, s.allocated, s.version, s.edited_version \
    FROM products p JOIN product_stock s ON s.id = p.id WHERE p.live_sku = ANY ($3) \
UNION ALL SELECT 2, id, owner, lines, state, created_at, updated_at, expires_at FROM reservations WHERE id = ANY ($4) \
UNION ALL (SELECT 2, id, owner, lines, state, created_at, updated_at, expires_at FROM reservations \
    WHERE state = 0 AND expires_at <= $1 ORDER BY expires_at LIMIT $5) \
UNION ALL SELECT 3, NULL, key, body, at, NULL, NULL, NULL FROM product_records WHERE key = ANY ($6)";

pub(super) fn query(footprint: &Footprint, now: Timestamp) -> Query {
    bound(Query::new(LOAD), footprint, now)
}

#[cfg(test)]
pub(super) fn explained(footprint: &Footprint) -> Query {
    bound(Query::new(format!("EXPLAIN (COSTS OFF) {LOAD}")), footprint, Timestamp::from_millis(0))
}

fn bound(mut query: Query, footprint: &Footprint, now: Timestamp) -> Query {
    let Footprint { products, skus, reservations, keys, expired } = footprint;
    query.bind(now.as_millis());
    query.bind(products.iter().map(|id| id.0).collect::<Vec<Uuid>>());
    query.bind(skus.iter().map(|sku| sku.as_str()).collect::<Vec<&str>>());
    query.bind(reservations.iter().map(|id| id.0).collect::<Vec<Uuid>>());
    query.bind(i64::try_from(*expired).unwrap_or(i64::MAX));
    query.bind(keys.iter().map(|key| key.as_str()).collect::<Vec<&str>>());
    query
}

pub(super) fn empty(now: Timestamp) -> Snapshot {
    Snapshot {
        now,
        products: Default::default(),
        reservations: Default::default(),
        records: Default::default(),
    }
}

pub(super) fn add(snapshot: &mut Snapshot, rows: &[PgRow]) -> StoreResult<()> {
    for row in rows {
        match rows::column::<i32>(row, 0)? {
            PRODUCT => {
                let product = rows::product(row, [1, 3, 4, 5, 6, 7])?;
                snapshot.products.insert(product.id, product);
            }
            RESERVATION => {
                let reservation = rows::reservation(row, 1)?;
                snapshot.reservations.insert(reservation.id, reservation);
            }
            RECORD => {
                let record = rows::record(row, [2, 3, 4])?;
                snapshot.records.insert(record.key.clone(), record);
            }
            other => return Err(rows::corrupt(format!("a row of type {other}"))),
        }
    }
    Ok(())
}

/// Reservations bring the products of their lines with them: those that are not there yet.
pub(super) fn missing(snapshot: &Snapshot) -> BTreeSet<ProductId> {
    let held = snapshot.reservations.values();
    let lines = held.flat_map(|held| held.lines.iter().map(|line| line.product_id));
    lines.filter(|id| !snapshot.products.contains_key(id)).collect()
}
