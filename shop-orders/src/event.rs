use serde::{Deserialize, Serialize};
use shop_core::Timestamp;

use crate::{Order, OrderId};

/// What happened to an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum EventType {
    /// It was placed.
    #[serde(rename = "order.placed")]
    Placed,
    /// Its lines or details were changed.
    #[serde(rename = "order.edited")]
    Edited,
    /// It was cancelled.
    #[serde(rename = "order.cancelled")]
    Cancelled,
    /// It was shipped.
    #[serde(rename = "order.shipped")]
    Shipped,
    /// It was delivered.
    #[serde(rename = "order.delivered")]
    Delivered,
    /// It was deleted.
    #[serde(rename = "order.deleted")]
    Deleted,
}

/// A change of an order, before the store gave it its place in the log.
#[derive(Debug, Clone, PartialEq)]
pub struct NewEvent {
    /// What happened.
    pub kind: EventType,
    /// When.
    pub at: Timestamp,
    /// The order as the change left it.
    pub order: Order,
}

/// A change of an order in the log of all changes.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// Its place: rises by commit, so that a reader that asks for what is after the last one it has misses none.
    pub sequence: u64,
    /// What happened.
    pub kind: EventType,
    /// To which order.
    pub order_id: OrderId,
    /// When.
    pub at: Timestamp,
    /// The order as the change left it.
    pub order: Order,
}
