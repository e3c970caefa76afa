//! Orders and events on the wire.

use std::collections::BTreeMap;

use serde::Serialize;
use shop_core::http::{HeaderValue, MoneySchema, Response, ResponseExt, StatusCode, header, reply};
use shop_core::idempotency::{Answered, StoredAnswer};
use shop_core::{Cursor, Money, Timestamp};
use shop_products::ProductId;
use utoipa::ToSchema;

use crate::{Event, EventType, Order, OrderId, OrderLine, OrderStatus};

/// 201 of a placed order.
pub(super) fn placed(order: &Order) -> StoredAnswer {
    stored(order, StatusCode::CREATED, Some(format!("/v1/orders/{}", order.id)))
}

/// 200 of an order as a change left it.
pub(super) fn changed(order: &Order) -> StoredAnswer {
    stored(order, StatusCode::OK, None)
}

fn stored(order: &Order, status: StatusCode, location: Option<String>) -> StoredAnswer {
    StoredAnswer {
        status: status.as_u16(),
        location,
        etag: Some(format!("\"{}\"", order.version)),
        body: serde_json::to_string(&OrderAnswer::from(order)).expect("an order is plain data"),
    }
}

/// What a client gets, now or again: the same bytes.
pub(super) fn answered(outcome: Answered<Order>, answer: fn(&Order) -> StoredAnswer) -> Response {
    match outcome {
        Answered::Fresh(order) => sent(answer(&order)),
        Answered::Replayed(stored) => reply::replayed(&stored),
    }
}

/// An answer for the first time.
pub(super) fn sent(answer: StoredAnswer) -> Response {
    let status = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = reply::json_bytes(status, answer.body);
    if let Some(location) = &answer.location {
        response = response.with_location(location);
    }
    if let Some(etag) = answer.etag.and_then(|etag| HeaderValue::try_from(etag).ok()) {
        response.headers_mut().insert(header::ETAG, etag);
    }
    response
}

/// An order. Names and prices are the products' at the moment when they were ordered.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Order)]
pub(super) struct OrderAnswer<'a> {
    #[schema(value_type = String, format = "uuid")]
    id: OrderId,
    /// For people: rises with every order.
    number: u64,
    status: Status,
    #[schema(required = true, example = "customer-7")]
    customer_id: Option<&'a str>,
    /// Another system's name of the order.
    #[schema(required = true, example = "web-536365")]
    reference: Option<&'a str>,
    metadata: &'a BTreeMap<String, String>,
    /// In the order of the request.
    lines: Vec<LineAnswer<'a>>,
    /// The sum of the lines.
    #[schema(value_type = MoneySchema)]
    total: Money,
    /// Rises with every change; the `ETag`.
    version: u64,
    #[schema(value_type = String, format = DateTime)]
    placed_at: Timestamp,
    #[schema(value_type = String, format = DateTime)]
    updated_at: Timestamp,
    #[schema(value_type = Option<String>, format = DateTime, required = true)]
    shipped_at: Option<Timestamp>,
    #[schema(value_type = Option<String>, format = DateTime, required = true)]
    delivered_at: Option<Timestamp>,
    #[schema(value_type = Option<String>, format = DateTime, required = true)]
    cancelled_at: Option<Timestamp>,
}

impl<'a> From<&'a Order> for OrderAnswer<'a> {
    fn from(order: &'a Order) -> Self {
        Self {
            id: order.id,
            number: order.number,
            status: order.status.into(),
            customer_id: order.details.customer_id.as_deref(),
            reference: order.details.reference.as_deref(),
            metadata: &order.details.metadata,
            lines: order.lines.iter().map(LineAnswer::from).collect(),
            total: order.total,
            version: order.version,
            placed_at: order.placed_at,
            updated_at: order.updated_at,
            shipped_at: order.shipped_at,
            delivered_at: order.delivered_at,
            cancelled_at: order.cancelled_at,
        }
    }
}

/// A line of an order.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = OrderLine)]
pub(super) struct LineAnswer<'a> {
    /// Its number, from 1.
    line: u32,
    #[schema(value_type = String, format = "uuid")]
    product_id: ProductId,
    #[schema(example = "85123A")]
    sku: &'a str,
    name: &'a str,
    #[schema(value_type = MoneySchema)]
    unit_price: Money,
    #[schema(minimum = 1, maximum = 1_000_000)]
    quantity: i64,
    #[schema(value_type = MoneySchema)]
    total: Money,
}

