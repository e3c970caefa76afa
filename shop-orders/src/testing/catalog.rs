//! A catalogue between orders and products that loses calls and answers, or holds them up.

use std::collections::{HashSet, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use shop_core::{Page, PageRequest, Timestamp};
use shop_products::{
    CatalogError, HeldKey, HeldReservation, HoldLine, HoldRequest, ProductCatalog, Reservation,
    ReservationId, SettleOutcome, Settlement, StockCheck,
};
use tokio::sync::Semaphore;

/// What happens to a call.
#[derive(Debug, Clone)]
pub enum Fault {
    /// It never arrives; the caller does not know.
    LostCall,
    /// It is done; the caller does not know.
    LostAnswer,
    /// It waits before it is done.
    HeldUpBefore(Arc<Gate>),
    /// It is done; its answer waits.
    HeldUpAfter(Arc<Gate>),
}

/// Where a call waits until it is let on.
#[derive(Debug)]
pub struct Gate {
    arrived: Semaphore,
    opened: Semaphore,
}

impl Gate {
    /// A closed gate.
    pub fn closed() -> Arc<Self> {
        Arc::new(Self { arrived: Semaphore::new(0), opened: Semaphore::new(0) })
    }

    /// Waits until a call waits here.
    pub async fn arrival(&self) {
        self.arrived.acquire().await.expect("never closed").forget();
    }

    /// Lets one call on.
    pub fn open(&self) {
        self.opened.add_permits(1);
    }

    /// Waits here.
    pub async fn pass(&self) {
        self.arrived.add_permits(1);
        self.opened.acquire().await.expect("never closed").forget();
    }
}

/// Another catalogue with faults: each is used up by one call, in order; then all is well.
#[derive(Debug)]
pub struct FaultyCatalog {
    inner: Arc<dyn ProductCatalog>,
    holds: Mutex<VecDeque<Fault>>,
    settles: Mutex<VecDeque<Fault>>,
    down: AtomicBool,
    deaf: AtomicBool,
    known_to_be_down: AtomicBool,
    refused: Mutex<HashSet<ReservationId>>,
    asked: Mutex<Vec<HoldRequest>>,
    told: Mutex<Vec<Settlement>>,
}

impl FaultyCatalog {
    /// Over this catalogue, without a fault.
    pub fn over(inner: Arc<dyn ProductCatalog>) -> Arc<Self> {
        Arc::new(Self {
            inner,
            holds: Mutex::default(),
            settles: Mutex::default(),
            down: AtomicBool::new(false),
            deaf: AtomicBool::new(false),
            known_to_be_down: AtomicBool::new(false),
            refused: Mutex::default(),
            asked: Mutex::default(),
            told: Mutex::default(),
        })
    }

    /// The next hold meets this.
    pub fn at_hold(&self, fault: Fault) {
        lock(&self.holds).push_back(fault);
    }

    /// The next settle meets this.
    pub fn at_settle(&self, fault: Fault) {
        lock(&self.settles).push_back(fault);
    }

    /// Whether every call is lost.
    pub fn set_down(&self, down: bool) {
        self.down.store(down, Ordering::SeqCst);
    }

    /// Whether the answer of every hold is lost.
    pub fn set_deaf(&self, deaf: bool) {
        self.deaf.store(deaf, Ordering::SeqCst);
    }

    /// Whether nothing is sent any more.
    pub fn set_known_to_be_down(&self, down: bool) {
        self.known_to_be_down.store(down, Ordering::SeqCst);
    }

    /// Whether every settle that names this reservation is refused as a whole, for good.
    pub fn set_refused(&self, reservation: ReservationId, refused: bool) {
        let mut all = lock(&self.refused);
        if refused {
            all.insert(reservation)
        } else {
            all.remove(&reservation)
        };
    }

    /// Every hold that was asked for, lost or not.
    pub fn asked(&self) -> Vec<HoldRequest> {
        lock(&self.asked).clone()
    }

    /// Every settlement that was sent, lost or not.
    pub fn told(&self) -> Vec<Settlement> {
        lock(&self.told).clone()
    }

    fn reachable(&self) -> Result<(), CatalogError> {
        if self.known_to_be_down.load(Ordering::SeqCst) {
            return Err(CatalogError::NotSent("not sent".into()));
        }
        if self.down.load(Ordering::SeqCst) { Err(lost()) } else { Ok(()) }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn lost() -> CatalogError {
    CatalogError::Unavailable("lost on the way".into())
}

/// Runs a call through the next fault.
async fn through<T>(
    faults: &Mutex<VecDeque<Fault>>,
    call: impl Future<Output = Result<T, CatalogError>>,
) -> Result<T, CatalogError> {
    let fault = lock(faults).pop_front();
    match fault {
        None => call.await,
        Some(Fault::LostCall) => Err(lost()),
        Some(Fault::LostAnswer) => {
            let _ = call.await;
            Err(lost())
        }
        Some(Fault::HeldUpBefore(gate)) => {
            gate.pass().await;
            call.await
        }
        Some(Fault::HeldUpAfter(gate)) => {
            let answer = call.await;
            gate.pass().await;
            answer
        }
    }
}

#[async_trait]
impl ProductCatalog for FaultyCatalog {
    async fn check(&self, lines: &[HoldLine]) -> Result<StockCheck, CatalogError> {
        self.reachable()?;
        self.inner.check(lines).await
    }

    async fn hold(&self, request: &HoldRequest) -> Result<Reservation, CatalogError> {
        lock(&self.asked).push(request.clone());
        self.reachable()?;
        let held = through(&self.holds, self.inner.hold(request)).await;
        if self.deaf.load(Ordering::SeqCst) { Err(lost()) } else { held }
    }

    async fn settle(&self, settlements: &[Settlement]) -> Result<Vec<SettleOutcome>, CatalogError> {
        lock(&self.told).extend_from_slice(settlements);
        self.reachable()?;
        if settlements.iter().any(|settlement| lock(&self.refused).contains(&settlement.reservation_id)) {
            return Err(CatalogError::Invalid("they do not like it".to_owned()));
        }
        through(&self.settles, self.inner.settle(settlements)).await
    }

    async fn held(
        &self,
        owner: &str,
        created_before: Timestamp,
        page: &PageRequest<HeldKey>,
    ) -> Result<Page<HeldReservation>, CatalogError> {
        self.reachable()?;
        self.inner.held(owner, created_before, page).await
    }

    async fn reservations(
        &self,
        owner: &str,
        page: &PageRequest<HeldKey>,
    ) -> Result<Page<Reservation>, CatalogError> {
        self.reachable()?;
        self.inner.reservations(owner, page).await
    }

    async fn find(&self, ids: &[ReservationId]) -> Result<Vec<Option<Reservation>>, CatalogError> {
        self.reachable()?;
        self.inner.find(ids).await
    }
}
