use std::collections::{HashMap, HashSet};

use async_trait::async_trait;
use reqwest::Method;
use shop_core::{Cursor, Limit, Page, PageRequest, Timestamp};

use super::answer::read;
use super::breaker::BreakerState;
use super::config::RestCatalogBuilder;
use super::fault::ClientFault;
use super::transport::Transport;
use crate::wire::{
    CheckBody, HoldBody, LineBody, OutcomesBody, ReservationBody, ReservationPage, SettleBody,
};
use crate::{
    CatalogError, HeldKey, HeldReservation, HoldLine, HoldRequest, ProductCatalog, Reservation,
    ReservationId, ReservationState, SettleOutcome, Settlement, StockCheck,
};

/// The most settlements of one request.
const SETTLE_AT_ONCE: usize = 1_000;

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
    transport: Transport,
}

impl RestCatalog {
    /// A client of the products service at a base URL such as `http://products:8082`.
    pub fn builder(base_url: impl Into<String>) -> RestCatalogBuilder {
        RestCatalogBuilder::new(base_url.into())
    }

    pub(super) fn new(transport: Transport) -> Self {
        Self { transport }
    }

    /// Whether products are asked at all now.
    pub fn breaker(&self) -> BreakerState {
        self.transport.breaker_state()
    }

    async fn page(
        &self,
        owner: &str,
        created_before: Timestamp,
        limit: Limit,
        after: Option<&HeldKey>,
    ) -> Result<ReservationPage, CatalogError> {
        let mut url = self.transport.url("v1/reservations")?;
        {
            let mut query = url.query_pairs_mut();
            query
                .append_pair("state", "held")
                .append_pair("owner", owner)
                .append_pair("created_before", &created_before.to_string())
                .append_pair("limit", &limit.get().to_string());
            if let Some(key) = after {
                query.append_pair("cursor", &Cursor::encode(key).0);
            }
        }
        let body = self.transport.ask(Method::GET, url, None::<&()>).await?;
        Ok(read(&body)?)
    }

    /// Settles reservations each of which is named once.
    async fn settle_some(&self, body: &SettleBody) -> Result<Vec<SettleOutcome>, CatalogError> {
        let url = self.transport.url("v1/reservations/settle")?;
        let answer = self.transport.ask(Method::POST, url, Some(body)).await?;
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
        let url = self.transport.url("v1/stock/check")?;
        let answer: StockCheck = read(&self.transport.ask(Method::POST, url, Some(&body)).await?)?;
        if answer.lines.len() != lines.len() {
            return Err(ClientFault::Unreadable("an answer to other lines".into()).into());
        }
        Ok(answer)
    }

    async fn hold(&self, request: &HoldRequest) -> Result<Reservation, CatalogError> {
        let url = self.transport.url(&format!("v1/reservations/{}", request.id))?;
        let answer = self.transport.ask(Method::PUT, url, Some(&HoldBody::from(request))).await?;
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
        let mut limit = page.limit;
        loop {
            let answer = self.page(owner, created_before, limit, page.after.as_ref()).await;
            // Reservations of many lines make long pages: a shorter one is a page too.
            if let Err(CatalogError::Unavailable(source)) = &answer
                && matches!(source.downcast_ref(), Some(ClientFault::TooLarge(_)))
                && let Some(half) = u16::try_from(limit.get() / 2).ok().and_then(Limit::new)
            {
                limit = half;
                continue;
            }
            let answer = answer?;
            let held = answer.data.into_iter();
            let data =
                held.map(|held| HeldReservation { id: held.id, created_at: held.created_at }).collect();
            return Ok(Page { data, next_cursor: answer.next_cursor });
        }
    }
}
