use serde::{Deserialize, Serialize};
use shop_core::Timestamp;

use crate::ProductId;

/// What there is of a product, in units. Always `0 ≤ allocated ≤ on_hand`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Stock {
    /// Units in the warehouse.
    pub on_hand: i64,
    /// Units of these that reservations hold.
    pub allocated: i64,
}

impl Stock {
    /// The most units that a product can have.
    pub const MAX: i64 = 1_000_000_000_000;

    /// Units that can still be taken: `on_hand − allocated`.
    pub fn available(self) -> i64 {
        self.on_hand - self.allocated
    }

    /// The stock after a change; `None` if it would not be sound: negative, less on hand than allocated, or over
    /// [`Stock::MAX`].
    #[must_use]
    pub fn changed(self, on_hand: i64, allocated: i64) -> Option<Self> {
        let next = Self {
            on_hand: self.on_hand.checked_add(on_hand)?,
            allocated: self.allocated.checked_add(allocated)?,
        };
        (0 <= next.allocated && next.allocated <= next.on_hand && next.on_hand <= Self::MAX).then_some(next)
    }
}

shop_core::define_id! {
    /// An adjustment's id.
    AdjustmentId
}

/// A change of `on_hand` that a person or another system made, with its reason: a delivery, a count, a loss.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Adjustment {
    /// The adjustment's id.
    pub id: AdjustmentId,
    /// Whose stock.
    pub product_id: ProductId,
    /// Units added to `on_hand`; negative takes away; never 0.
    pub delta: i64,
    /// Why: 1 to 255 characters.
    pub reason: String,
    /// The other system's name of it: at most 255 characters.
    pub reference: Option<String>,
    /// `on_hand` after it.
    pub on_hand: i64,
    /// When.
    pub created_at: Timestamp,
}
