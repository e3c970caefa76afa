use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use shop_core::idempotency::IdempotencyRecord;
use shop_core::{Clock, StoreError, StoreErrorKind, StoreResult};
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::ledger::{Command, Decided, Ledger};
use crate::store::{ChangeSet, Footprint, Snapshot};
use crate::{Backoff, Decision, OrderError, OrderStore, Outcome};

/// Batches that lost so many races are run command by command, so that one unlucky command does not hold up the others.
const RACES_TOGETHER: u32 = 6;
/// A lone command gives up after so many races.
const RACES_ALONE: u32 = 30;
/// After so long nothing is run again.
const RACE_TIME: Duration = Duration::from_secs(5);
/// A batch that lost so many races takes its numbers from a range of its own.
const RACES_FOR_NUMBERS: u32 = 2;
/// How far beyond the last number such a range starts, at least; and at most twice as far.
const LEAP: u64 = 1_024;
const RACE_BACKOFF: Backoff = Backoff { first: Duration::from_millis(1), most: Duration::from_millis(50) };

/// The most events of an order that are looked through for an edit whose commit has an unknown result.
const MAX_EVENTS: usize = 10_000;

/// So many batches are loaded for after a presumption was wrong: another instance is at work too.
const CAUTION: u32 = 64;

/// Decides batches of commands: load, decide, commit; and again if another instance was faster.
///
/// Nothing is loaded for a batch that only places orders: it is presumed that nobody decided about their reservations and
/// keys, and that the next number is free. The commit expects just that, so a wrong presumption is a lost race.
///
/// An instance alone gives numbers without gaps. Where several place all the time, those that lose races leap ahead, each to
/// a range of its own, and go on there until they meet another's.
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
    /// Whether these numbers are a range of this instance's own, where others do not come by reading the last number.
    is_own_range: bool,
    /// Batches to load for before anything is presumed again.
    caution: u32,
}

impl Decider {
    pub(crate) fn new(store: Arc<dyn OrderStore>, clock: Arc<dyn Clock>, settlements: Arc<Notify>) -> Self {
        Self { store, clock, settlements, presumption: Mutex::default() }
    }

    /// One outcome a command, in order.
    pub(crate) async fn run(&self, commands: Vec<Command>) -> Vec<Decided> {
        let until = Instant::now() + RACE_TIME;
        if let Some(decided) = self.race(&commands, RACES_TOGETHER, until).await {
            return decided;
        }
        let mut all = Vec::with_capacity(commands.len());
        for command in &commands {
            let alone = std::slice::from_ref(command);
            match self.race(alone, RACES_ALONE, until).await {
                Some(decided) => all.extend(decided),
                None => all.extend(failed(alone, StoreError::conflict("decide"))),
            }
        }
        all
    }

