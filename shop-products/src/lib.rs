//! Catalogue, stock and reservations.
//!
//! [`ProductService`] has the use cases; it keeps what they make in a [`ProductStore`], and answers stock checks from
//! memory. An orders service uses it through [`ProductCatalog`]: in process with [`LocalCatalog`], or over the network.
//!
//! ```
//! use std::sync::Arc;
//!
//! use shop_core::SystemClock;
//! use shop_products::store::memory::MemoryProductStore;
//! use shop_products::{
//!     HoldLine, HoldRequest, NewProduct, ProductDetails, ProductError, ProductRef, ProductService, ReservationId,
//!     SettleAction, Settlement,
//! };
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let store = Arc::new(MemoryProductStore::default());
//! let products = ProductService::start(store, Arc::new(SystemClock), Default::default());
//!
//! let details = ProductDetails {
//!     sku: "MUG-1".parse()?,
//!     name: "A mug".to_owned(),
//!     description: String::new(),
//!     price: "9.90 EUR".parse()?,
//!     attributes: Default::default(),
//!     tags: vec!["kitchen".to_owned()],
//!     status: Default::default(),
//! };
//! let mug = products.create(NewProduct { details, on_hand: 3 }, None).await?.fresh().expect("no key, no replay");
//!
//! // All lines or none, in one atomic step; the same id again is the same reservation.
//! let line = HoldLine { product: ProductRef::Id(mug.id), quantity: 2 };
//! let mut hold = HoldRequest { id: ReservationId::generate(), owner: None, lines: vec![line], expires_in: None };
//! let (reservation, fresh) = products.hold(&hold).await?;
//! assert!(fresh && !products.hold(&hold).await?.1);
//!
//! hold.id = ReservationId::generate();
//! assert!(matches!(products.hold(&hold).await, Err(ProductError::InsufficientStock(_))));
//!
//! // Shipped: two units leave `on_hand`.
//! let shipped = Settlement { reservation_id: reservation.id, action: SettleAction::Fulfil };
//! products.settle(&[shipped], None).await?;
//! assert_eq!(products.get(&ProductRef::Sku("MUG-1".parse()?)).await?.stock.on_hand, 1);
//! # Ok(())
//! # }
//! ```
//!
//! # Decisions
//! - **Commands are decided in memory, in batches, on what the store holds; a write says what it expects.** One
//!   transaction a command met itself on hot products; a batch does not, and a race between two instances is a conflict
//!   that is decided again.
//! - **One version, and one that an edit made.** Stock moves with every order; an `If-Match` asks whether the *details*
//!   have been seen.
//! - **Deleting is marking.** What reservations hold of a deleted product can still be shipped or given back.
//! - **The stock view is told which products were written, and reads them; it says up to when it was told.** Nothing in it
//!   is taken from an event but an id and a version, so that late, repeated or reordered events do no harm. A check reads the
//!   store whenever it is not known that all was told.
//!
//! | feature | adds |
//! |---|---|
//! | `sqlite` | the SQLite store |
//! | `mongodb` | the MongoDB store |
//! | `postgres` | the PostgreSQL store |
//! | `http` | the HTTP API as a tower service, with its OpenAPI document |
//! | `client` | the REST client of that API |
//! | `testing` | the conformance suites, and stores that break them |

mod catalog;
#[cfg(feature = "client")]
pub mod client;
mod error;
#[cfg(feature = "http")]
pub mod http;
mod input;
mod ledger;
mod local;
mod product;
mod reservation;
mod service;
mod stock;
pub mod store;
#[cfg(feature = "testing")]
pub mod testing;
pub mod validate;
mod view;
#[cfg(any(feature = "http", feature = "client"))]
mod wire;

pub use catalog::{
    CatalogError, CheckedLine, HeldKey, HeldReservation, LineStatus, ProductCatalog, ShortLine, StockCheck,
    UnknownLine,
};
pub use error::ProductError;
pub use input::{ImportRow, NewAdjustment, NewProduct, ProductEditRequest, ProductPatch, RowOutcome};
pub use local::LocalCatalog;
pub use product::{InvalidSku, Product, ProductDetails, ProductId, ProductRef, ProductStatus, Sku};
pub use reservation::{
    HoldLine, HoldRequest, Reservation, ReservationId, ReservationState, ReservedLine, SettleAction,
    SettleOutcome, Settlement, ShrinkLine,
};
pub use service::{ProductFigures, ProductService, ProductServiceConfig};
pub use stock::{Adjustment, AdjustmentId, Stock};
pub use store::ProductStore;
pub use view::{Checked, StockView};
