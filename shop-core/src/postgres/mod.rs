//! What the PostgreSQL stores share: a pool that cannot be poisoned, schema changes, the server's durability, and errors by
//! SQLSTATE.
//!
//! A future of the driver that is dropped half-way can leave an open transaction in a pool (sqlx #4385, #4393). Here all
//! database work runs in tasks of its own, to its end, whether the caller waits or not; and a connection goes back to the
//! pool only if it is known to be sound. A [`PgDb::execute`] is one statement, so one transaction and one round trip: what
//! needs several statements is best a function in the database, which says [`UNMET`] where an expectation does not hold.

mod config;
mod db;
mod doubt;
mod error;
mod feed;
mod lease;
mod pool;
mod query;
mod schema;
mod server;
#[cfg(any(test, feature = "testing"))]
mod test_database;
#[cfg(test)]
mod tests;

pub use crate::schema::Schema;
pub use config::PgConfig;
pub use db::{PgDb, TransactionFuture};
pub use error::{UNMET, classified};
pub use feed::{PgFeed, PgHeard};
pub use query::Query;
pub use sqlx::postgres::{PgConnection, PgRow};
#[cfg(any(test, feature = "testing"))]
pub use test_database::{TEST_POSTGRES_URL, TestDatabase, watch};
