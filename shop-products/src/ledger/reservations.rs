use std::collections::BTreeMap;
use std::time::Duration;

use shop_core::idempotency::{Answered, Keyed};

use super::{Ledger, ReservationEntry, incomplete};
use crate::{
    HoldRequest, LineStatus, ProductError, ProductId, ProductRef, Reservation, ReservationId,
    ReservationState, ReservedLine, SettleAction, SettleOutcome, Settlement, ShortLine, ShrinkLine,
    UnknownLine,
};

impl Ledger {
    /// Takes all lines or none. `true`: now; `false`: this is the reservation of the same request before.
    pub(super) fn hold(&mut self, request: &HoldRequest) -> Result<(Reservation, bool), ProductError> {
        if let Some(entry) = self.reservations.get(&request.id) {
            let reservation = &entry.reservation;
            if !reservation.state.is_live() {
                return Err(ProductError::ReservationReleased(reservation.state));
            }
            return if self.is_for(reservation, request) {
                Ok((reservation.clone(), false))
            } else {
                Err(ProductError::OtherLines)
            };
        }
        let lines = self.reserved_lines(request)?;
        for line in &lines {
            self.entry(line.product_id).move_stock(0, line.quantity, true);
        }
        let reservation = Reservation {
            id: request.id,
            owner: request.owner.clone(),
            state: ReservationState::Held,
            lines,
            created_at: self.now,
            updated_at: self.now,
            expires_at: request.expires_in.map(|span| self.now.plus(span)),
        };
        let entry =
            ReservationEntry { reservation: reservation.clone(), origin: None, changed: true, shrunk: false };
        self.reservations.insert(request.id, entry);
        Ok((reservation, true))
    }

    /// The lines of a request, one a product, if all of them can be had.
    fn reserved_lines(&self, request: &HoldRequest) -> Result<Vec<ReservedLine>, ProductError> {
        let mut unknown = Vec::new();
        let mut lines: Vec<ReservedLine> = Vec::with_capacity(request.lines.len());
        let mut places: BTreeMap<ProductId, usize> = BTreeMap::new();
        for (n, line) in request.lines.iter().enumerate() {
            let found = self.find(&line.product).filter(|product| product.deleted_at.is_none());
            let Some(product) = found else {
                unknown.push(UnknownLine::new(n, &line.product, LineStatus::Unknown));
                continue;
            };
            if !product.is_orderable() {
                unknown.push(UnknownLine::new(n, &line.product, LineStatus::Inactive));
                continue;
            }
            let place = *places.entry(product.id).or_insert(lines.len());
            if let Some(reserved) = lines.get_mut(place) {
                reserved.quantity += line.quantity;
                reserved.held += line.quantity;
            } else {
                lines.push(ReservedLine {
                    product_id: product.id,
                    sku: product.details.sku.clone(),
                    name: product.details.name.clone(),
                    quantity: line.quantity,
                    held: line.quantity,
                    unit_price: product.details.price,
                });
            }
        }
        if !unknown.is_empty() {
            return Err(ProductError::UnknownProducts(unknown));
        }
        let short: Vec<ShortLine> = lines
            .iter()
            .filter_map(|line| {
                let available = self.products.get(&line.product_id)?.product.stock.available();
                (available < line.quantity).then(|| ShortLine {
                    product_id: line.product_id,
                    sku: line.sku.clone(),
                    requested: line.quantity,
                    available,
                })
            })
            .collect();
        if short.is_empty() { Ok(lines) } else { Err(ProductError::InsufficientStock(short)) }
    }

    /// Whether a reservation is what this request asks for. A product that got another SKU since, or was deleted, is
    /// known by the SKU that it had.
    fn is_for(&self, reservation: &Reservation, request: &HoldRequest) -> bool {
        let mut asked: BTreeMap<ProductId, i64> = BTreeMap::new();
        for line in &request.lines {
            let id = match &line.product {
                ProductRef::Id(id) => Some(*id),
                ProductRef::Sku(sku) => reservation
                    .lines
                    .iter()
                    .find(|reserved| reserved.sku == *sku)
                    .map(|reserved| reserved.product_id)
                    .or_else(|| self.find(&line.product).map(|product| product.id)),
            };
            let Some(id) = id else { return false };
            *asked.entry(id).or_default() += line.quantity;
        }
        let held: BTreeMap<ProductId, i64> =
            reservation.lines.iter().map(|line| (line.product_id, line.held)).collect();
        asked == held
    }

