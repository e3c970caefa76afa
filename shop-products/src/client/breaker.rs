use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use shop_core::{Clock, Timestamp};

/// Whether a client asks at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BreakerState {
    /// It asks.
    Closed,
    /// It does not: too many attempts in a row got no answer.
    Open,
    /// It asks once, to see.
    HalfOpen,
}

/// A circuit breaker (M. Nygard, *Release It!*): after some failures in a row nothing is asked for a while, then one attempt
/// decides.
#[derive(Debug)]
pub(super) struct Breaker {
    threshold: u32,
    cooldown: Duration,
    clock: Arc<dyn Clock>,
    inner: Mutex<Inner>,
}

#[derive(Debug)]
enum Inner {
    Closed { failures: u32 },
    Open { until: Timestamp },
    Probing,
}

impl Breaker {
    pub(super) fn new(threshold: u32, cooldown: Duration, clock: Arc<dyn Clock>) -> Self {
        Self { threshold, cooldown, clock, inner: Mutex::new(Inner::Closed { failures: 0 }) }
    }

    /// A permit to ask once; `None` while nothing is asked.
    pub(super) fn admit(self: &Arc<Self>) -> Option<Permit> {
        let mut inner = self.lock();
        match *inner {
            Inner::Closed { .. } => {}
            Inner::Open { until } if self.clock.now() >= until => *inner = Inner::Probing,
            Inner::Open { .. } | Inner::Probing => return None,
        }
        Some(Permit { breaker: self.clone(), told: false })
    }

    pub(super) fn state(&self) -> BreakerState {
        match *self.lock() {
            Inner::Closed { .. } => BreakerState::Closed,
            Inner::Open { until } if self.clock.now() < until => BreakerState::Open,
            Inner::Open { .. } | Inner::Probing => BreakerState::HalfOpen,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tell(&self, answered: bool) {
        let mut inner = self.lock();
        *inner = match (answered, &*inner) {
            // What was asked before it opened says nothing about now.
            (_, Inner::Open { until }) => Inner::Open { until: *until },
            (true, _) => Inner::Closed { failures: 0 },
            (false, Inner::Closed { failures }) if failures + 1 < self.threshold => {
                Inner::Closed { failures: failures + 1 }
            }
            (false, _) => {
                tracing::warn!("products gave no answer too often: not asked for {:?}", self.cooldown);
                Inner::Open { until: self.clock.now().plus(self.cooldown) }
            }
        };
    }
}

/// One attempt. Dropped without a word, as by a caller that went away, it counts for nothing; a probe is then open again at
/// once.
#[derive(Debug)]
pub(super) struct Permit {
    breaker: Arc<Breaker>,
    told: bool,
}

impl Permit {
    pub(super) fn tell(mut self, answered: bool) {
        self.told = true;
        self.breaker.tell(answered);
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if !self.told {
            let mut inner = self.breaker.lock();
            if matches!(*inner, Inner::Probing) {
                *inner = Inner::Open { until: self.breaker.clock.now() };
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use shop_core::ManualClock;

    use super::*;

    fn breaker() -> (Arc<Breaker>, Arc<ManualClock>) {
        let clock = Arc::new(ManualClock::new(Timestamp::from_millis(0)));
        (Arc::new(Breaker::new(2, Duration::from_secs(5), clock.clone())), clock)
    }

    #[test]
    fn it_opens_waits_probes_and_closes() {
        let (breaker, clock) = breaker();
        breaker.admit().unwrap().tell(false);
        breaker.admit().unwrap().tell(true);
        breaker.admit().unwrap().tell(false);
        assert_eq!(breaker.state(), BreakerState::Closed, "only failures in a row count");
        breaker.admit().unwrap().tell(false);
        assert_eq!(breaker.state(), BreakerState::Open);
        assert!(breaker.admit().is_none());
        clock.advance(Duration::from_secs(5));
        assert_eq!(breaker.state(), BreakerState::HalfOpen);
        let probe = breaker.admit().unwrap();
        assert!(breaker.admit().is_none(), "one probe at a time");
        probe.tell(false);
        assert!(breaker.admit().is_none());
        clock.advance(Duration::from_secs(5));
        breaker.admit().unwrap().tell(true);
        assert_eq!(breaker.state(), BreakerState::Closed);
    }

    #[test]
    fn a_probe_whose_caller_went_away_leaves_room_for_another() {
        let (breaker, clock) = breaker();
        for _ in 0..2 {
            breaker.admit().unwrap().tell(false);
        }
        clock.advance(Duration::from_secs(5));
        drop(breaker.admit().unwrap());
        assert!(breaker.admit().is_some());
    }

    #[test]
    fn a_late_answer_does_not_close_it() {
        let (breaker, _) = breaker();
        let late = breaker.admit().unwrap();
        for _ in 0..2 {
            breaker.admit().unwrap().tell(false);
        }
        late.tell(true);
        assert_eq!(breaker.state(), BreakerState::Open);
    }
}
