use sqlx::Arguments as _;
use sqlx::sqlite::SqliteArguments;

/// A value bound to a `?`.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// `NULL`.
    Null,
    /// `INTEGER`.
    Int(i64),
    /// `TEXT`.
    Text(String),
    /// `BLOB`.
    Blob(Vec<u8>),
}

impl From<i64> for Value {
    fn from(value: i64) -> Self {
        Self::Int(value)
    }
}

impl From<String> for Value {
    fn from(value: String) -> Self {
        Self::Text(value)
    }
}

impl From<&str> for Value {
    fn from(value: &str) -> Self {
        Self::Text(value.to_owned())
    }
}

impl From<uuid::Uuid> for Value {
    /// 16 bytes.
    fn from(value: uuid::Uuid) -> Self {
        Self::Blob(value.as_bytes().to_vec())
    }
}

impl<V: Into<Self>> From<Option<V>> for Value {
    fn from(value: Option<V>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}

pub(super) fn bind(arguments: &mut SqliteArguments, value: Value) {
    let bound = match value {
        Value::Null => arguments.add(None::<i64>),
        Value::Int(value) => arguments.add(value),
        Value::Text(value) => arguments.add(value),
        Value::Blob(value) => arguments.add(value),
    };
    bound.expect("plain values can always be encoded");
}
