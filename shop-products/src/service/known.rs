//! What this instance remembers of the products that it sells, so that a hold need not be preceded by a read.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use shop_core::Timestamp;
use tokio::time::Instant;

use crate::ledger::Command;
use crate::store::{ChangedProduct, Footprint, ReservationWrite, Snapshot};
use crate::{Product, ProductId, Reservation, ReservationId, ReservationState, SettleAction, Sku};

/// The most products that are remembered, in about 500 bytes each.
const MAX_PRODUCTS: usize = 16_384;
/// The most reservations that are remembered, from their hold until they are committed.
const MAX_RESERVATIONS: usize = 4_096;
/// All is forgotten after so long in which the store has not told that nothing is missed: so the writes of other instances
/// are seen where it does not tell of them.
const MAX_AGE: Duration = Duration::from_secs(1);

/// Products and reservations as the last batches left them.
///
/// A guess, and safe to be wrong: the commit expects each product's details to be as they were, each new reservation not to
/// be there, each other one in its state, and enough stock after the difference, all in the store's own atomic step. What
/// fails so, and what would write nothing, as a refusal, is decided again on what the store has.
#[derive(Debug, Default)]
pub(super) struct Known {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Rises whenever all is forgotten since it may be wrong.
    generation: u64,
    since: Option<(Instant, Timestamp)>,
    /// Without what a hold does not need: descriptions, attributes, tags.
    products: HashMap<ProductId, Product>,
    skus: HashMap<Sku, ProductId>,
    reservations: HashMap<ReservationId, Reservation>,
    /// The versions that the store has told of since the batch at work was begun.
    told: HashMap<ProductId, u64>,
}

impl Known {
    /// What the store holds for a batch of this footprint, if that can be guessed: one that only takes stock of remembered
    /// products and commits remembered reservations.
    ///
    /// What the batch touches is forgotten until [`remember`](Self::remember): a batch that fails leaves no guess behind.
    pub(super) fn take<'a>(
        &self,
        footprint: &Footprint,
        mut commands: impl Iterator<Item = &'a Command>,
        now: Timestamp,
    ) -> Option<Guess> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let since = state.age(now);
        state.told.clear();
        let known = state.take(footprint);
        let guess = commands.all(|command| match command {
            Command::Hold { .. } => true,
            Command::Settle { settlements, keyed: None } => settlements.iter().all(|settlement| {
                settlement.action == SettleAction::Commit
                    && known.reservations.contains_key(&settlement.reservation_id)
            }),
            _ => false,
        });
        let is_whole = known.missing == 0 && guess;
        let Taken { products, reservations, .. } = known;
        let snapshot = Snapshot { now, products, reservations, records: HashMap::new() };
        is_whole.then_some(Guess { snapshot, since })
    }

    /// Forgets all, and what batches that are at work now would have left. What is remembered from now on is loaded after
    /// this time.
    pub(super) fn forget(&self, now: Timestamp) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        *state = State { generation: state.generation + 1, ..State::empty(now) };
    }

    /// To be asked before a batch takes or loads what it decides on.
    pub(super) fn generation(&self) -> u64 {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).generation
    }

    /// The store tells that these products were written; what is remembered, or the batch at work will leave, may lack it.
    pub(super) fn told(&self, changed: &[ChangedProduct]) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.told.len() + changed.len() > MAX_PRODUCTS {
            state.told.clear();
            state.generation += 1;
        }
        for told in changed {
            let version = told.version.unwrap_or(u64::MAX);
            if state.products.get(&told.id).is_some_and(|known| known.version < version) {
                state.products.remove(&told.id);
            }
            let newest = state.told.entry(told.id).or_default();
            *newest = version.max(*newest);
        }
    }

    /// Every write of a product from before this time was told, and is in what is remembered: they are as good as if they were
    /// loaded then. It is never later than the guess of a batch at work: under constant load all is forgotten as it would be
    /// without this.
    pub(super) fn complete(&self, as_of: Timestamp) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.since.is_some_and(|(_, since)| since < as_of) {
            state.since = Some((Instant::now(), as_of));
        }
    }

    /// Keeps what a batch of this generation has left, once it is written.
    pub(super) fn remember(
        &self,
        generation: u64,
        products: Vec<Product>,
        reservations: Vec<ReservationWrite>,
    ) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.generation != generation {
            return;
        }
        for mut product in products {
            if state.products.len() >= MAX_PRODUCTS || state.skus.len() >= MAX_PRODUCTS {
                // Those that sell come back by themselves.
                state.products.clear();
                state.skus.clear();
            }
            let is_told = state.told.get(&product.id).is_some_and(|told| product.version < *told);
            if product.deleted_at.is_some() || is_told {
                continue;
            }
            product.details.description = String::new();
            product.details.attributes.clear();
            product.details.tags = Vec::new();
            state.skus.insert(product.details.sku.clone(), product.id);
            state.products.insert(product.id, product);
        }
        let held = reservations.into_iter().map(|write| write.reservation);
        for reservation in held.filter(|held| held.state == ReservationState::Held) {
            if state.reservations.len() >= MAX_RESERVATIONS {
                // Most of them were settled by other instances.
                state.reservations.clear();
            }
            state.reservations.insert(reservation.id, reservation);
        }
    }
}

/// What the store may hold for a batch.
#[derive(Debug)]
pub(super) struct Guess {
    pub(super) snapshot: Snapshot,
    /// All of it was loaded after this time, and lacks nothing but what other instances have written since.
    pub(super) since: Timestamp,
}

/// What was remembered of a footprint.
#[derive(Debug, Default)]
struct Taken {
    products: HashMap<ProductId, Product>,
    reservations: HashMap<ReservationId, Reservation>,
    /// Products that were not.
    missing: usize,
}

impl State {
    fn empty(now: Timestamp) -> Self {
        Self { since: Some((Instant::now(), now)), ..Self::default() }
    }

    /// Forgets all when it is time. Since when all that is remembered was loaded.
    fn age(&mut self, now: Timestamp) -> Timestamp {
        match self.since {
            Some((since, at)) if since.elapsed() < MAX_AGE => at,
            _ => {
                *self = Self { generation: self.generation, ..Self::empty(now) };
                now
            }
        }
    }

    fn take(&mut self, footprint: &Footprint) -> Taken {
        let mut taken = Taken::default();
        let mut needed: Vec<ProductId> = footprint.products.iter().copied().collect();
        for sku in &footprint.skus {
            let id = self.skus.get(sku).copied();
            let is_now =
                |id: &ProductId| self.products.get(id).is_some_and(|found| found.details.sku == *sku);
            match id.filter(is_now) {
                Some(id) => needed.push(id),
                None => taken.missing += 1,
            }
        }
        for id in &footprint.reservations {
            if let Some(held) = self.reservations.remove(id) {
                needed.extend(held.lines.iter().map(|line| line.product_id));
                taken.reservations.insert(*id, held);
            }
        }
        for id in needed {
            if let Entry::Vacant(place) = taken.products.entry(id) {
                match self.products.remove(&id) {
                    Some(product) => drop(place.insert(product)),
                    None => taken.missing += 1,
                }
            }
        }
        taken
    }
}
