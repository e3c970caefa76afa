use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use async_trait::async_trait;
use http::Method;
use shop_core::http::in_current_request;
use shop_core::{Cursor, Limit, Page, PageRequest, Timestamp};
use tokio::task::JoinSet;

use super::answer::read;
use super::breaker::BreakerState;
use super::caller::Caller;
use super::config::RestCatalogBuilder;
use super::fault::ClientFault;
use crate::wire::{
    CheckBody, HoldBody, LineBody, OutcomesBody, ReservationBody, ReservationPage, SettleBody,
};
use crate::{
    CatalogError, HeldKey, HeldReservation, HoldLine, HoldRequest, ProductCatalog, Reservation,
    ReservationId, ReservationState, SettleOutcome, Settlement, StockCheck,
};

/// The most settlements of one request.
const SETTLE_AT_ONCE: usize = 1_000;
/// Reservations that are asked for side by side.
const FIND_AT_ONCE: usize = 8;

/// [`ProductCatalog`] over the network, by the HTTP API of products.
///
/// ```no_run
/// use std::time::Duration;
/// use shop_products::client::RestCatalog;
///
/// let catalog = RestCatalog::builder("http://products:8082")
///     .request_timeout(Duration::from_secs(2))
///     .deadline(Duration::from_secs(5))
///     .build()?;
/// # Ok::<(), shop_products::client::BuildError>(())
/// ```
///
/// It passes the `X-Request-Id` and the trace of the request that is being answered on.
///
/// # Cancel safety
/// A dropped call drops the answer only; what was asked may be done.
#[derive(Debug)]
pub struct RestCatalog {
    caller: Arc<Caller>,
}

impl RestCatalog {
    /// A client of the products service at a base URL such as `http://products:8082`.
    pub fn builder(base_url: impl Into<String>) -> RestCatalogBuilder {
        RestCatalogBuilder::new(base_url.into())
    }

    pub(super) fn new(caller: Caller) -> Self {
        Self { caller: Arc::new(caller) }
    }

    /// Whether products are asked at all now.
    pub fn breaker(&self) -> BreakerState {
        self.caller.breaker_state()
    }

    /// A page of the reservations that these parameters name; a shorter one, where one of so many rows is too long to take.
    async fn page(
        &self,
        narrowed: &[(&str, &str)],
        page: &PageRequest<HeldKey>,
    ) -> Result<ReservationPage, CatalogError> {
        let mut limit = page.limit;
        loop {
            let mut url = self.caller.url("v1/reservations")?;
            url.query_pairs_mut().extend_pairs(narrowed).append_pair("limit", &limit.get().to_string());
            if let Some(key) = &page.after {
                url.query_pairs_mut().append_pair("cursor", &Cursor::encode(key).0);
            }
            match self.caller.ask(Method::GET, url, None::<&()>).await {
                // Reservations of many lines make long pages.
                Err(CatalogError::Unavailable(source))
                    if matches!(source.downcast_ref(), Some(ClientFault::TooLarge(_))) && limit.get() > 1 =>
                {
                    limit = u16::try_from(limit.get() / 2).ok().and_then(Limit::new).unwrap_or_default();
                }
                answer => return Ok(read(&answer?)?),
            }
        }
    }

    /// Settles reservations each of which is named once.
    async fn settle_some(&self, body: &SettleBody) -> Result<Vec<SettleOutcome>, CatalogError> {
        let url = self.caller.url("v1/reservations/settle")?;
        let answer = self.caller.ask(Method::POST, url, Some(body)).await?;
        let answer: OutcomesBody = read(&answer)?;
        if !answer.outcomes.iter().map(|outcome| outcome.id).eq(body.order()) {
            return Err(ClientFault::Unreadable("outcomes of other reservations".into()).into());
        }
        let outcomes = answer.outcomes.into_iter();
        Ok(outcomes
            .map(|outcome| SettleOutcome { reservation_id: outcome.id, state: outcome.state })
            .collect())
    }
}

#[async_trait]
impl ProductCatalog for RestCatalog {
    async fn check(&self, lines: &[HoldLine]) -> Result<StockCheck, CatalogError> {
        let body = CheckBody { lines: lines.iter().map(LineBody::from).collect() };
        let url = self.caller.url("v1/stock/check")?;
        let answer: StockCheck = read(&self.caller.ask(Method::POST, url, Some(&body)).await?)?;
        if answer.lines.len() != lines.len() {
            return Err(ClientFault::Unreadable("an answer to other lines".into()).into());
        }
        Ok(answer)
    }

