use std::sync::Arc;
use std::time::Duration;

use shop_core::{StoreError, StoreErrorKind};
use tokio::sync::Notify;

use crate::ledger::{Command, Decided, Ledger};
use crate::store::{ChangeSet, Footprint, Snapshot};
use crate::{Backoff, OrderError, OrderStore};

/// Batches that lost so many races are run command by command, so that one unlucky command does not hold up the others.
const RACES_TOGETHER: u32 = 6;
/// A lone command gives up after so many races.
const RACES_ALONE: u32 = 30;
const RACE_BACKOFF: Backoff = Backoff { first: Duration::from_millis(1), most: Duration::from_millis(50) };

/// Decides batches of commands: load, decide, commit; and again if another instance was faster.
#[derive(Debug)]
pub(crate) struct Decider {
    pub(crate) store: Arc<dyn OrderStore>,
    /// Told when a commit left settlements to send.
    pub(crate) settlements: Arc<Notify>,
}

impl Decider {
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
        for lost in 0..races {
            let snapshot = match self.store.load(&footprint).await {
                Ok(snapshot) => snapshot,
                Err(error) => return Some(failed(commands, error)),
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
                    StoreErrorKind::Conflict => tokio::time::sleep(RACE_BACKOFF.wait(lost)).await,
                    StoreErrorKind::Unknown => match self.store.load(&footprint).await {
                        Ok(snapshot) if is_there(&changes, &snapshot) => return Some(self.written(&changes, decided)),
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
        decided
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
