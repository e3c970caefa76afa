use std::time::Duration;

use serde::{Deserialize, Serialize};
use shop_core::{Money, Timestamp};

use crate::{ProductId, ProductRef, Sku};

shop_core::define_id! {
    /// A reservation's id. Its owner makes it, so that the same hold can be asked for again.
    ReservationId
}

/// Where a reservation stands. `Held → Committed → Fulfilled`, and `Released` from `Held` or `Committed`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReservationState {
    /// Its units are allocated; nobody has decided yet.
    Held,
    /// Its units are allocated to a decided order.
    Committed,
    /// Its units are available again. Terminal.
    Released,
    /// Its units left the warehouse. Terminal.
    Fulfilled,
}

impl ReservationState {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Held, Self::Committed, Self::Released, Self::Fulfilled];

    /// Whether the reservation's units count in `allocated`.
    pub fn is_live(self) -> bool {
        matches!(self, Self::Held | Self::Committed)
    }
}

/// What is asked to be held: all lines or none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HoldRequest {
    /// The reservation's id.
    pub id: ReservationId,
    /// Who will settle it, `orders` for the orders service: 1 to 64 characters.
    pub owner: Option<String>,
    /// 1 to 1,000 lines; lines of one product are summed first.
    pub lines: Vec<HoldLine>,
    /// Releases itself after so long, if it is still held: for carts that nobody finishes. `None`: never by itself.
    pub expires_in: Option<Duration>,
}

/// One line of a hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HoldLine {
    /// Which product.
    pub product: ProductRef,
    /// How many units, 1 to [`HoldLine::MAX_QUANTITY`].
    pub quantity: i64,
}

impl HoldLine {
    /// The most units that one line asks for.
    pub const MAX_QUANTITY: i64 = 1_000_000;
    /// The most lines of one hold, check or order.
    pub const MAX_LINES: usize = 1_000;
}

/// One product of a reservation, as it was when it was held.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReservedLine {
    /// The product.
    pub product_id: ProductId,
    /// Its SKU.
    pub sku: Sku,
    /// Its name.
    pub name: String,
    /// Units that the reservation has now.
    pub quantity: i64,
    /// Units that it had when it was held; a shrunk reservation has fewer now.
    pub held: i64,
    /// What one unit cost.
    pub unit_price: Money,
}

/// Units held of some products, all or none, until their owner settles them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reservation {
    /// The reservation's id.
    pub id: ReservationId,
    /// Who settles it.
    pub owner: Option<String>,
    /// Where it stands.
    pub state: ReservationState,
    /// One a product, in the order of the request. Empty for an id that was released before it was ever held.
    pub lines: Vec<ReservedLine>,
    /// When it was held (or first heard of).
    pub created_at: Timestamp,
    /// When its state last changed.
    pub updated_at: Timestamp,
    /// When it releases itself, if it is still held then.
    pub expires_at: Option<Timestamp>,
}

impl Reservation {
    /// Whether it is held still although its time has come: nobody decided, and it is to be released.
    pub fn is_expired(&self, now: Timestamp) -> bool {
        self.state == ReservationState::Held && self.expires_at.is_some_and(|at| at <= now)
    }
}

/// What an owner says of a reservation. Every one may come twice, late or out of order: the state absorbs it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settlement {
    /// Which reservation.
    pub reservation_id: ReservationId,
    /// What to do.
    pub action: SettleAction,
}

/// What to do with a reservation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SettleAction {
    /// `Held → Committed`; anything else stays.
    Commit,
    /// `Held`, `Committed` or never seen `→ Released`; anything else stays.
    Release,
    /// `Held` or `Committed → Fulfilled`: its units leave `on_hand` and `allocated`; anything else stays.
    Fulfil,
    /// A live reservation gives back what it has above these quantities. It never grows, and a product that is not named
    /// falls to 0.
    Shrink(Vec<ShrinkLine>),
}

/// How many units of a product a shrunk reservation keeps.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShrinkLine {
    /// The product.
    pub product_id: ProductId,
    /// Units that it keeps at most.
    pub quantity: i64,
}

/// What a settlement found or left.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SettleOutcome {
    /// Which reservation.
    pub reservation_id: ReservationId,
    /// Where it stands now; `None` if it was never seen (only a release makes a record then).
    pub state: Option<ReservationState>,
}
