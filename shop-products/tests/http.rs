//! The products half of the HTTP contract over real sockets, on every store.
#![cfg(feature = "http")]
#![allow(missing_docs, unreachable_pub, clippy::unwrap_used, reason = "tests")]

#[path = "http/support.rs"]
#[macro_use]
mod support;

#[path = "http/bad_input.rs"]
mod bad_input;
#[path = "http/failures.rs"]
mod failures;
#[path = "http/idempotency.rs"]
mod idempotency;
#[path = "http/listing.rs"]
mod listing;
#[path = "http/openapi.rs"]
mod openapi;
#[path = "http/products.rs"]
mod products;
#[path = "http/reservations.rs"]
mod reservations;
#[path = "http/stock.rs"]
mod stock;
#[path = "http/transfer.rs"]
mod transfer;
