use serde::Serialize;
use shop_core::sqlite::{Query, Value};
use shop_core::{StoreError, StoreErrorKind, StoreResult};

use super::rows::{line_row, state_code, status_code};
use crate::Product;
use crate::store::{ChangeSet, text};

/// A change set as one statement. Texts in `attributes`, `tags` and `lines` are JSON themselves.
pub(super) fn statement(changes: &ChangeSet) -> StoreResult<Query> {
    let cold = !(changes.created.is_empty() && changes.edited.is_empty() && changes.adjustments.is_empty());
    let mut statement = super::query(if cold {
        "INSERT INTO commits VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
    } else {
        "INSERT INTO hot_commit VALUES (?, ?, ?, ?, ?, ?)"
    });
    if cold {
        bind_products(&mut statement, changes)?;
    }
    let stock = changes.stock.iter().map(|change| {
        let id = change.product_id.0.simple().to_string();
        (id, change.on_hand, change.allocated, change.versions, change.expected_edited_version)
    });
    statement.bind(rows(stock)?).bind(count(changes.stock.len()));
    bind_reservations(&mut statement, changes)?;
    let records = changes.records.iter().map(|record| {
        let fingerprint: String = record.fingerprint.0.iter().map(|byte| format!("{byte:02x}")).collect();
        let (answer, at) = (&record.answer, record.at.as_millis());
        (record.key.as_str(), fingerprint, answer.status, &answer.location, &answer.etag, &answer.body, at)
    });
    statement.bind(rows(records)?);
    Ok(statement)
}

fn bind_products(statement: &mut Query, changes: &ChangeSet) -> StoreResult<()> {
    let edited_stock = changes.edited.iter().map(|edit| {
        let (id, stock) = (edit.product.id.0.simple().to_string(), edit.product.stock);
        let Product { version, edited_version, .. } = edit.product;
        (id, stock.on_hand, stock.allocated, version, edited_version, edit.expected_version)
    });
    statement.bind(rows(edited_stock)?).bind(count(changes.edited.len()));
    // Only if the details are not what the decision saw: an adjustment leaves them, and the words with them.
    let edited: Vec<&Product> = changes
        .edited
        .iter()
        .filter(|edit| edit.product.edited_version > edit.expected_version)
        .map(|edit| &edit.product)
        .collect();
    statement.bind(product_rows(edited.iter().copied())?).bind(count(edited.len()));
    statement.bind(rows(edited.iter().map(|product| product.id.0.simple().to_string()))?);
    let stock = changes.created.iter().map(|product| {
        let id = product.id.0.simple().to_string();
        (id, product.stock.on_hand, product.stock.allocated, product.version, product.edited_version)
    });
    statement.bind(product_rows(changes.created.iter())?).bind(rows(stock)?);
    let live =
        || edited.iter().copied().chain(&changes.created).filter(|product| product.deleted_at.is_none());
    let words = live().map(|product| (product.id.0.simple().to_string(), text::words_of(product).join(" ")));
    let tagged = live().filter(|product| !product.details.tags.is_empty());
    statement.bind(rows(words)?).bind(rows(tagged.map(|product| product.id.0.simple().to_string()))?);
    let adjustments = changes.adjustments.iter().map(|new| {
        let (product, id) = (new.product_id.0.simple().to_string(), new.id.0.simple().to_string());
        (product, id, new.delta, &new.reason, &new.reference, new.on_hand, new.created_at.as_millis())
    });
    statement.bind(rows(adjustments)?);
    Ok(())
}

fn bind_reservations(statement: &mut Query, changes: &ChangeSet) -> StoreResult<()> {
    let (mut new, mut changed) = (Vec::new(), Vec::new());
    for write in &changes.reservations {
        let reservation = &write.reservation;
        let lines = if write.keeps_lines {
            None
        } else {
            Some(text_of(&reservation.lines.iter().map(line_row).collect::<Vec<_>>())?)
        };
        let (id, owner, state) =
            (reservation.id.0.simple().to_string(), &reservation.owner, state_code(reservation.state));
        let (created, updated) = (reservation.created_at.as_millis(), reservation.updated_at.as_millis());
        let expires = reservation.expires_at.map(|at| at.as_millis());
        match write.expected {
            None => new.push((id, owner, state, lines, created, updated, expires)),
            Some((from, at)) => {
                changed.push((id, state, lines, updated, expires, state_code(from), at.as_millis()));
            }
        }
    }
    let rows_changed = count(changed.len());
    statement.bind(rows(new.into_iter())?).bind(rows(changed.into_iter())?).bind(rows_changed);
    Ok(())
}

fn product_rows<'a>(products: impl Iterator<Item = &'a Product>) -> StoreResult<Value> {
    let mut found = Vec::new();
    for product in products {
        let details = &product.details;
        found.push((
            product.id.0.simple().to_string(),
            &details.sku,
            product.deleted_at.is_none().then_some(&details.sku),
            &details.name,
            &details.description,
            details.price.minor(),
            details.price.currency().code().to_owned(),
            details.price.ten_thousandths().unwrap_or(i64::MAX),
            text_of(&details.attributes)?,
            text_of(&details.tags)?,
            status_code(details.status),
            product.created_at.as_millis(),
            product.updated_at.as_millis(),
            product.deleted_at.map(|at| at.as_millis()),
        ));
    }
    rows(found.into_iter())
}

/// Rows as one value; `NULL` if there are none.
fn rows<T: Serialize>(rows: impl Iterator<Item = T>) -> StoreResult<Value> {
    let rows: Vec<T> = rows.collect();
    if rows.is_empty() { Ok(Value::Null) } else { Ok(Value::Text(text_of(&rows)?)) }
}

fn count(rows: usize) -> i64 {
    i64::try_from(rows).unwrap_or(i64::MAX)
}

fn text_of<T: Serialize>(value: &T) -> StoreResult<String> {
    serde_json::to_string(value)
        .map_err(|error| StoreError::new(StoreErrorKind::Internal, "write a row").with_source(error))
}
