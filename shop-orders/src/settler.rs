//! The settler: what orders decided is told to products, at least once, until they acknowledge it.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{MutexGuard, PoisonError};

use shop_products::{
    CatalogError, ReservationId, ReservationState, SettleAction, SettleOutcome, Settlement, ShrinkLine,
};

use crate::service::core::Core;
use crate::store::{Footprint, Snapshot};
use crate::{InDoubt, InDoubtKind, Order, OrderError, OrderStatus, Outcome};

/// The most disagreements that are remembered.
const MAX_MISMATCHES: usize = 1_000;

/// The most lines of shrinks in one call.
const MAX_LINES: usize = 5_000;

/// What a batch of the outbox came to.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Batch {
    pub(crate) claimed: usize,
    pub(crate) closed: usize,
}

/// What products said to settlements.
#[derive(Debug, Default)]
pub(crate) struct Settled {
    /// The states after all that was acknowledged.
    pub(crate) states: HashMap<ReservationId, Option<ReservationState>>,
    /// The reservations of which a settlement was refused for good.
    pub(crate) refused: BTreeSet<ReservationId>,
}

/// What no repetition will mend, as far as this instance has met it.
#[derive(Debug, Default)]
pub(crate) struct Disagreements {
    /// Reservations that are not as their orders say.
    pub(crate) mismatches: BTreeMap<ReservationId, InDoubt>,
    /// Settlements that products refuse.
    pub(crate) refused: BTreeMap<ReservationId, InDoubt>,
}

impl Disagreements {
    fn count(&self) -> u64 {
        (self.mismatches.len() + self.refused.len()) as u64
    }
}

/// Calls of bounded size.
fn parts_of(settlements: &[Settlement]) -> Vec<&[Settlement]> {
    let mut parts = Vec::new();
    let (mut start, mut lines) = (0, 0);
    for (at, settlement) in settlements.iter().enumerate() {
        let more = match &settlement.action {
            SettleAction::Shrink(keep) => keep.len(),
            _ => 0,
        };
        if at > start && lines + more > MAX_LINES {
            parts.push(&settlements[start..at]);
            (start, lines) = (at, 0);
        }
        lines += more;
    }
    if start < settlements.len() {
        parts.push(&settlements[start..]);
    }
    parts
}

pub(crate) fn verb(action: &SettleAction) -> &'static str {
    match action {
        SettleAction::Commit => "commit",
        SettleAction::Release => "release",
        SettleAction::Fulfil => "fulfil",
        SettleAction::Shrink(_) => "shrink",
    }
}

/// What products must be told of an order's reservation, by where the order stands now.
pub(crate) fn action_for(order: &Order, reservation: ReservationId) -> SettleAction {
    if !order.holds.iter().any(|hold| hold.reservation_id == reservation) {
        // An edit gave all of it back.
        return SettleAction::Release;
    }
    match order.status {
        OrderStatus::Placed => SettleAction::Commit,
        OrderStatus::Shipped | OrderStatus::Delivered => SettleAction::Fulfil,
        OrderStatus::Cancelled => SettleAction::Release,
    }
}

impl Core {
    /// Sends one batch. What products refuse for good stays open, is passed over until its lease ends, and is reported.
    pub(crate) async fn settle_batch(&self) -> Result<Batch, OrderError> {
        let mut claimed = self.claimed.lock().await;
        if claimed.is_empty() {
            *claimed = self.store.claim_settlements(self.config.lease, self.config.settle_batch).await?;
        }
        if claimed.is_empty() {
            return Ok(Batch::default());
        }
        let settlements = claimed.iter().map(|open| open.settlement.clone()).collect();
        let refused = self.settle_in_order(settlements).await?.refused;
        let acknowledged = claimed.iter().filter(|open| !refused.contains(&open.settlement.reservation_id));
        let sequences: Vec<u64> = acknowledged.map(|open| open.sequence).collect();
        let batch = Batch { claimed: claimed.len(), closed: sequences.len() };
        // Sent and acknowledged: if closing fails, the lease ends and they are sent once more, which changes nothing.
        claimed.clear();
        self.store.close_settlements(&sequences).await?;
        Ok(batch)
    }

    /// Sends all that is open and not claimed by another instance. Returns how many settlements it closed.
    pub(crate) async fn settle_all(&self) -> Result<usize, OrderError> {
        let mut sum = 0;
        loop {
            let batch = self.settle_batch().await?;
            sum += batch.closed;
            if batch.claimed == 0 {
                return Ok(sum);
            }
        }
    }

