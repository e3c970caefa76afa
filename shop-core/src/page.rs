//! Lists: a page at a time, by keyset. The cursor names the last row seen, so a page costs the same anywhere in the list.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// How many rows a page may hold: 1 to 500, 50 unless said otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit(u16);

impl Limit {
    /// The most rows that a page holds.
    pub const MAX: u16 = 500;

    /// `None` outside 1 to [`Limit::MAX`].
    pub fn new(rows: u16) -> Option<Self> {
        (1..=Self::MAX).contains(&rows).then_some(Self(rows))
    }

    /// The number of rows.
    pub fn get(self) -> usize {
        usize::from(self.0)
    }
}

impl<'de> Deserialize<'de> for Limit {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let rows = u64::deserialize(deserializer)?;
        let limit = u16::try_from(rows).ok().and_then(Self::new);
        limit.ok_or_else(|| serde::de::Error::custom(format_args!("must be 1 to {}", Self::MAX)))
    }
}

impl Default for Limit {
    fn default() -> Self {
        Self(50)
    }
}

/// Which page of a list: at most `limit` rows after the row that `cursor` names.
#[derive(Debug, Clone)]
pub struct PageRequest<K> {
    /// At most so many rows.
    pub limit: Limit,
    /// The sort key of the last row of the page before; `None` for the first page.
    pub after: Option<K>,
}

impl<K> Default for PageRequest<K> {
    fn default() -> Self {
        Self { limit: Limit::default(), after: None }
    }
}

/// A page of a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Page<T> {
    /// The rows, in order.
    pub data: Vec<T>,
    /// Ask for the next page with it; `None` at the end of the list.
    pub next_cursor: Option<Cursor>,
}

impl<T> Page<T> {
    /// A page from up to `limit + 1` rows, read with one row more than asked for to know whether there is a next page.
    pub fn from_overread<K: Serialize>(mut rows: Vec<T>, limit: Limit, key: impl FnOnce(&T) -> K) -> Self {
        let more = rows.len() > limit.get();
        rows.truncate(limit.get());
        let next_cursor = if more { rows.last().map(|row| Cursor::encode(&key(row))) } else { None };
        Self { data: rows, next_cursor }
    }
}

/// An opaque place in a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Cursor(pub String);

/// A cursor that this list did not make.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a cursor of this list")]
pub struct InvalidCursor;

impl Cursor {
    /// The cursor of a row with this sort key.
    pub fn encode<K: Serialize>(key: &K) -> Self {
        let json = serde_json::to_vec(key).expect("sort keys are plain data");
        Self(URL_SAFE_NO_PAD.encode(json))
    }

    /// The sort key.
    ///
    /// # Errors
    /// [`InvalidCursor`] if this is no cursor, or one of another list or sort order (the key has another shape).
    pub fn decode<K: DeserializeOwned>(&self) -> Result<K, InvalidCursor> {
        let json = URL_SAFE_NO_PAD.decode(&self.0).map_err(|_| InvalidCursor)?;
        serde_json::from_slice(&json).map_err(|_| InvalidCursor)
    }
}
