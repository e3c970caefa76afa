//! Real parts that a test can stop, break and go on with.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use shop_core::{Page, PageRequest, StoreError, StoreErrorKind, StoreResult, Timestamp};
use shop_orders::store::{ChangeSet, Footprint, OpenSettlement, OrderKey, OrderQuery, Snapshot};
use shop_orders::{Event, Order, OrderId, OrderStore};
use shop_products::{
    CatalogError, HeldKey, HeldReservation, HoldLine, HoldRequest, LocalCatalog, ProductCatalog, Reservation,
    ReservationId, SettleOutcome, Settlement, StockCheck,
};
use tokio::sync::{mpsc, watch};

/// A catalogue that can be out of reach, and that can keep the answers of holds back.
#[derive(Debug)]
pub(crate) struct GatedCatalog {
    inner: LocalCatalog,
    pub(crate) down: AtomicBool,
    shut: watch::Sender<bool>,
    arrived: mpsc::UnboundedSender<ReservationId>,
    arrivals: tokio::sync::Mutex<mpsc::UnboundedReceiver<ReservationId>>,
}

impl GatedCatalog {
    pub(crate) fn new(inner: LocalCatalog) -> Self {
        let (arrived, arrivals) = mpsc::unbounded_channel();
        let shut = watch::Sender::new(false);
        Self {
            inner,
            down: AtomicBool::new(false),
            shut,
            arrived,
            arrivals: tokio::sync::Mutex::new(arrivals),
        }
    }

    /// From now on a hold is done, but its answer waits.
    pub(crate) fn shut(&self) {
        self.shut.send_replace(true);
    }

    pub(crate) fn open(&self) {
        self.shut.send_replace(false);
    }

    /// Waits until a hold was done.
    pub(crate) async fn arrival(&self) -> ReservationId {
        self.arrivals.lock().await.recv().await.expect("the sender is here")
    }

    fn reach(&self) -> Result<(), CatalogError> {
        if self.down.load(Ordering::Relaxed) {
            return Err(CatalogError::Unavailable("the cable is cut, secret-host".into()));
        }
        Ok(())
    }
}

#[async_trait]
impl ProductCatalog for GatedCatalog {
    async fn check(&self, lines: &[HoldLine]) -> Result<StockCheck, CatalogError> {
        self.reach()?;
        self.inner.check(lines).await
    }

    async fn hold(&self, request: &HoldRequest) -> Result<Reservation, CatalogError> {
        self.reach()?;
        let held = self.inner.hold(request).await;
        self.arrived.send(request.id).expect("the receiver is here");
        self.shut.subscribe().wait_for(|shut| !shut).await.expect("the sender is here");
        held
    }

    async fn settle(&self, settlements: &[Settlement]) -> Result<Vec<SettleOutcome>, CatalogError> {
        self.reach()?;
        self.inner.settle(settlements).await
    }

    async fn held(
        &self,
        owner: &str,
        created_before: Timestamp,
        page: &PageRequest<HeldKey>,
    ) -> Result<Page<HeldReservation>, CatalogError> {
        self.reach()?;
        self.inner.held(owner, created_before, page).await
    }

    async fn reservations(
        &self,
        owner: &str,
        page: &PageRequest<HeldKey>,
    ) -> Result<Page<Reservation>, CatalogError> {
        self.reach()?;
        self.inner.reservations(owner, page).await
    }

    async fn find(&self, ids: &[ReservationId]) -> Result<Vec<Option<Reservation>>, CatalogError> {
        self.reach()?;
        self.inner.find(ids).await
    }
}

/// A store that can fail in any way.
#[derive(Debug)]
pub(crate) struct BreakableStore<S> {
    inner: S,
    fault: Mutex<Option<StoreErrorKind>>,
}

impl<S> BreakableStore<S> {
    pub(crate) fn new(inner: S) -> Self {
        Self { inner, fault: Mutex::new(None) }
    }

    fn use_it(&self) -> StoreResult<&S> {
        match *self.fault.lock().unwrap() {
            Some(kind) => Err(StoreError::new(kind, "use the store").with_source("secret-table is on fire")),
            None => Ok(&self.inner),
        }
    }
}

/// What a test does to a store, whichever it is.
pub(crate) trait Breakable: Send + Sync {
    fn fail_with(&self, fault: Option<StoreErrorKind>);
}

impl<S: Send + Sync> Breakable for BreakableStore<S> {
    fn fail_with(&self, fault: Option<StoreErrorKind>) {
        *self.fault.lock().unwrap() = fault;
    }
}

#[async_trait]
impl<S: OrderStore> OrderStore for BreakableStore<S> {
    async fn load(&self, footprint: &Footprint) -> StoreResult<Snapshot> {
        self.use_it()?.load(footprint).await
    }

    async fn commit(&self, changes: &ChangeSet) -> StoreResult<()> {
        self.use_it()?.commit(changes).await
    }

    async fn orders(&self, query: &OrderQuery, page: &PageRequest<OrderKey>) -> StoreResult<Vec<Order>> {
        self.use_it()?.orders(query, page).await
    }

    async fn count_orders(&self, query: &OrderQuery) -> StoreResult<u64> {
        self.use_it()?.count_orders(query).await
    }

    async fn events(&self, of: Option<OrderId>, after: u64, limit: usize) -> StoreResult<Vec<Event>> {
        self.use_it()?.events(of, after, limit).await
    }

    async fn claim_settlements(&self, lease: Duration, limit: usize) -> StoreResult<Vec<OpenSettlement>> {
        self.use_it()?.claim_settlements(lease, limit).await
    }

    async fn close_settlements(&self, sequences: &[u64]) -> StoreResult<()> {
        self.use_it()?.close_settlements(sequences).await
    }

    async fn open_settlements(&self, limit: usize) -> StoreResult<(u64, Vec<OpenSettlement>)> {
        self.use_it()?.open_settlements(limit).await
    }

    async fn purge(&self, records: Timestamp, decisions: Timestamp, limit: usize) -> StoreResult<u64> {
        self.use_it()?.purge(records, decisions, limit).await
    }

    async fn ping(&self) -> StoreResult<()> {
        self.use_it()?.ping().await
    }
}