impl<'a> From<&'a OrderLine> for LineAnswer<'a> {
    fn from(line: &'a OrderLine) -> Self {
        Self {
            line: line.line,
            product_id: line.product_id,
            sku: line.sku.as_str(),
            name: &line.name,
            unit_price: line.unit_price,
            quantity: line.quantity,
            total: line.total,
        }
    }
}

/// Where an order stands: placed → shipped → delivered, or placed → cancelled.
#[derive(Debug, Clone, Copy, Serialize, serde::Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = OrderStatus)]
pub(super) enum Status {
    Placed,
    Shipped,
    Delivered,
    Cancelled,
}

impl From<OrderStatus> for Status {
    fn from(status: OrderStatus) -> Self {
        match status {
            OrderStatus::Placed => Self::Placed,
            OrderStatus::Shipped => Self::Shipped,
            OrderStatus::Delivered => Self::Delivered,
            OrderStatus::Cancelled => Self::Cancelled,
        }
    }
}

impl From<Status> for OrderStatus {
    fn from(status: Status) -> Self {
        match status {
            Status::Placed => Self::Placed,
            Status::Shipped => Self::Shipped,
            Status::Delivered => Self::Delivered,
            Status::Cancelled => Self::Cancelled,
        }
    }
}

/// A page of orders.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = OrderPage)]
pub(super) struct OrderPage<'a> {
    pub(super) data: Vec<OrderAnswer<'a>>,
    /// `cursor` of the next page; null on the last one.
    #[schema(value_type = Option<String>, required = true)]
    pub(super) next_cursor: Option<&'a Cursor>,
    /// How many orders there are on all pages; only with `include=total`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub(super) total: Option<u64>,
}

/// A change of an order.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = OrderEvent)]
pub(super) struct EventAnswer<'a> {
    /// Its place in the log of all changes.
    sequence: u64,
    r#type: Kind,
    #[schema(value_type = String, format = "uuid")]
    order_id: OrderId,
    #[schema(value_type = String, format = DateTime)]
    at: Timestamp,
    /// The order as the change left it.
    data: OrderAnswer<'a>,
}

impl<'a> From<&'a Event> for EventAnswer<'a> {
    fn from(event: &'a Event) -> Self {
        Self {
            sequence: event.sequence,
            r#type: event.kind.into(),
            order_id: event.order_id,
            at: event.at,
            data: (&event.order).into(),
        }
    }
}

/// What happened to an order.
#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
#[schema(as = OrderEventType)]
enum Kind {
    #[serde(rename = "order.placed")]
    Placed,
    #[serde(rename = "order.edited")]
    Edited,
    #[serde(rename = "order.cancelled")]
    Cancelled,
    #[serde(rename = "order.shipped")]
    Shipped,
    #[serde(rename = "order.delivered")]
    Delivered,
    #[serde(rename = "order.deleted")]
    Deleted,
}

impl From<EventType> for Kind {
    fn from(kind: EventType) -> Self {
        match kind {
            EventType::Placed => Self::Placed,
            EventType::Edited => Self::Edited,
            EventType::Cancelled => Self::Cancelled,
            EventType::Shipped => Self::Shipped,
            EventType::Delivered => Self::Delivered,
            EventType::Deleted => Self::Deleted,
        }
    }
}

/// A page of an order's changes, oldest first.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = OrderHistory)]
pub(super) struct HistoryPage<'a> {
    pub(super) data: Vec<EventAnswer<'a>>,
    /// `cursor` of the next page; null on the last one.
    #[schema(value_type = Option<String>, required = true)]
    pub(super) next_cursor: Option<&'a Cursor>,
}

/// Changes of all orders, in the order in which they happened.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = EventFeed)]
pub(super) struct EventFeed<'a> {
    pub(super) data: Vec<EventAnswer<'a>>,
    /// `after` of the next request: the last sequence given, or the request's `after` if there is nothing new.
    pub(super) next_after: u64,
}
