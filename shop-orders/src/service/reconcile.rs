use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use shop_core::{Cursor, Limit, Page, PageRequest, Timestamp};
use shop_products::{
    HeldKey, HeldReservation, HoldLine, ProductId, ProductRef, Reservation, ReservationId, Settlement,
};
use tokio::time::Instant;

use super::core::{Core, OWNER};
use super::difference::{Difference, Fit, Reconcile, ReconcileKey, ReconcilePage, Repair, Sides, is_listed};
use crate::settler::order_of;
use crate::store::{Footprint, OrderKey, OrderQuery};
use crate::{Order, OrderError, OrderStatus};

/// Open settlements that are looked through for such as will mend a difference.
const MAX_OPEN: usize = 10_000;
/// Reservations that products are asked for at once.
const AT_ONCE: usize = Limit::MAX as usize;

/// What a look at some reservations found.
#[derive(Debug, Default)]
struct Look {
    under_way: u64,
    differences: Vec<Difference>,
}

impl Core {
    /// One page of the walk. Differences are looked at twice, and only what is the same both times is one.
    pub(crate) async fn reconcile(
        self: Arc<Self>,
        how: Reconcile,
        page: PageRequest<ReconcileKey>,
    ) -> Result<ReconcilePage, OrderError> {
        let (mut result, first) = match page.after {
            None => self.reservations_page(how, page.limit, None).await?,
            Some(ReconcileKey::Reservations(key)) => {
                self.reservations_page(how, page.limit, Some(key)).await?
            }
            Some(ReconcileKey::Orders(key)) => self.orders_page(how, page.limit, key).await?,
        };
        result.under_way = first.under_way;
        if first.differences.is_empty() {
            return Ok(result);
        }
        let suspected = first.differences.len();
        result.differences = self.confirmed(how, first.differences).await?;
        result.under_way += (suspected - result.differences.len()) as u64;
        if how.apply {
            self.clone().repair(how, &mut result.differences).await?;
        }
        self.forecast(&mut result.differences).await?;
        Ok(result)
    }

    /// Reservations of products, each with what orders say of it.
    async fn reservations_page(
        &self,
        how: Reconcile,
        limit: Limit,
        after: Option<HeldKey>,
    ) -> Result<(ReconcilePage, Look), OrderError> {
        let page = self.catalog.reservations(OWNER, &PageRequest { limit, after }).await?;
        let ids = page.data.iter().map(|found| found.id).collect();
        let found: HashMap<_, _> = page.data.into_iter().map(|found| (found.id, found)).collect();
        let look = self.judge(how, self.settled_since(), &ids, &found).await?;
        let next = match page.next_cursor.map(|cursor| cursor.decode()).transpose() {
            Ok(Some(key)) => ReconcileKey::Reservations(key),
            Ok(None) => ReconcileKey::Orders(None),
            Err(error) => return Err(OrderError::Internal(Box::new(error))),
        };
        let reservations = found.len() as u64;
        let next_cursor = Some(Cursor::encode(&next));
        Ok((ReconcilePage { reservations, next_cursor, ..ReconcilePage::default() }, look))
    }

    /// Orders, oldest first, of which products know nothing. What they do know, the other walk has met.
    async fn orders_page(
        &self,
        how: Reconcile,
        limit: Limit,
        after: Option<OrderKey>,
    ) -> Result<(ReconcilePage, Look), OrderError> {
        let query = OrderQuery { ascending: true, ..OrderQuery::default() };
        let orders = self.store.orders(&query, &PageRequest { limit, after }).await?;
        let key = |order: &Order| {
            let key = OrderKey { ascending: true, placed_at: order.placed_at, id: order.id };
            ReconcileKey::Orders(Some(key))
        };
        let page = Page::from_overread(orders, limit, key);
        let kept = self.clock.now().minus(how.kept);
        let takes_stock = |order: &&Order| order.status != OrderStatus::Cancelled;
        let (old, judged): (Vec<_>, Vec<_>) = page
            .data
            .iter()
            .filter(takes_stock)
            .partition(|order| order.shipped_at.is_some_and(|at| at <= kept));
        let ids = judged.iter().flat_map(|order| order.holds.iter().map(|hold| hold.reservation_id));
        let mut found = self.find(&ids.collect()).await?;
        let ids: BTreeSet<_> =
            found.iter().filter(|(_, found)| !is_listed(found.as_ref())).map(|(id, _)| *id).collect();
        found.retain(|id, _| ids.contains(id));
        let found = found.into_iter().filter_map(|(id, found)| Some((id, found?))).collect();
        let look = self.judge(how, self.settled_since(), &ids, &found).await?;
        let result = ReconcilePage {
            orders: page.data.len() as u64,
            forgotten: old.len() as u64,
            next_cursor: page.next_cursor,
            ..ReconcilePage::default()
        };
        Ok((result, look))
    }

    /// What changed after this is being worked on.
    fn settled_since(&self) -> Timestamp {
        self.clock.now().minus(self.config.grace)
    }

    /// Reservations of any owner by id, as products have them.
    async fn find(
        &self,
        ids: &BTreeSet<ReservationId>,
    ) -> Result<HashMap<ReservationId, Option<Reservation>>, OrderError> {
        let ids: Vec<_> = ids.iter().copied().collect();
        let mut all = HashMap::with_capacity(ids.len());
        for part in ids.chunks(AT_ONCE) {
            all.extend(part.iter().copied().zip(self.catalog.find(part).await?));
        }
        Ok(all)
    }

