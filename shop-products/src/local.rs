use async_trait::async_trait;
use shop_core::{Page, PageRequest, Timestamp};

use crate::store::ReservationQuery;
use crate::{
    CatalogError, HeldKey, HeldReservation, HoldLine, HoldRequest, ProductCatalog, ProductError,
    ProductService, Reservation, ReservationId, ReservationState, SettleOutcome, Settlement, StockCheck,
};

/// [`ProductCatalog`] in process: no socket, no serialising.
#[derive(Debug, Clone)]
pub struct LocalCatalog(pub ProductService);

#[async_trait]
impl ProductCatalog for LocalCatalog {
    async fn check(&self, lines: &[HoldLine]) -> Result<StockCheck, CatalogError> {
        Ok(self.0.check(lines).await?)
    }

    async fn hold(&self, request: &HoldRequest) -> Result<Reservation, CatalogError> {
        let (reservation, _) = self.0.hold(request).await?;
        Ok(reservation)
    }

    async fn settle(&self, settlements: &[Settlement]) -> Result<Vec<SettleOutcome>, CatalogError> {
        let answered = self.0.settle(settlements, None).await?;
        // Without a key nothing is ever replayed.
        Ok(answered.fresh().unwrap_or_default())
    }

    async fn held(
        &self,
        owner: &str,
        created_before: Timestamp,
        page: &PageRequest<HeldKey>,
    ) -> Result<Page<HeldReservation>, CatalogError> {
        let query = ReservationQuery {
            state: Some(ReservationState::Held),
            owner: Some(owner.to_owned()),
            created_before: Some(created_before),
        };
        let found = self.0.reservations(&query, page).await?;
        let data = found.data.iter().map(|held| HeldReservation { id: held.id, created_at: held.created_at });
        Ok(Page { data: data.collect(), next_cursor: found.next_cursor })
    }

    async fn reservations(
        &self,
        owner: &str,
        page: &PageRequest<HeldKey>,
    ) -> Result<Page<Reservation>, CatalogError> {
        let query = ReservationQuery { owner: Some(owner.to_owned()), ..ReservationQuery::default() };
        Ok(self.0.reservations(&query, page).await?)
    }

    async fn find(&self, ids: &[ReservationId]) -> Result<Vec<Option<Reservation>>, CatalogError> {
        Ok(self.0.find_reservations(ids).await?)
    }
}

impl From<ProductError> for CatalogError {
    fn from(error: ProductError) -> Self {
        match error {
            ProductError::InsufficientStock(lines) => Self::InsufficientStock(lines),
            ProductError::UnknownProducts(lines) => Self::UnknownProducts(lines),
            ProductError::ReservationReleased(state) => Self::Released(state),
            ProductError::OtherLines => Self::OtherLines,
            ProductError::Invalid(faults) => {
                let faults: Vec<_> = faults.iter().map(|f| format!("{}: {}", f.pointer, f.detail)).collect();
                Self::Invalid(faults.join("; "))
            }
            other => Self::Unavailable(Box::new(other)),
        }
    }
}
