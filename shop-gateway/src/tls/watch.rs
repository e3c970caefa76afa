//! Files that change.

use std::sync::Arc;
use std::time::Duration;

use crate::plan::Plan;

/// Between two looks.
const EVERY: Duration = Duration::from_secs(2);

/// Reads files again when they have changed, for ever. On a thread for blocking work.
pub(crate) async fn watch(plan: Arc<Plan>) {
    let mut told = String::new();
    loop {
        tokio::time::sleep(EVERY).await;
        let looking = plan.current().tls.clone();
        // A panic of the look was reported by the panic hook.
        let outcome = tokio::task::spawn_blocking(move || looking.reload(true)).await;
        let faults = outcome.ok().and_then(Result::err).map(|faults| faults.to_string()).unwrap_or_default();
        // Once, not at every look.
        if faults != told && !faults.is_empty() {
            tracing::warn!(target: "shop_gateway::tls", "{faults}: the certificates stay as they were");
        }
        told = faults;
    }
}
