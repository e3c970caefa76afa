//! Files that change.

use std::sync::Arc;
use std::time::Duration;

use crate::plan::Plan;

/// Between two looks.
const EVERY: Duration = Duration::from_secs(2);

/// Reads files again when they have changed, for ever. On a thread for blocking work.
pub(crate) async fn watch(plan: Arc<Plan>) {
    loop {
        tokio::time::sleep(EVERY).await;
        let looking = plan.current().tls.clone();
        // A panic of the look was reported by the panic hook.
        if let Ok(Err(faults)) = tokio::task::spawn_blocking(move || looking.reload(true)).await {
            for fault in faults.faults() {
                tracing::warn!(target: "shop_gateway::tls", "{fault}: the certificates stay as they were");
            }
        }
    }
}
