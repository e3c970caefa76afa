use serde::Serialize;
use shop_core::sqlite::{Script, Value};
use shop_core::{StoreError, StoreErrorKind, StoreResult};

use super::rows::{line_row, state_code, status_code};
use crate::Product;
use crate::store::{ChangeSet, text};

// The rows of a statement come as one JSON array of arrays. Texts in `attributes`, `tags` and `lines` are JSON themselves.

const EDIT_STOCK: &str = "UPDATE stock SET on_hand = j.on_hand, allocated = j.allocated, version = j.version, \
     edited_version = j.edited_version FROM (SELECT unhex(value ->> 0) AS id, value ->> 1 AS on_hand, \
     value ->> 2 AS allocated, value ->> 3 AS version, value ->> 4 AS edited_version, value ->> 5 AS expected \
     FROM json_each(?)) AS j WHERE stock.id = j.id AND stock.version = j.expected";

/// Products of one change set may swap their SKUs: those that change are given up first.
const GIVE_UP_SKUS: &str = "UPDATE products SET live_sku = NULL FROM (SELECT unhex(value ->> 0) AS id, \
     value ->> 2 AS live_sku FROM json_each(?)) AS j WHERE products.id = j.id AND products.live_sku IS NOT j.live_sku";

const EDIT_PRODUCTS: &str = "UPDATE products SET sku = j.sku, live_sku = j.live_sku, name = j.name, \
     description = j.description, minor = j.minor, currency = j.currency, price = j.price, \
     attributes = j.attributes, tags = j.tags, status = j.status, created_at = j.created_at, \
     updated_at = j.updated_at, deleted_at = j.deleted_at FROM (SELECT unhex(value ->> 0) AS id, value ->> 1 AS sku, \
     value ->> 2 AS live_sku, value ->> 3 AS name, value ->> 4 AS description, value ->> 5 AS minor, \
     value ->> 6 AS currency, value ->> 7 AS price, value ->> 8 AS attributes, value ->> 9 AS tags, \
     value ->> 10 AS status, value ->> 11 AS created_at, value ->> 12 AS updated_at, value ->> 13 AS deleted_at \
     FROM json_each(?)) AS j WHERE products.id = j.id";

const FORGET_WORDS: &str = "DELETE FROM product_words WHERE rowid IN \
     (SELECT p.seq FROM json_each(?) j CROSS JOIN products p ON p.id = unhex(j.value))";

const FORGET_TAGS: &str = "DELETE FROM product_tags WHERE seq IN \
     (SELECT p.seq FROM json_each(?) j CROSS JOIN products p ON p.id = unhex(j.value))";

const NEW_PRODUCTS: &str = "INSERT INTO products (id, sku, live_sku, name, description, minor, currency, price, \
     attributes, tags, status, created_at, updated_at, deleted_at) SELECT unhex(value ->> 0), value ->> 1, \
     value ->> 2, value ->> 3, value ->> 4, value ->> 5, value ->> 6, value ->> 7, value ->> 8, value ->> 9, \
     value ->> 10, value ->> 11, value ->> 12, value ->> 13 FROM json_each(?)";

const NEW_STOCK: &str = "INSERT INTO stock (id, on_hand, allocated, version, edited_version) \
     SELECT unhex(value ->> 0), value ->> 1, value ->> 2, value ->> 3, value ->> 4 FROM json_each(?)";

const NEW_WORDS: &str = "INSERT INTO product_words (rowid, words) SELECT p.seq, j.value ->> 1 \
     FROM json_each(?) j CROSS JOIN products p ON p.id = unhex(j.value ->> 0)";

const NEW_TAGS: &str = "INSERT INTO product_tags (tag, seq) SELECT DISTINCT t.value, p.seq \
     FROM json_each(?) j CROSS JOIN products p ON p.id = unhex(j.value) CROSS JOIN json_each(p.tags) t";

