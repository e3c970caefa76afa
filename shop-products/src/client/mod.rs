//! The REST client of the products API: [`RestCatalog`] is a [`ProductCatalog`](crate::ProductCatalog) over the network.
//!
//! Everything it asks may be asked again: a check takes nothing, and holds and settlements carry the caller's own id. So it
//! retries whatever gives no answer, within one deadline, and reports [`Unavailable`](crate::CatalogError::Unavailable) when
//! it cannot say what happened.

mod answer;
mod backoff;
mod breaker;
mod catalog;
mod config;
mod fault;
mod transport;

pub use breaker::BreakerState;
pub use catalog::RestCatalog;
pub use config::{BuildError, RestCatalogBuilder};
pub use fault::ClientFault;
