//! Collections with what they refuse, and their indexes, by versions. DDL is no part of a transaction here: a change may be
//! made by several instances at once, or half by one that dies, so each can be made again, and its version is written last.

use std::collections::BTreeMap;

use mongodb::bson::{Document, doc};
use mongodb::options::{IndexOptions, ValidationAction, ValidationLevel};
use mongodb::{Database, IndexModel};
use shop_core::{StoreError, StoreErrorKind, StoreResult};

use super::error::{classified, code};
use crate::Stock;

pub(super) const PRODUCTS: &str = "products";
pub(super) const RESERVATIONS: &str = "reservations";
pub(super) const ADJUSTMENTS: &str = "adjustments";
pub(super) const RECORDS: &str = "idempotency_records";
/// One document, written only to wait for what was written before it.
pub(super) const BARRIER: &str = "barrier";

/// One document, which says the version.
const SCHEMA: &str = "schema";
/// What this program knows. An index that changes gets another name: two versions may run side by side.
const VERSION: i32 = 1;
/// The index of reservations by state and time.
pub(super) const BY_STATE: &str = "by_state_and_time";

const OPERATION: &str = "change the schema";
const NAMESPACE_EXISTS: i32 = 48;

/// Brings the schema up to date.
pub(super) async fn prepare(db: &Database) -> StoreResult<()> {
    let schema = db.collection::<Document>(SCHEMA);
    let it = || doc! { "_id": "products" };
    let found = schema.find_one(it()).await.map_err(failed)?;
    let version = found.map_or(Ok(0), |found| found.get_i32("version"));
    let version =
        version.map_err(|error| StoreError::new(StoreErrorKind::Corrupt, OPERATION).with_source(error))?;
    if version > VERSION {
        return Err(StoreError::new(StoreErrorKind::Corrupt, OPERATION)
            .with_source("the database was written by a newer version of this program"));
    }
    make(db).await?;
    guard(db).await?;
    if version < VERSION {
        let to = doc! { "$max": { "version": VERSION } };
        schema.update_one(it(), to).upsert(true).await.map_err(failed)?;
    }
    Ok(())
}

/// Makes what is missing: all of it, or what a backup was restored without.
async fn make(db: &Database) -> StoreResult<()> {
    for (name, validator, indexes) in collections() {
        match db.create_collection(name).validator(validator).await {
            Err(error) if code(&error) != Some(NAMESPACE_EXISTS) => return Err(failed(error)),
            _ => {}
        }
        if !indexes.is_empty() {
            db.collection::<Document>(name).create_indexes(indexes).await.map_err(failed)?;
        }
    }
    Ok(())
}

/// What the collections refuse is what commits rely on, and a restored backup may lack it.
async fn guard(db: &Database) -> StoreResult<()> {
    let wanted: BTreeMap<_, _> =
        collections().into_iter().map(|(name, validator, _)| (name, validator)).collect();
    let mut found = db.list_collections().await.map_err(failed)?;
    while found.advance().await.map_err(failed)? {
        let there = found.deserialize_current().map_err(failed)?;
        let Some(validator) = wanted.get(there.name.as_str()) else { continue };
        let options = &there.options;
        let is_strict = options.validation_level.as_ref().is_none_or(|it| *it == ValidationLevel::Strict)
            && options.validation_action.as_ref().is_none_or(|it| *it == ValidationAction::Error);
        if options.validator.as_ref().unwrap_or(&Document::new()) != validator || !is_strict {
            let change = doc! {
                "collMod": &there.name, "validator": validator, "validationLevel": "strict",
                "validationAction": "error",
            };
            db.run_command(change).await.map_err(failed)?;
        }
    }
    Ok(())
}

fn failed(error: mongodb::error::Error) -> StoreError {
    classified(OPERATION, error)
}

