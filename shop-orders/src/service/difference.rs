use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use shop_core::{Cursor, Timestamp};
use shop_products::{
    HeldKey, LineStatus, ProductId, Reservation, ReservationId, ReservationState, SettleAction, ShrinkLine,
    Sku,
};

use super::core::OWNER;
use crate::settler::action_for;
use crate::store::OrderKey;
use crate::{Decision, Order, OrderId, OrderStatus, Outcome};

/// How orders and products are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reconcile {
    /// Whether what can be mended is mended; if not, it is only said.
    pub apply: bool,
    /// Between the two looks that a difference must survive unchanged (1 s).
    pub pause: Duration,
    /// How long products surely keep the reservations that ended (23 h): shorter than their
    /// [`idempotency_ttl`](shop_products::ProductServiceConfig::idempotency_ttl). An order that was shipped longer ago and
    /// whose reservation is not there is as it should be. The clocks of both sides must differ by less than what is between
    /// the two.
    pub kept: Duration,
}

impl Default for Reconcile {
    fn default() -> Self {
        Self { apply: false, pause: Duration::from_secs(1), kept: Duration::from_secs(23 * 3_600) }
    }
}

/// Place in the walk over both sides: all reservations of products, then all orders.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReconcileKey {
    /// After this reservation.
    Reservations(HeldKey),
    /// After this order; `None`: from the first.
    Orders(Option<OrderKey>),
}

/// What a page of the walk came to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Default)]
pub struct ReconcilePage {
    /// Reservations that were compared with their orders.
    pub reservations: u64,
    /// Orders that were looked for in the reservations.
    pub orders: u64,
    /// What fits together not yet, but is being worked on: it changed within the grace time, between the two looks, or has
    /// a settlement to come.
    pub under_way: u64,
    /// Shipped orders that cannot be judged: products have forgotten their reservations by now, as they may.
    pub forgotten: u64,
    /// What was found twice, unchanged.
    pub differences: Vec<Difference>,
    /// Ask for the next page with it, a [`ReconcileKey`]; `None` at the end.
    pub next_cursor: Option<Cursor>,
}

/// An order and a reservation that do not fit together.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// The reservation.
    pub reservation_id: ReservationId,
    /// Its order, if there is one.
    pub order_id: Option<OrderId>,
    /// The order's number.
    pub order_number: Option<u64>,
    /// What orders say.
    pub order: OrderSays,
    /// What products say; `None`: they do not know the reservation.
    pub reservation: Option<ReservationState>,
    /// The products, and how many units each side says.
    pub lines: Vec<DifferenceLine>,
    /// What mends it.
    pub repair: Repair,
    /// Whether it was mended.
    pub applied: bool,
}

/// What orders say of a reservation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum OrderSays {
    /// There is no order of it, and nothing was decided.
    NoOrder,
    /// It was given up.
    GivenUp,
    /// It is of an order that is placed.
    Placed,
    /// It is of an order that was shipped.
    Shipped,
    /// It is of an order that was delivered.
    Delivered,
    /// It is of an order that was cancelled.
    Cancelled,
    /// It was of this order, until an edit gave it back.
    GivenBack,
}

/// One product of a difference.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DifferenceLine {
    /// The product.
    pub product_id: ProductId,
    /// Its SKU, if the order or the reservation tells.
    pub sku: Option<Sku>,
    /// Units that the order has of the reservation.
    pub ordered: i64,
    /// Units that the reservation has, or had when it ended.
    pub reserved: i64,
    /// Units that can be taken now, where they are to be held anew and are not.
    pub available: Option<i64>,
    /// Whether they can be had, where they are to be held anew and are not.
    pub status: Option<LineStatus>,
}

