use std::time::Duration;

use shop_core::{StoreError, StoreErrorKind, StoreResult};

/// A task of its own: what was begun is ended, even if the caller goes away. A future of the driver that is dropped
/// half-way loses its connection, and may leave a transaction open (RUST-937).
///
/// The driver knows no timeout on a socket: a caller waits for so long, and is then told `late`; the work goes on.
pub(super) async fn in_a_task<T: Send + 'static>(
    operation: &'static str,
    patience: Duration,
    late: StoreErrorKind,
    work: impl Future<Output = StoreResult<T>> + Send + 'static,
) -> StoreResult<T> {
    match tokio::time::timeout(patience, tokio::spawn(work)).await {
        Ok(Ok(outcome)) => outcome,
        Ok(Err(fault)) => Err(StoreError::new(StoreErrorKind::Unknown, operation).with_source(fault)),
        Err(elapsed) => Err(StoreError::new(late, operation).with_source(elapsed)),
    }
}
