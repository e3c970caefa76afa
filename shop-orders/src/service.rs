use std::sync::Arc;

use shop_core::idempotency::{Answered, Keyed};
use shop_core::{Clock, Limit, Page, PageRequest};
use shop_products::ProductCatalog;

use crate::store::{OrderKey, OrderQuery};
use crate::{Event, NewOrder, Order, OrderError, OrderId, OrderPatch, OrderStore};

pub(crate) mod config;
pub(crate) mod report;

pub use config::{Backoff, OrderServiceConfig};
pub use report::{Figures, InDoubt, InDoubtKind};

/// The use cases of orders.
#[derive(Debug, Clone)]
pub struct OrderService {}

fn unfinished<T>() -> Result<T, OrderError> {
    Err(OrderError::ProductsUnavailable)
}

impl OrderService {
    /// Starts the service's workers on the current tokio runtime.
    pub fn start(
        _store: Arc<dyn OrderStore>,
        _catalog: Arc<dyn ProductCatalog>,
        _clock: Arc<dyn Clock>,
        _config: OrderServiceConfig,
    ) -> Self {
        Self {}
    }
    /// Stops the workers.
    pub async fn shutdown(&self) {}
    /// Places an order.
    pub async fn place(&self, _new: NewOrder, _keyed: Option<Keyed<Order>>) -> Result<Answered<Order>, OrderError> {
        unfinished()
    }
    /// One order.
    pub async fn get(&self, _id: OrderId) -> Result<Order, OrderError> {
        unfinished()
    }
    /// A page of orders.
    pub async fn list(&self, _query: &OrderQuery, _page: PageRequest<OrderKey>) -> Result<Page<Order>, OrderError> {
        unfinished()
    }
    /// How many.
    pub async fn count(&self, _query: &OrderQuery) -> Result<u64, OrderError> {
        unfinished()
    }
    /// Edits.
    pub async fn edit(
        &self,
        _id: OrderId,
        _if_match: Option<Vec<u64>>,
        _patch: OrderPatch,
    ) -> Result<Order, OrderError> {
        unfinished()
    }
    /// Cancels.
    pub async fn cancel(
        &self,
        _id: OrderId,
        _if_match: Option<Vec<u64>>,
        _keyed: Option<Keyed<Order>>,
    ) -> Result<Answered<Order>, OrderError> {
        unfinished()
    }
    /// Ships.
    pub async fn ship(
        &self,
        _id: OrderId,
        _if_match: Option<Vec<u64>>,
        _keyed: Option<Keyed<Order>>,
    ) -> Result<Answered<Order>, OrderError> {
        unfinished()
    }
    /// Delivers.
    pub async fn deliver(
        &self,
        _id: OrderId,
        _if_match: Option<Vec<u64>>,
        _keyed: Option<Keyed<Order>>,
    ) -> Result<Answered<Order>, OrderError> {
        unfinished()
    }
    /// Deletes.
    pub async fn delete(&self, _id: OrderId, _if_match: Option<Vec<u64>>) -> Result<(), OrderError> {
        unfinished()
    }
    /// A page of an order's events, oldest first.
    pub async fn history(&self, _id: OrderId, _page: PageRequest<u64>) -> Result<Page<Event>, OrderError> {
        unfinished()
    }
    /// Up to `limit` events after a sequence.
    pub async fn events(&self, _after: u64, _limit: Limit) -> Result<Vec<Event>, OrderError> {
        unfinished()
    }
    /// What is not settled.
    pub async fn doctor(&self) -> Result<Vec<InDoubt>, OrderError> {
        unfinished()
    }
    /// Figures.
    pub fn figures(&self) -> Figures {
        Figures::default()
    }
    /// Readiness.
    pub async fn ping(&self) -> Result<(), OrderError> {
        unfinished()
    }
}
