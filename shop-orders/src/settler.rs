//! The settler: what orders decided is told to products, at least once, until they acknowledge it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::PoisonError;

use shop_products::{ReservationId, ReservationState, SettleAction, SettleOutcome, Settlement, ShrinkLine};

use crate::service::core::Core;
use crate::store::{Footprint, OpenSettlement, Snapshot};
use crate::{InDoubt, InDoubtKind, Order, OrderError, OrderStatus, Outcome};

/// The most disagreements that are remembered.
const MAX_MISMATCHES: usize = 1_000;

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
    /// Sends one batch. Returns how many settlements it closed.
    pub(crate) async fn settle_batch(&self) -> Result<usize, OrderError> {
        let mut claimed = self.claimed.lock().await;
        if claimed.is_empty() {
            *claimed = self.store.claim_settlements(self.config.lease, self.config.settle_batch).await?;
        }
        if claimed.is_empty() {
            return Ok(0);
        }
        self.send(&claimed).await?;
        let sequences: Vec<u64> = claimed.iter().map(|open| open.sequence).collect();
        // Sent and acknowledged: if closing fails, the lease ends and they are sent once more, which changes nothing.
        claimed.clear();
        self.store.close_settlements(&sequences).await?;
        Ok(sequences.len())
    }

    /// Sends all that is open and not claimed by another instance. Returns how many settlements it closed.
    pub(crate) async fn settle_all(&self) -> Result<usize, OrderError> {
        let mut sum = 0;
        loop {
            match self.settle_batch().await? {
                0 => return Ok(sum),
                closed => sum += closed,
            }
        }
    }

    async fn send(&self, open: &[OpenSettlement]) -> Result<(), OrderError> {
        self.settle_in_order(open.iter().map(|open| open.settlement.clone()).collect()).await.map(|_| ())
    }

    /// Shrinks go first: one that came after the fulfilment of the same reservation, as may happen when two workers share
    /// the outbox, would be lost, and more would leave the warehouse than was ordered. So every fulfilment, whoever sends
    /// it, is preceded by a shrink to what the order has now. Returns the outcomes, in any order.
    pub(crate) async fn settle_in_order(
        &self,
        settlements: Vec<Settlement>,
    ) -> Result<Vec<SettleOutcome>, OrderError> {
        let fulfilled = settlements.iter().filter(|settlement| settlement.action == SettleAction::Fulfil);
        let mut shrinks =
            self.shrinks_of(fulfilled.map(|settlement| settlement.reservation_id).collect()).await?;
        let is_shrink = |settlement: &Settlement| matches!(settlement.action, SettleAction::Shrink(_));
        let (more, others): (Vec<_>, Vec<_>) = settlements.into_iter().partition(is_shrink);
        shrinks.extend(more);
        let mut all = Vec::with_capacity(others.len());
        for settlements in [shrinks, others] {
            if !settlements.is_empty() {
                let outcomes = self.catalog.settle(&settlements).await?;
                self.compare(&settlements, &outcomes).await?;
                all.extend(outcomes);
            }
        }
        Ok(all)
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
            next: "nothing by itself: compare the order with its stock and adjust one of them".to_owned(),
        };
        let mut mismatches = self.mismatches.lock().unwrap_or_else(PoisonError::into_inner);
        if mismatches.len() < MAX_MISMATCHES {
            mismatches.entry(reservation_id).or_insert(entry);
        }
        let count = mismatches.len() as u64;
        drop(mismatches);
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
