//! Decisions: commands in arrival order over a snapshot, to a change set. Pure: no I/O, no clock, no chance.

use std::collections::{HashMap, HashSet};

use shop_core::Timestamp;
use shop_core::idempotency::{IdempotencyKey, IdempotencyRecord, Keyed, Replay};
use shop_products::{ReservationId, SettleAction, Settlement};

use crate::store::{ChangeSet, OrderEdit, Snapshot};
use crate::{Decision, EventType, NewEvent, Order, OrderError, OrderId, Outcome};

mod command;
mod edit;
mod lifecycle;
mod lines;
mod place;

pub(crate) use command::{Advance, Command, Decided, Delete, Edit, Expire, Place, Verdict};
pub(crate) use edit::{Growth, growth_of};

/// A snapshot with what was decided on it so far. Each decision checks everything before it changes anything.
#[derive(Debug)]
pub(crate) struct Ledger {
    snapshot: Snapshot,
    placed_keys: HashSet<IdempotencyKey>,
    next_number: u64,
    /// The version of each order that this ledger changed, before the first change.
    loaded_versions: HashMap<OrderId, u64>,
    changes: ChangeSet,
}

impl Ledger {
    pub(crate) fn new(snapshot: Snapshot) -> Self {
        let placed = |decision: &&Decision| matches!(decision.outcome, Outcome::Placed(_));
        let placed_keys =
            snapshot.decisions.values().filter(placed).filter_map(|decision| decision.key.clone()).collect();
        Self {
            next_number: snapshot.first_number,
            placed_keys,
            loaded_versions: HashMap::new(),
            changes: ChangeSet::default(),
            snapshot,
        }
    }

    pub(crate) fn decide(&mut self, command: &Command) -> Decided {
        match command {
            Command::Place(place) => {
                let verdict = self.place(place);
                let key = place.keyed.as_ref().map(|keyed| &keyed.idempotency.key);
                let kept = matches!(&verdict, Ok(Verdict::Done(_)));
                let given_up =
                    if kept { None } else { self.give_up(place.reservation.id, key, place.attempt) };
                Decided { verdict, given_up }
            }
            Command::Expire(expire) => {
                let given_up = self.give_up(expire.reservation_id, expire.key.as_ref(), expire.attempt);
                Decided { verdict: self.expired(expire.reservation_id), given_up }
            }
            Command::Edit(edit) => {
                let verdict = self.edit(edit);
                let given_up = match &edit.growth {
                    Some(growth) if !matches!(&verdict, Ok(Verdict::Done(_))) => {
                        self.give_up(growth.id, None, 1)
                    }
                    _ => None,
                };
                Decided { verdict, given_up }
            }
            Command::Advance(advance) => Decided { verdict: self.advance(advance), given_up: None },
            Command::Delete(delete) => Decided { verdict: self.delete(delete), given_up: None },
        }
    }

    pub(crate) fn into_changes(self) -> ChangeSet {
        self.changes
    }

    fn now(&self) -> Timestamp {
        self.snapshot.now
    }

    /// Writes the row that gives a reservation up, with its release, unless a row decided it already. `Some` if the
    /// reservation is given up, now or earlier.
    fn give_up(
        &mut self,
        id: ReservationId,
        key: Option<&IdempotencyKey>,
        attempt: u32,
    ) -> Option<ReservationId> {
        match self.snapshot.decisions.get(&id).map(|decision| decision.outcome) {
            Some(Outcome::Placed(_)) => None,
            Some(Outcome::Expired) => Some(id),
            None => {
                self.write_decision(id, key.cloned(), attempt, Outcome::Expired);
                self.settle(id, SettleAction::Release);
                Some(id)
            }
        }
    }

    fn expired(&self, id: ReservationId) -> Result<Verdict, OrderError> {
        match self.snapshot.decisions.get(&id).map(|decision| decision.outcome) {
            Some(Outcome::Placed(order)) => self.order_of_decision(order).map(Verdict::Belongs),
            _ => Ok(Verdict::GivenUp),
        }
    }

    fn order_of_decision(&self, id: OrderId) -> Result<Box<Order>, OrderError> {
        let order = self.snapshot.orders.get(&id).cloned().map(Box::new);
        order
            .ok_or_else(|| OrderError::Internal(format!("order {id} of a placed decision is missing").into()))
    }

    /// How a key answers, if it was used before.
    fn replay(&self, keyed: Option<&Keyed<Order>>) -> Option<Result<Verdict, OrderError>> {
        let request = &keyed?.idempotency;
        let Some(record) = self.snapshot.records.get(&request.key) else {
            return self.placed_keys.contains(&request.key).then_some(Err(OrderError::KeyReused));
        };
        Some(match record.replay(request) {
            Replay::Stored(answer) => Ok(Verdict::Replayed(answer)),
            Replay::Mismatch => Err(OrderError::KeyReused),
        })
    }

    fn live_order(&self, id: OrderId, if_match: Option<&[u64]>) -> Result<&Order, OrderError> {
        let order = self.snapshot.orders.get(&id).filter(|order| order.deleted_at.is_none());
        let order = order.ok_or(OrderError::NotFound)?;
        match if_match {
            Some(seen) if !seen.contains(&order.version) => {
                Err(OrderError::VersionMismatch { current: order.version })
            }
            _ => Ok(order),
        }
    }

    fn write_decision(
        &mut self,
        id: ReservationId,
        key: Option<IdempotencyKey>,
        attempt: u32,
        outcome: Outcome,
    ) {
        if let (Outcome::Placed(_), Some(key)) = (outcome, &key) {
            self.placed_keys.insert(key.clone());
        }
        let decision = Decision { reservation_id: id, key, attempt, outcome, at: self.now() };
        self.snapshot.decisions.insert(id, decision.clone());
        self.changes.decisions.push(decision);
    }

    fn write_record(&mut self, keyed: Option<&Keyed<Order>>, order: &Order) {
        let Some(keyed) = keyed else { return };
        let record = IdempotencyRecord {
            key: keyed.idempotency.key.clone(),
            fingerprint: keyed.idempotency.fingerprint,
            answer: (keyed.answer)(order),
            at: self.now(),
        };
        self.snapshot.records.insert(record.key.clone(), record.clone());
        self.changes.records.push(record);
    }

    fn create(&mut self, order: Order) {
        self.log(EventType::Placed, &order);
        self.changes.created.push(order.clone());
        self.snapshot.orders.insert(order.id, order);
    }

    /// Replaces an order by its next version, which this sets.
    fn replace(&mut self, kind: EventType, mut order: Order) -> Order {
        let loaded = *self.loaded_versions.entry(order.id).or_insert(order.version);
        order.version += 1;
        order.updated_at = order.updated_at.max(self.now());
        self.log(kind, &order);
        if let Some(created) = self.changes.created.iter_mut().find(|created| created.id == order.id) {
            *created = order.clone();
        } else if let Some(edit) = self.changes.edited.iter_mut().find(|edit| edit.order.id == order.id) {
            edit.order = order.clone();
        } else {
            self.changes.edited.push(OrderEdit { order: order.clone(), expected_version: loaded });
        }
        self.snapshot.orders.insert(order.id, order.clone());
        order
    }

    fn log(&mut self, kind: EventType, order: &Order) {
        self.changes.events.push(NewEvent { kind, at: self.now(), order: order.clone() });
    }

    fn settle(&mut self, reservation_id: ReservationId, action: SettleAction) {
        self.changes.settlements.push(Settlement { reservation_id, action });
    }
}
