use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;

use tokio::sync::Notify;

/// Tells a set of connections to finish. A connection asks [`Ticket::is_draining`], one load of a flag, whenever it
/// is polled, and is woken when that changes.
#[derive(Debug, Clone, Default)]
pub struct Drain(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    draining: AtomicBool,
    connections: Mutex<Connections>,
    empty: Notify,
}

#[derive(Debug, Default)]
struct Connections {
    next: u64,
    wakers: HashMap<u64, Option<Waker>>,
}

/// A connection's membership, until dropped.
#[derive(Debug)]
pub struct Ticket {
    drain: Drain,
    id: u64,
}

impl Drain {
    fn lock(&self) -> MutexGuard<'_, Connections> {
        self.0.connections.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a connection: to be done where it is accepted, or the end may come before it is known of.
    pub fn join(&self) -> Ticket {
        let mut connections = self.lock();
        let id = connections.next;
        connections.next += 1;
        connections.wakers.insert(id, None);
        Ticket { drain: self.clone(), id }
    }

    /// Tells them to finish.
    pub fn start(&self) {
        self.0.draining.store(true, Ordering::Release);
        for waker in self.lock().wakers.values().flatten() {
            waker.wake_by_ref();
        }
    }

    /// Waits until no connection is left. For one waiter at a time.
    ///
    /// # Cancel safety
    /// Safe: it may be waited for again.
    pub async fn finished(&self) {
        loop {
            let empty = self.0.empty.notified();
            if self.lock().wakers.is_empty() {
                return;
            }
            empty.await;
        }
    }
}

impl Ticket {
    /// Whether the connection is to finish.
    pub fn is_draining(&self) -> bool {
        self.drain.0.draining.load(Ordering::Acquire)
    }

    /// Whom to wake when draining starts.
    pub fn register(&self, waker: &Waker) {
        self.drain.lock().wakers.insert(self.id, Some(waker.clone()));
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let mut connections = self.drain.lock();
        connections.wakers.remove(&self.id);
        if connections.wakers.is_empty() {
            // One is remembered, should the waiter just be about to wait.
            self.drain.0.empty.notify_one();
        }
    }
}
