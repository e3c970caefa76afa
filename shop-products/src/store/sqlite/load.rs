use std::collections::HashMap;
use std::hash::Hash;

use serde::Serialize;
use serde::de::DeserializeOwned;
use shop_core::sqlite::{Query, SqliteDb, Value};
use shop_core::{StoreResult, Timestamp};

use super::rows::{self, PRODUCT, RECORD, RESERVATION};
use crate::store::{Footprint, Snapshot};

fn list_of<T: Serialize>(values: impl ExactSizeIterator<Item = T>) -> Value {
    if values.len() == 0 {
        return Value::Null;
    }
    let values: Vec<T> = values.collect();
    Value::Text(serde_json::to_string(&values).expect("ids, keys and SKUs are plain texts"))
}

/// One row with a column for each kind of thing: a JSON array of what there is of it.
pub(super) fn query(footprint: &Footprint, now: Timestamp) -> Query {
    let mut query = super::query(format!(
        "SELECT (SELECT json_group_array({PRODUCT}) FROM json_each(?) j \
         CROSS JOIN products p ON p.id = unhex(j.value) CROSS JOIN stock s ON s.id = p.id), \
         (SELECT json_group_array({PRODUCT}) FROM json_each(?) j \
         CROSS JOIN products p ON p.live_sku = j.value CROSS JOIN stock s ON s.id = p.id), \
         (SELECT json_group_array({RESERVATION}) FROM reservations \
         WHERE id IN (SELECT unhex(value) FROM json_each(?))), \
         (SELECT json_group_array({RESERVATION}) FROM (SELECT * FROM reservations \
         WHERE state = 0 AND expires_at <= (SELECT ?) ORDER BY expires_at LIMIT ?)), \
         (SELECT json_group_array({RECORD}) FROM records WHERE key IN (SELECT value FROM json_each(?)))"
    ));
    query
        .bind(list_of(footprint.products.iter().map(|id| id.0.simple().to_string())))
        .bind(list_of(footprint.skus.iter()))
        .bind(list_of(footprint.reservations.iter().map(|id| id.0.simple().to_string())))
        .bind(now.as_millis())
        .bind(i64::try_from(footprint.expired).unwrap_or(i64::MAX))
        .bind(list_of(footprint.keys.iter().map(|key| key.as_str())));
    query
}

/// Runs a query of [`query`] and puts what it finds into a snapshot.
pub(super) async fn read(db: &SqliteDb, snapshot: &mut Snapshot, query: Query) -> StoreResult<()> {
    let row = db.read_row("load products", query).await?;
    for column in [0, 1] {
        add(&mut snapshot.products, rows::get(&row, column)?, rows::product, |product| product.id)?;
    }
    for column in [2, 3] {
        add(&mut snapshot.reservations, rows::get(&row, column)?, rows::reservation, |held| held.id)?;
    }
    add(&mut snapshot.records, rows::get(&row, 4)?, rows::record, |record| record.key.clone())
}

fn add<R: DeserializeOwned, K: Hash + Eq, T>(
    to: &mut HashMap<K, T>,
    found: &str,
    convert: impl Fn(R) -> StoreResult<T>,
    key: impl Fn(&T) -> K,
) -> StoreResult<()> {
    if found != "[]" {
        for row in rows::json::<Vec<R>>(found)? {
            let value = convert(row)?;
            to.insert(key(&value), value);
        }
    }
    Ok(())
}