const CHANGE_STOCK: &str = "UPDATE stock SET on_hand = stock.on_hand + j.on_hand, \
     allocated = stock.allocated + j.allocated, version = stock.version + j.versions \
     FROM (SELECT unhex(value ->> 0) AS id, value ->> 1 AS on_hand, value ->> 2 AS allocated, value ->> 3 AS versions, \
     value ->> 4 AS expected FROM json_each(?)) AS j \
     WHERE stock.id = j.id AND (j.expected IS NULL OR stock.edited_version = j.expected)";

const NEW_RESERVATIONS: &str = "INSERT INTO reservations (id, owner, state, lines, created_at, updated_at, expires_at) \
     SELECT unhex(value ->> 0), value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5, value ->> 6 \
     FROM json_each(?)";

const CHANGE_RESERVATIONS: &str = "UPDATE reservations SET owner = j.owner, state = j.state, lines = j.lines, \
     created_at = j.created_at, updated_at = j.updated_at, expires_at = j.expires_at \
     FROM (SELECT unhex(value ->> 0) AS id, value ->> 1 AS owner, value ->> 2 AS state, value ->> 3 AS lines, \
     value ->> 4 AS created_at, value ->> 5 AS updated_at, value ->> 6 AS expires_at, value ->> 7 AS expected_state, \
     value ->> 8 AS expected_at FROM json_each(?)) AS j \
     WHERE reservations.id = j.id AND reservations.state = j.expected_state \
     AND reservations.updated_at = j.expected_at";

const NEW_ADJUSTMENTS: &str = "INSERT INTO adjustments (product, id, delta, reason, reference, on_hand, created_at) \
     SELECT unhex(value ->> 0), unhex(value ->> 1), value ->> 2, value ->> 3, value ->> 4, value ->> 5, value ->> 6 \
     FROM json_each(?)";

const NEW_RECORDS: &str = "INSERT INTO records (key, fingerprint, status, location, etag, body, at) \
     SELECT value ->> 0, unhex(value ->> 1), value ->> 2, value ->> 3, value ->> 4, value ->> 5, value ->> 6 \
     FROM json_each(?)";

/// A change set as a transaction. At most some twenty statements, whatever its size.
pub(super) fn script(changes: &ChangeSet) -> StoreResult<Script> {
    let mut script = Script::new();
    // Edits before new products: what they give up is free then.
    edit(&mut script, changes)?;
    create(&mut script, changes)?;
    if !changes.stock.is_empty() {
        let rows = changes.stock.iter().map(|change| {
            let id = change.product_id.0.simple().to_string();
            (id, change.on_hand, change.allocated, change.versions, change.expected_edited_version)
        });
        script.run(CHANGE_STOCK, json(rows)?).expect(changes.stock.len());
    }
    reserve(&mut script, changes)?;
    if !changes.adjustments.is_empty() {
        let rows = changes.adjustments.iter().map(|new| {
            let (product, id) = (new.product_id.0.simple().to_string(), new.id.0.simple().to_string());
            let at = new.created_at.as_millis();
            (product, id, new.delta, &new.reason, &new.reference, new.on_hand, at)
        });
        script.run(NEW_ADJUSTMENTS, json(rows)?);
    }
    if !changes.records.is_empty() {
        let rows = changes.records.iter().map(|record| {
            let fingerprint: String = record.fingerprint.0.iter().map(|byte| format!("{byte:02x}")).collect();
            let answer = &record.answer;
            let at = record.at.as_millis();
            (
                record.key.as_str(),
                fingerprint,
                answer.status,
                &answer.location,
                &answer.etag,
                &answer.body,
                at,
            )
        });
        script.run(NEW_RECORDS, json(rows)?);
    }
    Ok(script)
}

