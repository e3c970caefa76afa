//! The timeouts of a client's connection.

use std::future::Future;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::task::unconstrained;
use tokio::time::{Instant, Sleep};

use super::io::Traffic;

/// Why a connection is closed by us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Expired {
    /// No request came; there is nobody to tell.
    Idle,
    /// A head was begun and not finished in time.
    Head,
    /// The client takes no byte of an answer.
    Stalled,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Between requests.
    Idle,
    /// The first bytes of a head are there, or the connection is new.
    Head,
    /// A request is being answered.
    Busy,
}

/// Watches one connection with one timer, which is armed at or before the earliest deadline and moved only when it
/// fires or must fire earlier: a request costs a look at the clock, no timer.
#[derive(Debug)]
pub(super) struct Watchdog {
    header_timeout: Duration,
    idle_timeout: Duration,
    phase: Phase,
    since: Instant,
    requests: u32,
    reads: u32,
    writes: u32,
    timer: Pin<Box<Sleep>>,
    armed: bool,
}

impl Watchdog {
    pub(super) fn new(header_timeout: Duration, idle_timeout: Duration) -> Self {
        let since = Instant::now();
        Self {
            header_timeout,
            idle_timeout,
            phase: Phase::Head,
            since,
            requests: 0,
            reads: 0,
            writes: 0,
            // The shorter of the two: after the first request it may be the other one's turn before this one's.
            timer: Box::pin(tokio::time::sleep_until(since + header_timeout.min(idle_timeout))),
            armed: false,
        }
    }

    /// Whether a head has begun to come and is not whole, as of the last poll.
    pub(super) fn is_in_head(&self, traffic: &Traffic) -> bool {
        self.phase == Phase::Head && traffic.reads() != 0
    }

    /// Polled after the connection was, always by the same task. `requests` counts the requests begun so far,
    /// `busy` says whether one is being answered.
    pub(super) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        requests: u32,
        busy: bool,
        traffic: &Traffic,
    ) -> Poll<Expired> {
        if busy {
            self.phase = Phase::Busy;
        } else if self.phase == Phase::Busy || requests != self.requests {
            self.phase = Phase::Idle;
            self.since = Instant::now();
            self.reads = traffic.reads();
        } else if self.phase == Phase::Idle && traffic.reads() != self.reads {
            self.phase = Phase::Head;
            self.since = Instant::now();
            if self.since + self.header_timeout < self.timer.deadline() {
                self.arm(self.since + self.header_timeout);
            }
        }
        self.requests = requests;
        loop {
            // Once polled, it wakes this task; whether it has is asked more cheaply.
            if self.armed && !self.timer.is_elapsed() {
                return Poll::Pending;
            }
            // Unconstrained: a poll refused for want of budget would leave the timer with nobody to wake.
            if pin!(unconstrained(self.timer.as_mut())).poll(cx).is_pending() {
                self.armed = true;
                return Poll::Pending;
            }
            let now = Instant::now();
            let deadline = match self.phase {
                Phase::Idle => self.since + self.idle_timeout,
                Phase::Head => self.since + self.header_timeout,
                Phase::Busy => {
                    if traffic.is_blocked() && traffic.writes() == self.writes {
                        return Poll::Ready(Expired::Stalled);
                    }
                    self.writes = traffic.writes();
                    now + self.idle_timeout
                }
            };
            if now >= deadline {
                return Poll::Ready(if self.is_in_head(traffic) { Expired::Head } else { Expired::Idle });
            }
            self.arm(deadline);
        }
    }

    fn arm(&mut self, deadline: Instant) {
        self.timer.as_mut().reset(deadline);
        self.armed = false;
    }
}
