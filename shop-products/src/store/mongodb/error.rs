//! Errors by the driver's labels and the server's codes, never by their text.

use mongodb::error::{Error, ErrorKind, TRANSIENT_TRANSACTION_ERROR, WriteFailure};
use shop_core::{StoreError, StoreErrorKind};

const WRITE_CONFLICT: i32 = 112;
/// Someone has ended the operation or its session.
pub(super) const INTERRUPTED: i32 = 11_601;
const DOCUMENT_VALIDATION_FAILURE: i32 = 121;
const OUT_OF_DISK_SPACE: i32 = 14031;
/// The primary has stepped down, is shutting down, or ran out of time: another try may be served.
const PASSING: [i32; 14] = [6, 7, 50, 64, 89, 91, 134, 189, 262, 9_001, 10_107, 11_600, 11_602, 13_435];
/// Duplicate key: in an insert, in an update, in a capped collection.
const DUPLICATE_KEY: [i32; 3] = [11_000, 11_001, 12_582];

/// The kind of an error of the server by its code.
pub(super) fn kind_of_code(code: i32) -> StoreErrorKind {
    match code {
        WRITE_CONFLICT | DOCUMENT_VALIDATION_FAILURE => StoreErrorKind::Conflict,
        OUT_OF_DISK_SPACE => StoreErrorKind::Full,
        code if DUPLICATE_KEY.contains(&code) => StoreErrorKind::Conflict,
        INTERRUPTED => StoreErrorKind::Unavailable,
        code if PASSING.contains(&code) => StoreErrorKind::Unavailable,
        _ => StoreErrorKind::Internal,
    }
}

/// The server's code, if the server answered with an error.
pub(super) fn code(error: &Error) -> Option<i32> {
    match error.kind.as_ref() {
        ErrorKind::Command(command) => Some(command.code),
        ErrorKind::Write(WriteFailure::WriteError(write)) => Some(write.code),
        ErrorKind::Write(WriteFailure::WriteConcernError(concern)) => Some(concern.code),
        _ => None,
    }
}

/// An error of anything but a commit: nothing is known to be written.
pub(super) fn classified(operation: &'static str, error: Error) -> StoreError {
    let kind = match error.kind.as_ref() {
        ErrorKind::Io(_)
        | ErrorKind::ConnectionPoolCleared { .. }
        | ErrorKind::ServerSelection { .. }
        | ErrorKind::DnsResolve { .. }
        | ErrorKind::Shutdown => StoreErrorKind::Unavailable,
        ErrorKind::Bson(_) | ErrorKind::BsonDeserialization(_) | ErrorKind::InvalidResponse { .. } => {
            StoreErrorKind::Corrupt
        }
        // The server has ended the transaction for one that passes: a conflict, a step-down. Decided again, it may pass.
        _ if code(&error).is_some() && error.contains_label(TRANSIENT_TRANSACTION_ERROR) => {
            StoreErrorKind::Conflict
        }
        _ => code(&error).map_or(StoreErrorKind::Internal, kind_of_code),
    };
    StoreError::new(kind, operation).with_source(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_told_apart() {
        for (code, kind) in [
            (112, StoreErrorKind::Conflict),
            (121, StoreErrorKind::Conflict),
            (11_000, StoreErrorKind::Conflict),
            (10_107, StoreErrorKind::Unavailable),
            (11_601, StoreErrorKind::Unavailable),
            (14_031, StoreErrorKind::Full),
            (13, StoreErrorKind::Internal),
        ] {
            assert_eq!(kind_of_code(code), kind, "{code}");
        }
        let lost = Error::from(std::io::Error::from(std::io::ErrorKind::ConnectionReset));
        assert_eq!(classified("x", lost).kind(), StoreErrorKind::Unavailable);
    }
}
