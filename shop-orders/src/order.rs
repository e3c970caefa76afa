use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use shop_core::{Money, Timestamp};
use shop_products::{ProductId, ReservationId, Sku};

shop_core::define_id! {
    /// An order's id.
    OrderId
}

/// Where an order stands: `Placed → Shipped → Delivered`, or `Placed → Cancelled`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OrderStatus {
    /// Its stock is taken.
    Placed,
    /// Its units left the warehouse.
    Shipped,
    /// The customer has it. Terminal.
    Delivered,
    /// Its stock went back. Terminal.
    Cancelled,
}

impl OrderStatus {
    /// Whether an order may go from here to there.
    pub fn can_become(self, next: Self) -> bool {
        matches!(
            (self, next),
            (Self::Placed, Self::Shipped | Self::Cancelled) | (Self::Shipped, Self::Delivered)
        )
    }
}

/// An order.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Order {
    /// The order's id.
    pub id: OrderId,
    /// For people: 1, 2, 3…; no other order of the store has it. Without a promise of no gaps; and where several instances
    /// place all the time, each may give numbers of a range of its own.
    pub number: u64,
    /// Where it stands.
    pub status: OrderStatus,
    /// What the buyer says of it.
    pub details: OrderDetails,
    /// In the order of the request; several may be of one product.
    pub lines: Vec<OrderLine>,
    /// The sum of the lines' totals.
    pub total: Money,
    /// Rises with every change. The `ETag`.
    pub version: u64,
    /// When it was placed.
    pub placed_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
    /// When it was shipped.
    pub shipped_at: Option<Timestamp>,
    /// When it was delivered.
    pub delivered_at: Option<Timestamp>,
    /// When it was cancelled.
    pub cancelled_at: Option<Timestamp>,
    /// When it was deleted: it is in no list and is not found, but its events and its decision stay.
    pub deleted_at: Option<Timestamp>,
    /// The reservations that hold its stock. Together they hold exactly the quantities of the lines.
    pub holds: Vec<OrderHold>,
}

/// What the buyer says of an order besides its lines.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct OrderDetails {
    /// The shop's id of the customer: 1 to 255 characters.
    pub customer_id: Option<String>,
    /// Another system's name of the order: 1 to 255 characters.
    pub reference: Option<String>,
    /// At most 50 entries, names of 1 to 64 and values of at most 1,000 characters.
    pub metadata: BTreeMap<String, String>,
}

/// One line of an order. Name and price are the product's when it was ordered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderLine {
    /// Its number in the order, from 1.
    pub line: u32,
    /// The product.
    pub product_id: ProductId,
    /// Its SKU.
    pub sku: Sku,
    /// Its name.
    pub name: String,
    /// What one unit costs.
    pub unit_price: Money,
    /// How many units.
    pub quantity: i64,
    /// `unit_price` × `quantity`.
    pub total: Money,
}

/// What one reservation holds of an order's stock.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderHold {
    /// The reservation.
    pub reservation_id: ReservationId,
    /// Units of each product, none of them 0.
    pub quantities: BTreeMap<ProductId, i64>,
}
