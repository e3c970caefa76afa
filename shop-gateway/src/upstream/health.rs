//! Which endpoints of an upstream are left alone for a while, since they failed (passive checks).

use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};

use serde::Serialize;
use tokio::time::Instant;

use crate::config::{PassiveConfig, UpstreamConfig};

/// An endpoint that fails again as soon as it is back stays away longer each time, up to this many times as long.
const MOST: u32 = 10;

/// What all workers know of an upstream's endpoints.
#[derive(Debug)]
pub(crate) struct Health {
    base: Instant,
    config: PassiveConfig,
    endpoints: Vec<State>,
    /// Of who ejects, so that the share is kept.
    ejecting: Mutex<()>,
}

#[derive(Debug, Default)]
struct State {
    address: String,
    /// In a row.
    faults: AtomicU32,
    /// In a row, too.
    ejections: AtomicU32,
    /// When it was last ejected, in milliseconds since the base.
    since: AtomicU64,
    /// Milliseconds since the base.
    until: AtomicU64,
}

/// What is known of an endpoint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct EndpointStatus {
    /// As it is configured.
    pub address: String,
    /// How many requests in a row have failed at it: no connection, no answer, or none in time.
    pub faults: u32,
    /// How much longer it gets no requests, in milliseconds; none if it gets some.
    pub ejected_ms: Option<u64>,
}

impl Health {
    /// None where there is no choice: one endpoint is asked whatever it does.
    pub(crate) fn new(config: &UpstreamConfig) -> Option<Self> {
        if config.endpoints.len() < 2 || config.passive.eject_after == 0 {
            return None;
        }
        let state = |address: &String| State { address: address.clone(), ..State::default() };
        Some(Self {
            base: Instant::now(),
            config: config.passive.clone(),
            endpoints: config.endpoints.iter().map(state).collect(),
            ejecting: Mutex::new(()),
        })
    }

    fn millis(&self, now: Instant) -> u64 {
        now.saturating_duration_since(self.base).as_millis() as u64
    }

    /// Whether an endpoint may get requests.
    pub(super) fn takes(&self, endpoint: usize, now: Instant) -> bool {
        let until = self.endpoints[endpoint].until.load(Relaxed);
        until == 0 || until <= self.millis(now)
    }

    /// It has answered, a request that was begun then. One from before the endpoint was left alone tells nothing of how it is now.
    pub(super) fn answered(&self, endpoint: usize, begun: Instant) {
        let state = &self.endpoints[endpoint];
        let since = state.since.load(Relaxed);
        if since != 0 && self.millis(begun) < since {
            return;
        }
        // Written only where something changes: the line is every worker's.
        for count in [&state.faults, &state.ejections] {
            if count.load(Relaxed) != 0 {
                count.store(0, Relaxed);
            }
        }
    }

    /// It has not, to a request that was begun then. One from before the endpoint was left alone tells nothing new.
    pub(super) fn failed(&self, endpoint: usize, begun: Instant) {
        let state = &self.endpoints[endpoint];
        if !self.takes(endpoint, begun) {
            return;
        }
        if state.faults.fetch_add(1, Relaxed) + 1 < self.config.eject_after {
            return;
        }
        let now = self.millis(Instant::now());
        let _one_at_a_time = self.ejecting.lock().unwrap_or_else(PoisonError::into_inner);
        let out = self.endpoints.iter().filter(|state| state.until.load(Relaxed) > now).count();
        if state.until.load(Relaxed) > now || (out + 1) * 100 > self.endpoints.len() * self.config.max_ejected
        {
            return;
        }
        let times = state.ejections.fetch_add(1, Relaxed).saturating_add(1).min(MOST);
        let span = self.config.eject_for.0 * times;
        state.since.store(now, Relaxed);
        state.until.store(now + (span.as_millis() as u64).max(1), Relaxed);
        // Back again, it has one try.
        state.faults.store(self.config.eject_after - 1, Relaxed);
        let (address, seconds) = (&state.address, span.as_secs_f64());
        tracing::warn!(target: "shop_gateway::upstream", address, seconds, "an endpoint fails and gets no requests for a while");
    }

    pub(crate) fn status(&self) -> Vec<EndpointStatus> {
        let now = self.millis(Instant::now());
        let status = |state: &State| EndpointStatus {
            address: state.address.clone(),
            faults: state.faults.load(Relaxed),
            ejected_ms: state.until.load(Relaxed).checked_sub(now).filter(|left| *left > 0),
        };
        self.endpoints.iter().map(status).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn health(endpoints: usize, max_ejected: usize) -> Health {
        let passive = PassiveConfig { eject_after: 2, max_ejected, ..PassiveConfig::default() };
        let endpoints = (0..endpoints).map(|n| format!("a{n}:1")).collect();
        Health::new(&UpstreamConfig { endpoints, passive, ..UpstreamConfig::default() }).unwrap()
    }

    fn out(health: &Health) -> Vec<usize> {
        (0..health.endpoints.len()).filter(|endpoint| !health.takes(*endpoint, Instant::now())).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn faults_in_a_row_eject_for_longer_each_time() {
        let health = health(2, 50);
        health.failed(0, Instant::now());
        health.answered(0, Instant::now());
        health.failed(0, Instant::now());
        assert_eq!(out(&health), [] as [usize; 0]);
        health.failed(0, Instant::now());
        assert_eq!(out(&health), [0]);
        let before = Instant::now();
        tokio::time::advance(Duration::from_secs(30)).await;
        health.failed(0, before);
        assert_eq!(out(&health), [] as [usize; 0]);
        health.failed(0, Instant::now());
        assert_eq!(out(&health), [0], "one try");
        tokio::time::advance(Duration::from_secs(59)).await;
        assert_eq!((out(&health), health.status()[0].ejected_ms), (vec![0], Some(1000)));
        tokio::time::advance(Duration::from_secs(1)).await;
        health.answered(0, Instant::now());
        health.failed(0, Instant::now());
        assert_eq!(out(&health), [] as [usize; 0], "it was well again");
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_from_before_tells_nothing_of_who_is_left_alone() {
        let health = health(2, 50);
        let before = Instant::now();
        tokio::time::advance(Duration::from_secs(1)).await;
        health.failed(0, Instant::now());
        health.failed(0, Instant::now());
        assert_eq!(out(&health), [0]);
        health.answered(0, before);
        tokio::time::advance(Duration::from_secs(30)).await;
        health.failed(0, Instant::now());
        assert_eq!(
            (out(&health), health.status()[0].ejected_ms),
            (vec![0], Some(60_000)),
            "one try, then longer"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn no_more_than_the_share_is_ejected() {
        for (endpoints, share, most) in [(2, 50, 1), (4, 50, 2), (5, 50, 2), (3, 10, 0), (3, 100, 3)] {
            let health = health(endpoints, share);
            for endpoint in 0..endpoints {
                health.failed(endpoint, Instant::now());
                health.failed(endpoint, Instant::now());
            }
            assert_eq!(out(&health).len(), most, "{endpoints} {share}");
        }
    }
}
