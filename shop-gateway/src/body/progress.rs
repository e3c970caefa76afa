//! How far a request's body has come, seen from outside.

use std::sync::Arc;
#[cfg(feature = "http2")]
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

#[cfg(feature = "http2")]
use super::BodyFault;

/// How far a request's body has come; shared between the body, which the upstream's connection owns, and those
/// who ask: the response timeout, the access event and the client's connection.
#[derive(Debug, Clone, Default)]
pub(crate) struct BodyProgress(Arc<State>);

#[derive(Debug, Default)]
struct State {
    bytes: AtomicU64,
    waiting: AtomicBool,
    ended: AtomicBool,
    #[cfg(feature = "http2")]
    fault: OnceLock<BodyFault>,
}

impl BodyProgress {
    pub(super) fn add(&self, bytes: usize) -> u64 {
        self.0.bytes.fetch_add(bytes as u64, Relaxed) + bytes as u64
    }

    pub(super) fn set_waiting(&self, waiting: bool) {
        self.0.waiting.store(waiting, Relaxed);
    }

    pub(super) fn set_ended(&self) {
        self.0.waiting.store(false, Relaxed);
        self.0.ended.store(true, Relaxed);
    }

    /// Why it ended before its end. Whoever it was given to may not pass that on: an HTTP/2 connection tells its requests only
    /// that a stream was reset.
    #[cfg(feature = "http2")]
    pub(super) fn set_fault(&self, fault: &BodyFault) {
        // It ends once.
        let _ = self.0.fault.set(fault.without_cause());
    }

    #[cfg(feature = "http2")]
    pub(crate) fn fault(&self) -> Option<BodyFault> {
        self.0.fault.get().map(BodyFault::without_cause)
    }

    /// Bytes that the client has sent of it.
    pub(crate) fn bytes(&self) -> u64 {
        self.0.bytes.load(Relaxed)
    }

    /// Whether it is the client that everything waits for.
    pub(crate) fn is_waiting(&self) -> bool {
        self.0.waiting.load(Relaxed)
    }

    /// Whether all of it was read.
    pub(crate) fn is_ended(&self) -> bool {
        self.0.ended.load(Relaxed)
    }
}