    /// Compares reservations with what orders say, which must be read after them: then whatever products were told is there.
    async fn judge(
        &self,
        how: Reconcile,
        settled: Timestamp,
        ids: &BTreeSet<ReservationId>,
        found: &HashMap<ReservationId, Reservation>,
    ) -> Result<Look, OrderError> {
        let mut look = Look::default();
        if ids.is_empty() {
            return Ok(look);
        }
        let footprint = Footprint { reservations: ids.clone(), ..Footprint::default() };
        let snapshot = self.store.load(&footprint).await?;
        let kept = self.clock.now().minus(how.kept);
        for id in ids {
            let sides = Sides {
                id: *id,
                found: found.get(id),
                decision: snapshot.decisions.get(id),
                order: order_of(&snapshot, *id),
            };
            match sides.judge(settled, kept) {
                Fit::Fits => {}
                Fit::UnderWay => look.under_way += 1,
                Fit::Differs(difference) => look.differences.push(*difference),
            }
        }
        Ok(look)
    }

    async fn look_again(
        &self,
        how: Reconcile,
        settled: Timestamp,
        differences: &[Difference],
    ) -> Result<Vec<Difference>, OrderError> {
        let ids = differences.iter().map(|difference| difference.reservation_id).collect();
        let found = self.find(&ids).await?;
        let found = found.into_iter().filter_map(|(id, found)| Some((id, found?))).collect();
        Ok(self.judge(how, settled, &ids, &found).await?.differences)
    }

    /// What is the same at a second look, and has no settlement to come that may mend it.
    async fn confirmed(
        &self,
        how: Reconcile,
        mut suspected: Vec<Difference>,
    ) -> Result<Vec<Difference>, OrderError> {
        tokio::time::sleep(how.pause).await;
        let again = self.look_again(how, self.settled_since(), &suspected).await?;
        let (count, open) = self.store.open_settlements(MAX_OPEN).await?;
        if count > open.len() as u64 {
            // So much is to come that one cannot tell.
            return Ok(Vec::new());
        }
        let open: HashSet<_> = open.into_iter().map(|open| open.settlement.reservation_id).collect();
        suspected.retain(|found| again.contains(found) && !open.contains(&found.reservation_id));
        // First come, first served: the oldest order is the first to be held anew.
        suspected.sort_by_key(|found| found.order_number);
        Ok(suspected)
    }

    /// Mends what can be mended, by the calls that recovery and the settler use, and looks what is left.
    async fn repair(
        self: Arc<Self>,
        how: Reconcile,
        differences: &mut [Difference],
    ) -> Result<(), OrderError> {
        let is_undecided = |found: &&Difference| found.repair == Repair::ExpireAndRelease;
        let undecided = differences
            .iter()
            .filter(is_undecided)
            .map(|found| HeldReservation { id: found.reservation_id, created_at: self.clock.now() });
        self.clone().recover_page(undecided.collect()).await?;
        let mut settlements = Vec::new();
        for found in differences.iter() {
            if found.is_to_be_held() && !self.is_held_anew(found).await? {
                continue;
            }
            let reservation_id = found.reservation_id;
            let told = found.settlements().into_iter();
            let told = told.map(|action| Settlement { reservation_id, action });
            if found.is_to_be_held() {
                // At once: what is held and nothing more is given up by recovery.
                self.settle_in_order(told.collect()).await?;
            } else {
                settlements.extend(told);
            }
        }
        self.settle_in_order(settlements).await?;
        let left = self.look_again(how, Timestamp::from_millis(i64::MAX), differences).await?;
        let left: HashSet<_> = left.iter().map(|left| left.reservation_id).collect();
        for found in differences.iter_mut() {
            found.applied = !left.contains(&found.reservation_id);
            tracing::warn!(
                reservation_id = %found.reservation_id,
                order_id = found.order_id.map(tracing::field::display),
                repair = ?found.repair, applied = found.applied,
                "orders and products were made to agree about a reservation"
            );
        }
        self.forget_mismatches(differences.iter().filter(|found| found.applied).map(|f| f.reservation_id));
        Ok(())
    }

    /// Holds what the order has under the reservation's own id. `false` if products refuse.
    async fn is_held_anew(&self, found: &Difference) -> Result<bool, OrderError> {
        let deadline = Instant::now() + self.config.place_deadline;
        match self.hold(found.reservation_id, hold_lines(found), deadline).await {
            Ok(_) => Ok(true),
            Err(error) if error.is_unanswered() => Err(error.into()),
            Err(error) => {
                tracing::warn!(%error, reservation_id = %found.reservation_id, "an order cannot be held anew");
                Ok(false)
            }
        }
    }

    /// Says of what is to be held anew how much there is.
    async fn forecast(&self, differences: &mut [Difference]) -> Result<(), OrderError> {
        for found in differences.iter_mut().filter(|found| found.is_to_be_held() && !found.applied) {
            let check = self.catalog.check(&hold_lines(found)).await?;
            let answers: HashMap<ProductId, _> =
                check.lines.iter().filter_map(|line| Some((line.product_id?, line))).collect();
            for line in &mut found.lines {
                let answer = answers.get(&line.product_id);
                line.available = answer.map(|answer| answer.available);
                line.status = answer.map(|answer| answer.status);
            }
        }
        Ok(())
    }
}

/// What an order has of a reservation, as lines none of which asks for more than a line may.
fn hold_lines(found: &Difference) -> Vec<HoldLine> {
    let mut lines = Vec::new();
    for line in &found.lines {
        let mut left = line.ordered;
        while left > 0 {
            let quantity = left.min(HoldLine::MAX_QUANTITY);
            lines.push(HoldLine { product: ProductRef::Id(line.product_id), quantity });
            left -= quantity;
        }
    }
    lines
}
