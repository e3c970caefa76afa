use std::future::Future;
use std::sync::{Arc, PoisonError};

use shop_core::idempotency::{Answered, Idempotency, Keyed};
use shop_core::{Clock, Limit, Page, PageRequest};
use shop_products::ProductCatalog;
use tokio::sync::mpsc;
use tracing::Instrument;

use crate::ledger::{Advance, Command, Delete, Verdict};
use crate::store::{OrderKey, OrderQuery};
use crate::{Event, NewOrder, Order, OrderError, OrderId, OrderPatch, OrderStatus, OrderStore, validate};

pub(crate) mod config;
pub(crate) mod core;
mod decider;
mod difference;
mod doctor;
mod edit;
mod place;
mod reconcile;
pub(crate) mod report;
mod workers;

pub use config::{Backoff, OrderConfigError, OrderServiceConfig};
pub use difference::{Difference, DifferenceLine, OrderSays, Reconcile, ReconcileKey, ReconcilePage, Repair};
pub use report::{Figures, InDoubt, InDoubtKind};

use self::core::Core;
use workers::Workers;

/// The use cases of orders, over a store and a catalogue. A clone is the same service.
///
/// What changes something runs in a task of its own: see *Cancel safety* on each method. Any number of services, in any
/// number of processes, may work on one store.
#[derive(Debug, Clone)]
pub struct OrderService {
    core: Arc<Core>,
    workers: Arc<Workers>,
}

impl OrderService {
    /// Starts the service with its workers (decisions, settling, recovery, housekeeping) on the current tokio runtime.
    /// They end with [`shutdown`](Self::shutdown), or when the last clone of the service is dropped.
    ///
    /// # Panics
    /// Outside a tokio runtime, and with settings that [`OrderServiceConfig::validate`] refuses: what comes from a user is to
    /// be asked about first.
    pub fn start(
        store: Arc<dyn OrderStore>,
        catalog: Arc<dyn ProductCatalog>,
        clock: Arc<dyn Clock>,
        config: OrderServiceConfig,
    ) -> Self {
        if let Err(error) = config.validate() {
            panic!("an order service cannot work with its settings: {error}");
        }
        let (entered, flows) = mpsc::channel(1);
        let core = Arc::new(Core::new(store, catalog, clock, config, entered));
        let workers = Arc::new(Workers::spawn(&core, flows));
        Self { core, workers }
    }

    /// Refuses new work, waits for the work that runs, stops the workers and sends the open settlements once more (at
    /// most 5 s). What could not be sent is sent after the next start.
    pub async fn shutdown(&self) {
        self.workers.shutdown(&self.core).await;
    }

    /// Places an order: its stock is taken if and only if it is placed.
    ///
    /// With a key, the same request again gets the stored answer; a refusal leaves no record.
    ///
    /// # Errors
    /// [`OrderError::Invalid`], [`OrderError::InsufficientStock`], [`OrderError::UnknownProducts`],
    /// [`OrderError::MixedCurrencies`], [`OrderError::PriceChanged`], [`OrderError::KeyReused`],
    /// [`OrderError::KeyInFlight`]; and, worth another try, [`OrderError::ProductsUnavailable`],
    /// [`OrderError::Unavailable`] and [`OrderError::NotPlaced`].
    ///
    /// # Cancel safety
    /// A caller that goes away drops only the answer: the order is placed all the same, or refused.
    pub async fn place(
        &self,
        new: NewOrder,
        keyed: Option<Keyed<Order>>,
    ) -> Result<Answered<Order>, OrderError> {
        validate::new_order(&new)?;
        let idempotency = keyed.as_ref().map(|keyed| keyed.idempotency.clone());
        self.detached(idempotency, self.core.clone().place(new, keyed)).await
    }

    /// One order.
    ///
    /// # Errors
    /// [`OrderError::NotFound`], also for a deleted order.
    pub async fn get(&self, id: OrderId) -> Result<Order, OrderError> {
        self.core.order(id).await
    }

