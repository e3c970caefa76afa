use std::sync::Arc;

use shop_core::idempotency::{Answered, IdempotencyKey, Keyed, Replay, StoredAnswer};
use shop_products::{CatalogError, ReservationId};
use tokio::time::Instant;

use super::core::Core;
use crate::ledger::{Command, Expire, Place, Verdict};
use crate::store::Footprint;
use crate::{NewOrder, Order, OrderError, OrderId, reservation_of};

/// What reservation ids of this service's keys are made under.
const SCOPE: &str = "orders";
/// Attempts of a key that are looked up at once, after the first; twice as many each time, up to `MAX_WINDOW`.
const WINDOW: u32 = 16;
const MAX_WINDOW: u32 = 1_024;
/// Reservations that one request finds released before it gives up.
const MAX_RELEASED: u32 = 8;

/// What a key says before anything is held.
enum Lookup {
    Answered(StoredAnswer),
    Attempt(u32),
}

impl Core {
    /// Hold, decide, answer; settled later.
    pub(crate) async fn place(
        self: Arc<Self>,
        new: NewOrder,
        keyed: Option<Keyed<Order>>,
    ) -> Result<Answered<Order>, OrderError> {
        let deadline = Instant::now() + self.config.place_deadline;
        let mut attempt = 1;
        for _ in 0..MAX_RELEASED {
            if let Some(keyed) = &keyed {
                match self.look_up(keyed, attempt, deadline).await? {
                    Lookup::Answered(answer) => return Ok(Answered::Replayed(answer)),
                    Lookup::Attempt(next) => attempt = next,
                }
            }
            let key = keyed.as_ref().map(|keyed| &keyed.idempotency.key);
            let id = key.map_or_else(ReservationId::generate, |key| reservation_of(SCOPE, key, attempt));
            let held = self.hold(id, new.lines.clone(), deadline).await;
            let reservation = match (held, &keyed) {
                (Ok(reservation), _) => reservation,
                (Err(CatalogError::Released(_)), Some(keyed)) => {
                    attempt = self.after_released(id, &keyed.idempotency.key, attempt).await?;
                    continue;
                }
                (Err(CatalogError::OtherLines), Some(keyed)) => {
                    return self.other_lines(keyed, attempt, deadline).await;
                }
                (Err(error), _) => return Err(error.into()),
            };
            let order_id = OrderId::generate();
            return match self
                .decide(Command::Place(Place { order_id, new, reservation, keyed, attempt }))
                .await?
            {
                Verdict::Done(order) => Ok(Answered::Fresh(*order)),
                Verdict::Replayed(answer) => Ok(Answered::Replayed(answer)),
                other => Err(OrderError::Internal(format!("placing ended as {other:?}").into())),
            };
        }
        Err(OrderError::NotPlaced)
    }

    /// The stored answer of a key, or the first attempt from `first` that nothing was decided about.
    async fn look_up(
        &self,
        keyed: &Keyed<Order>,
        first: u32,
        deadline: Instant,
    ) -> Result<Lookup, OrderError> {
        let request = &keyed.idempotency;
        let (mut first, mut window) = (first, 1);
        loop {
            let mut footprint = Footprint::default();
            footprint.keys.insert(request.key.clone());
            footprint
                .reservations
                .extend((first..first + window).map(|n| reservation_of(SCOPE, &request.key, n)));
            let found = tokio::time::timeout_at(deadline, self.lookups.submit(footprint)).await;
            let found = found.map_err(|elapsed| OrderError::Unavailable(Box::new(elapsed)))??;
            let snapshot = found.map_err(|error| OrderError::of_store(&error))?;
            match snapshot.records.get(&request.key).map(|record| record.replay(request)) {
                Some(Replay::Stored(answer)) => return Ok(Lookup::Answered(answer)),
                Some(Replay::Mismatch) => return Err(OrderError::KeyReused),
                None => {}
            }
            // An attempt whose row has lost its key is one whose record was purged: the key is free again.
            let is_open =
                |n: &u32| !snapshot.decisions.contains_key(&reservation_of(SCOPE, &request.key, *n));
            if let Some(attempt) = (first..first + window).find(is_open) {
                return Ok(Lookup::Attempt(attempt));
            }
            first += window;
            window = (window * 2).clamp(WINDOW, MAX_WINDOW);
        }
    }

    /// A keyed hold met a reservation that is released. The row that says so may be purged; it is written again before
    /// the next attempt, so that nobody places an order with this one. Returns the attempt to look up next.
    async fn after_released(
        &self,
        reservation_id: ReservationId,
        key: &IdempotencyKey,
        attempt: u32,
    ) -> Result<u32, OrderError> {
        let expire = Expire { reservation_id, key: Some(key.clone()), attempt };
        self.decide(Command::Expire(expire)).await?;
        Ok(attempt)
    }

    /// A keyed hold met a reservation of other lines: the key was used for something else, unless it is decided by now.
    async fn other_lines(
        &self,
        keyed: &Keyed<Order>,
        attempt: u32,
        deadline: Instant,
    ) -> Result<Answered<Order>, OrderError> {
        match self.look_up(keyed, attempt, deadline).await? {
            Lookup::Answered(answer) => Ok(Answered::Replayed(answer)),
            Lookup::Attempt(next) if next > attempt => Err(OrderError::NotPlaced),
            Lookup::Attempt(_) => Err(OrderError::KeyReused),
        }
    }
}