/// What mends a difference.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Repair {
    /// Commit the reservation.
    Commit,
    /// Release it.
    Release,
    /// Fulfil it: its units left the warehouse.
    Fulfil,
    /// Give back what it has above the order's lines.
    Shrink,
    /// Hold the order's units under the same id and commit them. If there are not enough, the order is oversold, and a human
    /// decides which order gets what there is.
    HoldAndCommit,
    /// Hold the order's units under the same id and fulfil them.
    HoldAndFulfil,
    /// Write the row that gives it up, so that nobody places an order with it, then release it.
    ExpireAndRelease,
    /// The order was given back its stock as if cancelled: cancel it, or place it anew.
    CancelByHand,
    /// The units left the warehouse as if the order was shipped: ship it.
    ShipByHand,
    /// The units left the warehouse for an order that does not exist or was not to be shipped: find out what happened, then
    /// adjust the stock if they came back.
    FindByHand,
    /// The order was shipped, but its units are on hand still: adjust the stock.
    AdjustByHand,
    /// The reservation has less than the order: edit the order to what it has, and then to what it should have.
    EditByHand,
}

impl Repair {
    /// Whether it is left to a human.
    pub fn is_by_hand(self) -> bool {
        use Repair::{AdjustByHand, CancelByHand, EditByHand, FindByHand, ShipByHand};
        matches!(self, CancelByHand | ShipByHand | FindByHand | AdjustByHand | EditByHand)
    }
}

/// Both sides of a reservation, as they were read: products first.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sides<'a> {
    pub(super) id: ReservationId,
    pub(super) found: Option<&'a Reservation>,
    pub(super) decision: Option<&'a Decision>,
    pub(super) order: Option<&'a Order>,
}

/// How two sides fit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Fit {
    Fits,
    /// One of them changed not long ago.
    UnderWay,
    Differs(Box<Difference>),
}

