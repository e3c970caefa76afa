//! Work that is not dropped half-way.

use crate::{StoreError, StoreErrorKind, StoreResult};

/// Runs work in a task of its own: what was begun is ended, even if the caller goes away. A future of a database driver
/// that is dropped half-way may leave a transaction open (sqlx #4385, MongoDB RUST-937).
///
/// # Errors
/// Those of the work; [`StoreErrorKind::Unknown`] if it panicked or the runtime ended.
///
/// # Cancel safety
/// Once polled the work runs to its end, whether the caller waits or not.
pub async fn in_a_task<T: Send + 'static>(
    operation: &'static str,
    work: impl Future<Output = StoreResult<T>> + Send + 'static,
) -> StoreResult<T> {
    tokio::spawn(work)
        .await
        .unwrap_or_else(|fault| Err(StoreError::new(StoreErrorKind::Unknown, operation).with_source(fault)))
}
