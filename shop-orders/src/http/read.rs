use std::sync::Arc;

use serde::Deserialize;
use shop_core::http::{
    ProblemSchema, Request, ResponseExt, StatusCode, invalid_parameter, page_request, reply,
};
use shop_core::{Cursor, Limit, Problem, Timestamp};
use utoipa::IntoParams;

use super::answer::{OrderAnswer, OrderPage, Status};
use super::app::{Answer, Api};
use crate::OrderId;
use crate::store::{OrderKey, OrderQuery};

/// Parameters of a list of orders.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct ListQuery {
    /// Only orders of this status.
    #[param(inline)]
    status: Option<Status>,
    /// Only orders of this customer.
    #[param(min_length = 1, max_length = 255, pattern = "^[^\\x00-\\x1F\\x7F-\\x9F]*$")]
    customer_id: Option<String>,
    /// Only orders with this reference.
    #[param(min_length = 1, max_length = 255, pattern = "^[^\\x00-\\x1F\\x7F-\\x9F]*$")]
    reference: Option<String>,
    /// Only orders placed at this time or later.
    #[param(value_type = Option<String>, format = DateTime)]
    placed_after: Option<Timestamp>,
    /// Only orders placed before this time.
    #[param(value_type = Option<String>, format = DateTime)]
    placed_before: Option<Timestamp>,
    /// Newest first, or oldest first.
    #[param(inline)]
    sort: Option<Sort>,
    /// At most so many.
    #[param(value_type = Option<u16>, minimum = 1, maximum = 500, default = 50)]
    limit: Option<Limit>,
    /// `next_cursor` of the page before. It belongs to the same `sort`.
    #[param(value_type = Option<String>, min_length = 1, pattern = "^[A-Za-z0-9_-]+$")]
    cursor: Option<Cursor>,
    /// `total` counts the orders on all pages, which costs more than the page.
    #[param(inline)]
    include: Option<Include>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, utoipa::ToSchema)]
enum Sort {
    #[serde(rename = "-placed_at")]
    NewestFirst,
    #[serde(rename = "placed_at")]
    OldestFirst,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
enum Include {
    Total,
}

/// A text to compare with: no order has another.
fn text(name: &str, text: Option<String>) -> Result<Option<String>, Problem> {
    let Some(text) = text else { return Ok(None) };
    if !(1..=255).contains(&text.chars().count()) || text.chars().any(char::is_control) {
        return Err(invalid_parameter(name, "must be 1 to 255 characters without control characters"));
    }
    Ok(Some(text))
}

/// Lists orders
///
/// Newest first, a page at a time; a page costs the same anywhere in the list. Deleted orders are not there.
#[utoipa::path(
    get,
    path = "/v1/orders",
    tag = "orders",
    params(ListQuery),
    responses(
        (status = 200, description = "A page.", body = OrderPage<'static>,
            headers(("Link" = String, description = "The next page, `rel=\"next\"`; not on the last one."))),
    )
)]
pub(super) async fn list_orders(api: Arc<Api>, request: Request) -> Answer {
    let list: ListQuery = request.query()?;
    let page = page_request::<OrderKey>(list.limit, list.cursor.as_ref())?;
    let query = OrderQuery {
        status: list.status.map(Into::into),
        customer_id: text("customer_id", list.customer_id)?,
        reference: text("reference", list.reference)?,
        placed_after: list.placed_after,
        placed_before: list.placed_before,
        ascending: list.sort == Some(Sort::OldestFirst),
    };
    if page.after.is_some_and(|after| after.ascending != query.ascending) {
        return Err(invalid_parameter("cursor", "is of a list with another sort"));
    }
    let total = match list.include {
        Some(Include::Total) => Some(api.service.count(&query).await?),
        None => None,
    };
    let page = api.service.list(&query, page).await?;
    let next_cursor = page.next_cursor.as_ref();
    let data = page.data.iter().map(OrderAnswer::from).collect();
    let response = reply::json(StatusCode::OK, &OrderPage { data, next_cursor, total })?;
    Ok(match next_cursor {
        Some(cursor) => response.with_next(&request.next_page(cursor)),
        None => response,
    })
}

/// One order
#[utoipa::path(
    get,
    path = "/v1/orders/{id}",
    tag = "orders",
    params(
        ("id" = String, Path, format = "uuid", description = "The order."),
        ("If-None-Match" = Option<String>, Header, nullable = false, pattern = r#"^(\*|(W/)?"[!#-~]*"( *, *(W/)?"[!#-~]*")*)$"#, description = "The `ETag` that the client has already."),
    ),
    responses(
        (status = 200, description = "The order.", body = OrderAnswer<'static>,
            headers(("ETag" = String, description = "The order's version."))),
        (status = 304, description = "The client has this version already."),
        (status = 404, description = "`not_found`", body = ProblemSchema, content_type = "application/problem+json"),
    )
)]
pub(super) async fn get_order(api: Arc<Api>, request: Request) -> Answer {
    request.query::<()>()?;
    let id: OrderId = request.param_as("id")?;
    let known = request.if_none_match()?;
    let order = api.service.get(id).await?;
    if known.is_some_and(|tags| tags.has(order.version)) {
        return Ok(reply::not_modified(order.version));
    }
    Ok(reply::json(StatusCode::OK, &OrderAnswer::from(&order))?.with_etag(order.version))
}
