use mongodb::bson::{Bson, Document, doc};
use shop_core::PageRequest;

use super::documents::{key, state_code, status_code};
use super::schema::BY_STATE;
use crate::store::{
    ProductKey, ProductQuery, ProductSort, ProductSortField, ReservationQuery, SortValue, text,
};
use crate::{AdjustmentId, HeldKey, ProductId, ReservationState};

/// The field that a list is sorted by.
fn field(field: ProductSortField) -> &'static str {
    match field {
        ProductSortField::CreatedAt => "created_at",
        ProductSortField::Name => "name",
        ProductSortField::Sku => "sku",
        ProductSortField::Price => "price",
        ProductSortField::UpdatedAt => "updated_at",
    }
}

/// What comes after a place. The range is said of the field alone as well, since an index can be entered by that.
fn beyond(
    filter: &mut Vec<Document>,
    name: &str,
    value: impl Into<Bson>,
    id: impl Into<Bson>,
    descending: bool,
) {
    let value = value.into();
    let (from, past) = if descending { ("$lte", "$lt") } else { ("$gte", "$gt") };
    filter.push(doc! { name: { from: value.clone() } });
    filter.push(doc! { "$or": [{ name: { past: value } }, { "_id": { past: id.into() } }] });
}

/// Which products a query has, after a place in its list.
pub(super) fn products(query: &ProductQuery, after: Option<&ProductKey>) -> Document {
    let mut filter = vec![doc! { "live": true }];
    let words = text::words_asked(query);
    if let Some((last, whole)) = words.split_last() {
        filter.extend(whole.iter().map(|word| doc! { "words": word }));
        // Words are letters and digits: nothing in them has a meaning of its own in a pattern.
        filter.push(doc! { "words": { "$regex": format!("^{last}") } });
    }
    if let Some(tag) = &query.tag {
        filter.push(doc! { "tags": tag });
    }
    if let Some(sku) = &query.sku {
        filter.push(doc! { "sku": sku.as_str() });
    }
    if let Some(status) = query.status {
        filter.push(doc! { "status": status_code(status) });
    }
    if let Some(min) = query.price_min {
        filter.push(doc! { "price": { "$gte": min } });
    }
    if let Some(max) = query.price_max {
        filter.push(doc! { "price": { "$lte": max } });
    }
    match query.in_stock {
        Some(true) => filter.push(doc! { "$expr": { "$gt": ["$on_hand", "$allocated"] } }),
        Some(false) => filter.push(doc! { "$expr": { "$eq": ["$on_hand", "$allocated"] } }),
        None => {}
    }
    if let Some(after) = after {
        let value = match &after.value {
            SortValue::Number(number) => Bson::Int64(*number),
            SortValue::Text(text) => Bson::String(text.clone()),
        };
        beyond(&mut filter, field(query.sort.field), value, key(after.id.0), query.sort.descending);
    }
    doc! { "$and": filter }
}

pub(super) fn order(sort: ProductSort) -> Document {
    let direction = if sort.descending { -1 } else { 1 };
    // Live SKUs are unique: their index alone has the order.
    match sort.field {
        ProductSortField::Sku => doc! { "sku": direction },
        other => doc! { field(other): direction, "_id": direction },
    }
}

pub(super) fn reservations(query: &ReservationQuery, page: &PageRequest<HeldKey>) -> Document {
    // One index has every list of them, state by state.
    let mut filter = vec![in_states(|state| query.state.is_none_or(|asked| asked == state))];
    if let Some(owner) = &query.owner {
        filter.push(doc! { "owner": owner });
    }
    if let Some(before) = query.created_before {
        filter.push(doc! { "created_at": { "$lt": before.as_millis() } });
    }
    if let Some(HeldKey(at, id)) = &page.after {
        beyond(&mut filter, "created_at", at.as_millis(), key(id.0), false);
    }
    doc! { "$and": filter }
}

/// In one of these states.
pub(super) fn in_states(is_one: impl Fn(ReservationState) -> bool) -> Document {
    let states = ReservationState::ALL.into_iter().filter(|state| is_one(*state));
    doc! { "state": { "$in": states.map(state_code).collect::<Vec<_>>() } }
}

/// The index that has a list of reservations in its order, said to the server, which may take another.
pub(super) fn reservations_index(query: &ReservationQuery) -> &'static str {
    match (query.state, &query.owner) {
        (Some(ReservationState::Held), Some(_)) => "held_by_owner",
        _ => BY_STATE,
    }
}

/// A product's adjustments are one range of their keys.
pub(super) fn adjustments(product: ProductId, page: &PageRequest<AdjustmentId>) -> Document {
    use shop_core::id::Uuid;
    let at = |id: Uuid| doc! { "product": key(product.0), "id": key(id) };
    let end = match page.after {
        Some(after) => ("$lt", at(after.0)),
        None => ("$lte", at(Uuid::max())),
    };
    doc! { "_id": { "$gte": at(Uuid::nil()), end.0: end.1 } }
}
