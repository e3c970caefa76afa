//! The orders half of the HTTP contract, as an [`App`]: a tower service that a server serves, or a gateway calls in process.
//!
//! ```text
//! routes (app.rs) → place, change, read, feed: one handler a path
//!                     request   a body → a use case's input, every fault with its pointer
//!                     answer    an order or event → its wire form; what is internal stays inside
//!                     problem   an error → its status and code, in one table
//! openapi           the description of all this, from the same types
//! operator          what the admin socket adds: figures, `/doctor` and `/reconcile`
//! ```
//!
//! # Following the events
//! `GET /v1/events?after=0` gives the first events of all, at most `limit`, in the order in which they were committed. Whoever
//! has worked through them asks again with `after` set to the last `sequence` (the answer's `next_after`), and stores that
//! number with its own work. An event never shows up below a sequence that was already given, so nothing is missed, and
//! nothing comes twice. An empty `data` means that there is nothing new yet: ask again later with the same `after`.

mod answer;
mod app;
mod change;
mod feed;
mod openapi;
mod operator;
mod place;
mod problem;
mod read;
mod request;

pub use self::app::{HttpConfig, app};
pub use self::openapi::document;
pub use self::operator::{figures, operator_routes};
pub use shop_core::http::App;
