use serde::Serialize;
use shop_core::Timestamp;
use shop_products::ReservationId;

use crate::OrderId;

/// The service's figures, as of the last round of recovery and settling.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Figures {
    /// Reservations still held past the grace time. Must return to 0.
    pub orders_in_doubt: u64,
    /// Settlements that products have not acknowledged.
    pub settlements_open: u64,
    /// Since when the oldest of them is open.
    pub oldest_settlement: Option<Timestamp>,
    /// Orders whose stock is not what their status says, and settlements that products refuse. Must be 0: see [`OrderService::doctor`](crate::OrderService::doctor).
    pub mismatches: u64,
}

/// Something between orders and products that is not settled, explained.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct InDoubt {
    /// What it is.
    pub kind: InDoubtKind,
    /// The reservation.
    pub reservation_id: ReservationId,
    /// The order that decided it, if one did.
    pub order_id: Option<OrderId>,
    /// Since when.
    pub since: Timestamp,
    /// At what step it stands.
    pub step: String,
    /// What happens next.
    pub next: String,
}

/// What is not settled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum InDoubtKind {
    /// Products hold a reservation past the grace time.
    Held,
    /// Products have not acknowledged a settlement.
    OpenSettlement,
    /// Products and orders disagree, or products refuse a settlement, and no repetition will mend it.
    Mismatch,
}
