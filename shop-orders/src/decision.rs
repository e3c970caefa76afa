use serde::{Deserialize, Serialize};
use shop_core::Timestamp;
use shop_core::idempotency::IdempotencyKey;
use shop_products::ReservationId;
use uuid::Uuid;

use crate::OrderId;

/// The row that decides: what became of a reservation that orders asked for. There is one at most for a reservation,
/// and one at most that is placed for a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// The reservation.
    pub reservation_id: ReservationId,
    /// The key of the request that asked for it.
    pub key: Option<IdempotencyKey>,
    /// Which attempt of that key, from 1.
    pub attempt: u32,
    /// What became of it.
    pub outcome: Outcome,
    /// When.
    pub at: Timestamp,
}

/// What became of a reservation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    /// It holds stock of this order.
    Placed(OrderId),
    /// It was given up: whoever comes later with it does not place an order.
    Expired,
}

/// Namespace of the reservation ids that are made from keys (a random UUID, fixed for ever).
const RESERVATIONS: Uuid = Uuid::from_u128(0x5d2c_7f4e_93a1_4c0b_b6d8_21e0_9af3_6b57);

/// The reservation of an attempt of a key: UUIDv5 (RFC 9562), so that every instance that works on the same key asks for
/// the same reservation.
pub fn reservation_of(scope: &str, key: &IdempotencyKey, attempt: u32) -> ReservationId {
    let name = format!("{}:{scope}:{}:{}", scope.len(), key.as_str(), attempt);
    ReservationId(Uuid::new_v5(&RESERVATIONS, name.as_bytes()))
}
