use std::sync::Weak;
use std::time::Duration;

use shop_core::{Limit, PageRequest};
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval};

use super::{ProductService, ProductServiceConfig, Shared};
use crate::store::{ProductKey, ProductQuery, ProductSort, ProductSortField};
use crate::view::ViewRow;

/// The tasks that a service has besides its writer. They hold no service: when the last clone goes, they end.
#[derive(Debug)]
pub(super) struct Maintenance {
    tasks: [JoinHandle<()>; 3],
}

impl Maintenance {
    pub(super) fn start(service: Weak<Shared>, config: &ProductServiceConfig) -> Self {
        Self {
            tasks: [
                tokio::spawn(expire(service.clone(), config.expiry_interval)),
                tokio::spawn(purge(service.clone(), config.purge_interval)),
                tokio::spawn(fill_view(service)),
            ],
        }
    }

    pub(super) fn stop(&self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

impl Drop for Maintenance {
    fn drop(&mut self) {
        self.stop();
    }
}

fn upgraded(service: &Weak<Shared>) -> Option<ProductService> {
    service.upgrade().map(|shared| ProductService { shared })
}

async fn expire(service: Weak<Shared>, every: Duration) {
    let mut ticks = interval(every.max(Duration::from_millis(1)));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let Some(service) = upgraded(&service) else { return };
        match service.expire().await {
            Ok(0) => {}
            Ok(released) => tracing::info!(released, "held reservations had expired"),
            Err(error) => tracing::warn!(%error, "expired reservations could not be released; trying again"),
        }
    }
}

async fn purge(service: Weak<Shared>, every: Duration) {
    let mut ticks = interval(every.max(Duration::from_millis(1)));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let Some(service) = upgraded(&service) else { return };
        match service.purge().await {
            Ok(0) => {}
            Ok(rows) => tracing::info!(rows, "old idempotency records and reservations were deleted"),
            Err(error) => tracing::warn!(%error, "old records could not be deleted; trying again later"),
        }
    }
}

/// Takes the newest products into the view, until it is full.
async fn fill_view(service: Weak<Shared>) {
    let sort = ProductSort { field: ProductSortField::CreatedAt, descending: true };
    let query = ProductQuery { sort, ..ProductQuery::default() };
    let limit = Limit::new(Limit::MAX).unwrap_or_default();
    let mut after: Option<ProductKey> = None;
    loop {
        let Some(service) = upgraded(&service) else { return };
        if service.view().is_full() {
            return;
        }
        let epoch = service.view().epoch();
        let rows = match service.store().products(&query, &PageRequest { limit, after: after.clone() }).await
        {
            Ok(rows) => rows,
            Err(error) => {
                tracing::warn!(error = %error.chain(), "the stock view fills as it is asked, not ahead");
                return;
            }
        };
        let Some(last) = rows.last() else { return };
        after = Some(ProductKey::of(last, sort));
        service.view().fill(epoch, rows.iter().map(ViewRow::of));
        tokio::task::yield_now().await;
    }
}
