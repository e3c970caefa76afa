//! Between orders and products: messages are lost on the way there or back, come late, come twice, or not at all.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use shop_core::{Page, PageRequest, Timestamp};
use shop_products::{
    CatalogError, HeldKey, HeldReservation, HoldLine, HoldRequest, LocalCatalog, ProductCatalog,
    ProductService, Reservation, ReservationId, SettleOutcome, Settlement, StockCheck,
};
use tokio::sync::oneshot;
use tokio::time::{sleep, timeout};

use crate::host::Host;
use crate::life::Life;
use crate::world::{Broken, World};

/// How long a caller waits for an answer.
const PATIENCE: Duration = Duration::from_millis(800);

pub(crate) struct Network {
    pub(crate) world: Arc<World>,
    pub(crate) products: Mutex<[Option<Host<ProductService>>; 2]>,
    /// Messages on the way that nobody waits for any more, or will soon not.
    pub(crate) late_messages: AtomicU64,
    /// `cut[orders][products]`
    pub(crate) cut: [[AtomicBool; 2]; 2],
}

#[derive(Clone)]
enum Ask {
    Check(Vec<HoldLine>),
    Hold(HoldRequest),
    Settle(Vec<Settlement>),
    Held(String, Timestamp, PageRequest<HeldKey>),
    Reservations(String, PageRequest<HeldKey>),
    Find(Vec<ReservationId>),
}

#[derive(Debug)]
enum Answer {
    Check(StockCheck),
    Hold(Reservation),
    Settle(Vec<SettleOutcome>),
    Held(Page<HeldReservation>),
    Reservations(Page<Reservation>),
    Found(Vec<Option<Reservation>>),
}

type Outcome = Result<Answer, CatalogError>;

impl fmt::Display for Ask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Check(lines) => write!(f, "check of {} lines", lines.len()),
            Self::Hold(hold) => write!(f, "hold {}", hold.id),
            Self::Settle(all) => {
                f.write_str("settle")?;
                all.iter().try_for_each(|one| write!(f, " {} {:?}", one.reservation_id, one.action))
            }
            Self::Held(..) => f.write_str("held?"),
            Self::Reservations(..) => f.write_str("reservations?"),
            Self::Find(ids) => write!(f, "find {} reservations", ids.len()),
        }
    }
}

impl Network {
    pub(crate) fn seen_by(self: &Arc<Self>, orders: usize, life: Life) -> RemoteCatalog {
        RemoteCatalog { network: self.clone(), orders, life }
    }

    fn is_cut(&self, orders: usize, products: usize) -> bool {
        self.world.is_stormy() && self.cut[orders][products].load(Ordering::Relaxed)
    }

    /// Brings one message, after a while, to whoever is there then.
    fn bring(
        self: &Arc<Self>,
        orders: usize,
        products: usize,
        ask: Ask,
        after: u64,
        back: Option<oneshot::Sender<Outcome>>,
    ) {
        let network = self.clone();
        let late = u64::from(after > PATIENCE.as_millis() as u64);
        network.late_messages.fetch_add(late, Ordering::Relaxed);
        tokio::spawn(async move {
            sleep(Duration::from_millis(after)).await;
            let host = network.products.lock().unwrap()[products].clone();
            if let Some(host) = host.filter(|_| !network.is_cut(orders, products)) {
                let answered = tokio::select! {
                    biased;
                    () = host.life.ended() => None,
                    outcome = answer(LocalCatalog(host.service.clone()), ask) => Some(outcome),
                };
                let lost =
                    network.is_cut(orders, products) || network.world.unlucky(network.world.weather.lost);
                if let (Some(outcome), Some(back)) = (answered, back)
                    && !lost
                {
                    network.world.pause(20).await;
                    let _ = back.send(outcome);
                }
            }
            network.late_messages.fetch_sub(late, Ordering::Relaxed);
        });
    }
}

