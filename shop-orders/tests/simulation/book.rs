//! What has become of orders and stock, written down as it is committed, and looked at each time.

use std::collections::BTreeMap;

use shop_orders::{Order, OrderHold, OrderId, OrderStatus};
use shop_products::{ProductId, Reservation, ReservationId, ReservationState, Stock};

use crate::world::World;

/// What a client was told.
#[derive(Debug, Clone)]
pub(crate) struct Told {
    pub(crate) what: &'static str,
    pub(crate) order: OrderId,
    pub(crate) version: u64,
    pub(crate) status: OrderStatus,
    pub(crate) is_deleted: bool,
}

#[derive(Debug, Default)]
pub(crate) struct Book {
    pub(crate) orders: BTreeMap<OrderId, Order>,
    pub(crate) reservations: BTreeMap<ReservationId, Reservation>,
    pub(crate) stock: BTreeMap<ProductId, Stock>,
    pub(crate) initial: BTreeMap<ProductId, i64>,
    /// There is so much of everything that nothing is ever short.
    pub(crate) is_ample: bool,
    pub(crate) told: Vec<Told>,
    /// The order of each key that was answered with 201.
    pub(crate) keys: BTreeMap<String, OrderId>,
    /// How often orders were placed for a key, by the order's reference.
    pub(crate) placed: BTreeMap<String, u64>,
    /// What deliveries and losses of goods came to, by product, and how often each was done, by its reference.
    pub(crate) adjusted: BTreeMap<ProductId, i64>,
    pub(crate) adjustments: BTreeMap<String, u64>,
    pub(crate) expired: u64,
    pub(crate) refused: u64,
    pub(crate) crashes: u64,
}

impl Book {
    /// What is wrong with the stock of an order, whichever side has just moved.
    fn fault_of(&self, order: &Order) -> Option<String> {
        if order.status == OrderStatus::Cancelled {
            return None;
        }
        let is_kept = |hold: &OrderHold| {
            let Some(reservation) = self.reservations.get(&hold.reservation_id) else { return false };
            let state_fits = match reservation.state {
                ReservationState::Held | ReservationState::Committed => true,
                ReservationState::Fulfilled => order.status != OrderStatus::Placed,
                ReservationState::Released => false,
            };
            state_fits
                && hold.quantities.iter().all(|(product, quantity)| {
                    let mut lines = reservation.lines.iter();
                    lines.any(|line| line.product_id == *product && line.quantity >= *quantity)
                })
        };
        let lost = order.holds.iter().find(|hold| !is_kept(hold))?;
        let found = self.reservations.get(&lost.reservation_id);
        Some(format!("order {} is {:?} and its stock is not: {lost:?}, {found:?}", order.id, order.status))
    }
}

impl World {
    /// The orders' store has written this.
    pub(crate) fn decided(&self, changes: &shop_orders::store::ChangeSet) {
        for decision in &changes.decisions {
            self.note(format_args!("decided {} {:?}", decision.reservation_id, decision.outcome));
        }
        let mut faults = Vec::new();
        let mut book = self.book.lock().unwrap();
        book.expired +=
            changes.decisions.iter().filter(|d| d.outcome == shop_orders::Outcome::Expired).count() as u64;
        for order in &changes.created {
            if let Some(reference) = &order.details.reference {
                let count = book.placed.entry(reference.clone()).or_insert(0);
                *count += 1;
                if *count > 1 {
                    faults.push(format!("{reference} is placed twice"));
                }
            }
        }
        let edited = changes.edited.iter().map(|edit| &edit.order);
        for order in changes.created.iter().chain(edited) {
            self.note(format_args!("order {} v{} {:?}", order.id, order.version, order.status));
            book.orders.insert(order.id, order.clone());
            faults.extend(book.fault_of(order));
        }
        drop(book);
        faults.into_iter().for_each(|fault| self.wrong(fault));
    }

    /// The products' store has written this.
    pub(crate) fn moved(&self, changes: &shop_products::store::ChangeSet) {
        let mut faults = Vec::new();
        let mut book = self.book.lock().unwrap();
        for product in changes.created.iter().chain(changes.edited.iter().map(|edit| &edit.product)) {
            book.stock.insert(product.id, product.stock);
        }
        for adjustment in &changes.adjustments {
            *book.adjusted.entry(adjustment.product_id).or_default() += adjustment.delta;
            let Some(reference) = &adjustment.reference else { continue };
            let count = book.adjustments.entry(reference.clone()).or_default();
            *count += 1;
            if *count > 1 {
                faults.push(format!("{reference} is adjusted twice"));
            }
        }
        let mut writes: Vec<_> = changes.reservations.iter().map(|write| &write.reservation).collect();
        writes.sort_by_key(|reservation| reservation.id);
        for reservation in &writes {
            self.note(format_args!("reservation {} {:?}", reservation.id, reservation.state));
            book.reservations.insert(reservation.id, (*reservation).clone());
        }
        let mut moves: Vec<_> = changes.stock.iter().collect();
        moves.sort_by_key(|change| change.product_id);
        for change in moves {
            let stock = book.stock.entry(change.product_id).or_default();
            stock.on_hand += change.on_hand;
            stock.allocated += change.allocated;
            let stock = *stock;
            self.note(format_args!("stock {} {} {}", change.product_id, stock.on_hand, stock.allocated));
            let live = book.reservations.values().filter(|reservation| reservation.state.is_live());
            let lines = live.flat_map(|reservation| &reservation.lines);
            let sum: i64 = lines.filter(|l| l.product_id == change.product_id).map(|l| l.quantity).sum();
            if stock.available() < 0 || stock.allocated < 0 || stock.allocated != sum {
                faults.push(format!("stock of {} is {stock:?}, reservations have {sum}", change.product_id));
            }
        }
        for reservation in &writes {
            let has = |order: &&Order| order.holds.iter().any(|hold| hold.reservation_id == reservation.id);
            faults.extend(book.orders.values().filter(has).filter_map(|order| book.fault_of(order)));
        }
        drop(book);
        faults.into_iter().for_each(|fault| self.wrong(fault));
    }
}
