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
    let mut query = super::query("SELECT ");
    let mut column = |asked: bool, end: &str, select: &dyn Fn() -> String, values: Vec<Value>| {
        if asked {
            query.push("(").push(&select()).push(")");
            for value in values {
                query.bind(value);
            }
        } else {
            query.push("'[]'");
        }
        query.push(end);
    };
    let Footprint { products, skus, reservations, keys, expired } = footprint;
    let product = |by: &str| {
        format!(
            "SELECT json_group_array({PRODUCT}) FROM json_each(?) j CROSS JOIN products p ON {by} \
             CROSS JOIN stock s ON s.id = p.id"
        )
    };
    let ids = list_of(products.iter().map(|id| id.0.simple().to_string()));
    column(!products.is_empty(), ", ", &|| product("p.id = unhex(j.value)"), vec![ids]);
    column(!skus.is_empty(), ", ", &|| product("p.live_sku = j.value"), vec![list_of(skus.iter())]);
    let reservation = |from: &str| format!("SELECT json_group_array({RESERVATION}) FROM {from}");
    let by_id = "reservations WHERE id IN (SELECT unhex(value) FROM json_each(?))";
    let ids = list_of(reservations.iter().map(|id| id.0.simple().to_string()));
    column(!reservations.is_empty(), ", ", &|| reservation(by_id), vec![ids]);
    // A bare `LIMIT ?` makes SQLite compile the statement anew whenever a value is bound; a cast does not.
    let due = "(SELECT * FROM reservations WHERE state = 0 AND expires_at <= ? ORDER BY expires_at \
         LIMIT CAST(? AS INTEGER))";
    let most = i64::try_from(*expired).unwrap_or(i64::MAX);
    column(*expired > 0, ", ", &|| reservation(due), vec![now.as_millis().into(), most.into()]);
    let record = || {
        format!(
            "SELECT json_group_array({RECORD}) FROM records WHERE key IN (SELECT value FROM json_each(?))"
        )
    };
    column(!keys.is_empty(), "", &record, vec![list_of(keys.iter().map(|key| key.as_str()))]);
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
