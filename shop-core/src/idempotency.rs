//! `Idempotency-Key` (IETF draft-ietf-httpapi-idempotency-key-header): the same key and content is done once, and
//! answered the same every time.
//!
//! The record of a key commits in the same transaction as the work that it answers for, so a refusal or a failure leaves
//! none and is decided anew.

use std::collections::HashSet;
use std::fmt;
use std::str::FromStr;
use std::sync::{Arc, Mutex, PoisonError};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::Timestamp;

/// A client's key: 1 to 255 visible ASCII characters.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct IdempotencyKey(Arc<str>);

/// Not a key of 1 to 255 visible ASCII characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be 1 to 255 visible ASCII characters, bare or in double quotes")]
pub struct InvalidKey;

impl IdempotencyKey {
    /// The key's text, without quotes.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for IdempotencyKey {
    type Err = InvalidKey;

    /// Reads the header's value, quoted (an RFC 8941 string) or bare.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let bare = match text.strip_prefix('"') {
            Some(rest) => rest.strip_suffix('"').ok_or(InvalidKey)?,
            None => text,
        };
        let visible = bare.bytes().all(|b| b.is_ascii_graphic() && b != b'"');
        if visible && (1..=255).contains(&bare.len()) { Ok(Self(bare.into())) } else { Err(InvalidKey) }
    }
}

impl TryFrom<String> for IdempotencyKey {
    type Error = InvalidKey;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<IdempotencyKey> for String {
    fn from(key: IdempotencyKey) -> Self {
        key.0.as_ref().to_owned()
    }
}

impl fmt::Display for IdempotencyKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for IdempotencyKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "IdempotencyKey({})", self.0)
    }
}

/// What a request asks for, condensed: SHA-256 over its method, path and body.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Fingerprint(pub [u8; 32]);

impl Fingerprint {
    /// The fingerprint of a request.
    pub fn of_request(method: &str, path: &str, body: &[u8]) -> Self {
        let mut hash = Sha256::new();
        for part in [method.as_bytes(), path.as_bytes()] {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part);
        }
        hash.update(body);
        Self(hash.finalize().into())
    }

    /// The fingerprint of any value by its JSON form.
    pub fn of_value<T: Serialize>(value: &T) -> Self {
        Self::of_request("", "", &serde_json::to_vec(value).expect("domain values are plain data"))
    }
}

/// A request's key with what it asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Idempotency {
    /// The client's key.
    pub key: IdempotencyKey,
    /// What the request asks for.
    pub fingerprint: Fingerprint,
}

/// The answer that is given again for the same key and content.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredAnswer {
    /// HTTP status.
    pub status: u16,
    /// `Location`, if the answer had one.
    pub location: Option<String>,
    /// `ETag`, if the answer had one.
    pub etag: Option<String>,
    /// The body as it was sent.
    pub body: String,
}

/// A request's key together with how its outcome is answered: the service stores the answer with the work.
#[derive(Debug, Clone)]
pub struct Keyed<T> {
    /// The key and what it asks for.
    pub idempotency: Idempotency,
    /// The answer to a fresh outcome, exactly as a client gets it.
    pub answer: fn(&T) -> StoredAnswer,
}

/// The outcome of a request that may have been done before.
#[derive(Debug, Clone, PartialEq)]
pub enum Answered<T> {
    /// Done now.
    Fresh(T),
    /// Done before, with the same key: the stored answer.
    Replayed(StoredAnswer),
}

impl<T> Answered<T> {
    /// The outcome, if it was done now.
    pub fn fresh(self) -> Option<T> {
        match self {
            Self::Fresh(outcome) => Some(outcome),
            Self::Replayed(_) => None,
        }
    }
}

/// What a store keeps of a key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IdempotencyRecord {
    /// The client's key.
    pub key: IdempotencyKey,
    /// What it asked for.
    pub fingerprint: Fingerprint,
    /// What was answered.
    pub answer: StoredAnswer,
    /// When.
    pub at: Timestamp,
}

/// What a key says about a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Replay {
    /// Done before: the stored answer.
    Stored(StoredAnswer),
    /// The key was used for something else.
    Mismatch,
}

impl IdempotencyRecord {
    /// How this record answers a request with its key.
    pub fn replay(&self, request: &Idempotency) -> Replay {
        if self.fingerprint == request.fingerprint {
            Replay::Stored(self.answer.clone())
        } else {
            Replay::Mismatch
        }
    }
}

/// The keys that this process is working on.
#[derive(Debug, Clone, Default)]
pub struct InFlight(Arc<Mutex<HashSet<IdempotencyKey>>>);

impl InFlight {
    /// Claims a key until the guard is dropped; `None` while somebody else has it.
    pub fn claim(&self, key: &IdempotencyKey) -> Option<InFlightGuard> {
        let fresh = self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(key.clone());
        fresh.then(|| InFlightGuard { keys: self.clone(), key: key.clone() })
    }
}

/// A claimed key; gives it back when dropped.
#[derive(Debug)]
pub struct InFlightGuard {
    keys: InFlight,
    key: IdempotencyKey,
}

impl Drop for InFlightGuard {
    fn drop(&mut self) {
        self.keys.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_quoted_and_bare_are_one() {
        assert_eq!("\"a-1\"".parse::<IdempotencyKey>(), "a-1".parse());
        for bad in ["", "\"\"", "\"a", "a b", "a\"b", "é", &"x".repeat(256)] {
            assert_eq!(bad.parse::<IdempotencyKey>(), Err(InvalidKey), "{bad}");
        }
    }

    #[test]
    fn a_fingerprint_keeps_its_parts_apart() {
        let a = Fingerprint::of_request("POST", "/a", b"b");
        assert_ne!(a, Fingerprint::of_request("POST", "/ab", b""));
        assert_eq!(a, Fingerprint::of_request("POST", "/a", b"b"));
    }

    #[test]
    fn a_claim_ends_with_its_guard() {
        let keys = InFlight::default();
        let key: IdempotencyKey = "k".parse().unwrap();
        let guard = keys.claim(&key);
        assert!(guard.is_some() && keys.claim(&key).is_none());
        drop(guard);
        assert!(keys.claim(&key).is_some());
    }
}
