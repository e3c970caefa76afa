use std::sync::Arc;

use shop_core::{FieldError, StoreError, StoreErrorKind};

use crate::{ReservationState, ShortLine, UnknownLine};

/// Why the service did not do what was asked. Nothing was changed, unless it says otherwise.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum ProductError {
    /// No such product or reservation.
    #[error("not found")]
    NotFound,
    /// Another product that is not deleted has this SKU.
    #[error("another product has this SKU")]
    DuplicateSku,
    /// The product is not as the caller has seen it.
    #[error("the product is at version {current}")]
    VersionMismatch {
        /// The version that it has.
        current: u64,
    },
    /// The content is not valid; every fault of it.
    #[error("the content is not valid")]
    Invalid(Vec<FieldError>),
    /// Some products do not have enough; every one of them.
    #[error("insufficient stock")]
    InsufficientStock(Vec<ShortLine>),
    /// `on_hand` would fall below what reservations hold.
    #[error("{allocated} units are allocated, more than the {on_hand} that would be on hand")]
    BelowAllocated {
        /// What `on_hand` would be.
        on_hand: i64,
        /// What is allocated.
        allocated: i64,
    },
    /// Some products do not exist or cannot be ordered; every such line.
    #[error("unknown products")]
    UnknownProducts(Vec<UnknownLine>),
    /// The reservation is settled already: released, or fulfilled.
    #[error("the reservation is {0:?}")]
    ReservationReleased(ReservationState),
    /// The reservation's id was used for other lines.
    #[error("the reservation holds other lines")]
    OtherLines,
    /// The idempotency key was used for another request.
    #[error("the key was used for another request")]
    KeyReused,
    /// A request with this idempotency key is being worked on.
    #[error("a request with this key is in flight")]
    KeyInFlight,
    /// The store cannot be used now, or too many callers wait. A write may have been done if the source's kind is
    /// [`StoreErrorKind::Unknown`]; it is safe to ask again with the same key or id.
    #[error("products are unavailable")]
    Unavailable(#[source] Arc<StoreError>),
    /// A fault of the store or the service. The source is for the log, not for a client.
    #[error("internal error")]
    Internal(#[source] Arc<StoreError>),
}

impl ProductError {
    /// Whether the same request may succeed later without anything else being changed.
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::Unavailable(_) | Self::KeyInFlight)
    }
}

impl From<StoreError> for ProductError {
    fn from(error: StoreError) -> Self {
        match error.kind() {
            StoreErrorKind::Conflict
            | StoreErrorKind::Unavailable
            | StoreErrorKind::Unknown
            | StoreErrorKind::Full => Self::Unavailable(Arc::new(error)),
            _ => Self::Internal(Arc::new(error)),
        }
    }
}
