//! The published suite, on the store of the example `own_store`: one test a check, no exception.

use std::sync::Arc;

use async_trait::async_trait;
use shop_products::ProductStore;
use shop_products::testing::ProductStoreFactory;

mod journal;

use journal::JournalStore;

struct Journals;

#[async_trait]
impl ProductStoreFactory for Journals {
    type Guard = tempfile::TempDir;

    async fn fresh(&self) -> (Self::Guard, Arc<dyn ProductStore>) {
        let folder = tempfile::tempdir().expect("makes a folder");
        let store = self.reopen(&folder).await;
        (folder, store)
    }

    async fn reopen(&self, folder: &Self::Guard) -> Arc<dyn ProductStore> {
        Arc::new(JournalStore::open(&folder.path().join("products.journal")).expect("opens"))
    }
}

shop_products::product_store_suite!(Journals);
