//! Lines on their way from the tasks that log to the thread that writes them: bounded, with every line counted.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::encode::MAX_LINE;

/// How long lines are gathered, unless so many bytes of them wait.
const GATHER: Duration = Duration::from_millis(10);
const ENOUGH: usize = 256 << 10;

/// What happens to a line that finds the queue full.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Policy {
    Drop,
    /// The less a line matters, the earlier it is dropped: [`Rank`].
    #[cfg(feature = "logstash")]
    DropByLevel,
    /// The emitting thread waits for room, for ever or so long at most.
    Block(Option<Duration>),
}

/// How much a line matters, least first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Rank {
    /// DEBUG and TRACE: half of the queue.
    Detail,
    /// INFO: three quarters of the queue.
    Info,
    /// WARN, ERROR and access events: all of it.
    High,
}

#[derive(Debug, Default)]
struct Pending {
    bytes: Vec<u8>,
    lines: u64,
    /// Lines that the writer thread has taken and not yet written.
    taken: u64,
    /// The writer thread waits for a first line, and must be woken for it.
    idle: bool,
    /// Somebody has waited for room in vain since lines were taken last: one outage costs one wait, not one a line.
    waited: bool,
    closed: bool,
}

#[derive(Debug)]
pub(super) struct Queue {
    /// What it is called where people read of it.
    pub(super) name: &'static str,
    pending: Mutex<Pending>,
    filled: Condvar,
    /// As `filled`, for a writer on a runtime.
    #[cfg(feature = "logstash")]
    woken: tokio::sync::Notify,
    emptied: Condvar,
    limit: usize,
    policy: Policy,
    written: AtomicU64,
    failed: AtomicU64,
    dropped: AtomicU64,
    /// Dropped lines that the stream has told of.
    reported: AtomicU64,
}