    /// A page of orders, with a cursor of an [`OrderKey`].
    ///
    /// # Errors
    /// [`OrderError::Invalid`] for a cursor of the other direction.
    pub async fn list(
        &self,
        query: &OrderQuery,
        page: PageRequest<OrderKey>,
    ) -> Result<Page<Order>, OrderError> {
        if page.after.is_some_and(|key| key.ascending != query.ascending) {
            return Err(OrderError::invalid("/cursor", "invalid_cursor", "not a cursor of this list"));
        }
        let orders = self.core.store.orders(query, &page).await?;
        let key =
            |order: &Order| OrderKey { ascending: query.ascending, placed_at: order.placed_at, id: order.id };
        Ok(Page::from_overread(orders, page.limit, key))
    }

    /// How many orders a query has, on all pages. Costs as much as there are.
    ///
    /// # Errors
    /// Only if the store cannot be used.
    pub async fn count(&self, query: &OrderQuery) -> Result<u64, OrderError> {
        Ok(self.core.store.count_orders(query).await?)
    }

    /// Changes an order that is placed. New lines take or give back just the difference, all or nothing; a product that the
    /// order has keeps its name and price. With `if_match`, only if the order has one of these versions.
    ///
    /// # Errors
    /// Those of [`place`](Self::place) for what grows; [`OrderError::NotFound`], [`OrderError::VersionMismatch`],
    /// [`OrderError::IllegalTransition`] unless it is placed. A refused edit changes nothing.
    ///
    /// # Cancel safety
    /// A caller that goes away drops only the answer.
    pub async fn edit(
        &self,
        id: OrderId,
        if_match: Option<Vec<u64>>,
        patch: OrderPatch,
    ) -> Result<Order, OrderError> {
        validate::patch(&patch)?;
        self.detached(None, self.core.clone().edit(id, if_match, patch)).await
    }

    /// Cancels an order that is placed, and gives its stock back.
    ///
    /// # Errors
    /// [`OrderError::NotFound`], [`OrderError::VersionMismatch`], [`OrderError::IllegalTransition`],
    /// [`OrderError::KeyReused`], [`OrderError::KeyInFlight`].
    ///
    /// # Cancel safety
    /// A caller that goes away drops only the answer.
    pub async fn cancel(
        &self,
        id: OrderId,
        if_match: Option<Vec<u64>>,
        keyed: Option<Keyed<Order>>,
    ) -> Result<Answered<Order>, OrderError> {
        self.advance(id, if_match, OrderStatus::Cancelled, keyed).await
    }

    /// Ships an order that is placed: its units leave the warehouse.
    ///
    /// # Errors
    /// As [`cancel`](Self::cancel).
    ///
    /// # Cancel safety
    /// A caller that goes away drops only the answer.
    pub async fn ship(
        &self,
        id: OrderId,
        if_match: Option<Vec<u64>>,
        keyed: Option<Keyed<Order>>,
    ) -> Result<Answered<Order>, OrderError> {
        self.advance(id, if_match, OrderStatus::Shipped, keyed).await
    }

    /// Notes that the customer has an order that was shipped.
    ///
    /// # Errors
    /// As [`cancel`](Self::cancel).
    ///
    /// # Cancel safety
    /// A caller that goes away drops only the answer.
    pub async fn deliver(
        &self,
        id: OrderId,
        if_match: Option<Vec<u64>>,
        keyed: Option<Keyed<Order>>,
    ) -> Result<Answered<Order>, OrderError> {
        self.advance(id, if_match, OrderStatus::Delivered, keyed).await
    }

    /// Removes an order from every list; one that is placed is cancelled first.
    ///
    /// # Errors
    /// [`OrderError::NotFound`], also if it is deleted already; [`OrderError::VersionMismatch`].
    ///
    /// # Cancel safety
    /// A caller that goes away drops only the answer.
    pub async fn delete(&self, id: OrderId, if_match: Option<Vec<u64>>) -> Result<(), OrderError> {
        let core = self.core.clone();
        let command = Command::Delete(Delete { order_id: id, if_match });
        self.detached(None, async move { core.decide(command).await.map(|_| ()) }).await
    }

    /// A page of an order's events, oldest first, with a cursor of the last event's sequence.
    ///
    /// # Errors
    /// [`OrderError::NotFound`], also for a deleted order.
    pub async fn history(&self, id: OrderId, page: PageRequest<u64>) -> Result<Page<Event>, OrderError> {
        self.core.order(id).await?;
        let after = page.after.unwrap_or(0);
        let events = self.core.store.events(Some(id), after, page.limit.get() + 1).await?;
        Ok(Page::from_overread(events, page.limit, |event| event.sequence))
    }