    async fn hold(&self, request: &HoldRequest) -> Result<Reservation, CatalogError> {
        let url = self.caller.url(&format!("v1/reservations/{}", request.id))?;
        let answer = self.caller.ask(Method::PUT, url, Some(&HoldBody::from(request))).await?;
        let held: ReservationBody = read(&answer)?;
        if held.id != request.id {
            return Err(ClientFault::Unreadable("another reservation".into()).into());
        }
        Ok(held.into())
    }

    async fn settle(&self, settlements: &[Settlement]) -> Result<Vec<SettleOutcome>, CatalogError> {
        // The wire groups settlements by what is done. Of one reservation the order counts, so that a second settlement of it
        // goes into a request of its own.
        let mut outcomes = Vec::with_capacity(settlements.len());
        let mut rest = settlements;
        while !rest.is_empty() {
            let mut body = SettleBody::default();
            let mut named: HashSet<ReservationId> = HashSet::new();
            let once = |settlement: &&Settlement| named.insert(settlement.reservation_id);
            let now = rest.iter().take(SETTLE_AT_ONCE).take_while(once).inspect(|s| body.push(s)).count();
            let found = self.settle_some(&body).await?;
            let states: HashMap<_, Option<ReservationState>> =
                found.into_iter().map(|outcome| (outcome.reservation_id, outcome.state)).collect();
            let (some, later) = rest.split_at(now);
            outcomes.extend(some.iter().map(|settlement| SettleOutcome {
                reservation_id: settlement.reservation_id,
                state: states.get(&settlement.reservation_id).copied().flatten(),
            }));
            rest = later;
        }
        Ok(outcomes)
    }

    async fn held(
        &self,
        owner: &str,
        created_before: Timestamp,
        page: &PageRequest<HeldKey>,
    ) -> Result<Page<HeldReservation>, CatalogError> {
        let before = created_before.to_string();
        let narrowed = [("state", "held"), ("owner", owner), ("created_before", &*before)];
        let found = self.page(&narrowed, page).await?;
        let held = found.data.into_iter();
        let data = held.map(|held| HeldReservation { id: held.id, created_at: held.created_at }).collect();
        Ok(Page { data, next_cursor: found.next_cursor })
    }

    async fn reservations(
        &self,
        owner: &str,
        page: &PageRequest<HeldKey>,
    ) -> Result<Page<Reservation>, CatalogError> {
        let found = self.page(&[("owner", owner)], page).await?;
        let data = found.data.into_iter().map(Reservation::from).collect();
        Ok(Page { data, next_cursor: found.next_cursor })
    }

    async fn find(&self, ids: &[ReservationId]) -> Result<Vec<Option<Reservation>>, CatalogError> {
        let mut parts = JoinSet::new();
        for part in ids.chunks(ids.len().div_ceil(FIND_AT_ONCE).max(1)) {
            let (caller, part) = (self.caller.clone(), part.to_vec());
            parts.spawn(in_current_request(async move {
                let mut found = HashMap::with_capacity(part.len());
                for id in part {
                    found.insert(id, reservation(&caller, id).await?);
                }
                Ok::<_, CatalogError>(found)
            }));
        }
        let mut all = HashMap::with_capacity(ids.len());
        while let Some(part) = parts.join_next().await {
            all.extend(part.map_err(|panic| CatalogError::Unavailable(Box::new(panic)))??);
        }
        Ok(ids.iter().map(|id| all.get(id).cloned().flatten()).collect())
    }
}

/// One reservation; `None` if products do not know it.
async fn reservation(caller: &Caller, id: ReservationId) -> Result<Option<Reservation>, CatalogError> {
    let url = caller.url(&format!("v1/reservations/{id}"))?;
    let answer = match caller.ask(Method::GET, url, None::<&()>).await {
        Err(CatalogError::Unavailable(source))
            if matches!(source.downcast_ref(), Some(ClientFault::NotFound)) =>
        {
            return Ok(None);
        }
        answer => answer?,
    };
    let found: ReservationBody = read(&answer)?;
    if found.id == id {
        Ok(Some(found.into()))
    } else {
        Err(ClientFault::Unreadable("another reservation".into()).into())
    }
}
