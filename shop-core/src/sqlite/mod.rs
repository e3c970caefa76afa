//! What the SQLite stores share: opening a database file as it has to be opened, schema changes, one writer that cannot be
//! left half-way, readers, and errors by result code.
//!
//! sqlx sets neither WAL nor `synchronous` on its own. Here a database is in WAL mode with `synchronous=FULL` (a commit is
//! on disk when it returns), all writes go through one connection by `BEGIN IMMEDIATE`, and readers never wait for it.
//!
//! A statement of sqlx's SQLite driver costs a hop to the connection's thread and back, and so does every row that it
//! returns. A [`Script`] runs a whole transaction in one hop out and one back a statement; [`SqliteDb::execute`] runs one
//! statement, which is a transaction of its own and may be an `INSERT` into a view whose `INSTEAD OF` trigger does it all.
//!
//! The stores need SQLite 3.51 for its `jsonb_each`: sqlx brings it along, a system's own SQLite may be older.

mod config;
mod db;
mod error;
mod place;
mod query;
mod schema;
mod script;
#[cfg(test)]
mod tests;
mod value;
mod writer;

pub use sqlx::sqlite::{SqliteConnection, SqlitePool};

pub use crate::schema::Schema;
pub use config::{SqliteConfig, path_of};
pub use db::{OthersWrites, SqliteDb, TransactionFuture};
pub use error::classified;
pub use query::Query;
pub use script::Script;
pub use value::Value;
