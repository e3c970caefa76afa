use std::borrow::Cow;
use std::fmt::Write as _;

use sqlx::postgres::{PgArguments, Postgres};
use sqlx::query::Query as SqlxQuery;
use sqlx::{Arguments as _, AssertSqlSafe, Encode, Type};

/// One statement with its values: `$1`, `$2`…
///
/// A statement is prepared once a connection, by its text: keep the number of different texts small.
#[derive(Debug, Clone, Default)]
pub struct Query {
    sql: Cow<'static, str>,
    arguments: PgArguments,
}

impl Query {
    /// A statement of trusted SQL; what comes from outside is bound, never written into it.
    pub fn new(sql: impl Into<Cow<'static, str>>) -> Self {
        Self { sql: sql.into(), arguments: PgArguments::default() }
    }

    /// The same statement with more trusted SQL at its end.
    pub fn push(&mut self, sql: &str) -> &mut Self {
        self.sql.to_mut().push_str(sql);
        self
    }

    /// Binds the value of the next `$n`, which the SQL has already.
    ///
    /// # Panics
    /// If the value cannot be encoded: for an array or a text of more than 2 GiB.
    pub fn bind<'v, T: Encode<'v, Postgres> + Type<Postgres>>(&mut self, value: T) -> &mut Self {
        self.arguments.add(value).expect("a value that can be encoded");
        self
    }

    /// Writes the next `$n` at the SQL's end and binds its value.
    ///
    /// # Panics
    /// Like [`bind`](Self::bind).
    pub fn push_bind<'v, T: Encode<'v, Postgres> + Type<Postgres>>(&mut self, value: T) -> &mut Self {
        self.bind(value);
        let number = self.arguments.len();
        let _ = write!(self.sql.to_mut(), "${number}");
        self
    }

    pub(super) fn into_sqlx(self) -> SqlxQuery<'static, Postgres, PgArguments> {
        match self.sql {
            Cow::Borrowed(sql) => sqlx::query_with(sql, self.arguments),
            Cow::Owned(sql) => sqlx::query_with(AssertSqlSafe(sql), self.arguments),
        }
    }
}
