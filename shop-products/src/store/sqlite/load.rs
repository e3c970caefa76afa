use serde::Serialize;
use shop_core::sqlite::{Query, SqliteDb};
use shop_core::{StoreResult, Timestamp};

use super::rows::{self, PRODUCT, RESERVATION};
use crate::store::{Footprint, Snapshot};

/// What kind of row it is, in the first column: one query has several kinds.
const PRODUCT_ROW: i64 = 0;
const RESERVATION_ROW: i64 = 1;

pub(super) fn list_of<T: Serialize>(values: impl Iterator<Item = T>) -> String {
    let values: Vec<T> = values.collect();
    serde_json::to_string(&values).expect("ids, keys and SKUs are plain texts")
}

/// One `SELECT` for each kind of row that is asked for, run one after another in one hop.
pub(super) fn query(footprint: &Footprint, now: Timestamp) -> Query {
    let mut query = super::query("");
    if !footprint.products.is_empty() {
        let ids = list_of(footprint.products.iter().map(|id| id.0.simple().to_string()));
        query
            .push(&format!(
                "SELECT 0, {PRODUCT} FROM json_each(?) j CROSS JOIN products p ON p.id = unhex(j.value) \
                 CROSS JOIN stock s ON s.id = p.id;"
            ))
            .bind(ids);
    }
    if !footprint.skus.is_empty() {
        query
            .push(&format!(
                "SELECT 0, {PRODUCT} FROM json_each(?) j CROSS JOIN products p ON p.live_sku = j.value \
                 CROSS JOIN stock s ON s.id = p.id;"
            ))
            .bind(list_of(footprint.skus.iter()));
    }
    if !footprint.reservations.is_empty() {
        let ids = list_of(footprint.reservations.iter().map(|id| id.0.simple().to_string()));
        query
            .push(&format!(
                "SELECT 1, {RESERVATION} FROM reservations WHERE id IN (SELECT unhex(value) FROM json_each(?));"
            ))
            .bind(ids);
    }
    if footprint.expired > 0 {
        query
            .push(&format!(
                "SELECT 1, {RESERVATION} FROM reservations WHERE state = 0 AND expires_at <= ? \
                 ORDER BY expires_at LIMIT ?;"
            ))
            .bind(now.as_millis())
            .bind(i64::try_from(footprint.expired).unwrap_or(i64::MAX));
    }
    if !footprint.keys.is_empty() {
        query
            .push(
                "SELECT 2, key, fingerprint, status, location, etag, body, at FROM records \
                 WHERE key IN (SELECT value FROM json_each(?));",
            )
            .bind(list_of(footprint.keys.iter().map(|key| key.as_str())));
    }
    query
}

/// Runs a query of [`query`] and puts what it finds into a snapshot.
pub(super) async fn read(db: &SqliteDb, snapshot: &mut Snapshot, query: Query) -> StoreResult<()> {
    if query.is_empty() {
        return Ok(());
    }
    for row in db.read("load products", query).await? {
        match rows::get::<i64>(&row, 0)? {
            PRODUCT_ROW => {
                let product = rows::product(&row, 1)?;
                snapshot.products.insert(product.id, product);
            }
            RESERVATION_ROW => {
                let reservation = rows::reservation(&row, 1)?;
                snapshot.reservations.insert(reservation.id, reservation);
            }
            _ => {
                let record = rows::record(&row, 1)?;
                snapshot.records.insert(record.key.clone(), record);
            }
        }
    }
    Ok(())
}
