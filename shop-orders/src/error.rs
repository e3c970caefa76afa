use std::error::Error as StdError;
use std::sync::Arc;

use shop_core::{FieldError, Money, StoreError, StoreErrorKind};
use shop_products::{CatalogError, ShortLine, UnknownLine};

use crate::OrderStatus;

/// Why orders did not do what was asked. Unless said otherwise, nothing was changed and no stock is taken.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OrderError {
    /// No such order, or it was deleted.
    #[error("no such order")]
    NotFound,
    /// The order has another version than the caller has seen.
    #[error("the order has version {current}")]
    VersionMismatch {
        /// The version it has.
        current: u64,
    },
    /// The order's status does not allow it. An edit is a move from the status to itself, and only `Placed` allows it.
    #[error("an order that is {from:?} cannot become {to:?}")]
    IllegalTransition {
        /// Where it stands.
        from: OrderStatus,
        /// Where it should have gone.
        to: OrderStatus,
    },
    /// The content is not valid; every fault is listed.
    #[error("{} faults in the content", .0.len())]
    Invalid(Vec<FieldError>),
    /// Some products do not have enough; every one is listed.
    #[error("insufficient stock")]
    InsufficientStock(Vec<ShortLine>),
    /// Some lines name products that cannot be ordered; every one is listed.
    #[error("unknown products")]
    UnknownProducts(Vec<UnknownLine>),
    /// The products' prices are not all in one currency.
    #[error("the prices are in several currencies")]
    MixedCurrencies,
    /// The order would cost something else than the caller expected.
    #[error("the total is {actual}, not {expected}")]
    PriceChanged {
        /// What the caller expected.
        expected: Money,
        /// What it would cost.
        actual: Money,
    },
    /// The idempotency key was used for another request.
    #[error("the key was used for another request")]
    KeyReused,
    /// A request with this idempotency key is being worked on.
    #[error("a request with this key is in flight")]
    KeyInFlight,
    /// Products could not be asked in time. What they may have held is released by recovery.
    #[error("products are unavailable")]
    ProductsUnavailable,
    /// The orders' store could not be used, or did not say in time whether it wrote, or too much is being worked on: the
    /// same request with the same key is safe to repeat.
    #[error("orders are unavailable")]
    Unavailable(#[source] Box<dyn StdError + Send + Sync>),
    /// Recovery gave the reservation up before the order was decided: ask again.
    #[error("the reservation was given up before the order was placed")]
    NotPlaced,
    /// A fault of this service or its store.
    #[error("internal error")]
    Internal(#[source] Box<dyn StdError + Send + Sync>),
}

impl OrderError {
    /// Whether the same request may succeed later without anything else being changed.
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::KeyInFlight | Self::ProductsUnavailable | Self::Unavailable(_) | Self::NotPlaced)
    }

    /// One fault of the content.
    pub(crate) fn invalid(pointer: &str, code: &'static str, detail: impl Into<String>) -> Self {
        Self::Invalid(vec![FieldError::new(pointer, code, detail)])
    }

    /// A store's failure, which several callers of one batch may share.
    pub(crate) fn of_store(error: &Arc<StoreError>) -> Self {
        match error.kind() {
            StoreErrorKind::Corrupt | StoreErrorKind::Internal => Self::Internal(Box::new(error.clone())),
            _ => Self::Unavailable(Box::new(error.clone())),
        }
    }
}

impl From<StoreError> for OrderError {
    fn from(error: StoreError) -> Self {
        Self::of_store(&Arc::new(error))
    }
}

impl From<shop_core::CombinerGone> for OrderError {
    fn from(gone: shop_core::CombinerGone) -> Self {
        Self::Unavailable(Box::new(gone))
    }
}

impl From<CatalogError> for OrderError {
    /// A hold's refusal. [`CatalogError::Released`] and [`CatalogError::OtherLines`] mean more to who knows the request's key.
    fn from(error: CatalogError) -> Self {
        match error {
            CatalogError::InsufficientStock(lines) => Self::InsufficientStock(lines),
            CatalogError::UnknownProducts(lines) => Self::UnknownProducts(lines),
            CatalogError::Released(_) => Self::NotPlaced,
            CatalogError::Invalid(detail) => Self::invalid("/lines", "invalid", detail),
            CatalogError::Unavailable(source) | CatalogError::NotSent(source) => {
                tracing::warn!(error = %source, "products are unavailable");
                Self::ProductsUnavailable
            }
            other => Self::Internal(Box::new(other)),
        }
    }
}
