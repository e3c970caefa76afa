//! Real processes of the built binaries, on free ports, each in a folder of its own, and a client of them.
#![allow(dead_code, reason = "each test binary uses its own part")]

pub(crate) mod client;
pub(crate) mod load;
pub(crate) mod process;
pub(crate) mod server;
pub(crate) mod shop;
pub(crate) mod sums;

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// How long anything may take before it counts as never.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

static COUNTER: AtomicU64 = AtomicU64::new(1);

/// A name that no other test has.
pub(crate) fn unique(prefix: &str) -> String {
    format!("{prefix}-{}", COUNTER.fetch_add(1, Ordering::Relaxed))
}

/// A reservation id that no other test has.
pub(crate) fn new_id() -> String {
    format!("0198c0de-0000-7000-8000-{:012x}", COUNTER.fetch_add(1, Ordering::Relaxed))
}

/// Asks until something is so.
pub(crate) async fn eventually(what: &str, so: impl AsyncFnMut() -> bool) {
    within(PATIENCE, what, so).await;
}

/// Asks until something is so, for this long.
pub(crate) async fn within(patience: Duration, what: &str, mut so: impl AsyncFnMut() -> bool) {
    let since = Instant::now();
    while !so().await {
        assert!(since.elapsed() < patience, "never: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
