use std::error::Error as StdError;

/// What went wrong in a store, as far as a caller can act on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum StoreErrorKind {
    /// The store does not hold what the write expected (a version, a state, "new"). Nothing was written:
    /// load again, decide again.
    Conflict,
    /// The store cannot be reached, is busy or ran out of time. Nothing is known to be written.
    Unavailable,
    /// The result of a commit is unknown: read the deciding row before saying anything.
    Unknown,
    /// The store is out of disk or quota. Nothing was written.
    Full,
    /// What the store holds cannot be read as what it should be.
    Corrupt,
    /// Anything else: a fault in the adapter or the server.
    Internal,
}

impl StoreErrorKind {
    /// Whether the same call may succeed later without anything else being changed.
    pub fn is_retryable(self) -> bool {
        matches!(self, Self::Conflict | Self::Unavailable | Self::Unknown)
    }
}

/// A failure of a storage port: a kind to act on, the operation that failed, and the driver's error as the source.
#[derive(Debug, thiserror::Error)]
#[error("{operation}: {kind:?}")]
pub struct StoreError {
    kind: StoreErrorKind,
    operation: &'static str,
    #[source]
    source: Option<Box<dyn StdError + Send + Sync>>,
}

/// The result of a storage port's method.
pub type StoreResult<T> = Result<T, StoreError>;

impl StoreError {
    /// An error of this kind in this operation (a short verb phrase such as `"commit stock"`).
    pub fn new(kind: StoreErrorKind, operation: &'static str) -> Self {
        Self { kind, operation, source: None }
    }

    /// A write met another state than it expected.
    pub fn conflict(operation: &'static str) -> Self {
        Self::new(StoreErrorKind::Conflict, operation)
    }

    /// The same error with its cause.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// What a caller can act on.
    pub fn kind(&self) -> StoreErrorKind {
        self.kind
    }

    /// What was being done.
    pub fn operation(&self) -> &'static str {
        self.operation
    }

    /// The error and its causes in one line, for logs; never for a client.
    pub fn chain(&self) -> String {
        chain(self)
    }
}

/// An error and its causes in one line, for logs and operators; never for a client. A cause that an error has told already,
/// as some drivers' do, is not told again.
pub fn chain(error: &(dyn StdError + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let told = error.to_string();
        if !text.ends_with(&told) {
            text.push_str(": ");
            text.push_str(&told);
        }
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("cannot open: {0}")]
    struct TellsItsCause(#[source] std::io::Error);

    #[test]
    fn a_cause_is_told_once() {
        let cause = TellsItsCause(std::io::Error::other("disk on fire"));
        let error = StoreError::new(StoreErrorKind::Unavailable, "connect").with_source(cause);
        assert_eq!(error.chain(), "connect: Unavailable: cannot open: disk on fire");
    }
}
