use shop_core::StoreResult;
use shop_core::postgres::Query;

use super::{rows, words};
use crate::Product;
use crate::store::{ChangeSet, ReservationWrite};

const COMMIT: &str = "SELECT shop_products_commit_v1($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, \
                      $16, $17, $18, $19, $20, $21, $22, $23, $24, $25, $26, $27, $28, $29, $30, $31, $32, $33, $34, \
                      $35, $36)";

/// A change set as one statement, an array a column of each table.
pub(super) fn statement(changes: &ChangeSet) -> StoreResult<Query> {
    let mut query = Query::new(COMMIT);
    products(&mut query, changes)?;
    stock(&mut query, changes)?;
    reservations(&mut query, &changes.reservations)?;
    let of = &changes.adjustments;
    query.bind(every(of, |adjustment| adjustment.product_id.0));
    query.bind(every(of, |adjustment| adjustment.id.0));
    query.bind(every_or(of, rows::adjustment_body)?);
    let of = &changes.records;
    query.bind(every(of, |record| record.key.as_str()));
    query.bind(every(of, |record| record.at.as_millis()));
    query.bind(every_or(of, rows::record_body)?);
    Ok(query)
}

/// A product that is written: the version that it expects, and whether its details are written as well. They are left where
/// they are what the decision saw: by an adjustment.
struct Written<'a> {
    product: &'a Product,
    expected: Option<u64>,
    details: bool,
}

fn products(query: &mut Query, changes: &ChangeSet) -> StoreResult<()> {
    let created = changes.created.iter().map(|product| Written { product, expected: None, details: true });
    let edited = changes.edited.iter().map(|edit| Written {
        product: &edit.product,
        expected: Some(edit.expected_version),
        details: edit.product.edited_version > edit.expected_version,
    });
    let of: Vec<Written<'_>> = created.chain(edited).collect();
    let of = &of[..];
    query.bind(every(of, |written| written.product.id.0));
    query.bind(every_or(of, |written| written.expected.map(rows::signed).transpose())?);
    query.bind(every(of, |written| written.product.stock.on_hand));
    query.bind(every(of, |written| written.product.stock.allocated));
    query.bind(every_or(of, |written| rows::signed(written.product.version))?);
    query.bind(every_or(of, |written| rows::signed(written.product.edited_version))?);
    details(query, of)
}

fn details(query: &mut Query, of: &[Written<'_>]) -> StoreResult<()> {
    let words: Vec<_> = every(of, |written| written.details.then(|| words::of(written.product)));
    query.bind(every(of, |Written { product, .. }| {
        product.deleted_at.is_none().then_some(product.details.sku.as_str())
    }));
    query.bind(every(of, |written| written.product.details.name.as_str()));
    query.bind(every(of, |written| written.product.details.price.ten_thousandths().unwrap_or(i64::MAX)));
    query.bind(every(of, |written| rows::status_code(written.product.details.status)));
    query.bind(every(of, |written| written.product.created_at.as_millis()));
    query.bind(every(of, |written| written.product.updated_at.as_millis()));
    query.bind(every(&words, |words| words.as_ref().map(|(words, _)| words.as_str())));
    query.bind(every(&words, |words| words.as_ref().and_then(|(_, long)| long.as_deref())));
    query.bind(every_or(of, |written| rows::json(&written.product.details.tags))?);
    query.bind(every_or(of, |Written { product, details, .. }| {
        details.then(|| rows::product_body(product)).transpose()
    })?);
    Ok(())
}

fn stock(query: &mut Query, changes: &ChangeSet) -> StoreResult<()> {
    let of = &changes.stock;
    query.bind(every(of, |change| change.product_id.0));
    query.bind(every(of, |change| change.on_hand));
    query.bind(every(of, |change| change.allocated));
    query.bind(every_or(of, |change| rows::signed(change.versions))?);
    query.bind(every_or(of, |change| change.expected_edited_version.map(rows::signed).transpose())?);
    Ok(())
}

fn reservations(query: &mut Query, of: &[ReservationWrite]) -> StoreResult<()> {
    query.bind(every(of, |write| write.reservation.id.0));
    query.bind(every(of, |write| write.reservation.owner.as_deref()));
    query.bind(every(of, |write| rows::state_code(write.reservation.state)));
    query.bind(every_or(of, |write| rows::lines(&write.reservation))?);
    query.bind(every(of, |write| write.reservation.created_at.as_millis()));
    query.bind(every(of, |write| write.reservation.updated_at.as_millis()));
    query.bind(every(of, |write| write.reservation.expires_at.map(|at| at.as_millis())));
    query.bind(every(of, |write| write.expected.map(|(state, _)| rows::state_code(state))));
    query.bind(every(of, |write| write.expected.map(|(_, at)| at.as_millis())));
    Ok(())
}

fn every<'a, T, C>(of: &'a [T], column: impl Fn(&'a T) -> C) -> Vec<C> {
    of.iter().map(column).collect()
}

fn every_or<'a, T, C>(of: &'a [T], column: impl Fn(&'a T) -> StoreResult<C>) -> StoreResult<Vec<C>> {
    of.iter().map(column).collect()
}
