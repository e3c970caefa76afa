//! The memory store: [`MemoryOrderStore`].

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use shop_core::idempotency::{IdempotencyKey, IdempotencyRecord};
use shop_core::{Clock, PageRequest, StoreError, StoreResult, SystemClock, Timestamp};
use shop_products::ReservationId;

use super::{ChangeSet, Footprint, OpenSettlement, OrderKey, OrderQuery, OrderStore, Snapshot};
use crate::{Decision, Event, Order, OrderId, Outcome};

/// Orders in memory, for tests and for shops that may forget. A clone is the same store.
///
/// Durable only as long as the process lives; all else of the port's contract holds. Lists narrowed down by a filter read
/// the orders that the filter passes over.
#[derive(Debug, Clone)]
pub struct MemoryOrderStore {
    state: Arc<Mutex<State>>,
    clock: Arc<dyn Clock>,
}

#[derive(Debug, Default)]
struct State {
    orders: HashMap<OrderId, Order>,
    /// The orders that lists show.
    listed: BTreeSet<(Timestamp, OrderId)>,
    numbers: BTreeSet<u64>,
    decisions: HashMap<ReservationId, Decision>,
    /// The reservations that were decided under a key.
    of_key: HashMap<IdempotencyKey, Vec<ReservationId>>,
    /// The one of them that placed an order.
    placed: HashMap<IdempotencyKey, ReservationId>,
    records: HashMap<IdempotencyKey, IdempotencyRecord>,
    events: Vec<Event>,
    events_of: HashMap<OrderId, Vec<usize>>,
    last_settlement: u64,
    settlements: BTreeMap<u64, Outgoing>,
}

#[derive(Debug)]
struct Outgoing {
    open: OpenSettlement,
    claimed_at: Option<Timestamp>,
}

impl Default for MemoryOrderStore {
    fn default() -> Self {
        Self::new()
    }
}

impl MemoryOrderStore {
    /// An empty store by the machine's clock.
    pub fn new() -> Self {
        Self::with_clock(Arc::new(SystemClock))
    }

