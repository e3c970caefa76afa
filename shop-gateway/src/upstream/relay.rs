//! Wake-ups that can be turned off.

use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Wake, Waker};

/// Whoever wakes the relay wakes the task.
const LIVE: u8 = 1;
/// The relay was woken.
const WOKEN: u8 = 2;

/// The one waker that a connection ever knows: it wakes the task of the request that uses the connection now, and
/// nobody otherwise.
///
/// A request that drives its connection itself would be woken by it for what it has just done: taking a chunk from
/// hyper's channel wakes whoever feeds it, which is the same task, for one more poll of everything. And since the
/// waker stays the same from one request to the next, nothing that keeps it has to replace it.
#[derive(Debug, Default)]
pub(super) struct Relay {
    /// `LIVE` and `WOKEN`. Only the connection's user sets `LIVE`; anybody adds `WOKEN`, and whoever adds it to `LIVE`
    /// wakes the task at once.
    state: AtomicU8,
    task: Mutex<Option<Waker>>,
}

impl Relay {
    fn task(&self) -> MutexGuard<'_, Option<Waker>> {
        self.task.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wake_task(&self) {
        if let Some(task) = &*self.task() {
            task.wake_by_ref();
        }
    }

    /// Whom to wake from now on.
    pub(super) fn set_task(&self, waker: &Waker) {
        *self.task() = Some(waker.clone());
    }

    /// Before the connection is polled.
    pub(super) fn arm(&self) {
        // What woke before is seen by the poll that follows.
        self.state.store(LIVE, Ordering::Release);
    }

    /// Wakes nobody, but remembers that it should have. An idle connection is left so: that it goes on holding the
    /// waker of its last user keeps a few kilobytes of a task that may have ended, until it is used again or closed.
    pub(super) fn mute(&self) {
        // What woke before has woken the task.
        self.state.store(0, Ordering::Release);
    }

    /// Nothing was done that could have waken: what did came from outside, and counts.
    pub(super) fn unmute(&self) {
        if self.state.swap(LIVE, Ordering::AcqRel) & WOKEN != 0 {
            self.wake_task();
        }
    }
}

impl Wake for Relay {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if self.state.fetch_or(WOKEN, Ordering::AcqRel) & LIVE != 0 {
            self.wake_task();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn wakes_only_who_is_there() {
        let relay = Arc::new(Relay::default());
        let count = Arc::new(Count(AtomicUsize::new(0)));
        let waker = Waker::from(relay.clone());
        waker.wake_by_ref();
        relay.set_task(&Waker::from(count.clone()));
        waker.wake_by_ref();
        assert_eq!(count.0.load(Ordering::Relaxed), 0);
        relay.arm();
        waker.wake_by_ref();
        assert_eq!(count.0.load(Ordering::Relaxed), 1);
        relay.mute();
        waker.wake_by_ref();
        assert_eq!(count.0.load(Ordering::Relaxed), 1);
        relay.unmute();
        assert_eq!(count.0.load(Ordering::Relaxed), 2);
        relay.mute();
        relay.unmute();
        assert_eq!(count.0.load(Ordering::Relaxed), 2);
        relay.mute();
        waker.wake();
        relay.arm();
        assert_eq!(count.0.load(Ordering::Relaxed), 2);
    }
}
