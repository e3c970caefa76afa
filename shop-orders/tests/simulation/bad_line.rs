//! The way to a store: slow, sometimes broken, and there only as long as its service lives.

use std::sync::Arc;

use shop_core::{StoreError, StoreErrorKind, StoreResult};

use crate::life::Life;
use crate::world::World;

#[derive(Debug)]
pub(crate) struct BadLine {
    pub(crate) life: Life,
    pub(crate) world: Arc<World>,
}

impl BadLine {
    /// On the way there.
    pub(crate) async fn before(&self) -> StoreResult<()> {
        self.after().await;
        match self.is_broken() {
            true => Err(StoreError::new(StoreErrorKind::Unavailable, "reach the store")),
            false => Ok(()),
        }
    }

    /// On the way back.
    pub(crate) async fn after(&self) {
        self.world.pause(self.world.weather.store_wait).await;
        self.life.go_on().await;
    }

    /// Whether it breaks now.
    pub(crate) fn is_broken(&self) -> bool {
        self.world.unlucky(self.world.weather.store_faults)
    }
}
