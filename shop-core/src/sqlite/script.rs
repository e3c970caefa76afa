use sqlx::sqlite::SqliteArguments;

use super::Value;
use super::value::bind;

/// A transaction in one piece: statements, and how many rows each must have changed. Only bare `?` are bound, in order.
#[derive(Debug)]
pub struct Script {
    sql: String,
    arguments: SqliteArguments,
}

impl Default for Script {
    fn default() -> Self {
        Self::new()
    }
}

impl Script {
    /// A transaction that does nothing yet.
    pub fn new() -> Self {
        Self { sql: "BEGIN IMMEDIATE;".to_owned(), arguments: SqliteArguments::default() }
    }

    /// One statement.
    pub fn run(&mut self, sql: &'static str, values: impl IntoIterator<Item = Value>) -> &mut Self {
        self.sql.push_str(sql);
        self.sql.push(';');
        for value in values {
            bind(&mut self.arguments, value);
        }
        self
    }

    /// The statement before must have changed so many rows; otherwise nothing is written, and the commit is a
    /// [`Conflict`](crate::StoreErrorKind::Conflict).
    pub fn expect(&mut self, rows: usize) -> &mut Self {
        self.sql.push_str("INSERT INTO temp.expectation SELECT 0 WHERE changes() <> ?;");
        bind(&mut self.arguments, Value::Int(i64::try_from(rows).unwrap_or(i64::MAX)));
        self
    }

    /// With its `COMMIT`.
    pub(super) fn into_parts(mut self) -> (String, SqliteArguments) {
        self.sql.push_str("COMMIT;");
        (self.sql, self.arguments)
    }
}
