use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval};

use super::{ProductService, ProductServiceConfig, Shared, follow};
use crate::store::ProductChanges;

/// The tasks that a service has besides its writer. They hold no service: when its last clone goes, they end.
#[derive(Debug)]
pub(super) struct Maintenance {
    tasks: [JoinHandle<()>; 3],
}

impl Maintenance {
    /// `changes`: of the service's store.
    pub(super) fn start(service: &Arc<Shared>, changes: Option<Box<dyn ProductChanges>>) -> Self {
        let ProductServiceConfig { expiry_interval, purge_interval, .. } = service.config;
        let (engine, service) = (service.engine.clone(), Arc::downgrade(service));
        Self {
            tasks: [
                tokio::spawn(expire(service.clone(), expiry_interval)),
                tokio::spawn(purge(service, purge_interval)),
                tokio::spawn(follow::keep(engine, changes)),
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
