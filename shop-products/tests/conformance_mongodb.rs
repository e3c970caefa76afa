//! The published suite on the MongoDB store. `SHOP_TEST_MONGODB_URL` names a replica set.

#![cfg(all(feature = "testing", feature = "mongodb"))]
#![allow(clippy::unwrap_used, reason = "a test: it panics when something is wrong")]

use std::sync::Arc;

use async_trait::async_trait;
use shop_core::SystemClock;
use shop_products::ProductStore;
use shop_products::store::mongodb::{MongoConfig, MongoProductStore};
use shop_products::testing::ProductStoreFactory;

#[path = "mongodb/database.rs"]
mod database;
use database::Database;

struct Mongo;

async fn open(database: &Database) -> Arc<dyn ProductStore> {
    let config = MongoConfig { database: database.name.clone(), ..MongoConfig::default() };
    Arc::new(MongoProductStore::connect_with(&database.url, config, Arc::new(SystemClock)).await.unwrap())
}

#[async_trait]
impl ProductStoreFactory for Mongo {
    type Guard = Database;

    async fn fresh(&self) -> (Database, Arc<dyn ProductStore>) {
        let database = Database::fresh();
        let store = open(&database).await;
        (database, store)
    }

    async fn reopen(&self, database: &Database) -> Arc<dyn ProductStore> {
        open(database).await
    }
}

shop_products::product_store_suite!(Mongo);
