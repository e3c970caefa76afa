use std::collections::BTreeMap;

use shop_products::{HoldLine, ProductId, ProductRef, Reservation, SettleAction, ShrinkLine, Sku};

use super::lines::{Copied, priced};
use super::place::copied;
use super::{Edit, Ledger, Verdict};
use crate::{
    EventType, Order, OrderDetails, OrderError, OrderHold, OrderPatch, OrderStatus, Outcome, validate,
};

impl Ledger {
    /// Changes the order. Its stock changes by the difference: what grew is held by the edit's second reservation and is
    /// committed, what shrank is given back.
    pub(super) fn edit(&mut self, edit: &Edit) -> Result<Verdict, OrderError> {
        if let Some(growth) = &edit.growth {
            match self.snapshot.decisions.get(&growth.id).map(|decision| decision.outcome) {
                Some(Outcome::Expired) => return Err(OrderError::NotPlaced),
                Some(Outcome::Placed(order)) => return self.order_of_decision(order).map(Verdict::Done),
                None => {}
            }
        }
        let before = self.live_order(edit.order_id, edit.if_match.as_deref())?;
        if before.status != OrderStatus::Placed {
            return Err(OrderError::IllegalTransition { from: before.status, to: OrderStatus::Placed });
        }
        let mut order = before.clone();
        patch_details(&mut order.details, &edit.patch)?;
        let mut settlements = Vec::new();
        if let Some(asked) = &edit.patch.lines {
            let target = Target::of(before, asked, &edit.aliases, edit.growth.as_ref());
            if target.growth(before) != held(edit.growth.as_ref()) || !target.unknown.is_empty() {
                return Ok(Verdict::Stale);
            }
            let products =
                asked.iter().map(|line| target.product(before, edit.growth.as_ref(), &line.product));
            (order.lines, order.total) = priced(asked, &products.collect::<Result<Vec<_>, _>>()?)?;
            settlements = shrink(&mut order.holds, &target.quantities);
        }
        if order.lines == before.lines && order.details == before.details {
            return Ok(Verdict::Done(Box::new(order)));
        }
        if let Some(growth) = &edit.growth {
            let quantities = held(Some(growth));
            order.holds.push(OrderHold { reservation_id: growth.id, quantities });
            self.write_decision(growth.id, None, 1, Outcome::Placed(order.id));
            self.settle(growth.id, SettleAction::Commit);
        }
        for (hold, action) in settlements {
            self.settle(hold, action);
        }
        let order = self.replace(EventType::Edited, order);
        Ok(Verdict::Done(Box::new(order)))
    }
}

fn patch_details(details: &mut OrderDetails, patch: &OrderPatch) -> Result<(), OrderError> {
    if let Some(customer_id) = &patch.customer_id {
        details.customer_id.clone_from(customer_id);
    }
    if let Some(reference) = &patch.reference {
        details.reference.clone_from(reference);
    }
    for (name, value) in patch.metadata.iter().flatten() {
        match value {
            Some(value) => details.metadata.insert(name.clone(), value.clone()),
            None => details.metadata.remove(name),
        };
    }
    validate::merged_metadata(&details.metadata)
}

/// What must be held for an edit before it can be decided.
#[derive(Debug, Default)]
pub(crate) struct Growth {
    /// What to hold; empty if nothing grows.
    pub(crate) lines: Vec<HoldLine>,
    /// The line of the edit that each of them stands for.
    pub(crate) of_line: Vec<usize>,
}

/// What an edit's lines take beyond what the order has.
pub(crate) fn growth_of(order: &Order, asked: &[HoldLine], aliases: &BTreeMap<Sku, ProductId>) -> Growth {
    let target = Target::of(order, asked, aliases, None);
    let mut grows = target.growth(order);
    let mut growth = Growth::default();
    for (index, line) in asked.iter().enumerate() {
        let (product, quantity) = match resolve(order, aliases, None, &line.product) {
            // Each line takes its part, so that none asks for more than a line may.
            Some(id) => {
                let Some(left) = grows.get_mut(&id) else { continue };
                let part = line.quantity.min(*left);
                *left -= part;
                (ProductRef::Id(id), part)
            }
            None => (line.product.clone(), line.quantity),
        };
        if quantity > 0 {
            growth.lines.push(HoldLine { product, quantity });
            growth.of_line.push(index);
        }
    }
    growth
}

