//! What a connection of many requests must keep.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// Requests given up by the client before their answers began, beyond which the connection is closed if they are more than
/// half of all: each costs the upstream something and the client nothing (CVE-2023-44487).
const MAX_RESETS: u64 = 100;

/// Why a connection ends.
pub(super) enum End {
    Hyper(Result<(), hyper::Error>),
    /// No request for too long.
    Idle,
    /// The client takes no byte of an answer.
    Stalled,
    /// It gives up what it asks for.
    Resets,
}

/// Counts what a connection's requests do.
#[derive(Debug, Default)]
pub(super) struct Watch {
    begun: AtomicU64,
    given_up: AtomicU64,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Answers whose last piece the client has not taken, by when it was given out: the oldest is first.
    untaken: BTreeMap<u64, Instant>,
    next: u64,
    at_rest: Option<Instant>,
}

impl Watch {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn begun(&self) {
        self.begun.fetch_add(1, Relaxed);
        self.state().at_rest = None;
    }

    pub(super) fn given_up(&self) {
        self.given_up.fetch_add(1, Relaxed);
    }

    /// A piece of an answer was given out.
    pub(super) fn gave(&self) -> u64 {
        let mut state = self.state();
        let place = state.next;
        state.next += 1;
        state.untaken.insert(place, Instant::now());
        place
    }

    /// More was asked for, or nothing will be.
    pub(super) fn taken(&self, place: u64) {
        self.state().untaken.remove(&place);
    }

    /// Whether a request has come.
    pub(super) fn is_new(&self) -> bool {
        self.begun.load(Relaxed) == 0
    }

    /// The time at rest counts anew.
    pub(super) fn rest_again(&self) {
        self.state().at_rest = None;
    }

    /// When to look again; no answer waits for its client longer than `stall`, nor the connection for a request longer than `rest`. `Err(None)`: it has been at rest for too long.
    pub(super) fn look(
        &self,
        now: Instant,
        busy: bool,
        rest: Duration,
        stall: Duration,
    ) -> Result<Instant, Option<End>> {
        let (begun, given_up) = (self.begun.load(Relaxed), self.given_up.load(Relaxed));
        if given_up > MAX_RESETS && given_up * 2 > begun {
            return Err(Some(End::Resets));
        }
        let mut state = self.state();
        if let Some((_, since)) = state.untaken.first_key_value() {
            let until = *since + stall;
            return if now >= until { Err(Some(End::Stalled)) } else { Ok(until) };
        }
        if busy {
            state.at_rest = None;
            return Ok(now + stall);
        }
        let until = *state.at_rest.get_or_insert(now) + rest;
        if now >= until { Err(None) } else { Ok(until) }
    }
}
