//! Reads that are not worth a try.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use super::relay::Relay;

/// Knows whether a socket may have something to read. hyper asks a connection four times an exchange whether its
/// peer has sent anything, be it the end, and the answer costs a walk through the runtime each time. Once the
/// runtime has said no it wakes us for the next yes: until then the answer is still no.
#[derive(Debug)]
pub(super) struct Ear {
    heard: Arc<Heard>,
    /// The only waker that the socket's reading side is ever polled with.
    waker: Waker,
    listening: bool,
}

#[derive(Debug)]
struct Heard {
    relay: Arc<Relay>,
    flag: AtomicBool,
}

impl Wake for Heard {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.flag.store(true, Ordering::Release);
        self.relay.wake_by_ref();
    }
}

impl Ear {
    pub(super) fn new(relay: Arc<Relay>) -> Self {
        let heard = Arc::new(Heard { relay, flag: AtomicBool::new(false) });
        Self { waker: Waker::from(heard.clone()), heard, listening: false }
    }

    /// Reads, unless there can be nothing. `read` is given the context to read with.
    pub(super) fn poll_read(
        &mut self,
        read: impl FnOnce(&mut Context<'_>) -> Poll<io::Result<()>>,
    ) -> Poll<io::Result<()>> {
        if self.heard.flag.load(Ordering::Acquire) {
            // Before the read: what is heard from here on is news. Acquires what made the flag's writer write it.
            self.heard.flag.swap(false, Ordering::AcqRel);
        } else if self.listening {
            return Poll::Pending;
        }
        let polled = read(&mut Context::from_waker(&self.waker));
        self.listening = polled.is_pending();
        polled
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn asks_again_only_after_it_was_woken() {
        let mut ear = Ear::new(Arc::default());
        let mut registered = None;
        assert!(ear.poll_read(|_| Poll::Ready(Ok(()))).is_ready());
        let pending = ear.poll_read(|cx| {
            registered = Some(cx.waker().clone());
            Poll::Pending
        });
        assert!(pending.is_pending());
        assert!(ear.poll_read(|_| unreachable!("nothing can have come")).is_pending());
        registered.unwrap().wake();
        assert!(ear.poll_read(|_| Poll::Ready(Ok(()))).is_ready());
        assert!(ear.poll_read(|_| Poll::Ready(Ok(()))).is_ready());
    }

    #[test]
    fn what_wakes_during_the_read_is_not_lost() {
        let mut ear = Ear::new(Arc::default());
        let pending = ear.poll_read(|cx| {
            cx.waker().wake_by_ref();
            Poll::Pending
        });
        assert!(pending.is_pending());
        assert!(ear.poll_read(|_| Poll::Ready(Ok(()))).is_ready());
    }
}
