use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use shop_core::{Currency, Money, Timestamp};
use shop_products::{ProductId, ReservationId, Sku};
use uuid::Uuid;

use crate::{Order, OrderDetails, OrderHold, OrderId, OrderLine, OrderStatus};

/// An order as a row keeps it: whole, and small, since what is written is what a commit costs.
#[derive(Serialize, Deserialize)]
pub(super) struct Body {
    id: Uuid,
    number: u64,
    status: OrderStatus,
    version: u64,
    placed: i64,
    updated: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    shipped: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    delivered: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    cancelled: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    deleted: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    customer: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    reference: Option<String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    metadata: BTreeMap<String, String>,
    currency: String,
    total: i64,
    lines: Vec<Line>,
    holds: Vec<(Uuid, Vec<(Uuid, i64)>)>,
}

/// Number, product, SKU, name, unit price, quantity, total.
#[derive(Serialize, Deserialize)]
struct Line(u32, Uuid, Sku, String, i64, i64, i64);

impl From<&Order> for Body {
    fn from(order: &Order) -> Self {
        let millis = |at: Option<Timestamp>| at.map(Timestamp::as_millis);
        let lines = order.lines.iter().map(|line| {
            let (sku, name) = (line.sku.clone(), line.name.clone());
            Line(
                line.line,
                line.product_id.0,
                sku,
                name,
                line.unit_price.minor(),
                line.quantity,
                line.total.minor(),
            )
        });
        let holds = order.holds.iter().map(|hold| {
            let quantities = hold.quantities.iter().map(|(id, quantity)| (id.0, *quantity)).collect();
            (hold.reservation_id.0, quantities)
        });
        Self {
            id: order.id.0,
            number: order.number,
            status: order.status,
            version: order.version,
            placed: order.placed_at.as_millis(),
            updated: order.updated_at.as_millis(),
            shipped: millis(order.shipped_at),
            delivered: millis(order.delivered_at),
            cancelled: millis(order.cancelled_at),
            deleted: millis(order.deleted_at),
            customer: order.details.customer_id.clone(),
            reference: order.details.reference.clone(),
            metadata: order.details.metadata.clone(),
            currency: order.total.currency().code().to_owned(),
            total: order.total.minor(),
            lines: lines.collect(),
            holds: holds.collect(),
        }
    }
}

impl Body {
    /// `None` if the currency is none.
    pub(super) fn into_order(self) -> Option<Order> {
        let currency = Currency::from_code(&self.currency)?;
        let money = |minor| Money::from_minor(minor, currency);
        let at = |millis: Option<i64>| millis.map(Timestamp::from_millis);
        let lines =
            self.lines.into_iter().map(|Line(line, product, sku, name, unit_price, quantity, total)| {
                OrderLine {
                    line,
                    product_id: ProductId(product),
                    sku,
                    name,
                    unit_price: money(unit_price),
                    quantity,
                    total: money(total),
                }
            });
        let holds = self.holds.into_iter().map(|(reservation, quantities)| OrderHold {
            reservation_id: ReservationId(reservation),
            quantities: quantities.into_iter().map(|(id, quantity)| (ProductId(id), quantity)).collect(),
        });
        Some(Order {
            id: OrderId(self.id),
            number: self.number,
            status: self.status,
            details: OrderDetails {
                customer_id: self.customer,
                reference: self.reference,
                metadata: self.metadata,
            },
            lines: lines.collect(),
            total: money(self.total),
            version: self.version,
            placed_at: Timestamp::from_millis(self.placed),
            updated_at: Timestamp::from_millis(self.updated),
            shipped_at: at(self.shipped),
            delivered_at: at(self.delivered),
            cancelled_at: at(self.cancelled),
            deleted_at: at(self.deleted),
            holds: holds.collect(),
        })
    }
}