    /// `None` if every one of so many races was lost, or the time is over.
    async fn race(&self, commands: &[Command], races: u32, until: Instant) -> Option<Vec<Decided>> {
        let mut footprint = Footprint::default();
        commands.iter().for_each(|command| command.add_to(&mut footprint));
        let mut presumed = self.presume(commands);
        for lost in 0..races {
            if Instant::now() >= until {
                return None;
            }
            let was_presumed = presumed.is_some();
            let mut snapshot = match presumed.take() {
                Some(presumed) => presumed,
                None => match self.store.load(&footprint).await {
                    Ok(snapshot) => snapshot,
                    Err(error) => return Some(failed(commands, error)),
                },
            };
            if !was_presumed && footprint.numbers > 0 {
                snapshot.first_number = self.first_number(snapshot.first_number, lost);
            }
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
                    StoreErrorKind::Unknown => match self.is_there(&footprint, &changes).await {
                        Ok(true) => return Some(self.written(&changes, decided)),
                        _ => return Some(failed(commands, error)),
                    },
                    _ => return Some(failed(commands, error)),
                },
            }
        }
        None
    }

    /// The first number to give, where `free` is above all that the store has.
    fn first_number(&self, free: u64, lost: u32) -> u64 {
        let mut presumption = self.presumption.lock().unwrap_or_else(PoisonError::into_inner);
        if lost >= RACES_FOR_NUMBERS {
            let more = (shop_core::chance::unit() * LEAP as f64) as u64;
            presumption.is_own_range = true;
            presumption.next_number = Some(free + LEAP + more);
        }
        presumption.next_number.filter(|_| presumption.is_own_range).unwrap_or(free)
    }

    /// Whether a change set whose commit has an unknown result was written. It is atomic, so one row that nobody else can
    /// have written tells: a decision that placed an order of this batch, or gave one of its orders a second reservation.
    /// Without such a row all others must be there, each edit in the order or, if that was changed since, in the log.
    async fn is_there(&self, footprint: &Footprint, changes: &ChangeSet) -> StoreResult<bool> {
        let snapshot = self.store.load(footprint).await?;
        let found = |written: &Decision| {
            let found = snapshot.decisions.get(&written.reservation_id);
            found.is_some_and(|found| found.outcome == written.outcome)
        };
        let is_placed = |written: &&Decision| matches!(written.outcome, Outcome::Placed(_));
        if let Some(own) = changes.decisions.iter().find(is_placed) {
            return Ok(found(own));
        }
        let is_recorded = |written: &IdempotencyRecord| snapshot.records.get(&written.key) == Some(written);
        if !changes.decisions.iter().all(found) || !changes.records.iter().all(is_recorded) {
            return Ok(false);
        }
        for edit in &changes.edited {
            let id = edit.order.id;
            match snapshot.orders.get(&id) {
                Some(order) if *order == edit.order => {}
                Some(order) if order.version > edit.order.version => {
                    let events = self.store.events(Some(id), 0, MAX_EVENTS).await?;
                    if !events.iter().any(|event| event.order == edit.order) {
                        return Ok(false);
                    }
                }
                _ => return Ok(false),
            }
        }
        Ok(true)
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

fn failed(commands: &[Command], error: StoreError) -> Vec<Decided> {
    tracing::warn!(error = %error.chain(), commands = commands.len(), "a batch of decisions was not written");
    let error = Arc::new(error);
    commands.iter().map(|_| Decided { verdict: Err(OrderError::of_store(&error)), given_up: None }).collect()
}

#[cfg(all(test, feature = "testing"))]
mod tests {
    use super::*;
    use crate::ledger::{Advance, Delete, Place, Verdict};
    use crate::store::memory::MemoryOrderStore;
    use crate::testing::broken::{CommitFault, FlakyStore};
    use crate::testing::sample::{at, order, placed};
    use crate::{NewOrder, Order, OrderDetails, OrderId, OrderStatus};
    use shop_core::ManualClock;
    use shop_products::{HoldLine, ProductRef, Reservation, ReservationState, ReservedLine};

    async fn flaky(orders: &[&Order]) -> (Arc<FlakyStore>, Decider) {
        let clock = Arc::new(ManualClock::new(at(10)));
        let store = FlakyStore::over(Arc::new(MemoryOrderStore::with_clock(clock.clone())));
        for order in orders {
            store.commit(&placed(order, None)).await.expect("commit");
        }
        (store.clone(), Decider::new(store, clock, Arc::default()))
    }

    fn cancel(order: &Order) -> Command {
        let to = OrderStatus::Cancelled;
        Command::Advance(Advance { order_id: order.id, if_match: None, to, keyed: None })
    }

    fn place() -> Command {
        let like = order(9, at(0));
        let held = |line: &crate::OrderLine| ReservedLine {
            product_id: line.product_id,
            sku: line.sku.clone(),
            name: line.name.clone(),
            quantity: line.quantity,
            held: line.quantity,
            unit_price: line.unit_price,
        };
        let asked = |line: &crate::OrderLine| HoldLine {
            product: ProductRef::Id(line.product_id),
            quantity: line.quantity,
        };
        Command::Place(Place {
            order_id: OrderId::generate(),
            new: NewOrder {
                lines: like.lines.iter().map(asked).collect(),
                details: OrderDetails::default(),
                expected_total: None,
            },
            reservation: Reservation {
                id: like.holds[0].reservation_id,
                owner: None,
                state: ReservationState::Held,
                lines: like.lines.iter().map(held).collect(),
                created_at: at(0),
                updated_at: at(0),
                expires_at: None,
            },
            keyed: None,
            attempt: 1,
        })
    }

    #[tokio::test]
    async fn what_was_written_stays_written_though_another_changed_one_of_its_orders_since() {
        let orders = [order(1, at(0)), order(2, at(1))];
        for places in [true, false] {
            let (store, decider) = flaky(&[&orders[0], &orders[1]]).await;
            store.next(CommitFault::Overtaken);
            let delete = Command::Delete(Delete { order_id: orders[1].id, if_match: None });
            let mut commands = vec![cancel(&orders[0]), delete];
            commands.extend(places.then(place));
            for decided in decider.run(commands).await {
                assert!(matches!(decided.verdict, Ok(Verdict::Done(_))), "{decided:?}");
            }
        }
    }

    #[tokio::test]
    async fn what_was_not_written_is_not_taken_for_written() {
        let orders = [order(1, at(0)), order(2, at(1))];
        let (store, decider) = flaky(&[&orders[0], &orders[1]]).await;
        for commands in [vec![cancel(&orders[0]), cancel(&orders[1])], vec![place(), cancel(&orders[0])]] {
            store.next(CommitFault::LostCall);
            for decided in decider.run(commands).await {
                assert!(matches!(decided.verdict, Err(OrderError::Unavailable(_))), "{decided:?}");
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn races_end_in_time_however_many_commands_lose_them() {
        let (store, decider) = flaky(&[]).await;
        (0..100_000).for_each(|_| store.next(CommitFault::Conflict));
        let began = Instant::now();
        let decided = decider.run((0..256).map(|_| place()).collect()).await;
        assert!(began.elapsed() <= RACE_TIME + Duration::from_secs(1), "{:?}", began.elapsed());
        assert_eq!(decided.len(), 256);
        for decided in decided {
            assert!(matches!(decided.verdict, Err(OrderError::Unavailable(_))), "{decided:?}");
        }
    }

    #[tokio::test]
    async fn an_instance_alone_leaves_no_gap() {
        let (_, decider) = flaky(&[]).await;
        for number in 1..200 {
            match decider.run(vec![place()]).await.remove(0).verdict {
                Ok(Verdict::Done(order)) => assert_eq!(order.number, number),
                other => panic!("{other:?}"),
            }
        }
    }
}