/// What an order is to have of each product.
struct Target<'a> {
    quantities: BTreeMap<ProductId, i64>,
    /// SKUs of which nothing is known yet.
    unknown: Vec<&'a ProductRef>,
    aliases: &'a BTreeMap<Sku, ProductId>,
}

impl<'a> Target<'a> {
    fn of(
        order: &Order,
        asked: &'a [HoldLine],
        aliases: &'a BTreeMap<Sku, ProductId>,
        growth: Option<&Reservation>,
    ) -> Self {
        let mut target = Self { quantities: BTreeMap::new(), unknown: Vec::new(), aliases };
        for line in asked {
            match resolve(order, aliases, growth, &line.product) {
                Some(id) => *target.quantities.entry(id).or_insert(0) += line.quantity,
                None => target.unknown.push(&line.product),
            }
        }
        target
    }

    fn growth(&self, order: &Order) -> BTreeMap<ProductId, i64> {
        let has = order_quantities(order);
        let more = |(id, wanted): (&ProductId, &i64)| {
            let more = wanted - has.get(id).copied().unwrap_or(0);
            (more > 0).then_some((*id, more))
        };
        self.quantities.iter().filter_map(more).collect()
    }

    /// A product that the order has keeps its copied name and price; a new one gets those of the hold.
    fn product(
        &self,
        order: &Order,
        growth: Option<&Reservation>,
        product: &ProductRef,
    ) -> Result<Copied, OrderError> {
        let id = resolve(order, self.aliases, growth, product);
        let ordered = order.lines.iter().find(|line| Some(line.product_id) == id).map(|line| Copied {
            product_id: line.product_id,
            sku: line.sku.clone(),
            name: line.name.clone(),
            unit_price: line.unit_price,
        });
        let new = || growth?.lines.iter().find(|line| Some(line.product_id) == id).map(copied);
        let found = ordered.or_else(new);
        found.ok_or_else(|| {
            OrderError::Internal(format!("neither order nor reservation has {product}").into())
        })
    }
}

fn resolve(
    order: &Order,
    aliases: &BTreeMap<Sku, ProductId>,
    growth: Option<&Reservation>,
    product: &ProductRef,
) -> Option<ProductId> {
    match product {
        ProductRef::Id(id) => Some(*id),
        ProductRef::Sku(sku) => {
            let ordered = order.lines.iter().find(|line| line.sku == *sku).map(|line| line.product_id);
            let alias = || aliases.get(sku).copied();
            let new = || growth?.lines.iter().find(|line| line.sku == *sku).map(|line| line.product_id);
            ordered.or_else(alias).or_else(new)
        }
    }
}

fn order_quantities(order: &Order) -> BTreeMap<ProductId, i64> {
    let mut has = BTreeMap::new();
    for (id, quantity) in order.holds.iter().flat_map(|hold| &hold.quantities) {
        *has.entry(*id).or_insert(0) += quantity;
    }
    has
}

fn held(growth: Option<&Reservation>) -> BTreeMap<ProductId, i64> {
    growth
        .map(|growth| growth.lines.iter().map(|line| (line.product_id, line.quantity)).collect())
        .unwrap_or_default()
}

/// Lowers the holds to what is wanted, the newest first, and says what products must be told: absolute targets, which
/// may be repeated.
fn shrink(
    holds: &mut Vec<OrderHold>,
    wanted: &BTreeMap<ProductId, i64>,
) -> Vec<(shop_products::ReservationId, SettleAction)> {
    let mut excess: BTreeMap<ProductId, i64> = BTreeMap::new();
    for (id, quantity) in holds.iter().flat_map(|hold| &hold.quantities) {
        *excess.entry(*id).or_insert_with(|| -wanted.get(id).copied().unwrap_or(0)) += quantity;
    }
    let mut settlements = Vec::new();
    for hold in holds.iter_mut().rev() {
        let mut changed = false;
        hold.quantities.retain(|id, quantity| {
            let taken = excess.get(id).copied().unwrap_or(0).clamp(0, *quantity);
            changed |= taken > 0;
            *quantity -= taken;
            excess.entry(*id).and_modify(|excess| *excess -= taken);
            *quantity > 0
        });
        if changed {
            let left = hold
                .quantities
                .iter()
                .map(|(id, quantity)| ShrinkLine { product_id: *id, quantity: *quantity });
            let left: Vec<ShrinkLine> = left.collect();
            let action = if left.is_empty() { SettleAction::Release } else { SettleAction::Shrink(left) };
            settlements.push((hold.reservation_id, action));
        }
    }
    holds.retain(|hold| !hold.quantities.is_empty());
    settlements
}