    pub(super) fn settle(
        &mut self,
        settlements: &[Settlement],
        keyed: Option<&Keyed<Vec<SettleOutcome>>>,
    ) -> Result<Answered<Vec<SettleOutcome>>, ProductError> {
        if let Some(answer) = self.replay(keyed)? {
            return Ok(Answered::Replayed(answer));
        }
        let complete = settlements.iter().all(|settlement| {
            self.reservations
                .get(&settlement.reservation_id)
                .is_none_or(|entry| self.has_products(&entry.reservation))
        });
        if !complete {
            return Err(incomplete());
        }
        let outcomes: Vec<SettleOutcome> = settlements
            .iter()
            .map(|settlement| SettleOutcome {
                reservation_id: settlement.reservation_id,
                state: self.settle_one(settlement),
            })
            .collect();
        self.record(keyed, &outcomes);
        Ok(Answered::Fresh(outcomes))
    }

    fn settle_one(&mut self, settlement: &Settlement) -> Option<ReservationState> {
        let id = settlement.reservation_id;
        let Some(entry) = self.reservations.get(&id) else {
            return matches!(settlement.action, SettleAction::Release).then(|| self.released_unseen(id));
        };
        let state = entry.reservation.state;
        match &settlement.action {
            SettleAction::Commit if state == ReservationState::Held => {
                self.change(id).state = ReservationState::Committed;
            }
            SettleAction::Release if state.is_live() => self.end(id, ReservationState::Released),
            SettleAction::Fulfil if state.is_live() => self.end(id, ReservationState::Fulfilled),
            SettleAction::Shrink(keep) if state.is_live() => self.shrink(id, keep),
            _ => {}
        }
        self.reservations.get(&id).map(|entry| entry.reservation.state)
    }

    /// A late hold of this id will be refused.
    fn released_unseen(&mut self, id: ReservationId) -> ReservationState {
        let reservation = Reservation {
            id,
            owner: None,
            state: ReservationState::Released,
            lines: Vec::new(),
            created_at: self.now,
            updated_at: self.now,
            expires_at: None,
        };
        self.reservations
            .insert(id, ReservationEntry { reservation, origin: None, changed: true, shrunk: false });
        ReservationState::Released
    }

    /// Ends a live reservation: its units are available again, or have left the warehouse.
    fn end(&mut self, id: ReservationId, state: ReservationState) {
        let reservation = self.change(id);
        reservation.state = state;
        let units: Vec<_> = reservation.lines.iter().map(|line| (line.product_id, line.quantity)).collect();
        for (product, units) in units {
            if units > 0 {
                let left = if state == ReservationState::Fulfilled { units } else { 0 };
                self.entry(product).move_stock(-left, -units, false);
            }
        }
    }

    fn shrink(&mut self, id: ReservationId, keep: &[ShrinkLine]) {
        let Some(entry) = self.reservations.get(&id) else { return };
        let kept =
            |product: ProductId| keep.iter().filter(|k| k.product_id == product).map(|k| k.quantity).min();
        let less: Vec<(usize, ProductId, i64)> = entry
            .reservation
            .lines
            .iter()
            .enumerate()
            .map(|(n, line)| (n, line.product_id, line.quantity - kept(line.product_id).unwrap_or(0).max(0)))
            .filter(|(_, _, less)| *less > 0)
            .collect();
        if less.is_empty() {
            return;
        }
        let reservation = self.change(id);
        for (n, _, units) in &less {
            reservation.lines[*n].quantity -= units;
        }
        self.reservations.entry(id).and_modify(|entry| entry.shrunk = true);
        for (_, product, units) in less {
            self.entry(product).move_stock(0, -units, false);
        }
    }

    /// A reservation that is about to change. `updated_at` always rises, so that it tells two states apart.
    fn change(&mut self, id: ReservationId) -> &mut Reservation {
        let now = self.now;
        let entry = self.reservations.get_mut(&id).expect("looked up before it is changed");
        entry.changed = true;
        entry.reservation.updated_at = now.max(entry.reservation.updated_at.plus(Duration::from_millis(1)));
        &mut entry.reservation
    }

    fn has_products(&self, reservation: &Reservation) -> bool {
        reservation.lines.iter().all(|line| self.products.contains_key(&line.product_id))
    }

    /// Releases the held reservations whose time has come.
    pub(super) fn release_expired(&mut self) {
        let mut expired: Vec<ReservationId> = self
            .reservations
            .values()
            .map(|entry| &entry.reservation)
            .filter(|reservation| reservation.is_expired(self.now) && self.has_products(reservation))
            .map(|reservation| reservation.id)
            .collect();
        expired.sort_unstable();
        self.expired = expired.len();
        for id in expired {
            self.end(id, ReservationState::Released);
        }
    }
}
