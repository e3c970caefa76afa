//! Orders that are placed if and only if their stock is taken, once.
//!
//! | feature | adds |
//! |---|---|
//! | `sqlite` | the SQLite store |
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
pub use service::{Backoff, Figures, InDoubt, InDoubtKind, OrderService, OrderServiceConfig};
pub use store::OrderStore;
