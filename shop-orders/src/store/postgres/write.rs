use std::collections::HashMap;

use shop_core::StoreResult;
use shop_core::postgres::Query;

use super::row::{name, signed, to_json};
use crate::store::body::Body;
use crate::store::{ChangeSet, OrderEdit};
use crate::{NewEvent, Order, OrderId, Outcome};

const COMMIT: &str = "SELECT shop_orders_commit_v1($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, \
                      $16, $17, $18, $19, $20, $21, $22, $23, $24, $25, $26, $27, $28, $29, $30)";

/// A change set as one statement, an array a column of each table.
pub(super) fn commit(changes: &ChangeSet, now: Option<i64>) -> StoreResult<Query> {
    let mut query = Query::new(COMMIT);
    query.bind(now);
    decisions(&mut query, changes)?;
    let written = orders(&mut query, changes)?;
    events(&mut query, &changes.events, &written)?;
    records(&mut query, changes);
    query.bind(every(&changes.settlements, |settlement| settlement.reservation_id.0));
    query.bind(every_or(&changes.settlements, |settlement| to_json(&settlement.action))?);
    Ok(query)
}

fn decisions(query: &mut Query, changes: &ChangeSet) -> StoreResult<()> {
    let of = &changes.decisions;
    query.bind(every(of, |decision| decision.reservation_id.0));
    query.bind(every(of, |decision| decision.key.as_ref().map(|key| key.as_str())));
    query.bind(every_or(of, |decision| i32::try_from(decision.attempt).map_err(super::row::unwritable))?);
    query.bind(every(of, |decision| match decision.outcome {
        Outcome::Placed(order) => Some(order.0),
        Outcome::Expired => None,
    }));
    query.bind(every(of, |decision| decision.at.as_millis()));
    Ok(())
}

/// Where each order is in the arrays, from 1, and how it is written.
type Written<'a> = HashMap<OrderId, (i64, &'a Order)>;

fn orders<'a>(query: &mut Query, changes: &'a ChangeSet) -> StoreResult<Written<'a>> {
    let created = changes.created.iter().map(|order| (None, order));
    let edited =
        changes.edited.iter().map(|OrderEdit { order, expected_version }| (Some(*expected_version), order));
    let of: Vec<(Option<u64>, &Order)> = created.chain(edited).collect();
    query.bind(every_or(&of, |(expected, _)| expected.map(signed).transpose())?);
    query.bind(every_or(&of, |(_, order)| signed(order.number))?);
    query.bind(every(&of, |(_, order)| order.id.0));
    query.bind(every_or(&of, |(_, order)| signed(order.version))?);
    query.bind(every_or(&of, |(_, order)| name(order.status))?);
    query.bind(every(&of, |(_, order)| order.placed_at.as_millis()));
    query.bind(every(&of, |(_, order)| order.details.customer_id.as_deref()));
    query.bind(every(&of, |(_, order)| order.details.reference.as_deref()));
    query.bind(every(&of, |(_, order)| order.deleted_at.is_some()));
    query.bind(every_or(&of, |(_, order)| body(order))?);
    Ok((1..).zip(of).map(|(place, (_, order))| (order.id, (place, order))).collect())
}

fn events(query: &mut Query, of: &[NewEvent], written: &Written<'_>) -> StoreResult<()> {
    // An event of an order as this change set leaves it needs no second copy on the way.
    let place = |event: &NewEvent| {
        written.get(&event.order.id).filter(|(_, order)| **order == event.order).map(|(place, _)| *place)
    };
    query.bind(every(of, |event| event.order.id.0));
    query.bind(every_or(of, |event| name(event.kind))?);
    query.bind(every(of, |event| event.at.as_millis()));
    query.bind(every(of, place));
    query.bind(every_or(of, |event| match place(event) {
        Some(_) => Ok(None),
        None => body(&event.order).map(Some),
    })?);
    Ok(())
}

fn records(query: &mut Query, changes: &ChangeSet) {
    let of = &changes.records;
    query.bind(every(of, |record| record.key.as_str()));
    query.bind(every(of, |record| record.fingerprint.0.as_slice()));
    query.bind(every(of, |record| i32::from(record.answer.status)));
    query.bind(every(of, |record| record.answer.location.as_deref()));
    query.bind(every(of, |record| record.answer.etag.as_deref()));
    query.bind(every(of, |record| record.answer.body.as_str()));
    query.bind(every(of, |record| record.at.as_millis()));
}

fn body(order: &Order) -> StoreResult<String> {
    to_json(&Body::from(order))
}

fn every<'a, T, C>(of: &'a [T], column: impl Fn(&'a T) -> C) -> Vec<C> {
    of.iter().map(column).collect()
}

fn every_or<'a, T, C>(of: &'a [T], column: impl Fn(&'a T) -> StoreResult<C>) -> StoreResult<Vec<C>> {
    of.iter().map(column).collect()
}

/// Sequences as the database has them; one that it cannot have is none of its own.
pub(super) fn sequences(of: &[u64]) -> Vec<i64> {
    of.iter().filter_map(|sequence| i64::try_from(*sequence).ok()).collect()
}