impl Sides<'_> {
    /// Judges what has not changed since `settled`. Products surely know what ended since `kept`.
    pub(super) fn judge(&self, settled: Timestamp, kept: Timestamp) -> Fit {
        let Some(repair) = self.repair(kept) else { return Fit::Fits };
        let changes = [
            self.found.map(|found| found.updated_at),
            self.decision.map(|decision| decision.at),
            self.order.map(|order| order.updated_at),
        ];
        if changes.into_iter().flatten().any(|at| at > settled) {
            return Fit::UnderWay;
        }
        Fit::Differs(Box::new(Difference {
            reservation_id: self.id,
            order_id: self.order.map(|order| order.id),
            order_number: self.order.map(|order| order.number),
            order: self.says(),
            reservation: self.state(),
            lines: self.lines(),
            repair,
            applied: false,
        }))
    }

    fn state(&self) -> Option<ReservationState> {
        self.found.map(|found| found.state)
    }

    fn says(&self) -> OrderSays {
        match (self.order, self.decision.map(|decision| decision.outcome)) {
            (Some(order), _) if self.ordered().is_none() && order.status != OrderStatus::Cancelled => {
                OrderSays::GivenBack
            }
            (Some(order), _) => match order.status {
                OrderStatus::Placed => OrderSays::Placed,
                OrderStatus::Shipped => OrderSays::Shipped,
                OrderStatus::Delivered => OrderSays::Delivered,
                OrderStatus::Cancelled => OrderSays::Cancelled,
            },
            (None, Some(Outcome::Expired)) => OrderSays::GivenUp,
            (None, _) => OrderSays::NoOrder,
        }
    }

    /// What the order has of the reservation.
    fn ordered(&self) -> Option<&BTreeMap<ProductId, i64>> {
        let hold = self.order?.holds.iter().find(|hold| hold.reservation_id == self.id);
        hold.map(|hold| &hold.quantities)
    }

    fn repair(&self, kept: Timestamp) -> Option<Repair> {
        use ReservationState::{Committed, Fulfilled, Held, Released};
        let Some(order) = self.order else {
            return match (self.state()?, self.decision) {
                (Held | Committed, None) => Some(Repair::ExpireAndRelease),
                (Held | Committed, Some(_)) => Some(Repair::Release),
                (Fulfilled, _) => Some(Repair::FindByHand),
                (Released, _) => None,
            };
        };
        // Products have forgotten a fulfilment by now; what is held since is a late duplicate, which recovery gives back.
        let is_old = order.shipped_at.is_some_and(|at| at <= kept);
        match (action_for(order, self.id), self.state()) {
            (SettleAction::Release, Some(Held | Committed)) => Some(Repair::Release),
            (SettleAction::Release, Some(Fulfilled)) => Some(Repair::FindByHand),
            (SettleAction::Release, _) => None,
            (SettleAction::Fulfil, Some(Held) | None) if is_old => None,
            (SettleAction::Fulfil, None) => Some(Repair::HoldAndFulfil),
            (_, None) => Some(Repair::HoldAndCommit),
            (SettleAction::Fulfil, Some(Released)) => Some(Repair::AdjustByHand),
            (_, Some(Released)) => Some(Repair::CancelByHand),
            (SettleAction::Fulfil, Some(Fulfilled)) => {
                (self.is_less() || self.is_more()).then_some(Repair::AdjustByHand)
            }
            (_, Some(Fulfilled)) => Some(Repair::ShipByHand),
            (_, Some(Held | Committed)) if self.is_less() => Some(Repair::EditByHand),
            (SettleAction::Fulfil, Some(Held | Committed)) => Some(Repair::Fulfil),
            (_, Some(Held)) => Some(Repair::Commit),
            (_, Some(Committed)) => self.is_more().then_some(Repair::Shrink),
        }
    }

    fn is_less(&self) -> bool {
        self.lines().iter().any(|line| line.reserved < line.ordered)
    }

    fn is_more(&self) -> bool {
        self.lines().iter().any(|line| line.reserved > line.ordered)
    }

    fn lines(&self) -> Vec<DifferenceLine> {
        let mut lines: BTreeMap<ProductId, DifferenceLine> = BTreeMap::new();
        let line = |product_id, sku| DifferenceLine {
            product_id,
            sku,
            ordered: 0,
            reserved: 0,
            available: None,
            status: None,
        };
        for (id, quantity) in self.ordered().into_iter().flatten() {
            let named = self.order.and_then(|order| order.lines.iter().find(|line| line.product_id == *id));
            lines.entry(*id).or_insert_with(|| line(*id, named.map(|line| line.sku.clone()))).ordered +=
                quantity;
        }
        for held in self.found.into_iter().flat_map(|found| &found.lines).filter(|held| held.quantity > 0) {
            let id = held.product_id;
            lines.entry(id).or_insert_with(|| line(id, Some(held.sku.clone()))).reserved += held.quantity;
        }
        lines.into_values().collect()
    }
}

impl Difference {
    /// What products are told.
    pub(super) fn settlements(&self) -> Vec<SettleAction> {
        let lines = self.lines.iter().filter(|line| line.ordered > 0);
        let keep = lines.map(|line| ShrinkLine { product_id: line.product_id, quantity: line.ordered });
        let shrink = || SettleAction::Shrink(keep.collect());
        match self.repair {
            Repair::Commit | Repair::HoldAndCommit => vec![shrink(), SettleAction::Commit],
            Repair::Fulfil | Repair::HoldAndFulfil => vec![shrink(), SettleAction::Fulfil],
            Repair::Shrink => vec![shrink()],
            Repair::Release => vec![SettleAction::Release],
            _ => Vec::new(),
        }
    }

    pub(super) fn is_to_be_held(&self) -> bool {
        matches!(self.repair, Repair::HoldAndCommit | Repair::HoldAndFulfil)
    }
}

/// Whether a walk over the reservations of orders has met this one.
pub(super) fn is_listed(found: Option<&Reservation>) -> bool {
    found.is_some_and(|found| found.owner.as_deref() == Some(OWNER))
}
