//! Wake-ups that can be turned off.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Wake, Waker};

/// The one waker that a connection ever knows: it wakes the task of the request that uses the connection now, and
/// nobody otherwise.
///
/// A request that drives its connection itself would be woken by it for what it has just done: taking a chunk from
/// hyper's channel wakes whoever feeds it, which is the same task, for one more poll of everything. And since the
/// waker stays the same from one request to the next, nothing that keeps it has to replace it.
#[derive(Debug, Default)]
pub(super) struct Relay(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    task: Option<Waker>,
    muted: bool,
    missed: bool,
}

impl Relay {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Before the connection is polled: whom to wake.
    pub(super) fn arm(&self, waker: &Waker) {
        let mut state = self.lock();
        state.muted = false;
        state.missed = false;
        if !state.task.as_ref().is_some_and(|task| task.will_wake(waker)) {
            state.task = Some(waker.clone());
        }
    }

    /// Wakes nobody, but remembers that it should have.
    pub(super) fn mute(&self) {
        self.lock().muted = true;
    }

    /// Nothing was done that could have waken: what did came from outside, and counts.
    pub(super) fn unmute(&self) {
        let mut state = self.lock();
        state.muted = false;
        if std::mem::take(&mut state.missed)
            && let Some(task) = &state.task
        {
            task.wake_by_ref();
        }
    }

    /// The connection is idle: nobody.
    pub(super) fn disarm(&self) {
        *self.lock() = State::default();
    }
}

impl Wake for Relay {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        let mut state = self.lock();
        if state.muted {
            state.missed = true;
        } else if let Some(task) = &state.task {
            task.wake_by_ref();
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
        relay.arm(&Waker::from(count.clone()));
        waker.wake_by_ref();
        assert_eq!(count.0.load(Ordering::Relaxed), 1);
        relay.mute();
        waker.wake_by_ref();
        assert_eq!(count.0.load(Ordering::Relaxed), 1);
        relay.unmute();
        assert_eq!(count.0.load(Ordering::Relaxed), 2);
        relay.mute();
        relay.unmute();
        relay.disarm();
        waker.wake();
        assert_eq!(count.0.load(Ordering::Relaxed), 2);
    }
}
