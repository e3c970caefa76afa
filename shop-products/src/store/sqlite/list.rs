use shop_core::sqlite::{Query, SqliteDb, Value};
use shop_core::{PageRequest, StoreResult};

use super::rows::{self, ADJUSTMENT, PRODUCT, RESERVATION, state_code, status_code};
use crate::store::{ProductKey, ProductQuery, ProductSortField, ReservationQuery, SortValue, text};
use crate::{AdjustmentId, HeldKey, ProductId};

// A bare `LIMIT ?` makes SQLite compile the statement anew whenever another value is bound; a cast does not.

/// Up to so many matches are found first and then sorted; more are met by walking the list in its order.
const FEW: i64 = 2_000;

/// How words and a tag narrow a list down.
#[derive(Debug, Default)]
pub(super) struct Filter {
    words: Option<Narrow>,
    tag: Option<Narrow>,
}

#[derive(Debug)]
struct Narrow {
    value: String,
    few: bool,
}

impl Filter {
    /// Looks how many products have these words and this tag, up to [`FEW`].
    pub(super) async fn of(db: &SqliteDb, query: &ProductQuery) -> StoreResult<Self> {
        let words = expression(query);
        let words = match words {
            None => None,
            Some(words) => {
                let sql = "SELECT count(*) FROM (SELECT 1 FROM product_words WHERE product_words MATCH ? LIMIT CAST(? AS INTEGER))";
                Some(Narrow::by(db, sql, words).await?)
            }
        };
        let tag = match &query.tag {
            None => None,
            Some(tag) => {
                let sql = "SELECT count(*) FROM (SELECT 1 FROM product_tags WHERE tag = ? LIMIT CAST(? AS INTEGER))";
                Some(Narrow::by(db, sql, tag.clone()).await?)
            }
        };
        Ok(Self { words, tag })
    }
}

impl Narrow {
    async fn by(db: &SqliteDb, sql: &str, value: String) -> StoreResult<Self> {
        let mut query = super::query(sql);
        query.bind(value.clone()).bind(FEW);
        let few = rows::count(&db.read_row("estimate a filter", query).await?)? < FEW.unsigned_abs();
        Ok(Self { value, few })
    }
}

/// The words in FTS5's query syntax. They are letters and digits only, so that quotes around them are all it needs.
fn expression(query: &ProductQuery) -> Option<String> {
    let words = text::words_asked(query);
    let (last, whole) = words.split_last()?;
    let mut expression = String::new();
    for word in whole {
        expression.push_str(&format!("\"{word}\" AND "));
    }
    expression.push_str(&format!("\"{last}\" *"));
    Some(expression)
}

/// The column that a list is sorted by.
fn column(field: ProductSortField) -> &'static str {
    match field {
        ProductSortField::CreatedAt => "p.created_at",
        ProductSortField::Name => "p.name",
        ProductSortField::Sku => "p.live_sku",
        ProductSortField::Price => "p.price",
        ProductSortField::UpdatedAt => "p.updated_at",
    }
}

pub(super) fn products(query: &ProductQuery, filter: &Filter, page: &PageRequest<ProductKey>) -> Query {
    let mut found = super::query(format!("SELECT {PRODUCT} "));
    matching(&mut found, query, filter);
    let column = column(query.sort.field);
    let (beyond, direction) = if query.sort.descending { ("<", "DESC") } else { (">", "ASC") };
    // Live SKUs are unique: their index alone has the order.
    let by_sku = query.sort.field == ProductSortField::Sku;
    if let Some(key) = &page.after {
        let value = match &key.value {
            SortValue::Number(number) => Value::Int(*number),
            SortValue::Text(text) => Value::Text(text.clone()),
        };
        if by_sku {
            found.push(&format!(" AND {column} {beyond} ?")).bind(value);
        } else {
            found.push(&format!(" AND ({column}, p.id) {beyond} (?, ?)")).bind(value).bind(key.id.0);
        }
    }
    if by_sku {
        found.push(&format!(" ORDER BY {column} {direction} LIMIT CAST(? AS INTEGER)"));
    } else {
        found.push(&format!(" ORDER BY {column} {direction}, p.id {direction} LIMIT CAST(? AS INTEGER)"));
    }
    found.bind(over(page.limit.get()));
    found
}

pub(super) fn count(query: &ProductQuery, filter: &Filter) -> Query {
    let mut found = super::query("SELECT count(*) ");
    matching(&mut found, query, filter);
    found
}

fn matching(found: &mut Query, query: &ProductQuery, filter: &Filter) {
    found.push("FROM products p CROSS JOIN stock s ON s.id = p.id WHERE p.deleted_at IS NULL AND p.live_sku IS NOT NULL");
    if let Some(words) = &filter.words {
        found.push(if words.few {
            " AND p.seq IN (SELECT rowid FROM product_words WHERE product_words MATCH ?)"
        } else {
            // The plus keeps the list's own index. The beginning of a word is looked up once, not once a row.
            " AND +p.seq IN (SELECT rowid FROM product_words WHERE product_words MATCH ?)"
        });
        found.bind(words.value.clone());
    }
    if let Some(tag) = &filter.tag {
        found.push(if tag.few {
            " AND p.seq IN (SELECT seq FROM product_tags WHERE tag = ?)"
        } else {
            " AND EXISTS (SELECT 1 FROM product_tags t WHERE t.tag = ? AND t.seq = p.seq)"
        });
        found.bind(tag.value.clone());
    }
    if let Some(sku) = &query.sku {
        found.push(" AND p.live_sku = ?").bind(sku.as_str());
    }
    if let Some(status) = query.status {
        found.push(" AND p.status = ?").bind(status_code(status));
    }
    if let Some(min) = query.price_min {
        found.push(" AND p.price >= ?").bind(min);
    }
    if let Some(max) = query.price_max {
        found.push(" AND p.price <= ?").bind(max);
    }
    match query.in_stock {
        Some(true) => drop(found.push(" AND s.on_hand > s.allocated")),
        Some(false) => drop(found.push(" AND s.on_hand = s.allocated")),
        None => {}
    }
}

pub(super) fn reservations(query: &ReservationQuery, page: &PageRequest<HeldKey>) -> Query {
    let mut found = super::query(format!("SELECT {RESERVATION} FROM reservations WHERE true"));
    if let Some(state) = query.state {
        // Written out, so that the index of the held ones is known to fit.
        found.push(&format!(" AND state = {}", state_code(state)));
    }
    if let Some(owner) = &query.owner {
        found.push(" AND owner = ?").bind(owner.as_str());
    }
    if let Some(before) = query.created_before {
        found.push(" AND created_at < ?").bind(before.as_millis());
    }
    if let Some(HeldKey(at, id)) = &page.after {
        found.push(" AND (created_at, id) > (?, ?)").bind(at.as_millis()).bind(id.0);
    }
    found.push(" ORDER BY created_at, id LIMIT CAST(? AS INTEGER)").bind(over(page.limit.get()));
    found
}

pub(super) fn adjustments(product: ProductId, page: &PageRequest<AdjustmentId>) -> Query {
    let mut found = super::query(format!("SELECT {ADJUSTMENT} FROM adjustments WHERE product = ?"));
    found.bind(product.0);
    if let Some(after) = page.after {
        found.push(" AND id < ?").bind(after.0);
    }
    found.push(" ORDER BY id DESC LIMIT CAST(? AS INTEGER)").bind(over(page.limit.get()));
    found
}

/// One row more than the page has.
fn over(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX).saturating_add(1)
}
