use std::time::Duration;

use shop_core::task::in_a_task;
use shop_core::{StoreError, StoreErrorKind, StoreResult};

/// [`in_a_task`], of which a caller is told `late` after so long: the driver knows no timeout on a socket. The work
/// goes on.
pub(super) async fn within<T: Send + 'static>(
    operation: &'static str,
    patience: Duration,
    late: StoreErrorKind,
    work: impl Future<Output = StoreResult<T>> + Send + 'static,
) -> StoreResult<T> {
    let done = tokio::time::timeout(patience, in_a_task(operation, work)).await;
    done.unwrap_or_else(|elapsed| Err(StoreError::new(late, operation).with_source(elapsed)))
}
