use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use shop_core::idempotency::InFlightGuard;
use shop_core::{Clock, StoreError, StoreErrorKind, StoreResult};
use tokio::sync::{Notify, OwnedSemaphorePermit};
use tokio::time::Instant;

use super::ProductFigures;
use super::known::{Guess, Known};
use crate::ledger::{Command, Decided, Ledger, Outcome};
use crate::store::{ChangeSet, Footprint, Snapshot};
use crate::view::{Flight, StockView, Written};
use crate::{ProductError, ProductStore};

/// A command on its way, with what it holds until it is done.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) command: Command,
    pub(super) _claim: Option<InFlightGuard>,
    pub(super) _place: OwnedSemaphorePermit,
}

/// What runs batches: load (or guess), decide, commit, and tell the view.
#[derive(Debug)]
pub(super) struct Engine {
    pub(super) store: Arc<dyn ProductStore>,
    pub(super) view: StockView,
    /// Told when the view is to be filled ahead.
    pub(super) emptied: Notify,
    pub(super) counters: Counters,
    pub(super) known: Known,
    clock: Arc<dyn Clock>,
    race_time: Duration,
}

/// Expired reservations that a batch releases besides what it is there for, and that one made for it releases.
const EXPIRED_BESIDES: usize = 32;
const EXPIRED_AT_ONCE: usize = 512;

impl Engine {
    pub(super) fn new(
        store: Arc<dyn ProductStore>,
        view: StockView,
        clock: Arc<dyn Clock>,
        race_time: Duration,
    ) -> Self {
        let (emptied, counters, known) = (Notify::new(), Counters::default(), Known::default());
        Self { store, view, emptied, counters, known, clock, race_time }
    }

    /// Runs a batch; one outcome a job, in order.
    pub(super) async fn run(self: Arc<Self>, jobs: Vec<Job>) -> Vec<Result<Outcome, ProductError>> {
        match self.attempt_all(&jobs).await {
            Ok(outcomes) => outcomes,
            Err(error) => {
                self.counters.failures.fetch_add(1, Ordering::Relaxed);
                tracing::error!(error = %error.chain(), commands = jobs.len(), "a batch of products failed");
                let error = ProductError::from(error);
                jobs.iter().map(|_| Err(error.clone())).collect()
            }
        }
    }

    async fn attempt_all(&self, jobs: &[Job]) -> StoreResult<Vec<Result<Outcome, ProductError>>> {
        let footprint = footprint_of(jobs);
        let mut generation = self.known.generation();
        let mut guess = self.known.take(&footprint, jobs.iter().map(|job| &job.command), self.clock.now());
        let (mut conflicts, mut race_ends) = (0, None);
        loop {
            let guessed = guess.take().and_then(|guess| self.begin_on(guess, generation));
            let is_guess = guessed.is_some();
            let (mut flight, snapshot) = match guessed {
                Some(guessed) => guessed,
                None => {
                    generation = self.known.generation();
                    (self.view.begin(self.clock.now()), self.store.load(&footprint).await?)
                }
            };
            let mut ledger = Ledger::new(snapshot);
            let outcomes: Vec<_> = jobs.iter().map(|job| ledger.decide(&job.command)).collect();
            if is_guess && outcomes.iter().any(writes_none) {
                // The commit checks a guess; where nothing is written, nothing does.
                continue;
            }
            let Decided { changes, mut rows, unedited, expired } = ledger.finish();
            if is_guess {
                // Of what is not written the store will not tell that it was guessed wrong.
                rows.retain(Written::is_change);
            }
            flight.commits(rows);
            let error = match self.commit(&changes).await {
                Ok(()) => {
                    // Before any caller has its answer: who has written sees it in the next check.
                    flight.landed(self.clock.now());
                    self.known.remember(generation, unedited, changes.reservations);
                    self.count(expired, &outcomes);
                    return Ok(outcomes);
                }
                Err(error) => error,
            };
            if writes_nothing(error.kind()) {
                flight.turned_back();
            } else {
                drop(flight);
            }
            if error.kind() != StoreErrorKind::Conflict {
                return Err(error);
            }
            self.counters.conflicts.fetch_add(1, Ordering::Relaxed);
            if is_guess {
                continue;
            }
            if *race_ends.get_or_insert_with(|| Instant::now() + self.race_time) <= Instant::now() {
                return Err(error);
            }
            conflicts += 1;
            tokio::time::sleep(backoff(conflicts)).await;
        }
    }

    /// Begins on a guess, unless it may lack what the view promises to have, or all was forgotten since it was taken.
    fn begin_on(&self, guess: Guess, generation: u64) -> Option<(Flight<'_>, Snapshot)> {
        let flight = self.view.begin_on_guess(guess.since);
        if flight.is_none() {
            self.forget();
        }
        (self.known.generation() == generation).then_some((flight?, guess.snapshot))
    }

    /// Forgets what was remembered for guesses.
    pub(super) fn forget(&self) {
        self.known.forget(self.clock.now());
    }

