use std::sync::Arc;

use shop_core::idempotency::{Answered, Keyed};
use shop_core::{Clock, Page, PageRequest};

use crate::store::{ProductKey, ProductQuery, ReservationQuery};
use crate::view::StockView;
use crate::{
    Adjustment, AdjustmentId, HeldKey, HoldLine, HoldRequest, ImportRow, NewAdjustment, NewProduct, Product,
    ProductEditRequest, ProductError, ProductRef, ProductStore, Reservation, ReservationId, RowOutcome,
    SettleOutcome, Settlement, StockCheck,
};

mod config;
mod figures;

pub use config::ProductServiceConfig;
pub use figures::ProductFigures;

/// The use cases of products.
#[derive(Debug, Clone)]
pub struct ProductService {}

#[allow(missing_docs, clippy::todo, unused_variables, clippy::missing_errors_doc)]
impl ProductService {
    pub fn start(store: Arc<dyn ProductStore>, clock: Arc<dyn Clock>, config: ProductServiceConfig) -> Self {
        todo!()
    }
    pub async fn get(&self, product: &ProductRef) -> Result<Product, ProductError> {
        todo!()
    }
    pub async fn get_many(&self, products: &[ProductRef]) -> Result<Vec<Option<Product>>, ProductError> {
        todo!()
    }
    pub async fn list(
        &self,
        query: &ProductQuery,
        page: &PageRequest<ProductKey>,
    ) -> Result<Page<Product>, ProductError> {
        todo!()
    }
    pub async fn count(&self, query: &ProductQuery) -> Result<u64, ProductError> {
        todo!()
    }
    pub async fn create(
        &self,
        new: NewProduct,
        keyed: Option<Keyed<Product>>,
    ) -> Result<Answered<Product>, ProductError> {
        todo!()
    }
    pub async fn edit(
        &self,
        product: &ProductRef,
        if_match: Option<Vec<u64>>,
        edit: ProductEditRequest,
    ) -> Result<Product, ProductError> {
        todo!()
    }
    pub async fn delete(&self, product: &ProductRef, if_match: Option<Vec<u64>>) -> Result<(), ProductError> {
        todo!()
    }
    pub async fn adjust(
        &self,
        product: &ProductRef,
        adjustment: NewAdjustment,
        keyed: Option<Keyed<(Adjustment, Product)>>,
    ) -> Result<Answered<(Adjustment, Product)>, ProductError> {
        todo!()
    }
    pub async fn adjustments(
        &self,
        product: &ProductRef,
        page: &PageRequest<AdjustmentId>,
    ) -> Result<Page<Adjustment>, ProductError> {
        todo!()
    }
    pub async fn import_batch(
        &self,
        rows: Vec<ImportRow>,
        dry_run: bool,
    ) -> Result<Vec<RowOutcome>, ProductError> {
        todo!()
    }
    pub async fn hold(&self, request: &HoldRequest) -> Result<(Reservation, bool), ProductError> {
        todo!()
    }
    pub async fn settle(
        &self,
        settlements: &[Settlement],
        keyed: Option<Keyed<Vec<SettleOutcome>>>,
    ) -> Result<Answered<Vec<SettleOutcome>>, ProductError> {
        todo!()
    }
    pub async fn reservation(&self, id: ReservationId) -> Result<Reservation, ProductError> {
        todo!()
    }
    pub async fn reservations(
        &self,
        query: &ReservationQuery,
        page: &PageRequest<HeldKey>,
    ) -> Result<Page<Reservation>, ProductError> {
        todo!()
    }
    pub async fn check(&self, lines: &[HoldLine]) -> Result<StockCheck, ProductError> {
        todo!()
    }
    pub fn view(&self) -> &StockView {
        todo!()
    }
    pub async fn purge(&self) -> Result<u64, ProductError> {
        todo!()
    }
    pub async fn ping(&self) -> Result<(), ProductError> {
        todo!()
    }
    pub fn figures(&self) -> ProductFigures {
        todo!()
    }
    pub fn now(&self) -> shop_core::Timestamp {
        todo!()
    }
    pub async fn shutdown(&self) {
        todo!()
    }
}
