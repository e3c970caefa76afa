use shop_products::SettleAction;

use super::{Advance, Delete, Ledger, Verdict};
use crate::{EventType, Order, OrderError, OrderStatus};

impl Ledger {
    /// Cancels, ships or delivers.
    pub(super) fn advance(&mut self, advance: &Advance) -> Result<Verdict, OrderError> {
        if let Some(replay) = self.replay(advance.keyed.as_ref()) {
            return replay;
        }
        let order = self.live_order(advance.order_id, advance.if_match.as_deref())?;
        if !order.status.can_become(advance.to) {
            return Err(OrderError::IllegalTransition { from: order.status, to: advance.to });
        }
        let order = self.move_to(order.clone(), advance.to);
        self.write_record(advance.keyed.as_ref(), &order);
        Ok(Verdict::Done(Box::new(order)))
    }

    /// Hides an order; one that is placed is cancelled first.
    pub(super) fn delete(&mut self, delete: &Delete) -> Result<Verdict, OrderError> {
        let mut order = self.live_order(delete.order_id, delete.if_match.as_deref())?.clone();
        if order.status == OrderStatus::Placed {
            order = self.move_to(order, OrderStatus::Cancelled);
        }
        order.deleted_at = Some(self.now());
        let order = self.replace(EventType::Deleted, order);
        Ok(Verdict::Done(Box::new(order)))
    }

    fn move_to(&mut self, mut order: Order, status: OrderStatus) -> Order {
        let now = self.now();
        order.status = status;
        let (kind, settlement) = match status {
            OrderStatus::Placed => (EventType::Placed, None),
            OrderStatus::Cancelled => {
                order.cancelled_at = Some(now);
                (EventType::Cancelled, Some(SettleAction::Release))
            }
            OrderStatus::Shipped => {
                order.shipped_at = Some(now);
                (EventType::Shipped, Some(SettleAction::Fulfil))
            }
            OrderStatus::Delivered => {
                order.delivered_at = Some(now);
                (EventType::Delivered, None)
            }
        };
        if let Some(action) = settlement {
            for hold in &order.holds {
                self.settle(hold.reservation_id, action.clone());
            }
        }
        self.replace(kind, order)
    }
}
