use crate::{StoreError, StoreErrorKind};

/// A driver's error as a [`StoreError`], by its result code (<https://www.sqlite.org/rescode.html>). `committing`: the
/// failure may have come after the point where the transaction is durable.
pub fn classified(operation: &'static str, error: sqlx::Error, committing: bool) -> StoreError {
    let unclear = if committing { StoreErrorKind::Unknown } else { StoreErrorKind::Unavailable };
    let kind = match &error {
        sqlx::Error::Database(fault) => {
            let code = fault.code().and_then(|code| code.parse::<u32>().ok()).unwrap_or_default();
            // The low byte is the primary code.
            match code & 0xff {
                5 | 6 | 7 | 8 | 14 => StoreErrorKind::Unavailable, // BUSY, LOCKED, NOMEM, READONLY, CANTOPEN
                10 => unclear,                                     // IOERR: a failed sync may yet be on disk
                11 | 26 => StoreErrorKind::Corrupt,                // CORRUPT, NOTADB
                13 => StoreErrorKind::Full,
                19 => StoreErrorKind::Conflict, // CONSTRAINT
                _ => StoreErrorKind::Internal,
            }
        }
        sqlx::Error::WorkerCrashed | sqlx::Error::Io(_) => unclear,
        sqlx::Error::PoolTimedOut | sqlx::Error::PoolClosed => StoreErrorKind::Unavailable,
        sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_) | sqlx::Error::ColumnNotFound(_) => {
            StoreErrorKind::Corrupt
        }
        _ => StoreErrorKind::Internal,
    };
    StoreError::new(kind, operation).with_source(error)
}
