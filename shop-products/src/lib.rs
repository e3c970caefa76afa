//! Catalogue, stock and reservations.
//!
//! | feature | adds |
//! |---|---|
//! | `sqlite` | the SQLite store |
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