    /// Commits. An unknown outcome is looked up: done is `Ok`, not done is a conflict, to be decided again.
    async fn commit(&self, changes: &ChangeSet) -> StoreResult<()> {
        if changes.is_empty() {
            return Ok(());
        }
        let error = match self.store.commit(changes).await {
            Err(error) if error.kind() == StoreErrorKind::Unknown => error,
            known => return known,
        };
        tracing::warn!(error = %error.chain(), "the result of a commit is unknown; reading it again");
        match self.is_committed(changes).await {
            Ok(Some(true)) => Ok(()),
            Ok(Some(false)) => Err(StoreError::conflict("commit").with_source(error)),
            Ok(None) => Err(error),
            Err(unread) => {
                tracing::warn!(error = %unread.chain(), "the result of a commit could not be read");
                Err(error)
            }
        }
    }

    /// Whether a change set is in the store, which one of its rows tells, since it is all there or not at all. `None` if
    /// others have changed that row since. A new product is always found, and so is a record: nobody changes it.
    async fn is_committed(&self, changes: &ChangeSet) -> StoreResult<Option<bool>> {
        let mut footprint = Footprint::default();
        footprint.reservations.extend(changes.reservations.iter().map(|write| write.reservation.id));
        footprint.products.extend(changes.created.iter().map(|product| product.id));
        footprint.products.extend(changes.edited.iter().map(|edit| edit.product.id));
        footprint.keys.extend(changes.records.iter().map(|record| record.key.clone()));
        let found = self.store.load(&footprint).await?;
        if let Some(product) = changes.created.first() {
            return Ok(Some(found.products.contains_key(&product.id)));
        }
        if let Some(record) = changes.records.first() {
            return Ok(Some(found.records.get(&record.key) == Some(record)));
        }
        // A row that is as it was before tells more than one that is as it should be: another instance may have written
        // the same, at the same time.
        let mut is_there = None;
        for write in &changes.reservations {
            let there = found.reservations.get(&write.reservation.id);
            if there == Some(&write.reservation) {
                is_there = Some(true);
            } else if there.map(|there| (there.state, there.updated_at)) == write.expected {
                return Ok(Some(false));
            }
        }
        for edit in &changes.edited {
            let there = found.products.get(&edit.product.id);
            if there == Some(&edit.product) {
                is_there = Some(true);
            } else if there.is_some_and(|there| there.version == edit.expected_version) {
                return Ok(Some(false));
            }
        }
        Ok(is_there)
    }

    fn count(&self, released: usize, outcomes: &[Result<Outcome, ProductError>]) {
        let Counters { batches, commands, holds, expired, .. } = &self.counters;
        let held = outcomes.iter().filter(|outcome| matches!(outcome, Ok(Outcome::Held(_, true)))).count();
        batches.fetch_add(1, Ordering::Relaxed);
        commands.fetch_add(outcomes.len() as u64, Ordering::Relaxed);
        holds.fetch_add(held as u64, Ordering::Relaxed);
        expired.fetch_add(released as u64, Ordering::Relaxed);
    }
}

/// Whether a decision is one that leaves the store as it is: a refusal, or a hold that was there.
fn writes_none(outcome: &Result<Outcome, ProductError>) -> bool {
    matches!(outcome, Err(_) | Ok(Outcome::Held(_, false)))
}

/// Whether a commit that failed so has surely left the store as it was.
fn writes_nothing(kind: StoreErrorKind) -> bool {
    matches!(kind, StoreErrorKind::Conflict | StoreErrorKind::Full)
}

fn footprint_of(jobs: &[Job]) -> Footprint {
    let mut footprint = Footprint { expired: EXPIRED_BESIDES, ..Footprint::default() };
    for job in jobs {
        job.command.add_to(&mut footprint);
        if matches!(job.command, Command::Expire) {
            footprint.expired = EXPIRED_AT_ONCE;
        }
    }
    footprint
}

/// 1 ms, 2 ms, 4 ms… to 64 ms, less up to half of it by chance, so that two instances part.
fn backoff(attempt: u32) -> Duration {
    let full = Duration::from_millis(1 << (attempt - 1).min(6));
    full - full.mul_f64(shop_core::chance::unit() / 2.0)
}

#[derive(Debug, Default)]
pub(super) struct Counters {
    view_misses: AtomicU64,
    view_told: AtomicU64,
    view_gaps: AtomicU64,
    batches: AtomicU64,
    commands: AtomicU64,
    conflicts: AtomicU64,
    failures: AtomicU64,
    holds: AtomicU64,
    expired: AtomicU64,
}

impl Counters {
    pub(super) fn missed(&self, lines: usize) {
        self.view_misses.fetch_add(lines as u64, Ordering::Relaxed);
    }

    pub(super) fn told(&self, products: usize) {
        self.view_told.fetch_add(products as u64, Ordering::Relaxed);
    }

    pub(super) fn gap(&self) {
        self.view_gaps.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn figures(&self) -> ProductFigures {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        ProductFigures {
            view_misses: read(&self.view_misses),
            view_told: read(&self.view_told),
            view_gaps: read(&self.view_gaps),
            batches: read(&self.batches),
            commands: read(&self.commands),
            conflicts: read(&self.conflicts),
            failures: read(&self.failures),
            holds: read(&self.holds),
            expired: read(&self.expired),
            ..ProductFigures::default()
        }
    }
}
