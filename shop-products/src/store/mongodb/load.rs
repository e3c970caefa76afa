use std::collections::BTreeSet;

use mongodb::bson::{Bson, Document, doc};
use mongodb::{Cursor, Database};
use serde::de::DeserializeOwned;
use shop_core::{StoreResult, Timestamp};

use super::documents::{ProductDoc, RecordDoc, ReservationDoc, key};
use super::error::classified;
use super::schema::{PRODUCTS, RECORDS, RESERVATIONS};
use crate::ProductId;
use crate::store::{Footprint, Snapshot};

/// All that a cursor has.
pub(super) async fn all<D: DeserializeOwned, T>(
    operation: &'static str,
    cursor: mongodb::error::Result<Cursor<D>>,
    convert: impl Fn(D) -> StoreResult<T>,
) -> StoreResult<Vec<T>> {
    let mut cursor = cursor.map_err(|e| classified(operation, e))?;
    let mut found = Vec::new();
    while cursor.advance().await.map_err(|e| classified(operation, e))? {
        found.push(convert(cursor.deserialize_current().map_err(|e| classified(operation, e))?)?);
    }
    Ok(found)
}

/// The documents of one collection that a filter finds, in one answer if they fit one; none if there is no filter.
async fn find<D: DeserializeOwned + Send + Sync, T>(
    db: &Database,
    collection: &str,
    filter: Option<Document>,
    most: Option<(Document, usize)>,
    convert: impl Fn(D) -> StoreResult<T>,
) -> StoreResult<Vec<T>> {
    let Some(filter) = filter else { return Ok(Vec::new()) };
    let collection = db.collection::<D>(collection);
    let mut query = collection.find(filter).batch_size(100_000);
    if let Some((order, limit)) = most {
        query = query.sort(order).limit(i64::try_from(limit).unwrap_or(i64::MAX));
    }
    all("load products", query.await, convert).await
}

fn ids<T>(of: &BTreeSet<T>, key: impl Fn(&T) -> Bson) -> Option<Bson> {
    (!of.is_empty()).then(|| Bson::Array(of.iter().map(key).collect()))
}

/// Reads a footprint: all parts at the same time, then the products that its reservations need.
pub(super) async fn read(db: &Database, footprint: &Footprint, now: Timestamp) -> StoreResult<Snapshot> {
    let by_id = |ids: Bson| doc! { "_id": { "$in": ids } };
    let products = ids(&footprint.products, |id| key(id.0).into()).map(by_id);
    let skus = ids(&footprint.skus, |sku| sku.as_str().into())
        .map(|skus| doc! { "live": true, "sku": { "$in": skus } });
    let reservations = ids(&footprint.reservations, |id| key(id.0).into()).map(by_id);
    let records = ids(&footprint.keys, |key| key.as_str().into()).map(by_id);
    let due = doc! { "state": 0, "expires_at": { "$lte": now.as_millis() } };
    let expired = (footprint.expired > 0).then_some(due);
    let soonest = Some((doc! { "expires_at": 1 }, footprint.expired));
    let (products, by_sku, reservations, expired, records) = tokio::try_join!(
        find(db, PRODUCTS, products, None, ProductDoc::product),
        find(db, PRODUCTS, skus, None, ProductDoc::product),
        find(db, RESERVATIONS, reservations, None, ReservationDoc::reservation),
        find(db, RESERVATIONS, expired, soonest, ReservationDoc::reservation),
        find(db, RECORDS, records, None, RecordDoc::record),
    )?;
    let mut found = Snapshot {
        now,
        products: products.into_iter().chain(by_sku).map(|product| (product.id, product)).collect(),
        reservations: reservations.into_iter().chain(expired).map(|held| (held.id, held)).collect(),
        records: records.into_iter().map(|record| (record.key.clone(), record)).collect(),
    };
    let lines = found.reservations.values().flat_map(|held| held.lines.iter().map(|line| line.product_id));
    let missing: BTreeSet<ProductId> = lines.filter(|id| !found.products.contains_key(id)).collect();
    let missing = ids(&missing, |id| key(id.0).into()).map(by_id);
    let besides = find(db, PRODUCTS, missing, None, ProductDoc::product).await?;
    found.products.extend(besides.into_iter().map(|product| (product.id, product)));
    Ok(found)
}