    /// Shrinks go first: one that came after the fulfilment of the same reservation, as may happen when two workers share
    /// the outbox, would be lost, and more would leave the warehouse than was ordered. So every fulfilment, whoever sends
    /// it, is preceded by a shrink to what the order has now.
    pub(crate) async fn settle_in_order(&self, settlements: Vec<Settlement>) -> Result<Settled, OrderError> {
        let fulfilled = settlements.iter().filter(|settlement| settlement.action == SettleAction::Fulfil);
        let mut shrinks =
            self.shrinks_of(fulfilled.map(|settlement| settlement.reservation_id).collect()).await?;
        let is_shrink = |settlement: &Settlement| matches!(settlement.action, SettleAction::Shrink(_));
        let (more, mut others): (Vec<_>, Vec<_>) = settlements.into_iter().partition(is_shrink);
        shrinks.extend(more);
        let mut settled = Settled::default();
        self.settle_some(&shrinks, &mut settled).await?;
        // What could not be shrunk must not be fulfilled.
        others.retain(|settlement| !settled.refused.contains(&settlement.reservation_id));
        self.settle_some(&others, &mut settled).await?;
        self.forget_refusals(&settled);
        Ok(settled)
    }

    /// Sends settlements in calls of bounded size. A call that products refuse for good is halved again and again, until
    /// the ones that they refuse are found; the others go on.
    async fn settle_some(&self, settlements: &[Settlement], settled: &mut Settled) -> Result<(), OrderError> {
        let mut parts = parts_of(settlements);
        parts.reverse();
        while let Some(part) = parts.pop() {
            match self.catalog.settle(part).await {
                Ok(outcomes) => {
                    self.compare(part, &outcomes).await?;
                    let states = outcomes.iter().map(|outcome| (outcome.reservation_id, outcome.state));
                    settled.states.extend(states);
                }
                Err(error) if error.is_unanswered() => return Err(error.into()),
                Err(error) => match part {
                    [refused] => {
                        self.refused(refused, &error).await?;
                        settled.refused.insert(refused.reservation_id);
                    }
                    _ => {
                        let (first, second) = part.split_at(part.len() / 2);
                        parts.extend([second, first]);
                    }
                },
            }
        }
        Ok(())
    }

    async fn refused(&self, settlement: &Settlement, error: &CatalogError) -> Result<(), OrderError> {
        let reservation_id = settlement.reservation_id;
        let snapshot = self.snapshot_of(BTreeSet::from([reservation_id])).await?;
        let order_id = order_of(&snapshot, reservation_id).map(|order| order.id);
        tracing::error!(
            %error, %reservation_id, order_id = order_id.map(tracing::field::display), action = ?settlement.action,
            "products refuse a settlement; the others go on"
        );
        let entry = InDoubt {
            kind: InDoubtKind::Mismatch,
            reservation_id,
            order_id,
            since: self.clock.now(),
            step: format!("decided; products refuse the {}: {error}", verb(&settlement.action)),
            next: "it is sent again when its lease ends; find out why products refuse it".to_owned(),
        };
        let mut disagreements = self.disagreements();
        if disagreements.refused.len() < MAX_MISMATCHES {
            disagreements.refused.entry(reservation_id).or_insert(entry);
        }
        let count = disagreements.count();
        drop(disagreements);
        self.set_figures(|figures| figures.mismatches = count);
        Ok(())
    }

    /// What was refused before and is acknowledged now is no disagreement any more.
    fn forget_refusals(&self, settled: &Settled) {
        let mut disagreements = self.disagreements();
        if disagreements.refused.is_empty() {
            return;
        }
        for id in settled.states.keys().filter(|id| !settled.refused.contains(id)) {
            disagreements.refused.remove(id);
        }
        let count = disagreements.count();
        drop(disagreements);
        self.set_figures(|figures| figures.mismatches = count);
    }

    /// What was mended is no disagreement any more.
    pub(crate) fn forget_mismatches(&self, reservations: impl Iterator<Item = ReservationId>) {
        let mut disagreements = self.disagreements();
        for id in reservations {
            disagreements.mismatches.remove(&id);
        }
        let count = disagreements.count();
        drop(disagreements);
        self.set_figures(|figures| figures.mismatches = count);
    }

    pub(crate) fn disagreements(&self) -> MutexGuard<'_, Disagreements> {
        self.disagreements.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Shrinks to what the orders have of these reservations, of those orders that were ever edited.
    async fn shrinks_of(&self, reservations: BTreeSet<ReservationId>) -> Result<Vec<Settlement>, OrderError> {
        if reservations.is_empty() {
            return Ok(Vec::new());
        }
        let snapshot = self.snapshot_of(reservations.clone()).await?;
        let shrink = |id: ReservationId| {
            let order = order_of(&snapshot, id)?;
            let hold = order.holds.iter().find(|hold| hold.reservation_id == id)?;
            let lines = hold.quantities.iter();
            let lines =
                lines.map(|(id, quantity)| ShrinkLine { product_id: *id, quantity: *quantity }).collect();
            let was_edited = order.version > 2;
            was_edited.then_some(Settlement { reservation_id: id, action: SettleAction::Shrink(lines) })
        };
        Ok(reservations.into_iter().filter_map(shrink).collect())
    }