fn edit(script: &mut Script, changes: &ChangeSet) -> StoreResult<()> {
    if changes.edited.is_empty() {
        return Ok(());
    }
    let rows = changes.edited.iter().map(|edit| {
        let (id, stock) = (edit.product.id.0.simple().to_string(), edit.product.stock);
        let Product { version, edited_version, .. } = edit.product;
        (id, stock.on_hand, stock.allocated, version, edited_version, edit.expected_version)
    });
    script.run(EDIT_STOCK, json(rows)?).expect(changes.edited.len());
    // Only if the details are not what the decision saw: an adjustment leaves them, and the words with them.
    let edited: Vec<&Product> = changes
        .edited
        .iter()
        .filter(|edit| edit.product.edited_version > edit.expected_version)
        .map(|edit| &edit.product)
        .collect();
    if edited.is_empty() {
        return Ok(());
    }
    let rows = product_rows(&edited)?;
    let ids = json(edited.iter().map(|product| product.id.0.simple().to_string()))?;
    script
        .run(GIVE_UP_SKUS, rows.clone())
        .run(EDIT_PRODUCTS, rows)
        .expect(edited.len())
        .run(FORGET_WORDS, ids.clone())
        .run(FORGET_TAGS, ids);
    find_by_words(script, &edited)
}

fn create(script: &mut Script, changes: &ChangeSet) -> StoreResult<()> {
    if changes.created.is_empty() {
        return Ok(());
    }
    let created: Vec<&Product> = changes.created.iter().collect();
    let stock = created.iter().map(|product| {
        let id = product.id.0.simple().to_string();
        (id, product.stock.on_hand, product.stock.allocated, product.version, product.edited_version)
    });
    script.run(NEW_PRODUCTS, product_rows(&created)?).run(NEW_STOCK, json(stock)?);
    find_by_words(script, &created)
}

fn find_by_words(script: &mut Script, products: &[&Product]) -> StoreResult<()> {
    let live: Vec<&&Product> = products.iter().filter(|product| product.deleted_at.is_none()).collect();
    if live.is_empty() {
        return Ok(());
    }
    let words =
        live.iter().map(|product| (product.id.0.simple().to_string(), text::words_of(product).join(" ")));
    script.run(NEW_WORDS, json(words)?);
    let tagged: Vec<_> = live
        .iter()
        .filter(|product| !product.details.tags.is_empty())
        .map(|product| product.id.0.simple().to_string())
        .collect();
    if !tagged.is_empty() {
        script.run(NEW_TAGS, json(tagged.iter())?);
    }
    Ok(())
}

fn reserve(script: &mut Script, changes: &ChangeSet) -> StoreResult<()> {
    let (mut new, mut changed) = (Vec::new(), Vec::new());
    for write in &changes.reservations {
        let reservation = &write.reservation;
        let lines: Vec<_> = reservation.lines.iter().map(line_row).collect();
        let row = (
            reservation.id.0.simple().to_string(),
            &reservation.owner,
            state_code(reservation.state),
            text_of(&lines)?,
            reservation.created_at.as_millis(),
            reservation.updated_at.as_millis(),
            reservation.expires_at.map(|at| at.as_millis()),
        );
        match write.expected {
            None => new.push(row),
            Some((state, at)) => {
                let (id, owner, to, lines, created, updated, expires) = row;
                changed.push((
                    id,
                    owner,
                    to,
                    lines,
                    created,
                    updated,
                    expires,
                    state_code(state),
                    at.as_millis(),
                ));
            }
        }
    }
    if !new.is_empty() {
        script.run(NEW_RESERVATIONS, json(new.iter())?);
    }
    if !changed.is_empty() {
        script.run(CHANGE_RESERVATIONS, json(changed.iter())?).expect(changed.len());
    }
    Ok(())
}

fn product_rows(products: &[&Product]) -> StoreResult<[Value; 1]> {
    let mut rows = Vec::with_capacity(products.len());
    for product in products {
        let details = &product.details;
        rows.push((
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
    json(rows.iter())
}

/// Rows as the one value that a statement binds.
fn json<T: Serialize>(rows: impl Iterator<Item = T>) -> StoreResult<[Value; 1]> {
    let rows: Vec<T> = rows.collect();
    Ok([Value::Text(text_of(&rows)?)])
}

fn text_of<T: Serialize>(value: &T) -> StoreResult<String> {
    serde_json::to_string(value)
        .map_err(|error| StoreError::new(StoreErrorKind::Internal, "write a row").with_source(error))
}
