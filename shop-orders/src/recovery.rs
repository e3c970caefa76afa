//! Recovery: reservations that products hold past the grace time are decided, whatever became of who asked for them.

use std::collections::HashSet;
use std::sync::Arc;

use shop_core::page::Limit;
use shop_core::{CombinerGone, PageRequest};
use shop_products::{HeldKey, HeldReservation, ReservationId, ReservationState, SettleAction, Settlement};
use tokio::task::JoinSet;

use crate::OrderError;
use crate::ledger::{Command, Decided, Expire, Verdict};
use crate::service::core::{Core, OWNER};
use crate::settler::action_for;
use crate::store::OpenSettlement;

/// Open settlements that are looked through for fulfilments.
const MAX_OPEN: usize = 10_000;

impl Core {
    /// One round. For each held reservation the expired row is written unless there is a row; only then is it released,
    /// or settled as its order says if there is one. Returns how many it met.
    ///
    /// Any number of instances may do this at once: the row decides, and settling is idempotent.
    pub(crate) async fn recover(self: Arc<Self>) -> Result<u64, OrderError> {
        let before = self.clock.now().minus(self.config.grace);
        let mut page = PageRequest { limit: Limit::new(Limit::MAX).unwrap_or_default(), after: None };
        let (mut met, mut left) = (0, 0);
        loop {
            let found = self.catalog.held(OWNER, before, &page).await?;
            met += found.data.len() as u64;
            left += self.clone().recover_page(found.data).await?;
            let next = found.next_cursor.map(|cursor| cursor.decode::<HeldKey>());
            page.after = match next {
                None => break,
                Some(Ok(key)) => Some(key),
                Some(Err(error)) => return Err(OrderError::Internal(Box::new(error))),
            };
        }
        self.set_figures(|figures| figures.orders_in_doubt = left);
        if met > 0 {
            tracing::info!(met, left, "recovery met reservations past their grace time");
        }
        Ok(met)
    }

    /// Returns how many are still held.
    pub(crate) async fn recover_page(self: Arc<Self>, held: Vec<HeldReservation>) -> Result<u64, OrderError> {
        let mut decisions = JoinSet::new();
        for reservation in held {
            let core = self.clone();
            decisions.spawn(async move { (reservation, core.give_up(reservation).await) });
        }
        let mut settlements = Vec::new();
        let mut fulfilments = Vec::new();
        let mut undecided = 0;
        while let Some(decided) = decisions.join_next().await {
            let (reservation, decided) = decided.map_err(|panic| OrderError::Internal(Box::new(panic)))?;
            let action = match decided?.verdict {
                Ok(Verdict::Belongs(order)) => action_for(&order, reservation.id),
                Ok(_) => SettleAction::Release,
                Err(error) => {
                    tracing::warn!(%error, reservation_id = %reservation.id, "recovery could not decide");
                    undecided += 1;
                    continue;
                }
            };
            match action {
                SettleAction::Fulfil => fulfilments.push(reservation.id),
                action => settlements.push(Settlement { reservation_id: reservation.id, action }),
            }
        }
        let (found, left) = self.once_fulfilled(fulfilments).await?;
        settlements.extend(found);
        undecided += left;
        if settlements.is_empty() {
            return Ok(undecided);
        }
        let settled = self.settle_in_order(settlements).await?;
        let is_held = |state: &&Option<ReservationState>| **state == Some(ReservationState::Held);
        let held = settled.states.values().filter(is_held).count() + settled.refused.len();
        Ok(undecided + held as u64)
    }

    /// What to tell products of reservations that are held though their orders were shipped.
    ///
    /// The fulfilment is in the outbox since the order was shipped, and leaves it when products have acknowledged it. If it
    /// is there, it is sent. If it is not, these units left the warehouse already, products have forgotten it, and a late
    /// duplicate of the hold took them again: they are given back. Not covered: a fulfilment that products carried out and
    /// forgot (a day later) before orders learnt of it, and a late duplicate of the hold after that.
    ///
    /// Returns the settlements, and how many reservations are left to the settler, since so much is open that one cannot
    /// tell.
    async fn once_fulfilled(
        &self,
        reservations: Vec<ReservationId>,
    ) -> Result<(Vec<Settlement>, u64), OrderError> {
        if reservations.is_empty() {
            return Ok((Vec::new(), 0));
        }
        // Read after the decisions: a shipped order's fulfilment was there before, so none now means acknowledged.
        let (count, open) = self.store.open_settlements(MAX_OPEN).await?;
        let are_all = count <= open.len() as u64;
        let is_fulfilment = |open: &&OpenSettlement| open.settlement.action == SettleAction::Fulfil;
        let open: HashSet<ReservationId> =
            open.iter().filter(is_fulfilment).map(|open| open.settlement.reservation_id).collect();
        let mut left = 0;
        let settlement = |reservation_id| {
            let action = match open.contains(&reservation_id) {
                true => SettleAction::Fulfil,
                false if are_all => SettleAction::Release,
                false => {
                    left += 1;
                    return None;
                }
            };
            Some(Settlement { reservation_id, action })
        };
        let settlements = reservations.into_iter().filter_map(settlement).collect();
        Ok((settlements, left))
    }

    async fn give_up(&self, held: HeldReservation) -> Result<Decided, CombinerGone> {
        // Recovery does not know the key, and need not: the row is found by the reservation's id.
        let expire = Expire { reservation_id: held.id, key: None, attempt: 1 };
        self.combiner.submit(Command::Expire(expire)).await
    }
}
