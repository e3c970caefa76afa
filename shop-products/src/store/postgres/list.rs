use shop_core::PageRequest;
use shop_core::postgres::Query;

use super::rows::{PRODUCT, RESERVATION, state_code, status_code};
use super::words::Asked;
use crate::store::{ProductKey, ProductQuery, ProductSortField, ReservationQuery, SortValue};
use crate::{AdjustmentId, HeldKey, ProductId};

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

/// Up to so many matches of words and a tag are found first and then sorted; more are met by walking the list in its order.
/// PostgreSQL itself guesses that no beginning of a word is rarer than one product in 200.
const FEW: i64 = 2_000;

/// How words and a tag narrow a list down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Matches {
    /// There are neither.
    All,
    /// Not many have them.
    Few,
    Many,
}

impl Matches {
    /// Of as many as [`matching`] has found.
    pub(super) fn of(count: u64) -> Self {
        if count < FEW.unsigned_abs() { Self::Few } else { Self::Many }
    }
}

/// How many products have the words and the tag, up to [`FEW`]; `None` if none are asked for.
pub(super) fn matching(query: &ProductQuery) -> Option<Query> {
    let mut sql = Query::new("SELECT count(*) FROM (SELECT FROM products p WHERE p.live_sku IS NOT NULL");
    if !words_and_tag(&mut sql, query, "") {
        return None;
    }
    sql.push(" LIMIT ").push_bind(FEW).push(") AS found");
    Some(sql)
}

/// A page: a walk along the index of its order from the key on, or what few have, sorted.
pub(super) fn products(query: &ProductQuery, matches: Matches, page: &PageRequest<ProductKey>) -> Query {
    products_as("", query, matches, page)
}

pub(super) fn products_as(
    before: &str,
    query: &ProductQuery,
    matches: Matches,
    page: &PageRequest<ProductKey>,
) -> Query {
    let mut sql = Query::new(before.to_owned());
    if matches == Matches::Few {
        sql.push("WITH few AS MATERIALIZED (SELECT * FROM products p WHERE p.live_sku IS NOT NULL");
        words_and_tag(&mut sql, query, "");
        sql.push(") ");
    }
    let from = if matches == Matches::Few {
        // Stock is looked up for each, however many the server believes them to be.
        "few p CROSS JOIN LATERAL (SELECT * FROM product_stock WHERE id = p.id OFFSET 0) s"
    } else {
        "products p JOIN product_stock s ON s.id = p.id"
    };
    sql.push(&format!("SELECT {PRODUCT} FROM {from} WHERE p.live_sku IS NOT NULL"));
    if matches == Matches::Many {
        // So that their index is left alone.
        words_and_tag(&mut sql, query, " IS TRUE");
    }
    narrow(&mut sql, query);
    place(&mut sql, query, page);
    sql
}

/// From the key on, in the order of the list.
fn place(sql: &mut Query, query: &ProductQuery, page: &PageRequest<ProductKey>) {
    let column = column(query.sort.field);
    let (beyond, direction) = if query.sort.descending { ("<", "DESC") } else { (">", "ASC") };
    // Live SKUs are unique: their index alone has the order.
    let by_sku = query.sort.field == ProductSortField::Sku;
    if let Some(key) = &page.after {
        sql.push(&if by_sku {
            format!(" AND {column} {beyond} ")
        } else {
            format!(" AND ({column}, p.id) {beyond} (")
        });
        push_value(sql, query.sort.field, &key.value);
        if !by_sku {
            sql.push(", ").push_bind(key.id.0).push(")");
        }
    }
    let ties = if by_sku { String::new() } else { format!(", p.id {direction}") };
    sql.push(&format!(" ORDER BY {column} {direction}{ties} LIMIT ")).push_bind(over(page.limit.get()));
}

/// A cursor may have been tampered with: a number where texts are sorted is before all of them, and a text after all numbers,
/// as [`SortValue`] has it; and no text that PostgreSQL knows has a NUL.
fn push_value(sql: &mut Query, field: ProductSortField, value: &SortValue) {
    let is_text = matches!(field, ProductSortField::Name | ProductSortField::Sku);
    match value {
        SortValue::Number(number) if !is_text => sql.push_bind(*number),
        SortValue::Text(_) if !is_text => sql.push_bind(i64::MAX),
        SortValue::Number(_) => sql.push_bind(""),
        SortValue::Text(text) => sql.push_bind(text.split('\0').next().unwrap_or_default()),
    };
}

