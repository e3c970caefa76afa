use sqlx::sqlite::SqliteArguments;

use super::Value;
use super::value::bind;

/// One `SELECT`, or several, with their values. Only bare `?` are bound, in order.
#[derive(Debug, Default)]
pub struct Query {
    sql: String,
    arguments: SqliteArguments,
}

impl Query {
    /// A query of trusted SQL; what comes from outside is bound, never written into it.
    pub fn new(sql: impl Into<String>) -> Self {
        Self { sql: sql.into(), arguments: SqliteArguments::default() }
    }

    /// The same query with more trusted SQL at its end.
    pub fn push(&mut self, sql: &str) -> &mut Self {
        self.sql.push_str(sql);
        self
    }

    /// Whether there is nothing to run.
    pub fn is_empty(&self) -> bool {
        self.sql.is_empty()
    }

    /// Binds the next `?`.
    pub fn bind(&mut self, value: impl Into<Value>) -> &mut Self {
        bind(&mut self.arguments, value.into());
        self
    }

    pub(super) fn into_parts(self) -> (String, SqliteArguments) {
        (self.sql, self.arguments)
    }
}