impl Queue {
    pub(super) fn new(name: &'static str, limit: u64, policy: Policy) -> Self {
        Self {
            name,
            pending: Mutex::default(),
            filled: Condvar::new(),
            #[cfg(feature = "logstash")]
            woken: tokio::sync::Notify::new(),
            emptied: Condvar::new(),
            limit: usize::try_from(limit).unwrap_or(usize::MAX).max(MAX_LINE),
            policy,
            written: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            dropped: AtomicU64::new(0),
            reported: AtomicU64::new(0),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Pending> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Hands a line over.
    pub(super) fn send(&self, line: &[u8], rank: Rank) {
        let limit = match (self.policy, rank) {
            #[cfg(feature = "logstash")]
            (Policy::DropByLevel, Rank::Detail) => self.limit / 2,
            #[cfg(feature = "logstash")]
            (Policy::DropByLevel, Rank::Info) => self.limit / 4 * 3,
            _ => self.limit,
        };
        let full = |pending: &mut Pending| !pending.closed && pending.bytes.len() + line.len() > limit;
        let mut pending = self.lock();
        if full(&mut pending) {
            pending = match self.policy {
                Policy::Block(None) => {
                    self.emptied.wait_while(pending, full).unwrap_or_else(PoisonError::into_inner)
                }
                Policy::Block(Some(time)) if !pending.waited => {
                    let waited = self.emptied.wait_timeout_while(pending, time, full);
                    let (mut pending, waited) = waited.unwrap_or_else(PoisonError::into_inner);
                    pending.waited |= waited.timed_out();
                    pending
                }
                _ => pending,
            };
        }
        if pending.closed || full(&mut pending) {
            self.dropped.fetch_add(1, Ordering::Relaxed);
            return;
        }
        let before = pending.bytes.len();
        pending.bytes.extend_from_slice(line);
        pending.lines += 1;
        // The writer thread looks by itself while there is traffic: it is woken only after a pause, or when there is enough.
        let wake = std::mem::take(&mut pending.idle) || (before < ENOUGH && pending.bytes.len() >= ENOUGH);
        drop(pending);
        if wake {
            self.wake();
        }
    }

    fn wake(&self) {
        self.filled.notify_all();
        #[cfg(feature = "logstash")]
        self.woken.notify_one();
    }

    /// Gives `batch`, which is empty, for the lines that wait, and says how many they are; the caller says when they are
    /// [`done`](Self::done). Waits for a first line so long at most, then gives none; `None` once the queue is closed and empty.
    pub(super) fn take(&self, batch: &mut Vec<u8>, patience: Duration) -> Option<u64> {
        let gather = |pending| {
            self.filled
                .wait_timeout_while(pending, GATHER, |p: &mut Pending| p.bytes.len() < ENOUGH && !p.closed)
                .unwrap_or_else(PoisonError::into_inner)
                .0
        };
        let mut pending = gather(self.lock());
        if pending.bytes.is_empty() {
            pending.idle = true;
            pending = self
                .filled
                .wait_timeout_while(pending, patience, |p| p.bytes.is_empty() && !p.closed)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
            if !pending.bytes.is_empty() {
                pending = gather(pending);
            }
        }
        if pending.bytes.is_empty() && pending.closed {
            return None;
        }
        Some(self.swap(pending, batch))
    }

    /// As [`take`](Self::take), on a runtime; with no end when the queue is closed.
    ///
    /// # Cancel safety
    /// What was taken is returned, or nothing was taken.
    #[cfg(feature = "logstash")]
    pub(super) async fn take_soon(&self, batch: &mut Vec<u8>) -> u64 {
        loop {
            let idle = {
                let mut pending = self.lock();
                pending.idle = pending.bytes.is_empty();
                pending.idle
            };
            if idle {
                self.woken.notified().await;
                continue;
            }
            // Woken earlier when there is enough.
            let _ = tokio::time::timeout(GATHER, self.woken.notified()).await;
            return self.swap(self.lock(), batch);
        }
    }

    fn swap(&self, mut pending: MutexGuard<'_, Pending>, batch: &mut Vec<u8>) -> u64 {
        std::mem::swap(batch, &mut pending.bytes);
        let lines = std::mem::take(&mut pending.lines);
        pending.taken = lines;
        pending.waited = false;
        drop(pending);
        self.emptied.notify_all();
        lines
    }

    /// So many of the lines that were taken are where they belong, or given up.
    pub(super) fn done(&self, lines: u64) {
        let mut pending = self.lock();
        pending.taken = pending.taken.saturating_sub(lines);
    }

    pub(super) fn count_written(&self, lines: u64) {
        self.written.fetch_add(lines, Ordering::Relaxed);
    }

    /// How many had failed before.
    pub(super) fn count_failed(&self, lines: u64) -> u64 {
        self.failed.fetch_add(lines, Ordering::Relaxed)
    }

    /// Counts lines that were let in and cannot be written after all.
    #[cfg(feature = "logstash")]
    pub(super) fn count_dropped(&self, lines: u64) {
        self.dropped.fetch_add(lines, Ordering::Relaxed);
    }

    /// Dropped lines that nobody has told of yet, which the caller now does: how many, and how many since the start. Only when
    /// there is room again, since a report that is dropped too would tell nobody.
    pub(super) fn take_dropped(&self) -> Option<(u64, u64)> {
        let dropped = self.dropped();
        let reported = self.reported.load(Ordering::Relaxed);
        if dropped <= reported || self.lock().bytes.len() > self.limit / 2 {
            return None;
        }
        let claimed =
            self.reported.compare_exchange(reported, dropped, Ordering::Relaxed, Ordering::Relaxed).is_ok();
        claimed.then_some((dropped - reported, dropped))
    }

    pub(super) fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    pub(super) fn written(&self) -> u64 {
        self.written.load(Ordering::Relaxed)
    }

    pub(super) fn failed(&self) -> u64 {
        self.failed.load(Ordering::Relaxed)
    }

    /// Lines that were handed over and are not done.
    pub(super) fn waiting(&self) -> u64 {
        let pending = self.lock();
        pending.lines + pending.taken
    }

    /// Waits until all that was handed over is done, or the time is up; says how many lines were not.
    pub(super) fn settle(&self, deadline: Instant) -> u64 {
        loop {
            let left = self.waiting();
            if left == 0 || Instant::now() >= deadline {
                return left;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// Takes nothing more; the writer thread ends when it has written what is left.
    pub(super) fn close(&self) {
        self.lock().closed = true;
        self.wake();
        self.emptied.notify_all();
    }
}
