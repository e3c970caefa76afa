use std::collections::BTreeSet;

use shop_core::PageRequest;
use shop_core::page::Limit;
use shop_products::{HeldKey, ReservationId};

use super::core::{Core, OWNER};
use super::report::{InDoubt, InDoubtKind};
use crate::settler::{order_of, verb};
use crate::store::{Footprint, Snapshot};
use crate::{OrderError, Outcome};

/// The most open settlements that are listed.
const MAX_SETTLEMENTS: usize = 1_000;
/// The most pages of held reservations that are listed.
const MAX_PAGES: usize = 20;

impl Core {
    pub(crate) async fn doctor(&self) -> Result<Vec<InDoubt>, OrderError> {
        let mut found: Vec<InDoubt> = {
            let disagreements = self.disagreements();
            disagreements.mismatches.values().chain(disagreements.refused.values()).cloned().collect()
        };
        self.held_in_doubt(&mut found).await?;
        self.open_in_doubt(&mut found).await?;
        Ok(found)
    }

    async fn held_in_doubt(&self, found: &mut Vec<InDoubt>) -> Result<(), OrderError> {
        let before = self.clock.now().minus(self.config.grace);
        let mut page = PageRequest { limit: Limit::new(Limit::MAX).unwrap_or_default(), after: None };
        for _ in 0..MAX_PAGES {
            let held = self.catalog.held(OWNER, before, &page).await?;
            let snapshot = self.decisions_of(held.data.iter().map(|held| held.id).collect()).await?;
            found.extend(held.data.iter().map(|held| {
                let (step, next) = match snapshot.decisions.get(&held.id).map(|decision| decision.outcome) {
                    None => (
                        "held, and nothing was decided: who asked for it stopped or still works",
                        "recovery writes the expired row, then releases it",
                    ),
                    Some(Outcome::Expired) => ("given up, and still held", "recovery releases it"),
                    Some(Outcome::Placed(_)) => {
                        ("decided by an order, and still held", "recovery settles it")
                    }
                };
                InDoubt {
                    kind: InDoubtKind::Held,
                    reservation_id: held.id,
                    order_id: order_of(&snapshot, held.id).map(|order| order.id),
                    since: held.created_at,
                    step: step.to_owned(),
                    next: next.to_owned(),
                }
            }));
            match held.next_cursor.map(|cursor| cursor.decode::<HeldKey>()) {
                Some(Ok(key)) => page.after = Some(key),
                Some(Err(error)) => return Err(OrderError::Internal(Box::new(error))),
                None => break,
            }
        }
        Ok(())
    }

    async fn open_in_doubt(&self, found: &mut Vec<InDoubt>) -> Result<(), OrderError> {
        let (_, open) = self.store.open_settlements(MAX_SETTLEMENTS).await?;
        let snapshot =
            self.decisions_of(open.iter().map(|open| open.settlement.reservation_id).collect()).await?;
        found.extend(open.iter().map(|open| InDoubt {
            kind: InDoubtKind::OpenSettlement,
            reservation_id: open.settlement.reservation_id,
            order_id: order_of(&snapshot, open.settlement.reservation_id).map(|order| order.id),
            since: open.at,
            step: format!("decided; products have not acknowledged the {}", verb(&open.settlement.action)),
            next: "it is sent again until they do".to_owned(),
        }));
        Ok(())
    }

    async fn decisions_of(&self, reservations: BTreeSet<ReservationId>) -> Result<Snapshot, OrderError> {
        Ok(self.store.load(&Footprint { reservations, ..Footprint::default() }).await?)
    }
}
