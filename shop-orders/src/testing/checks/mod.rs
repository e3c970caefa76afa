//! The checks, one function each: it panics if the store does not hold what it promises.

mod commits;
mod events;
mod failures;
mod lists;
mod moves;
mod outbox;
mod placing;
mod races;
mod rows;

pub use commits::*;
pub use events::*;
pub use failures::*;
pub use lists::*;
pub use moves::*;
pub use outbox::*;
pub use placing::*;
pub use races::*;
pub use rows::*;

use std::sync::Arc;

use shop_core::{ManualClock, StoreErrorKind, StoreResult};

use super::sample::at;
use super::{FreshStore, OrderStoreFactory};
use crate::store::{Footprint, Snapshot};
use crate::{Order, OrderStore};

/// A fresh store and the clock that it goes by.
async fn fresh(factory: &dyn OrderStoreFactory) -> (FreshStore, Arc<ManualClock>) {
    let clock = Arc::new(ManualClock::new(at(0)));
    (factory.fresh(clock.clone()).await, clock)
}

#[track_caller]
fn assert_conflict(result: StoreResult<()>, why: &str) {
    match result {
        Err(error) if error.kind() == StoreErrorKind::Conflict => {}
        other => panic!("{why}: a conflict was due, not {other:?}"),
    }
}

async fn load(store: &Arc<dyn OrderStore>, footprint: Footprint) -> Snapshot {
    store.load(&footprint).await.expect("load")
}

/// The order as the store has it.
async fn found(store: &Arc<dyn OrderStore>, order: &Order) -> Option<Order> {
    load(store, Footprint { orders: [order.id].into(), ..Footprint::default() })
        .await
        .orders
        .remove(&order.id)
}
