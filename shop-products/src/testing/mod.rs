//! The published conformance suites (feature `testing`): what a store or catalogue of your own has to pass.
//!
//! ```
//! # mod conformance {
//! use std::sync::Arc;
//! use async_trait::async_trait;
//! use shop_products::ProductStore;
//! use shop_products::store::memory::MemoryProductStore;
//! use shop_products::testing::ProductStoreFactory;
//!
//! struct Mine;
//!
//! #[async_trait]
//! impl ProductStoreFactory for Mine {
//!     type Guard = MemoryProductStore;
//!     async fn fresh(&self) -> (Self::Guard, Arc<dyn ProductStore>) {
//!         let store = MemoryProductStore::default();
//!         (store.clone(), Arc::new(store))
//!     }
//!     async fn reopen(&self, store: &Self::Guard) -> Arc<dyn ProductStore> {
//!         Arc::new(store.clone())
//!     }
//! }
//!
//! shop_products::product_store_suite!(Mine); // one #[tokio::test] a check; needs tokio's `macros` and `rt-multi-thread`
//! # }
//! ```
//!
//! Each check can fail: [`broken`] holds stores with one deliberate fault each, and a test shows which check catches it.

#![allow(
    clippy::unwrap_used,
    clippy::missing_panics_doc,
    reason = "these are tests: they panic when something is wrong"
)]

pub mod broken;
mod catalog_suite;
pub mod checks;
mod fixtures;
mod store_suite;

pub use catalog_suite::{CatalogUnderTest, ProductCatalogFactory, catalog_checks};
pub use fixtures::{
    a_thousand_buyers_want_one_unit, details, line, new_product, product, request, settlement,
};
pub use store_suite::ProductStoreFactory;
