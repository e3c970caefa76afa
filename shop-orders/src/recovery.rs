//! Recovery: reservations that products hold past the grace time are decided, whatever became of who asked for them.

use std::sync::Arc;

use shop_core::page::Limit;
use shop_core::{CombinerGone, PageRequest};
use shop_products::{HeldKey, HeldReservation, ReservationState, SettleAction, Settlement};
use tokio::task::JoinSet;

use crate::OrderError;
use crate::ledger::{Command, Decided, Expire, Verdict};
use crate::service::core::{Core, OWNER};
use crate::settler::action_for;

impl Core {
    /// One round. For each held reservation the expired row is written unless there is a row; only then is it released,
    /// or committed if its row says that an order was placed. Returns how many it met.
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
    async fn recover_page(self: Arc<Self>, held: Vec<HeldReservation>) -> Result<u64, OrderError> {
        let mut decisions = JoinSet::new();
        for reservation in held {
            let core = self.clone();
            decisions.spawn(async move { (reservation, core.give_up(reservation).await) });
        }
        let mut settlements = Vec::new();
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
            settlements.push(Settlement { reservation_id: reservation.id, action });
        }
        if settlements.is_empty() {
            return Ok(undecided);
        }
        let outcomes = self.catalog.settle(&settlements).await?;
        self.compare(&settlements, &outcomes).await?;
        let held = outcomes.iter().filter(|outcome| outcome.state == Some(ReservationState::Held)).count();
        Ok(undecided + held as u64)
    }

    async fn give_up(&self, held: HeldReservation) -> Result<Decided, CombinerGone> {
        // Recovery does not know the key, and need not: the row is found by the reservation's id.
        let expire = Expire { reservation_id: held.id, key: None, attempt: 1 };
        self.combiner.submit(Command::Expire(expire)).await
    }
}
