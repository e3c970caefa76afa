//! Catalogue, stock and reservations.
//!
//! | feature | adds |
//! |---|---|
//! | `sqlite` | the SQLite store |
//! | `http` | the HTTP API as a tower service, with its OpenAPI document |
//! | `client` | the REST client of that API |
//! | `testing` | the conformance suites, and stores that break them |

mod catalog;
mod product;
mod reservation;
mod stock;
pub mod store;

pub use catalog::{
    CatalogError, CheckedLine, HeldKey, HeldReservation, LineStatus, ProductCatalog, ShortLine, StockCheck, UnknownLine,
};
pub use product::{InvalidSku, Product, ProductDetails, ProductId, ProductRef, ProductStatus, Sku};
pub use reservation::{
    HoldLine, HoldRequest, Reservation, ReservationId, ReservationState, ReservedLine, SettleAction, SettleOutcome,
    Settlement, ShrinkLine,
};
pub use stock::{Adjustment, AdjustmentId, Stock};
pub use store::ProductStore;
