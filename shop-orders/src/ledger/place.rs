use std::collections::{BTreeMap, HashMap};

use shop_products::{HoldLine, ProductId, ProductRef, Reservation, ReservedLine, SettleAction};

use super::lines::{Copied, priced};
use super::{Ledger, Place, Verdict};
use crate::{Order, OrderError, OrderHold, OrderStatus, Outcome};

impl Ledger {
    /// Places the order, unless its reservation or its key is decided already.
    pub(super) fn place(&mut self, place: &Place) -> Result<Verdict, OrderError> {
        let keyed = place.keyed.as_ref();
        match self.snapshot.decisions.get(&place.reservation.id).map(|decision| decision.outcome) {
            Some(Outcome::Expired) => return Err(OrderError::NotPlaced),
            Some(Outcome::Placed(order)) if order == place.order_id || keyed.is_none() => {
                return self.order_of_decision(order).map(Verdict::Done);
            }
            Some(Outcome::Placed(_)) => return self.replay(keyed).unwrap_or(Err(OrderError::KeyReused)),
            None => {}
        }
        if let Some(replay) = self.replay(keyed) {
            return replay;
        }
        let quantities = held(&place.reservation, &place.new.lines)?;
        let (lines, total) = priced(&place.new.lines, &copies(&place.reservation, &place.new.lines)?)?;
        if let Some(expected) = place.new.expected_total
            && expected != total
        {
            return Err(OrderError::PriceChanged { expected, actual: total });
        }
        let now = self.now();
        let order = Order {
            id: place.order_id,
            number: self.next_number,
            status: OrderStatus::Placed,
            details: place.new.details.clone(),
            lines,
            total,
            version: 1,
            placed_at: now,
            updated_at: now,
            shipped_at: None,
            delivered_at: None,
            cancelled_at: None,
            deleted_at: None,
            holds: vec![OrderHold { reservation_id: place.reservation.id, quantities }],
        };
        self.next_number += 1;
        let key = keyed.map(|keyed| keyed.idempotency.key.clone());
        self.write_decision(place.reservation.id, key, place.attempt, Outcome::Placed(order.id));
        self.write_record(keyed, &order);
        self.settle(place.reservation.id, SettleAction::Commit);
        self.create(order.clone());
        Ok(Verdict::Done(Box::new(order)))
    }
}

/// What the reservation holds, which must be what is asked for.
fn held(reservation: &Reservation, asked: &[HoldLine]) -> Result<BTreeMap<ProductId, i64>, OrderError> {
    let quantities: BTreeMap<ProductId, i64> =
        reservation.lines.iter().map(|line| (line.product_id, line.quantity)).collect();
    let mut wanted = BTreeMap::new();
    let products = Products::of(reservation);
    for line in asked {
        *wanted.entry(products.find(&line.product)?.product_id).or_insert(0) += line.quantity;
    }
    if reservation.state.is_live() && wanted == quantities {
        Ok(quantities)
    } else {
        Err(OrderError::Internal(format!("reservation {} is not what was asked for", reservation.id).into()))
    }
}

fn copies(reservation: &Reservation, asked: &[HoldLine]) -> Result<Vec<Copied>, OrderError> {
    let products = Products::of(reservation);
    asked.iter().map(|line| products.find(&line.product).map(copied)).collect()
}

pub(super) fn copied(line: &ReservedLine) -> Copied {
    Copied {
        product_id: line.product_id,
        sku: line.sku.clone(),
        name: line.name.clone(),
        unit_price: line.unit_price,
    }
}

/// A reservation's lines by the names that a request may give them. Few lines are searched, many are indexed.
struct Products<'a> {
    lines: &'a [ReservedLine],
    index: Option<HashMap<ProductRef, usize>>,
}

impl<'a> Products<'a> {
    fn of(reservation: &'a Reservation) -> Self {
        let lines = reservation.lines.as_slice();
        let index = (lines.len() > 8).then(|| {
            let names = |(at, line): (usize, &ReservedLine)| {
                [(ProductRef::Id(line.product_id), at), (ProductRef::Sku(line.sku.clone()), at)]
            };
            lines.iter().enumerate().flat_map(names).collect()
        });
        Self { lines, index }
    }

    fn find(&self, product: &ProductRef) -> Result<&'a ReservedLine, OrderError> {
        let is = |line: &&ReservedLine| match product {
            ProductRef::Id(id) => line.product_id == *id,
            ProductRef::Sku(sku) => line.sku == *sku,
        };
        let found = match &self.index {
            Some(index) => index.get(product).map(|at| &self.lines[*at]),
            None => self.lines.iter().find(is),
        };
        found.ok_or_else(|| OrderError::Internal(format!("the reservation does not hold {product}").into()))
    }
}
