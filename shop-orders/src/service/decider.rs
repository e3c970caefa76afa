use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use shop_core::{Clock, StoreError, StoreErrorKind};
use tokio::sync::Notify;

use crate::ledger::{Command, Decided, Ledger};
use crate::store::{ChangeSet, Footprint, Snapshot};
use crate::{Backoff, OrderError, OrderStore};

/// Batches that lost so many races are run command by command, so that one unlucky command does not hold up the others.
const RACES_TOGETHER: u32 = 6;
/// A lone command gives up after so many races.
const RACES_ALONE: u32 = 30;
const RACE_BACKOFF: Backoff = Backoff { first: Duration::from_millis(1), most: Duration::from_millis(50) };

/// So many batches are loaded for after a presumption was wrong: another instance is at work too.
const CAUTION: u32 = 64;

/// Decides batches of commands: load, decide, commit; and again if another instance was faster.
///
/// Nothing is loaded for a batch that only places orders: it is presumed that nobody decided about their reservations and
/// keys, and that the next number is free. The commit expects just that, so a wrong presumption is a lost race.
#[derive(Debug)]
pub(crate) struct Decider {
    store: Arc<dyn OrderStore>,
    clock: Arc<dyn Clock>,
    /// Told when a commit left settlements to send.
    settlements: Arc<Notify>,
    presumption: Mutex<Presumption>,
}

#[derive(Debug, Default)]
struct Presumption {
    /// The number after the last that this instance gave.
    next_number: Option<u64>,
    /// Batches to load for before anything is presumed again.
    caution: u32,
}

impl Decider {
    pub(crate) fn new(store: Arc<dyn OrderStore>, clock: Arc<dyn Clock>, settlements: Arc<Notify>) -> Self {
        Self { store, clock, settlements, presumption: Mutex::default() }
    }

    /// One outcome a command, in order.
    pub(crate) async fn run(&self, commands: Vec<Command>) -> Vec<Decided> {
        if let Some(decided) = self.race(&commands, RACES_TOGETHER).await {
            return decided;
        }
        let mut all = Vec::with_capacity(commands.len());
        for command in &commands {
            let alone = std::slice::from_ref(command);
            match self.race(alone, RACES_ALONE).await {
                Some(decided) => all.extend(decided),
                None => all.extend(failed(alone, StoreError::conflict("decide"))),
            }
        }
        all
    }

    /// `None` if every one of so many races was lost.
    async fn race(&self, commands: &[Command], races: u32) -> Option<Vec<Decided>> {
        let mut footprint = Footprint::default();
        commands.iter().for_each(|command| command.add_to(&mut footprint));
        let mut presumed = self.presume(commands);
        for lost in 0..races {
            let was_presumed = presumed.is_some();
            let snapshot = match presumed.take() {
                Some(presumed) => presumed,
                None => match self.store.load(&footprint).await {
                    Ok(snapshot) => snapshot,
                    Err(error) => return Some(failed(commands, error)),
                },
            };
            let mut ledger = Ledger::new(snapshot);
            let decided = commands.iter().map(|command| ledger.decide(command)).collect();
            let changes = ledger.into_changes();
            if changes.is_empty() {
                return Some(decided);
            }
            match self.store.commit(&changes).await {
                Ok(()) => return Some(self.written(&changes, decided)),
                Err(error) => match error.kind() {
                    StoreErrorKind::Conflict if was_presumed => self.be_cautious(),
                    StoreErrorKind::Conflict => tokio::time::sleep(RACE_BACKOFF.wait(lost)).await,
                    StoreErrorKind::Unknown => match self.store.load(&footprint).await {
                        Ok(snapshot) if is_there(&changes, &snapshot) => {
                            return Some(self.written(&changes, decided));
                        }
                        _ => return Some(failed(commands, error)),
                    },
                    _ => return Some(failed(commands, error)),
                },
            }
        }
        None
    }

    fn written(&self, changes: &ChangeSet, decided: Vec<Decided>) -> Vec<Decided> {
        if !changes.settlements.is_empty() {
            self.settlements.notify_one();
        }
        if let Some(last) = changes.created.iter().map(|order| order.number).max() {
            self.presumption.lock().unwrap_or_else(PoisonError::into_inner).next_number = Some(last + 1);
        }
        decided
    }

    /// What the store holds of these commands, if that can be guessed.
    fn presume(&self, commands: &[Command]) -> Option<Snapshot> {
        let mut presumption = self.presumption.lock().unwrap_or_else(PoisonError::into_inner);
        if presumption.caution > 0 {
            presumption.caution -= 1;
            return None;
        }
        let only_placing = commands.iter().all(|command| matches!(command, Command::Place(_)));
        let first_number = presumption.next_number.filter(|_| only_placing)?;
        Some(Snapshot {
            now: self.clock.now(),
            orders: HashMap::new(),
            records: HashMap::new(),
            decisions: HashMap::new(),
            first_number,
        })
    }

    fn be_cautious(&self) {
        self.presumption.lock().unwrap_or_else(PoisonError::into_inner).caution = CAUTION;
    }
}

/// Whether a change set whose commit has an unknown result was written: its deciding rows are there.
fn is_there(changes: &ChangeSet, snapshot: &Snapshot) -> bool {
    let decided = changes.decisions.iter().all(|written| {
        let found = snapshot.decisions.get(&written.reservation_id);
        found.is_some_and(|found| found.outcome == written.outcome)
    });
    let recorded = changes.records.iter().all(|written| snapshot.records.get(&written.key) == Some(written));
    let edited = changes.edited.iter().all(|edit| snapshot.orders.get(&edit.order.id) == Some(&edit.order));
    decided && recorded && edited
}

fn failed(commands: &[Command], error: StoreError) -> Vec<Decided> {
    tracing::warn!(error = %error.chain(), commands = commands.len(), "a batch of decisions was not written");
    let error = Arc::new(error);
    commands.iter().map(|_| Decided { verdict: Err(OrderError::of_store(&error)), given_up: None }).collect()
}
