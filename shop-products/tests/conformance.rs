//! The published suites, on every store and catalogue of this crate.

#![cfg(feature = "testing")]
#![allow(clippy::unwrap_used, reason = "a test: it panics when something is wrong")]

use std::sync::Arc;

use async_trait::async_trait;
use shop_core::SystemClock;
use shop_products::store::memory::MemoryProductStore;
use shop_products::testing::{CatalogUnderTest, ProductCatalogFactory, ProductStoreFactory};
use shop_products::{LocalCatalog, ProductService, ProductServiceConfig, ProductStore};

struct Memory;

#[async_trait]
impl ProductStoreFactory for Memory {
    type Guard = MemoryProductStore;

    async fn fresh(&self) -> (MemoryProductStore, Arc<dyn ProductStore>) {
        let store = MemoryProductStore::default();
        (store.clone(), Arc::new(store))
    }

    async fn reopen(&self, guard: &MemoryProductStore) -> Arc<dyn ProductStore> {
        Arc::new(guard.clone())
    }
}

#[async_trait]
impl ProductCatalogFactory for Memory {
    type Guard = ();

    async fn fresh(&self) -> CatalogUnderTest<()> {
        let store = Arc::new(MemoryProductStore::default());
        let service = ProductService::start(store, Arc::new(SystemClock), ProductServiceConfig::default());
        CatalogUnderTest { guard: (), catalog: Arc::new(LocalCatalog(service.clone())), service }
    }
}

mod memory {
    use super::Memory;
    shop_products::product_store_suite!(Memory);
}

mod in_process_catalog {
    use super::Memory;
    shop_products::catalog_suite!(Memory);
}

#[cfg(feature = "sqlite")]
mod sqlite {
    use super::*;
    use shop_products::store::sqlite::SqliteProductStore;
    use tempfile::TempDir;

    struct Sqlite;

    async fn open(folder: &TempDir) -> Arc<dyn ProductStore> {
        let url = format!("sqlite:{}", folder.path().join("products.db").display());
        Arc::new(
            SqliteProductStore::connect_with(
                &url,
                shop_core::sqlite::SqliteConfig::default(),
                Arc::new(SystemClock),
            )
            .await
            .unwrap(),
        )
    }

    #[async_trait]
    impl ProductStoreFactory for Sqlite {
        type Guard = TempDir;

        async fn fresh(&self) -> (TempDir, Arc<dyn ProductStore>) {
            let folder = tempfile::tempdir().unwrap();
            let store = open(&folder).await;
            (folder, store)
        }

        async fn reopen(&self, folder: &TempDir) -> Arc<dyn ProductStore> {
            open(folder).await
        }
    }

    shop_products::product_store_suite!(Sqlite);
}

/// Each fault is caught by the checks that are said to catch it.
mod broken_stores {
    use shop_products::testing::broken::{BrokenFactory, Fault, caught_by};
    use shop_products::testing::checks;

    macro_rules! caught {
        ($($check:ident,)*) => {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $check() {
                    for fault in faults(stringify!($check)) {
                        let run = tokio::spawn(async move { checks::$check(&BrokenFactory(fault)).await }).await;
                        assert!(run.is_err_and(|error| error.is_panic()), "{fault:?} is not caught");
                    }
                }
            )*

            #[test]
            fn all_are_tried() {
                let tried = [$(stringify!($check)),*];
                assert!(caught_by().keys().all(|check| tried.contains(check)));
            }
        };
    }

    fn faults(check: &str) -> Vec<Fault> {
        caught_by().remove(check).unwrap()
    }

    caught! {
        a_broken_expectation_writes_nothing,
        every_row_comes_back_as_it_was_written,
        skus_are_unique_among_live_products,
        what_was_committed_is_seen_by_every_instance,
        what_was_committed_survives_reopening,
        what_others_commit_is_told,
        a_dropped_commit_is_whole_or_nothing,
        a_load_brings_what_reservations_need,
        expired_reservations_are_found_by_the_stores_clock,
        every_order_is_paged_through_once,
        rows_that_come_while_paging_shift_no_other,
        filters_narrow_down_together,
        words_are_found,
        what_thousands_match_is_listed_as_what_few_do,
        reservations_are_listed_oldest_first,
        adjustments_are_listed_newest_first,
        a_purge_takes_only_what_ended_before,
        a_release_before_the_hold_refuses_it,
        an_expired_hold_gives_its_units_back,
        a_deleted_product_keeps_what_is_allocated,
        a_key_is_done_once,
    }
}
