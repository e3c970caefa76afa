//! The REST client of the products API: [`RestCatalog`] is a [`ProductCatalog`](crate::ProductCatalog) over the network.
//!
//! Everything it asks may be asked again: a check takes nothing, and holds and settlements carry the caller's own id. So it
//! retries whatever gives no answer, within one deadline, and reports [`Unavailable`](crate::CatalogError::Unavailable) when
//! it cannot say what happened.
//!
//! Requests go over connections of its own, by reqwest, or by any tower service:
//! [`RestCatalogBuilder::transport`].

mod answer;
mod backoff;
mod breaker;
mod caller;
mod carrier;
mod catalog;
mod config;
mod fault;

pub use breaker::BreakerState;
pub use catalog::RestCatalog;
pub use config::{BuildError, RestCatalogBuilder};
pub use fault::ClientFault;
