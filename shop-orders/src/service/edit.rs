use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use shop_products::{CatalogError, HoldLine, ProductId, ProductRef, ReservationId, Sku};
use tokio::time::Instant;

use super::core::Core;
use crate::ledger::{Command, Edit, Growth, Verdict, growth_of};
use crate::{Order, OrderError, OrderId, OrderPatch, OrderStatus};

/// An edit that others overtake so often is refused.
const MAX_ROUNDS: usize = 10;

impl Core {
    /// Holds what grows as a second reservation, then decides; and again if the order changed meanwhile.
    pub(crate) async fn edit(
        self: Arc<Self>,
        order_id: OrderId,
        if_match: Option<Vec<u64>>,
        patch: OrderPatch,
    ) -> Result<Order, OrderError> {
        let deadline = Instant::now() + self.config.place_deadline;
        let patch = Arc::new(patch);
        let mut aliases = BTreeMap::new();
        for _ in 0..MAX_ROUNDS {
            let growth = match &patch.lines {
                None => Growth::default(),
                Some(lines) => {
                    let order = self.editable(order_id, if_match.as_deref()).await?;
                    self.find_renamed(&order, lines, &mut aliases, deadline).await?;
                    growth_of(&order, lines, &aliases)
                }
            };
            let growth = if growth.lines.is_empty() {
                None
            } else {
                let held = self.hold(ReservationId::generate(), growth.lines, deadline).await;
                Some(held.map_err(|error| of_lines(error, &growth.of_line))?)
            };
            // SKUs that turn out to be products that the order knows by another name.
            let named: Vec<_> = growth
                .iter()
                .flat_map(|growth| &growth.lines)
                .map(|line| (line.sku.clone(), line.product_id))
                .collect();
            let (if_match, patch) = (if_match.clone(), patch.clone());
            let edit = Edit { order_id, if_match, patch, growth, aliases: aliases.clone() };
            match self.decide(Command::Edit(edit)).await? {
                Verdict::Done(order) => return Ok(*order),
                Verdict::Stale => aliases.extend(named),
                other => return Err(OrderError::Internal(format!("an edit ended as {other:?}").into())),
            }
        }
        Err(OrderError::Unavailable("the order was changed by others again and again".into()))
    }

    /// Finds the order's products among SKUs that it does not have: one that was renamed must be known before it is said
    /// what grows, or all of it would be held once more.
    async fn find_renamed(
        &self,
        order: &Order,
        lines: &[HoldLine],
        aliases: &mut BTreeMap<Sku, ProductId>,
        deadline: Instant,
    ) -> Result<(), OrderError> {
        let names: BTreeSet<&Sku> = order.lines.iter().map(|line| &line.sku).collect();
        let is_strange = |line: &&HoldLine| match &line.product {
            ProductRef::Sku(sku) => !names.contains(sku) && !aliases.contains_key(sku),
            ProductRef::Id(_) => false,
        };
        let strange: Vec<HoldLine> = lines.iter().filter(is_strange).cloned().collect();
        if strange.is_empty() {
            return Ok(());
        }
        let products: BTreeSet<ProductId> = order.lines.iter().map(|line| line.product_id).collect();
        let answer = self.ask(deadline, || self.catalog.check(&strange)).await?;
        for (asked, found) in strange.into_iter().zip(answer.lines) {
            if let (ProductRef::Sku(sku), Some(id)) = (asked.product, found.product_id)
                && products.contains(&id)
            {
                aliases.insert(sku, id);
            }
        }
        Ok(())
    }

    /// The order, if an edit would be decided about it at all: nothing is held for one that would not.
    async fn editable(&self, id: OrderId, if_match: Option<&[u64]>) -> Result<Order, OrderError> {
        let order = self.order(id).await?;
        if if_match.is_some_and(|seen| !seen.contains(&order.version)) {
            return Err(OrderError::VersionMismatch { current: order.version });
        }
        if order.status != OrderStatus::Placed {
            return Err(OrderError::IllegalTransition { from: order.status, to: OrderStatus::Placed });
        }
        Ok(order)
    }
}

/// A hold's refusal in terms of the edit's lines.
fn of_lines(error: CatalogError, of_line: &[usize]) -> OrderError {
    match error {
        CatalogError::UnknownProducts(mut lines) => {
            for line in &mut lines {
                line.line = of_line.get(line.line).copied().unwrap_or(line.line);
            }
            OrderError::UnknownProducts(lines)
        }
        other => other.into(),
    }
}
