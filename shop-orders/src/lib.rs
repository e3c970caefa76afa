//! Orders that are placed if and only if their stock is taken, once.
//!
//! Orders and products are two services over two stores, without a transaction over both. An order is placed by
//! *hold, decide, settle*: products hold its stock until they are told; one transaction here inserts the row that decides
//! about that reservation, together with the order, its event, its idempotency record and the settlement; the settlement
//! is sent later, at least once. A reservation that nobody decided about is given up by recovery, which first writes a row
//! that says so. See [`Decision`], and [`store::OrderStore`] for what a store must hold.
//!
//! ```
//! use std::sync::Arc;
//! use shop_core::SystemClock;
//! use shop_orders::store::memory::MemoryOrderStore;
//! use shop_orders::{NewOrder, OrderDetails, OrderError, OrderService, OrderServiceConfig};
//! use shop_products::store::memory::MemoryProductStore;
//! use shop_products::{
//!     HoldLine, LocalCatalog, NewProduct, ProductDetails, ProductRef, ProductService, ProductServiceConfig,
//! };
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let clock = Arc::new(SystemClock);
//! let stock = Arc::new(MemoryProductStore::new());
//! let products = ProductService::start(stock, clock.clone(), ProductServiceConfig::default());
//! let mug = ProductDetails {
//!     sku: "MUG".parse()?,
//!     name: "A mug".to_owned(),
//!     description: String::new(),
//!     price: "7.50 EUR".parse()?,
//!     attributes: Default::default(),
//!     tags: Vec::new(),
//!     status: Default::default(),
//! };
//! products.create(NewProduct { details: mug, on_hand: 3 }, None).await?;
//!
//! let store = Arc::new(MemoryOrderStore::new());
//! let catalog = Arc::new(LocalCatalog(products));
//! let orders = OrderService::start(store, catalog, clock, OrderServiceConfig::default());
//! let two = NewOrder {
//!     lines: vec![HoldLine { product: ProductRef::Sku("MUG".parse()?), quantity: 2 }],
//!     details: OrderDetails::default(),
//!     expected_total: None,
//! };
//! let order = orders.place(two.clone(), None).await?.fresh().expect("placed now");
//! assert_eq!(order.total, "15.00 EUR".parse()?);
//!
//! // One is left: two more are refused, and nothing is taken.
//! assert!(matches!(orders.place(two.clone(), None).await, Err(OrderError::InsufficientStock(_))));
//! orders.cancel(order.id, None, None).await?;
//! orders.settle_now().await?;
//! orders.place(two, None).await?;
//! orders.shutdown().await;
//! # Ok(())
//! # }
//! ```
//!
//! | feature | adds |
//! |---|---|
//! | `sqlite` | the SQLite store |
//! | `postgres` | the PostgreSQL store |
//! | `http` | the HTTP API as a tower service, with its OpenAPI document |
//! | `testing` | the conformance suite of the storage port, and stores that break it |

mod decision;
mod error;
mod event;
#[cfg(feature = "http")]
pub mod http;
mod ledger;
mod order;
mod recovery;
mod request;
mod service;
mod settler;
pub mod store;
#[cfg(feature = "testing")]
pub mod testing;
mod validate;

pub use decision::{Decision, Outcome, reservation_of};
pub use error::OrderError;
pub use event::{Event, EventType, NewEvent};
pub use order::{Order, OrderDetails, OrderHold, OrderId, OrderLine, OrderStatus};
pub use request::{NewOrder, OrderPatch};
pub use service::{
    Backoff, Difference, DifferenceLine, Figures, InDoubt, InDoubtKind, OrderConfigError, OrderSays,
    OrderService, OrderServiceConfig, Reconcile, ReconcileKey, ReconcilePage, Repair,
};
pub use store::OrderStore;
