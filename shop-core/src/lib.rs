//! What the shop's crates share.
//!
//! The default build holds only the vocabulary: [`Money`], [`Timestamp`], ids, paging, idempotency,
//! [`Problem`] (RFC 9457), the [`StoreError`] of the storage ports and the [`Combiner`] that turns many
//! callers into one transaction. Everything that needs a dependency of weight is behind a feature.
//!
//! ```
//! use shop_core::Money;
//!
//! let price: Money = "19.9 EUR".parse()?;
//! assert_eq!(price.checked_mul(3).unwrap().to_string(), "59.70 EUR");
//! assert!("19.999 EUR".parse::<Money>().is_err(), "the euro has two decimals");
//! # Ok::<(), shop_core::MoneyError>(())
//! ```
//!
//! | feature | adds |
//! |---|---|
//! | `config` | layered, typed configuration with the origin of every value |
//! | `etcd` | common configuration in etcd, watched while the process runs; builds with `protoc` |
//! | `log` | JSON events to stdout and rolling files |
//! | `logstash` | the same events to Logstash, acknowledged ones through a spool on disk |
//! | `drain` | the end of a server that cuts no request short |
//! | `http` | server, router, request and response helpers, admin endpoints |
//! | `openapi` | OpenAPI 3.1 documents and an offline page |
//! | `sqlite` | connection set-up for the SQLite stores |
//! | `postgres` | connection set-up for the PostgreSQL stores |
//! | `testing` | chance from a seed, and a PostgreSQL database for a test |

#[cfg(feature = "config")]
pub mod config;
#[cfg(feature = "drain")]
pub mod drain;
#[cfg(feature = "http")]
pub mod http;
#[cfg(feature = "log")]
pub mod log;
#[cfg(feature = "postgres")]
pub mod postgres;
#[cfg(feature = "http")]
pub mod process;
#[cfg(feature = "sqlite")]
pub mod sqlite;

pub mod chance;
mod combiner;
#[cfg(any(feature = "config", feature = "log"))]
mod duration;
mod error;
pub mod id;
pub mod idempotency;
mod money;
pub mod page;
pub mod problem;
#[cfg(any(feature = "postgres", feature = "sqlite"))]
mod schema;
#[cfg(any(feature = "config", feature = "log"))]
mod size;
pub mod task;
mod time;

pub use combiner::{Batch, Combiner, CombinerConfig, CombinerGone};
pub use error::{StoreError, StoreErrorKind, StoreResult, chain};
pub use money::{Currency, Money, MoneyError};
pub use page::{Cursor, Limit, Page, PageRequest};
pub use problem::{BodyRefusal, FieldError, Problem};
pub use time::{Clock, ManualClock, SystemClock, Timestamp, TimestampError};