    /// Up to `limit` changes of all orders after a place in the log, in order, deleted orders included.
    ///
    /// # Errors
    /// Only if the store cannot be used.
    pub async fn events(&self, after: u64, limit: Limit) -> Result<Vec<Event>, OrderError> {
        Ok(self.core.store.events(None, after, limit.get()).await?)
    }

    /// Everything between orders and products that is not settled, explained.
    ///
    /// # Errors
    /// If the store or products cannot be asked.
    pub async fn doctor(&self) -> Result<Vec<InDoubt>, OrderError> {
        self.core.doctor().await
    }

    /// Compares a page of both sides, for when one of the two databases was restored from an old backup: first the
    /// reservations of products, each with its order, then the orders, each with its reservations. The page's cursor leads
    /// on; memory does not grow with what there is. It may run at any time: what is being worked on is no difference.
    ///
    /// With [`apply`](Reconcile::apply) it mends what it can by the calls that recovery and the settler use, which may be
    /// repeated; once more finds nothing more to do. Deleted orders are judged only where products have a reservation of
    /// theirs, and shipped orders only for as long as products [keep](Reconcile::kept) what ended.
    ///
    /// # Errors
    /// If the store or products cannot be asked; then some may be mended: ask again.
    ///
    /// # Cancel safety
    /// A caller that goes away drops only the answer.
    pub async fn reconcile(
        &self,
        how: Reconcile,
        page: PageRequest<ReconcileKey>,
    ) -> Result<ReconcilePage, OrderError> {
        self.detached(None, self.core.clone().reconcile(how, page)).await
    }

    /// The figures as of the last round of the workers.
    pub fn figures(&self) -> Figures {
        *self.core.figures.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the store can be used now; for readiness.
    ///
    /// # Errors
    /// If it cannot.
    pub async fn ping(&self) -> Result<(), OrderError> {
        Ok(self.core.store.ping().await?)
    }

    /// Runs a round of recovery now, which otherwise happens every
    /// [`recovery_interval`](OrderServiceConfig::recovery_interval). Returns how many reservations it met that were held
    /// past the grace time.
    ///
    /// # Errors
    /// If the store or products cannot be asked.
    pub async fn recover_now(&self) -> Result<u64, OrderError> {
        self.core.clone().recover().await
    }

    /// Sends now what is to be settled, which otherwise happens shortly after each decision. Returns how many settlements
    /// products acknowledged.
    ///
    /// # Errors
    /// If the store or products cannot be asked.
    pub async fn settle_now(&self) -> Result<usize, OrderError> {
        let closed = self.core.settle_all().await?;
        self.core.count_settlements().await?;
        Ok(closed)
    }

    async fn advance(
        &self,
        order_id: OrderId,
        if_match: Option<Vec<u64>>,
        to: OrderStatus,
        keyed: Option<Keyed<Order>>,
    ) -> Result<Answered<Order>, OrderError> {
        let core = self.core.clone();
        let idempotency = keyed.as_ref().map(|keyed| keyed.idempotency.clone());
        let command = Command::Advance(Advance { order_id, if_match, to, keyed });
        let flow = async move {
            match core.decide(command).await? {
                Verdict::Done(order) => Ok(Answered::Fresh(*order)),
                Verdict::Replayed(answer) => Ok(Answered::Replayed(answer)),
                other => Err(OrderError::Internal(format!("a move ended as {other:?}").into())),
            }
        };
        self.detached(idempotency, flow).await
    }

    /// Runs a flow in a task of its own, with its key claimed until it ends.
    async fn detached<T: Send + 'static>(
        &self,
        idempotency: Option<Idempotency>,
        flow: impl Future<Output = Result<T, OrderError>> + Send + 'static,
    ) -> Result<T, OrderError> {
        let entered = self.core.enter()?;
        let claim = match &idempotency {
            Some(request) => Some(self.core.in_flight.claim(&request.key).ok_or(OrderError::KeyInFlight)?),
            None => None,
        };
        let task = async move {
            let _until_the_end = (entered, claim);
            flow.await
        };
        #[cfg(feature = "http")]
        let task = shop_core::http::in_current_request(task);
        let ended = tokio::spawn(task.instrument(tracing::Span::current())).await;
        ended.map_err(|fault| OrderError::Internal(Box::new(fault)))?
    }
}
