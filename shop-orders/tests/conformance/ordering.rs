//! Every row of the protocol's table of what can go wrong, on each database of orders with each database of products.

use std::pin::Pin;
use std::sync::Arc;

use async_trait::async_trait;
use shop_core::Clock;
use shop_core::postgres;
use shop_core::sqlite::SqliteConfig;
use shop_orders::testing::{FreshProducts, FreshStore, OrderStoreFactory};
use shop_products::store::mongodb::{self, MongoConfig, MongoProductStore};
use shop_products::store::postgres::PgProductStore;
use shop_products::store::sqlite::SqliteProductStore;

use super::postgres::Postgres;
use super::sqlite::Sqlite;

type Opening = Pin<Box<dyn Future<Output = FreshProducts> + Send>>;

/// The orders of a factory, with these products.
struct With<Orders>(Orders, fn(Arc<dyn Clock>) -> Opening);

#[async_trait]
impl<Orders: OrderStoreFactory> OrderStoreFactory for With<Orders> {
    async fn fresh(&self, clock: Arc<dyn Clock>) -> FreshStore {
        self.0.fresh(clock).await
    }

    async fn products(&self, clock: Arc<dyn Clock>) -> FreshProducts {
        (self.1)(clock).await
    }
}

async fn sqlite(clock: Arc<dyn Clock>) -> FreshProducts {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("products.db");
    let path = path.to_str().expect("UTF-8");
    let open = async || SqliteProductStore::connect_with(path, SqliteConfig::default(), clock.clone()).await;
    let (store, other) = (open().await.expect("open"), open().await.expect("open once more"));
    FreshProducts { store: Arc::new(store), other: Arc::new(other), guard: Box::new(folder) }
}

async fn mongodb(clock: Arc<dyn Clock>) -> FreshProducts {
    let database = mongodb::TestDatabase::fresh();
    let open =
        async || MongoProductStore::connect_with(database.url(), MongoConfig::default(), clock.clone()).await;
    let (store, other) = (open().await.expect("connect"), open().await.expect("connect once more"));
    FreshProducts { store: Arc::new(store), other: Arc::new(other), guard: Box::new(database) }
}

async fn postgres(clock: Arc<dyn Clock>) -> FreshProducts {
    let database = postgres::TestDatabase::create().await;
    let open = async || Some(PgProductStore::connect(&database.url()).await.ok()?.with_clock(clock.clone()));
    let (store, other) = (open().await.expect("connect"), open().await.expect("connect once more"));
    FreshProducts { store: Arc::new(store), other: Arc::new(other), guard: Box::new(database) }
}

/// A store of products a line: all rows, with each store of orders.
macro_rules! with_products {
    ($($name:ident: $fresh:ident;)*) => {
        $(
            mod $name {
                use super::*;

                mod and_orders_in_sqlite {
                    use super::*;
                    shop_orders::ordering_suite!(With(Sqlite, |clock| Box::pin($fresh(clock))));
                }

                mod and_orders_in_postgres {
                    use super::*;
                    shop_orders::ordering_suite!(With(Postgres, |clock| Box::pin($fresh(clock))));
                }
            }
        )*
    };
}

with_products! {
    products_in_sqlite: sqlite;
    products_in_mongodb: mongodb;
    products_in_postgres: postgres;
}