pub(super) fn count(query: &ProductQuery) -> Query {
    let from =
        "SELECT count(*) FROM products p JOIN product_stock s ON s.id = p.id WHERE p.live_sku IS NOT NULL";
    let mut sql = Query::new(from);
    words_and_tag(&mut sql, query, "");
    narrow(&mut sql, query);
    sql
}

/// Whether there are any. `is`: after each condition.
fn words_and_tag(sql: &mut Query, query: &ProductQuery, is: &str) -> bool {
    let words = Asked::by(query);
    let any = words.is_some() || query.tag.is_some();
    if let Some(words) = words {
        sql.push(" AND (p.words @@ ").push_bind(words.expression).push("::tsquery)").push(is);
        for word in words.long {
            sql.push(" AND ").push_bind(word).push(" = ANY (string_to_array(p.long_words, ' '))");
        }
        if let Some(beginning) = words.long_beginning {
            sql.push(
                " AND EXISTS (SELECT FROM unnest(string_to_array(p.long_words, ' ')) w WHERE starts_with(w, ",
            );
            sql.push_bind(beginning).push("))");
        }
    }
    if let Some(tag) = &query.tag {
        with(sql, " AND (p.tags @> ARRAY[", tag, "])");
        sql.push(is);
    }
    any
}

fn narrow(sql: &mut Query, query: &ProductQuery) {
    if let Some(sku) = &query.sku {
        sql.push(" AND p.live_sku = ").push_bind(sku.as_str());
    }
    if let Some(status) = query.status {
        // Written out, so that a plan knows how many have it.
        sql.push(&format!(" AND p.status = {}", status_code(status)));
    }
    if let Some(min) = query.price_min {
        sql.push(" AND p.price >= ").push_bind(min);
    }
    if let Some(max) = query.price_max {
        sql.push(" AND p.price <= ").push_bind(max);
    }
    if let Some(in_stock) = query.in_stock {
        sql.push(if in_stock { " AND NOT s.sold_out" } else { " AND s.sold_out" });
    }
}

/// A condition on a text from outside.
fn with(sql: &mut Query, before: &str, text: &str, after: &str) {
    if text.contains('\0') {
        // PostgreSQL knows no such text, so nothing has it.
        sql.push(" AND false");
    } else {
        sql.push(before).push_bind(text).push(after);
    }
}

pub(super) fn reservations(query: &ReservationQuery, page: &PageRequest<HeldKey>) -> Query {
    reservations_as("", query, page)
}

pub(super) fn reservations_as(before: &str, query: &ReservationQuery, page: &PageRequest<HeldKey>) -> Query {
    let mut sql = Query::new(format!("{before}SELECT {RESERVATION} FROM reservations WHERE true"));
    if let Some(state) = query.state {
        // Written out, so that a plan knows how many are in it.
        sql.push(&format!(" AND state = {}", state_code(state)));
    }
    if let Some(owner) = &query.owner {
        with(&mut sql, " AND owner = ", owner, "");
    }
    if let Some(before) = query.created_before {
        sql.push(" AND created_at < ").push_bind(before.as_millis());
    }
    if let Some(HeldKey(at, id)) = &page.after {
        sql.push(" AND (created_at, id) > (").push_bind(at.as_millis()).push(", ").push_bind(id.0).push(")");
    }
    sql.push(" ORDER BY created_at, id LIMIT ").push_bind(over(page.limit.get()));
    sql
}

pub(super) fn adjustments(product: ProductId, page: &PageRequest<AdjustmentId>) -> Query {
    let mut sql = Query::new("SELECT id, body FROM product_adjustments WHERE product = ");
    sql.push_bind(product.0);
    if let Some(after) = page.after {
        sql.push(" AND id < ").push_bind(after.0);
    }
    sql.push(" ORDER BY id DESC LIMIT ").push_bind(over(page.limit.get()));
    sql
}

/// One row more than the page has.
fn over(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX).saturating_add(1)
}