fn index(name: &str, keys: Document, only: Option<Document>) -> IndexModel {
    let options = IndexOptions::builder().name(name.to_owned()).partial_filter_expression(only).build();
    IndexModel::builder().keys(keys).options(options).build()
}

fn unique(mut index: IndexModel) -> IndexModel {
    if let Some(options) = &mut index.options {
        options.unique = Some(true);
    }
    index
}

/// Required fields of one type.
fn typed(fields: &[(&str, &str)]) -> Document {
    let required: Vec<&str> = fields.iter().map(|(name, _)| *name).collect();
    let properties: Document =
        fields.iter().map(|(name, kind)| ((*name).to_owned(), doc! { "bsonType": *kind }.into())).collect();
    doc! { "bsonType": "object", "required": required, "properties": properties }
}

fn collections() -> Vec<(&'static str, Document, Vec<IndexModel>)> {
    let mut product = typed(&[
        ("_id", "binData"),
        ("sku", "string"),
        ("live", "bool"),
        ("name", "string"),
        ("description", "string"),
        ("minor", "long"),
        ("currency", "string"),
        ("price", "long"),
        ("attributes", "string"),
        ("tags", "array"),
        ("words", "array"),
        ("status", "int"),
        ("created_at", "long"),
        ("updated_at", "long"),
        ("version", "long"),
        ("edited_version", "long"),
        ("on_hand", "long"),
        ("allocated", "long"),
    ]);
    if let Ok(properties) = product.get_document_mut("properties") {
        for field in ["on_hand", "allocated"] {
            properties.insert(field, doc! { "bsonType": "long", "minimum": 0_i64, "maximum": Stock::MAX });
        }
    }
    let reservation = typed(&[
        ("_id", "binData"),
        ("state", "int"),
        ("lines", "array"),
        ("created_at", "long"),
        ("updated_at", "long"),
    ]);
    let adjustment = typed(&[
        ("_id", "object"),
        ("delta", "long"),
        ("reason", "string"),
        ("on_hand", "long"),
        ("created_at", "long"),
    ]);
    let record = typed(&[
        ("_id", "string"),
        ("fingerprint", "binData"),
        ("status", "int"),
        ("body", "string"),
        ("at", "long"),
    ]);
    let live = || Some(doc! { "live": true });
    let held = || Some(doc! { "state": 0 });
    vec![
        (
            PRODUCTS,
            doc! { "$jsonSchema": product, "$expr": { "$lte": ["$allocated", "$on_hand"] } },
            vec![
                unique(index("live_sku", doc! { "sku": 1 }, live())),
                index("by_creation", doc! { "created_at": 1, "_id": 1 }, live()),
                index("by_name", doc! { "name": 1, "_id": 1 }, live()),
                index("by_price", doc! { "price": 1, "_id": 1 }, live()),
                index("by_update", doc! { "updated_at": 1, "_id": 1 }, live()),
                index("by_status", doc! { "status": 1, "created_at": 1, "_id": 1 }, live()),
                index("by_tag", doc! { "tags": 1 }, live()),
                index("by_word", doc! { "words": 1 }, live()),
            ],
        ),
        (
            RESERVATIONS,
            doc! { "$jsonSchema": reservation },
            vec![
                // No more of them than must be: in a transaction the server reads its catalogue anew for each of them, for
                // every document that it writes.
                index(BY_STATE, doc! { "state": 1, "created_at": 1, "_id": 1, "updated_at": 1 }, None),
                index("held_by_owner", doc! { "owner": 1, "created_at": 1, "_id": 1 }, held()),
                index("expiring", doc! { "expires_at": 1 }, held()),
            ],
        ),
        // The key is the product, then the id: its own index lists a product's adjustments.
        (ADJUSTMENTS, doc! { "$jsonSchema": adjustment }, vec![]),
        (RECORDS, doc! { "$jsonSchema": record }, vec![index("by_time", doc! { "at": 1 }, None)]),
        (BARRIER, doc! {}, vec![]),
    ]
}
