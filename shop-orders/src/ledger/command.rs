use std::collections::BTreeMap;
use std::sync::Arc;

use shop_core::idempotency::{IdempotencyKey, Keyed, StoredAnswer};
use shop_products::{ProductId, Reservation, ReservationId, Sku};

use crate::store::Footprint;
use crate::{NewOrder, Order, OrderError, OrderId, OrderPatch, OrderStatus};

/// What is to be decided.
#[derive(Debug)]
pub(crate) enum Command {
    Place(Place),
    Expire(Expire),
    Edit(Edit),
    Advance(Advance),
    Delete(Delete),
}

/// Place an order whose stock is held.
#[derive(Debug)]
pub(crate) struct Place {
    pub(crate) order_id: OrderId,
    pub(crate) new: NewOrder,
    pub(crate) reservation: Reservation,
    pub(crate) keyed: Option<Keyed<Order>>,
    pub(crate) attempt: u32,
}

/// Give a reservation up, unless an order was placed with it.
#[derive(Debug)]
pub(crate) struct Expire {
    pub(crate) reservation_id: ReservationId,
    pub(crate) key: Option<IdempotencyKey>,
    pub(crate) attempt: u32,
}

/// Change an order; what grows is held by `growth`.
#[derive(Debug)]
pub(crate) struct Edit {
    pub(crate) order_id: OrderId,
    pub(crate) if_match: Option<Vec<u64>>,
    pub(crate) patch: Arc<OrderPatch>,
    pub(crate) growth: Option<Reservation>,
    /// Products of SKUs that the order does not have by that name.
    pub(crate) aliases: BTreeMap<Sku, ProductId>,
}

/// Cancel, ship or deliver an order.
#[derive(Debug)]
pub(crate) struct Advance {
    pub(crate) order_id: OrderId,
    pub(crate) if_match: Option<Vec<u64>>,
    pub(crate) to: OrderStatus,
    pub(crate) keyed: Option<Keyed<Order>>,
}

/// Delete an order; cancel it first if it is placed.
#[derive(Debug)]
pub(crate) struct Delete {
    pub(crate) order_id: OrderId,
    pub(crate) if_match: Option<Vec<u64>>,
}

/// What was decided.
#[derive(Debug)]
pub(crate) enum Verdict {
    /// Done; the order as it is now.
    Done(Box<Order>),
    /// Done before, with the same key.
    Replayed(StoredAnswer),
    /// Of an [`Expire`]: the reservation is given up, now or earlier.
    GivenUp,
    /// Of an [`Expire`]: the reservation belongs to this order.
    Belongs(Box<Order>),
    /// Of an [`Edit`]: the order's difference is not what was held for it.
    Stale,
}

/// A verdict, and the reservation that must be released since it was given up.
#[derive(Debug)]
pub(crate) struct Decided {
    pub(crate) verdict: Result<Verdict, OrderError>,
    pub(crate) given_up: Option<ReservationId>,
}

impl Command {
    /// Adds what the decision needs to see.
    pub(crate) fn add_to(&self, footprint: &mut Footprint) {
        match self {
            Self::Place(place) => {
                footprint.reservations.insert(place.reservation.id);
                footprint.keys.extend(place.keyed.iter().map(|keyed| keyed.idempotency.key.clone()));
                footprint.numbers += 1;
            }
            Self::Expire(expire) => {
                footprint.reservations.insert(expire.reservation_id);
            }
            Self::Edit(edit) => {
                footprint.orders.insert(edit.order_id);
                footprint.reservations.extend(edit.growth.iter().map(|growth| growth.id));
            }
            Self::Advance(advance) => {
                footprint.orders.insert(advance.order_id);
                footprint.keys.extend(advance.keyed.iter().map(|keyed| keyed.idempotency.key.clone()));
            }
            Self::Delete(delete) => {
                footprint.orders.insert(delete.order_id);
            }
        }
    }
}
