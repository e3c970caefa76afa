//! The published suite on the PostgreSQL store. `SHOP_TEST_POSTGRES_URL` names a server.

#![cfg(all(feature = "testing", feature = "postgres"))]
#![allow(clippy::unwrap_used, reason = "a test: it panics when something is wrong")]

use std::sync::Arc;

use async_trait::async_trait;
use shop_core::postgres::{PgConfig, TestDatabase};
use shop_products::ProductStore;
use shop_products::store::postgres::PgProductStore;
use shop_products::testing::ProductStoreFactory;

struct Postgres;

async fn open(database: &TestDatabase) -> Arc<dyn ProductStore> {
    // Many checks at once on one server.
    let config = PgConfig { connections: 4, ..PgConfig::default() };
    Arc::new(PgProductStore::connect_with(&database.url(), config).await.unwrap())
}

#[async_trait]
impl ProductStoreFactory for Postgres {
    type Guard = TestDatabase;

    async fn fresh(&self) -> (TestDatabase, Arc<dyn ProductStore>) {
        let database = TestDatabase::create().await;
        let store = open(&database).await;
        (database, store)
    }

    async fn reopen(&self, database: &TestDatabase) -> Arc<dyn ProductStore> {
        open(database).await
    }
}

shop_products::product_store_suite!(Postgres);
