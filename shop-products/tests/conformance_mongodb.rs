//! The published suite on the MongoDB store. `SHOP_TEST_MONGODB_URL` names a replica set.

#![cfg(all(feature = "testing", feature = "mongodb"))]
#![allow(clippy::unwrap_used, reason = "a test: it panics when something is wrong")]

use std::sync::Arc;

use async_trait::async_trait;
use shop_products::ProductStore;
use shop_products::store::mongodb::{MongoProductStore, TestDatabase};
use shop_products::testing::ProductStoreFactory;

struct Mongo;

async fn open(database: &TestDatabase) -> Arc<dyn ProductStore> {
    Arc::new(MongoProductStore::connect(database.url()).await.unwrap())
}

#[async_trait]
impl ProductStoreFactory for Mongo {
    type Guard = TestDatabase;

    async fn fresh(&self) -> (TestDatabase, Arc<dyn ProductStore>) {
        let database = TestDatabase::fresh();
        let store = open(&database).await;
        (database, store)
    }

    async fn reopen(&self, database: &TestDatabase) -> Arc<dyn ProductStore> {
        open(database).await
    }
}

shop_products::product_store_suite!(Mongo);