    async fn snapshot_of(&self, reservations: BTreeSet<ReservationId>) -> Result<Snapshot, OrderError> {
        Ok(self.store.load(&Footprint { reservations, ..Footprint::default() }).await?)
    }

    /// Looks for outcomes that no order of events explains: products lost or gave away what an order has.
    pub(crate) async fn compare(
        &self,
        settlements: &[Settlement],
        outcomes: &[SettleOutcome],
    ) -> Result<(), OrderError> {
        let odd = |(told, found): &(&Settlement, &SettleOutcome)| {
            let state = found.state;
            match told.action {
                SettleAction::Commit => {
                    !matches!(state, Some(ReservationState::Held | ReservationState::Committed))
                }
                SettleAction::Fulfil => state != Some(ReservationState::Fulfilled),
                SettleAction::Release => state != Some(ReservationState::Released),
                SettleAction::Shrink(_) => false,
            }
        };
        let odd: BTreeMap<ReservationId, (&Settlement, &SettleOutcome)> =
            settlements.iter().zip(outcomes).filter(odd).map(|pair| (pair.0.reservation_id, pair)).collect();
        if odd.is_empty() {
            return Ok(());
        }
        let snapshot = self.snapshot_of(odd.keys().copied().collect()).await?;
        for (id, (told, found)) in odd {
            let order = order_of(&snapshot, id);
            // What was told may be overtaken by now: an order that was committed and cancelled is released.
            let wanted = order.map_or(SettleAction::Release, |order| action_for(order, id));
            let fits = match (&wanted, found.state) {
                (SettleAction::Release, state) => state != Some(ReservationState::Fulfilled),
                (_, Some(ReservationState::Released) | None) => false,
                (SettleAction::Fulfil, state) => {
                    told.action != SettleAction::Fulfil || state == Some(ReservationState::Fulfilled)
                }
                (_, state) => state != Some(ReservationState::Fulfilled),
            };
            if !fits {
                self.mismatch(id, order, &wanted, found.state);
            }
        }
        Ok(())
    }

    fn mismatch(
        &self,
        reservation_id: ReservationId,
        order: Option<&Order>,
        wanted: &SettleAction,
        found: Option<ReservationState>,
    ) {
        let order_id = order.map(|order| order.id);
        tracing::error!(
            %reservation_id, order_id = order_id.map(tracing::field::display), ?wanted, ?found,
            "products and orders disagree about a reservation"
        );
        let found =
            found.map_or("unknown to products".to_owned(), |state| format!("{state:?}").to_lowercase());
        let status =
            order.map_or("given up".to_owned(), |order| format!("{:?}", order.status).to_lowercase());
        let entry = InDoubt {
            kind: InDoubtKind::Mismatch,
            reservation_id,
            order_id,
            since: self.clock.now(),
            step: format!("the order is {status}, its reservation is {found}"),
            next: "nothing by itself: `shop doctor --reconcile` says what mends it".to_owned(),
        };
        let mut disagreements = self.disagreements();
        if disagreements.mismatches.len() < MAX_MISMATCHES {
            disagreements.mismatches.entry(reservation_id).or_insert(entry);
        }
        let count = disagreements.count();
        drop(disagreements);
        self.set_figures(|figures| figures.mismatches = count);
    }

    /// Reads how much is open.
    pub(crate) async fn count_settlements(&self) -> Result<(), OrderError> {
        let (open, oldest) = self.store.open_settlements(1).await?;
        self.set_figures(|figures| {
            figures.settlements_open = open;
            figures.oldest_settlement = oldest.first().map(|settlement| settlement.at);
        });
        Ok(())
    }
}

/// The order that a reservation's row names.
pub(crate) fn order_of(snapshot: &Snapshot, reservation: ReservationId) -> Option<&Order> {
    match snapshot.decisions.get(&reservation)?.outcome {
        Outcome::Placed(order) => snapshot.orders.get(&order),
        Outcome::Expired => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use shop_products::ProductId;

    #[test]
    fn a_call_has_a_bounded_number_of_lines() {
        let settlement = |lines: usize| {
            let line = ShrinkLine { product_id: ProductId::generate(), quantity: 1 };
            let action =
                if lines == 0 { SettleAction::Commit } else { SettleAction::Shrink(vec![line; lines]) };
            Settlement { reservation_id: ReservationId::generate(), action }
        };
        for (lines, expected) in [
            (vec![], vec![]),
            (vec![0; 600], vec![600]),
            (vec![1_000; 11], vec![5, 5, 1]),
            (vec![6_000, 1, 4_999, 1, 0, 0], vec![1, 2, 3]),
        ] {
            let settlements: Vec<_> = lines.into_iter().map(settlement).collect();
            let parts = parts_of(&settlements);
            assert_eq!(parts.iter().map(|part| part.len()).collect::<Vec<_>>(), expected);
            assert_eq!(parts.concat(), settlements, "all of them, in their order");
        }
    }
}
