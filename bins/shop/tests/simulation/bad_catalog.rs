//! Products as orders see them, if somebody had got it wrong.

use async_trait::async_trait;
use shop_core::{Page, PageRequest, Timestamp};
use shop_products::client::RestCatalog;
use shop_products::{
    CatalogError, HeldKey, HeldReservation, HoldLine, HoldRequest, ProductCatalog, ProductId, ProductRef,
    Reservation, ReservationId, ReservationState, ReservedLine, SettleAction, SettleOutcome, Settlement,
    ShortLine, StockCheck,
};

use crate::world::Broken;

#[derive(Debug)]
pub(crate) struct BadCatalog {
    pub(crate) inner: RestCatalog,
    pub(crate) broken: Broken,
}

#[async_trait]
impl ProductCatalog for BadCatalog {
    async fn check(&self, lines: &[HoldLine]) -> Result<StockCheck, CatalogError> {
        self.inner.check(lines).await
    }

    async fn hold(&self, request: &HoldRequest) -> Result<Reservation, CatalogError> {
        let answer = self.inner.hold(request).await;
        let is_silence = answer.as_ref().is_err_and(CatalogError::is_unknown);
        match self.broken {
            Broken::TakesSilenceForNo if is_silence => Err(CatalogError::InsufficientStock(short(request))),
            Broken::TakesSilenceForYes if is_silence => Ok(invented(request)),
            _ => answer,
        }
    }

    async fn settle(&self, settlements: &[Settlement]) -> Result<Vec<SettleOutcome>, CatalogError> {
        self.inner.settle(settlements).await
    }

    async fn held(
        &self,
        owner: &str,
        created_before: Timestamp,
        page: &PageRequest<HeldKey>,
    ) -> Result<Page<HeldReservation>, CatalogError> {
        let found = self.inner.held(owner, created_before, page).await?;
        if self.broken == Broken::ReleasesFirst {
            let release = |held: &HeldReservation| Settlement {
                reservation_id: held.id,
                action: SettleAction::Release,
            };
            let releases: Vec<Settlement> = found.data.iter().map(release).collect();
            self.inner.settle(&releases).await?;
        }
        Ok(found)
    }

    async fn reservations(
        &self,
        owner: &str,
        page: &PageRequest<HeldKey>,
    ) -> Result<Page<Reservation>, CatalogError> {
        self.inner.reservations(owner, page).await
    }

    async fn find(&self, ids: &[ReservationId]) -> Result<Vec<Option<Reservation>>, CatalogError> {
        self.inner.find(ids).await
    }
}

fn product_of(line: &HoldLine) -> ProductId {
    match &line.product {
        ProductRef::Id(id) => *id,
        ProductRef::Sku(_) => ProductId::generate(),
    }
}

fn short(request: &HoldRequest) -> Vec<ShortLine> {
    let short = |line: &HoldLine| ShortLine {
        product_id: product_of(line),
        sku: "SKU".parse().unwrap(),
        requested: line.quantity,
        available: 0,
    };
    request.lines.iter().map(short).collect()
}

fn invented(request: &HoldRequest) -> Reservation {
    let line = |line: &HoldLine| ReservedLine {
        product_id: product_of(line),
        sku: "SKU".parse().unwrap(),
        name: "No name".to_owned(),
        quantity: line.quantity,
        held: line.quantity,
        unit_price: "1.25 EUR".parse().unwrap(),
    };
    Reservation {
        id: request.id,
        owner: request.owner.clone(),
        state: ReservationState::Held,
        lines: request.lines.iter().map(line).collect(),
        created_at: Timestamp::from_millis(0),
        updated_at: Timestamp::from_millis(0),
        expires_at: None,
    }
}