async fn answer(catalog: LocalCatalog, ask: Ask) -> Outcome {
    Ok(match ask {
        Ask::Check(lines) => Answer::Check(catalog.check(&lines).await?),
        Ask::Hold(request) => Answer::Hold(catalog.hold(&request).await?),
        Ask::Settle(all) => Answer::Settle(catalog.settle(&all).await?),
        Ask::Held(owner, before, page) => Answer::Held(catalog.held(&owner, before, &page).await?),
        Ask::Reservations(owner, page) => Answer::Reservations(catalog.reservations(&owner, &page).await?),
        Ask::Find(ids) => Answer::Found(catalog.find(&ids).await?),
    })
}

/// Products, as an orders service sees them.
pub(crate) struct RemoteCatalog {
    network: Arc<Network>,
    orders: usize,
    life: Life,
}

impl fmt::Debug for RemoteCatalog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RemoteCatalog").field("orders", &self.orders).finish_non_exhaustive()
    }
}

impl RemoteCatalog {
    async fn ask(&self, ask: Ask) -> Outcome {
        self.life.go_on().await;
        let world = &self.network.world;
        if world.unlucky(10) {
            return Err(CatalogError::NotSent("the breaker is open".into()));
        }
        let products = world.below(2) as usize;
        world.note(format_args!("O{} asks P{products}: {ask}", self.orders));
        let (back, answered) = oneshot::channel();
        let weather = world.weather;
        let is_late = world.unlucky(weather.late);
        let delay = world.below(if is_late { 15_000 } else { 30 });
        if world.unlucky(weather.twice) {
            // Another way round, that takes its time.
            let (other, after) = (world.below(2) as usize, world.below(20_000));
            self.network.bring(self.orders, other, ask.clone(), after, None);
        }
        if world.unlucky(weather.lost) {
            drop(back);
        } else {
            self.network.bring(self.orders, products, ask, delay, Some(back));
        }
        let heard = timeout(PATIENCE, async {
            match answered.await {
                Ok(outcome) => outcome,
                // Nobody will answer, which the caller does not know.
                Err(_) => std::future::pending().await,
            }
        });
        let outcome = heard.await.unwrap_or_else(|late| Err(CatalogError::Unavailable(Box::new(late))));
        self.life.go_on().await;
        outcome
    }
}

fn odd(answer: &Answer) -> CatalogError {
    CatalogError::Invalid(format!("an answer to something else: {answer:?}"))
}

#[async_trait]
impl ProductCatalog for RemoteCatalog {
    async fn check(&self, lines: &[HoldLine]) -> Result<StockCheck, CatalogError> {
        match self.ask(Ask::Check(lines.to_vec())).await? {
            Answer::Check(check) => Ok(check),
            other => Err(odd(&other)),
        }
    }

    async fn hold(&self, request: &HoldRequest) -> Result<Reservation, CatalogError> {
        let mut request = request.clone();
        if self.network.world.broken == Broken::HoldsEndByThemselves {
            request.expires_in = Some(Duration::from_secs(2));
        }
        match self.ask(Ask::Hold(request)).await? {
            Answer::Hold(reservation) => Ok(reservation),
            other => Err(odd(&other)),
        }
    }

    async fn settle(&self, settlements: &[Settlement]) -> Result<Vec<SettleOutcome>, CatalogError> {
        match self.ask(Ask::Settle(settlements.to_vec())).await? {
            Answer::Settle(outcomes) => Ok(outcomes),
            other => Err(odd(&other)),
        }
    }

    async fn held(
        &self,
        owner: &str,
        created_before: Timestamp,
        page: &PageRequest<HeldKey>,
    ) -> Result<Page<HeldReservation>, CatalogError> {
        match self.ask(Ask::Held(owner.to_owned(), created_before, page.clone())).await? {
            Answer::Held(page) => Ok(page),
            other => Err(odd(&other)),
        }
    }

    async fn reservations(
        &self,
        owner: &str,
        page: &PageRequest<HeldKey>,
    ) -> Result<Page<Reservation>, CatalogError> {
        match self.ask(Ask::Reservations(owner.to_owned(), page.clone())).await? {
            Answer::Reservations(page) => Ok(page),
            other => Err(odd(&other)),
        }
    }

    async fn find(&self, ids: &[ReservationId]) -> Result<Vec<Option<Reservation>>, CatalogError> {
        match self.ask(Ask::Find(ids.to_vec())).await? {
            Answer::Found(found) => Ok(found),
            other => Err(odd(&other)),
        }
    }
}
