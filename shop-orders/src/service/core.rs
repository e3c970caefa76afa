use std::collections::BTreeSet;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use shop_core::idempotency::InFlight;
use shop_core::{Clock, Combiner, StoreError};
use shop_products::{
    CatalogError, HoldLine, HoldRequest, ProductCatalog, Reservation, ReservationId, SettleAction, Settlement,
};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::Instant;

use super::decider::Decider;
use crate::ledger::{Command, Decided, Verdict};
use crate::settler::Disagreements;
use crate::store::{Footprint, OpenSettlement, Snapshot};
use crate::{Figures, Order, OrderError, OrderId, OrderServiceConfig, OrderStore};

/// Who settles the reservations of this service.
pub(crate) const OWNER: &str = "orders";

/// How long an answer waits for a release that the outbox will see to anyway.
const RELEASE_PATIENCE: Duration = Duration::from_secs(1);

/// Held by a flow while it runs.
#[derive(Debug)]
pub(crate) struct Entered {
    _flows: mpsc::Sender<()>,
    _room: OwnedSemaphorePermit,
}

/// What the use cases and the workers share.
#[derive(Debug)]
pub(crate) struct Core {
    pub(crate) store: Arc<dyn OrderStore>,
    pub(crate) catalog: Arc<dyn ProductCatalog>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) config: OrderServiceConfig,
    pub(crate) combiner: Combiner<Command, Decided>,
    /// Reads of keys, gathered like decisions.
    pub(crate) lookups: Combiner<Footprint, Result<Arc<Snapshot>, Arc<StoreError>>>,
    pub(crate) in_flight: InFlight,
    pub(crate) settlements: Arc<Notify>,
    /// Claimed and not yet acknowledged. The lock also keeps rounds of settling apart.
    pub(crate) claimed: tokio::sync::Mutex<Vec<OpenSettlement>>,
    pub(crate) figures: Mutex<Figures>,
    pub(crate) disagreements: Mutex<Disagreements>,
    /// Every flow holds a clone; taken away when the service shuts down.
    pub(crate) flows: Mutex<Option<mpsc::Sender<()>>>,
    room: Arc<Semaphore>,
}

impl Core {
    pub(crate) fn new(
        store: Arc<dyn OrderStore>,
        catalog: Arc<dyn ProductCatalog>,
        clock: Arc<dyn Clock>,
        config: OrderServiceConfig,
        flows: mpsc::Sender<()>,
    ) -> Self {
        let settlements = Arc::new(Notify::new());
        let decider = Arc::new(Decider::new(store.clone(), clock.clone(), settlements.clone()));
        let combiner = Combiner::spawn(config.combiner, move |commands| {
            let decider = decider.clone();
            async move { decider.run(commands).await }
        });
        let lookups = Combiner::spawn(config.combiner, {
            let store = store.clone();
            move |footprints| look_up_together(store.clone(), footprints)
        });
        let room = Arc::new(Semaphore::new(config.max_flows.min(Semaphore::MAX_PERMITS)));
        Self {
            store,
            catalog,
            clock,
            config,
            combiner,
            lookups,
            in_flight: InFlight::default(),
            settlements,
            claimed: tokio::sync::Mutex::default(),
            figures: Mutex::default(),
            disagreements: Mutex::default(),
            flows: Mutex::new(Some(flows)),
            room,
        }
    }

    /// Leave to work until the guard is dropped; refused once the service shuts down, and while as many flows run as may.
    pub(crate) fn enter(&self) -> Result<Entered, OrderError> {
        let flows = self.flows.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let flows = flows.ok_or_else(|| OrderError::Unavailable("the service is shutting down".into()))?;
        match self.room.clone().try_acquire_owned() {
            Ok(room) => Ok(Entered { _flows: flows, _room: room }),
            Err(full) => Err(OrderError::Unavailable(Box::new(full))),
        }
    }

    /// Decides one command; what was given up by it is released at once where products can be reached.
    pub(crate) async fn decide(&self, command: Command) -> Result<Verdict, OrderError> {
        let decided = self.combiner.submit(command).await?;
        if let Some(reservation_id) = decided.given_up {
            self.release_now(reservation_id).await;
        }
        decided.verdict
    }

    async fn release_now(&self, reservation_id: ReservationId) {
        let release = [Settlement { reservation_id, action: SettleAction::Release }];
        match tokio::time::timeout(RELEASE_PATIENCE, self.catalog.settle(&release)).await {
            Ok(Ok(_)) => {}
            Ok(Err(error)) => {
                tracing::debug!(%error, %reservation_id, "not released at once; the outbox has it")
            }
            Err(_) => tracing::debug!(%reservation_id, "not released in time; the outbox has it"),
        }
    }

    /// Holds, again and again while the result is unknown, until the deadline.
    pub(crate) async fn hold(
        &self,
        id: ReservationId,
        lines: Vec<HoldLine>,
        deadline: Instant,
    ) -> Result<Reservation, CatalogError> {
        let request = HoldRequest { id, owner: Some(OWNER.to_owned()), lines, expires_in: None };
        self.ask(deadline, || self.catalog.hold(&request)).await
    }

    /// Asks products, again and again while the result is unknown, until the deadline. Products that are known to be out of
    /// reach are not asked again.
    pub(crate) async fn ask<'a, T>(
        &self,
        deadline: Instant,
        call: impl Fn() -> Pin<Box<dyn Future<Output = Result<T, CatalogError>> + Send + 'a>>,
    ) -> Result<T, CatalogError> {
        let mut failures = 0;
        loop {
            let error = match tokio::time::timeout_at(deadline, call()).await {
                Ok(Ok(answer)) => return Ok(answer),
                Ok(Err(error)) if error.is_unknown() => error,
                Ok(Err(error)) => return Err(error),
                Err(elapsed) => return Err(CatalogError::Unavailable(Box::new(elapsed))),
            };
            let again = Instant::now() + self.config.hold_backoff.wait(failures);
            if again >= deadline {
                return Err(error);
            }
            tokio::time::sleep_until(again).await;
            failures += 1;
        }
    }

    /// An order that is not deleted.
    pub(crate) async fn order(&self, id: OrderId) -> Result<Order, OrderError> {
        let footprint = Footprint { orders: BTreeSet::from([id]), ..Footprint::default() };
        let found = self.store.load(&footprint).await?.orders.remove(&id);
        found.filter(|order| order.deleted_at.is_none()).ok_or(OrderError::NotFound)
    }

    pub(crate) fn set_figures(&self, set: impl FnOnce(&mut Figures)) {
        set(&mut self.figures.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

/// One read for many; each finds its own in what all get.
async fn look_up_together(
    store: Arc<dyn OrderStore>,
    footprints: Vec<Footprint>,
) -> Vec<Result<Arc<Snapshot>, Arc<StoreError>>> {
    let count = footprints.len();
    let mut all = Footprint::default();
    for footprint in footprints {
        all.keys.extend(footprint.keys);
        all.reservations.extend(footprint.reservations);
        all.orders.extend(footprint.orders);
    }
    let found = store.load(&all).await.map(Arc::new).map_err(Arc::new);
    vec![found; count]
}