    /// An empty store by this clock.
    pub fn with_clock(clock: Arc<dyn Clock>) -> Self {
        Self { state: Arc::default(), clock }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A commit checks everything before it changes anything, so a panic leaves no half of it.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl OrderStore for MemoryOrderStore {
    async fn load(&self, footprint: &Footprint) -> StoreResult<Snapshot> {
        let now = self.clock.now();
        let state = self.state();
        let mut snapshot = Snapshot {
            now,
            orders: HashMap::new(),
            records: HashMap::new(),
            decisions: HashMap::new(),
            first_number: state.numbers.last().map_or(1, |last| last + 1),
        };
        let of_keys = footprint.keys.iter().filter_map(|key| state.placed.get(key));
        for id in footprint.reservations.iter().chain(of_keys) {
            snapshot.decisions.extend(state.decisions.get(id).map(|decision| (*id, decision.clone())));
        }
        let placed = snapshot.decisions.values().filter_map(|decision| match decision.outcome {
            Outcome::Placed(order) => Some(order),
            Outcome::Expired => None,
        });
        for id in placed.chain(footprint.orders.iter().copied()) {
            snapshot.orders.extend(state.orders.get(&id).map(|order| (id, order.clone())));
        }
        for key in &footprint.keys {
            snapshot.records.extend(state.records.get(key).map(|record| (key.clone(), record.clone())));
        }
        Ok(snapshot)
    }

    async fn commit(&self, changes: &ChangeSet) -> StoreResult<()> {
        let now = self.clock.now();
        let mut state = self.state();
        state.check(changes)?;
        state.write(changes, now);
        Ok(())
    }

    async fn orders(&self, query: &OrderQuery, page: &PageRequest<OrderKey>) -> StoreResult<Vec<Order>> {
        let state = self.state();
        let after = page.after.map(|key| (key.placed_at, key.id));
        let found: Box<dyn Iterator<Item = &(Timestamp, OrderId)> + Send> = match (query.ascending, after) {
            (true, Some(after)) => Box::new(state.listed.range((Bound::Excluded(after), Bound::Unbounded))),
            (true, None) => Box::new(state.listed.iter()),
            (false, Some(after)) => Box::new(state.listed.range(..after).rev()),
            (false, None) => Box::new(state.listed.iter().rev()),
        };
        let orders = found.filter_map(|(_, id)| state.orders.get(id)).filter(|order| matches(query, order));
        Ok(orders.take(page.limit.get() + 1).cloned().collect())
    }

    async fn count_orders(&self, query: &OrderQuery) -> StoreResult<u64> {
        let state = self.state();
        let orders = state.listed.iter().filter_map(|(_, id)| state.orders.get(id));
        Ok(orders.filter(|order| matches(query, order)).count() as u64)
    }

    async fn events(&self, of: Option<OrderId>, after: u64, limit: usize) -> StoreResult<Vec<Event>> {
        let state = self.state();
        Ok(match of {
            None => {
                let first = usize::try_from(after).unwrap_or(usize::MAX).min(state.events.len());
                state.events[first..].iter().take(limit).cloned().collect()
            }
            Some(order) => {
                let places = state.events_of.get(&order).into_iter().flatten();
                let events = places.map(|place| &state.events[*place]).filter(|event| event.sequence > after);
                events.take(limit).cloned().collect()
            }
        })
    }

    async fn claim_settlements(&self, lease: Duration, limit: usize) -> StoreResult<Vec<OpenSettlement>> {
        let now = self.clock.now();
        let lapsed = now.minus(lease);
        let mut state = self.state();
        let free =
            state.settlements.values_mut().filter(|open| open.claimed_at.is_none_or(|at| at <= lapsed));
        let claim = |open: &mut Outgoing| {
            open.claimed_at = Some(now);
            open.open.clone()
        };
        Ok(free.take(limit).map(claim).collect())
    }

    async fn close_settlements(&self, sequences: &[u64]) -> StoreResult<()> {
        let mut state = self.state();
        for sequence in sequences {
            state.settlements.remove(sequence);
        }
        Ok(())
    }

    async fn open_settlements(&self, limit: usize) -> StoreResult<(u64, Vec<OpenSettlement>)> {
        let state = self.state();
        let oldest = state.settlements.values().take(limit).map(|open| open.open.clone()).collect();
        Ok((state.settlements.len() as u64, oldest))
    }

    async fn purge(
        &self,
        records_before: Timestamp,
        decisions_before: Timestamp,
        limit: usize,
    ) -> StoreResult<u64> {
        let mut state = self.state();
        let old = state.records.values().filter(|record| record.at < records_before).take(limit);
        let keys: Vec<IdempotencyKey> = old.map(|record| record.key.clone()).collect();
        for key in &keys {
            state.records.remove(key);
            state.placed.remove(key);
            for id in state.of_key.remove(key).unwrap_or_default() {
                state.decisions.entry(id).and_modify(|decision| decision.key = None);
            }
        }
        let is_old =
            |decision: &&Decision| decision.outcome == Outcome::Expired && decision.at < decisions_before;
        let old: Vec<ReservationId> = state
            .decisions
            .values()
            .filter(is_old)
            .take(limit)
            .map(|decision| decision.reservation_id)
            .collect();
        for id in &old {
            let key = state.decisions.remove(id).and_then(|decision| decision.key);
            if let Some(of_key) = key.and_then(|key| state.of_key.get_mut(&key)) {
                of_key.retain(|other| other != id);
            }
        }
        Ok((keys.len() + old.len()) as u64)
    }

    async fn ping(&self) -> StoreResult<()> {
        Ok(())
    }
}

impl State {
    /// Whether everything is as the change set expects.
    fn check(&self, changes: &ChangeSet) -> StoreResult<()> {
        let mut new_orders = HashSet::new();
        let mut numbers = HashSet::new();
        let created = changes.created.iter().all(|order| {
            let is_new = !self.orders.contains_key(&order.id) && !self.numbers.contains(&order.number);
            is_new && new_orders.insert(order.id) && numbers.insert(order.number)
        });
        let edited = changes.edited.iter().all(|edit| {
            self.orders.get(&edit.order.id).is_some_and(|order| order.version == edit.expected_version)
        });
        let mut reservations = HashSet::new();
        let mut keys = HashSet::new();
        let decided = changes.decisions.iter().all(|decision| {
            let is_new = !self.decisions.contains_key(&decision.reservation_id);
            let is_free = match (&decision.key, decision.outcome) {
                (Some(key), Outcome::Placed(_)) => !self.placed.contains_key(key) && keys.insert(key),
                _ => true,
            };
            is_new && is_free && reservations.insert(decision.reservation_id)
        });
        let mut recorded = HashSet::new();
        let records = changes
            .records
            .iter()
            .all(|record| !self.records.contains_key(&record.key) && recorded.insert(&record.key));
        if created && edited && decided && records {
            Ok(())
        } else {
            Err(StoreError::conflict("commit orders"))
        }
    }

    fn write(&mut self, changes: &ChangeSet, now: Timestamp) {
        for order in &changes.created {
            self.numbers.insert(order.number);
            self.put(order);
        }
        for edit in &changes.edited {
            self.put(&edit.order);
        }
        for decision in &changes.decisions {
            if let Some(key) = &decision.key {
                self.of_key.entry(key.clone()).or_default().push(decision.reservation_id);
                if let Outcome::Placed(_) = decision.outcome {
                    self.placed.insert(key.clone(), decision.reservation_id);
                }
            }
            self.decisions.insert(decision.reservation_id, decision.clone());
        }
        for record in &changes.records {
            self.records.insert(record.key.clone(), record.clone());
        }
        for new in &changes.events {
            let sequence = self.events.len() as u64 + 1;
            self.events_of.entry(new.order.id).or_default().push(self.events.len());
            self.events.push(Event {
                sequence,
                kind: new.kind,
                order_id: new.order.id,
                at: new.at,
                order: new.order.clone(),
            });
        }
        for settlement in &changes.settlements {
            self.last_settlement += 1;
            let open =
                OpenSettlement { sequence: self.last_settlement, at: now, settlement: settlement.clone() };
            self.settlements.insert(self.last_settlement, Outgoing { open, claimed_at: None });
        }
    }

    fn put(&mut self, order: &Order) {
        let place = (order.placed_at, order.id);
        if order.deleted_at.is_none() {
            self.listed.insert(place);
        } else {
            self.listed.remove(&place);
        }
        self.orders.insert(order.id, order.clone());
    }
}

fn matches(query: &OrderQuery, order: &Order) -> bool {
    query.status.is_none_or(|status| order.status == status)
        && query.customer_id.as_ref().is_none_or(|id| order.details.customer_id.as_ref() == Some(id))
        && query.reference.as_ref().is_none_or(|name| order.details.reference.as_ref() == Some(name))
        && query.placed_after.is_none_or(|from| order.placed_at >= from)
        && query.placed_before.is_none_or(|to| order.placed_at < to)
}
