use std::sync::Arc;

use serde::Deserialize;
use shop_core::http::{
    ProblemSchema, Request, ResponseExt, StatusCode, invalid_parameter, page_request, reply,
};
use shop_core::{Cursor, Limit};
use utoipa::IntoParams;

use super::answer::{EventAnswer, EventFeed, HistoryPage};
use super::app::{Answer, Api};
use crate::OrderId;

/// The highest sequence that a store can have: 63 bits.
const LAST: u64 = i64::MAX as u64;

/// Parameters of an order's history.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct HistoryQuery {
    /// At most so many.
    #[param(value_type = Option<u16>, minimum = 1, maximum = 500, default = 50)]
    limit: Option<Limit>,
    /// `next_cursor` of the page before.
    #[param(value_type = Option<String>, min_length = 1, pattern = "^[A-Za-z0-9_-]+$")]
    cursor: Option<Cursor>,
}

/// What happened to an order
///
/// Oldest first, each change with the order as it left it.
#[utoipa::path(
    get,
    path = "/v1/orders/{id}/history",
    tag = "orders",
    params(("id" = String, Path, format = "uuid", description = "The order."), HistoryQuery),
    responses(
        (status = 200, description = "A page.", body = HistoryPage<'static>,
            headers(("Link" = String, description = "The next page, `rel=\"next\"`; not on the last one."))),
        (status = 404, description = "`not_found`", body = ProblemSchema, content_type = "application/problem+json"),
    )
)]
pub(super) async fn order_history(api: Arc<Api>, request: Request) -> Answer {
    let query: HistoryQuery = request.query()?;
    let id: OrderId = request.param_as("id")?;
    let mut page = page_request::<u64>(query.limit, query.cursor.as_ref())?;
    page.after = page.after.map(|after| after.min(LAST));
    let page = api.service.history(id, page).await?;
    let next_cursor = page.next_cursor.as_ref();
    let data = page.data.iter().map(EventAnswer::from).collect();
    let response = reply::json(StatusCode::OK, &HistoryPage { data, next_cursor })?;
    Ok(match next_cursor {
        Some(cursor) => response.with_next(&request.next_page(cursor)),
        None => response,
    })
}

/// Parameters of the feed.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct FeedQuery {
    /// The last sequence that the client has; 0 for the beginning.
    #[param(default = 0, maximum = 9_223_372_036_854_775_807_i64)]
    after: Option<u64>,
    /// At most so many.
    #[param(value_type = Option<u16>, minimum = 1, maximum = 500, default = 50)]
    limit: Option<Limit>,
}

/// Every change of every order, once, in order
///
/// To follow the feed, ask again with `after` set to the last sequence that was worked through (`next_after`). No event shows up
/// later below a sequence that was given already. An empty `data` means that there is nothing new yet.
#[utoipa::path(
    get,
    path = "/v1/events",
    tag = "events",
    params(FeedQuery),
    responses((status = 200, description = "The next changes.", body = EventFeed<'static>))
)]
pub(super) async fn list_events(api: Arc<Api>, request: Request) -> Answer {
    let query: FeedQuery = request.query()?;
    let after = query.after.unwrap_or(0);
    if after > LAST {
        return Err(invalid_parameter("after", &format!("must be 0 to {LAST}")));
    }
    let events = api.service.events(after, query.limit.unwrap_or_default()).await?;
    let next_after = events.last().map_or(after, |event| event.sequence);
    let feed = EventFeed { data: events.iter().map(EventAnswer::from).collect(), next_after };
    reply::json(StatusCode::OK, &feed)
}
