//! How a service ends in the middle of what it does.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::Notify;

/// One life of a service. Whatever it does to the world goes through a store, the network or an answer, and each asks
/// this first; a task of a dead service waits there for ever, which is a crash between any two steps.
#[derive(Debug, Clone, Default)]
pub(crate) struct Life(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    dead: AtomicBool,
    death: Notify,
}

impl Life {
    pub(crate) fn end(&self) {
        self.0.dead.store(true, Ordering::Relaxed);
        self.0.death.notify_waiters();
    }

    pub(crate) fn is_over(&self) -> bool {
        self.0.dead.load(Ordering::Relaxed)
    }

    /// Goes on, or never.
    pub(crate) async fn go_on(&self) {
        if self.is_over() {
            std::future::pending::<()>().await;
        }
    }

    pub(crate) async fn ended(&self) {
        let death = self.0.death.notified();
        if !self.is_over() {
            death.await;
        }
    }
}
