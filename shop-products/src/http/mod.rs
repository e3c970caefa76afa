//! The HTTP API of products: [`app`] is a tower service that any server mounts, and a gateway calls in process.
//!
//! | file | what |
//! |---|---|
//! | `routes` | every path, and what all handlers share |
//! | `products`, `stock`, `reservations` | the handlers |
//! | `transfer` | import and export, streamed |
//! | `problem` | the one table from errors to answers |
//! | `dto`, and `wire` beside this module | the bodies |
//! | `openapi`, `schema` | their description |
//!
//! An import takes no `Idempotency-Key`: it writes by SKU, so the same file again changes nothing.

mod config;
mod dto;
mod openapi;
mod paging;
mod params;
mod problem;
mod products;
mod reservations;
mod routes;
pub(crate) mod schema;
mod stock;
mod transfer;

pub use config::ProductsHttpConfig;
pub use openapi::document;
pub use routes::app;
