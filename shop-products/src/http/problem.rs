//! The one table from the service's errors to what a client sees.

use shop_core::{FieldError, Problem};

use crate::ProductError;

/// How long a client waits before it asks an unavailable service again, in seconds.
const RETRY_AFTER: u32 = 1;

impl From<ProductError> for Problem {
    fn from(error: ProductError) -> Self {
        match error {
            ProductError::NotFound => Self::not_found("there is no such product or reservation"),
            ProductError::DuplicateSku => {
                Self::new(409, "duplicate_sku", "The SKU is taken").detail("another product has this SKU")
            }
            ProductError::VersionMismatch { current } => {
                Self::new(412, "version_mismatch", "Not the version that was expected")
                    .detail(format!("the current version is \"{current}\""))
                    .with("current_version", current)
            }
            ProductError::Invalid(faults) => Self::invalid(faults),
            ProductError::InsufficientStock(lines) => {
                Self::new(409, "insufficient_stock", "Not enough stock")
                    .detail(counted(lines.len(), "product does", "products do", "not have enough"))
                    .with("lines", lines)
            }
            ProductError::BelowAllocated { on_hand, allocated } => {
                Self::new(409, "below_allocated", "More is allocated than would be on hand")
                    .detail(format!("{on_hand} would be on hand, but {allocated} are allocated"))
                    .with("on_hand", on_hand)
                    .with("allocated", allocated)
            }
            ProductError::UnknownProducts(lines) => {
                Self::new(422, "unknown_product", "A product cannot be ordered")
                    .detail(counted(
                        lines.len(),
                        "line names",
                        "lines name",
                        "a product that cannot be ordered",
                    ))
                    .with("lines", lines)
            }
            ProductError::ReservationReleased(state) => {
                Self::new(409, "reservation_released", "The reservation is settled already")
                    .with("state", state)
            }
            ProductError::OtherLines => {
                Self::new(422, "reservation_mismatch", "The reservation holds other lines")
                    .detail("this id was used for another hold")
            }
            ProductError::KeyReused => {
                Self::new(422, "idempotency_key_reused", "The key was used for another request")
            }
            ProductError::KeyInFlight => {
                Self::new(409, "idempotency_key_in_flight", "A request with this key is being worked on")
                    .retry_after(RETRY_AFTER)
            }
            ProductError::Unavailable(source) => {
                tracing::warn!(error.message = source.chain(), "products are unavailable");
                Self::new(503, "unavailable", "Products are unavailable for now").retry_after(RETRY_AFTER)
            }
            ProductError::Internal(source) => {
                tracing::error!(error.message = source.chain(), "a request failed");
                Self::internal()
            }
        }
    }
}

fn counted(n: usize, one: &str, many: &str, what: &str) -> String {
    format!("{n} {} {what}", if n == 1 { one } else { many })
}

/// A problem as the faults of one row: its own, or itself as the only one.
pub(super) fn faults_of(problem: Problem) -> Vec<FieldError> {
    if !problem.errors.is_empty() {
        return problem.errors;
    }
    let detail = if problem.detail.is_empty() { problem.title.into_owned() } else { problem.detail };
    vec![FieldError { pointer: String::new(), code: problem.code, detail }]
}

#[cfg(test)]
mod tests {
    use shop_core::{StoreError, StoreErrorKind};

    use super::*;
    use crate::{ReservationState, ShortLine};

    #[test]
    fn every_error_has_its_status_and_code() {
        let store = |kind| StoreError::new(kind, "commit stock").with_source("secret: table stock");
        let short = ShortLine {
            product_id: crate::ProductId::generate(),
            sku: "A".parse().unwrap(),
            requested: 2,
            available: 1,
        };
        for (error, status, code) in [
            (ProductError::NotFound, 404, "not_found"),
            (ProductError::DuplicateSku, 409, "duplicate_sku"),
            (ProductError::VersionMismatch { current: 3 }, 412, "version_mismatch"),
            (ProductError::Invalid(vec![FieldError::new("/name", "required", "x")]), 422, "invalid"),
            (ProductError::InsufficientStock(vec![short]), 409, "insufficient_stock"),
            (ProductError::BelowAllocated { on_hand: 1, allocated: 2 }, 409, "below_allocated"),
            (ProductError::UnknownProducts(Vec::new()), 422, "unknown_product"),
            (ProductError::ReservationReleased(ReservationState::Released), 409, "reservation_released"),
            (ProductError::OtherLines, 422, "reservation_mismatch"),
            (ProductError::KeyReused, 422, "idempotency_key_reused"),
            (ProductError::KeyInFlight, 409, "idempotency_key_in_flight"),
            (store(StoreErrorKind::Unavailable).into(), 503, "unavailable"),
            (store(StoreErrorKind::Corrupt).into(), 500, "internal"),
        ] {
            let retryable = error.is_retryable();
            let problem = Problem::from(error);
            assert_eq!((problem.status, &*problem.code), (status, code));
            assert_eq!((problem.retryable, problem.retry_after.is_some()), (retryable, retryable), "{code}");
            let body = String::from_utf8(problem.to_json("r")).unwrap();
            assert!(!body.contains("secret") && !body.contains("commit stock"), "{body}");
        }
    }
}
