use sqlx::postgres::{PgDatabaseError, PgSeverity};

use crate::{StoreError, StoreErrorKind};

/// The SQLSTATE by which a function in the database says that what a write expected does not hold:
/// `RAISE EXCEPTION … USING ERRCODE = 'SHOP1'`. A [`StoreErrorKind::Conflict`].
pub const UNMET: &str = "SHOP1";

/// A driver's error as a [`StoreError`], by its SQLSTATE (<https://www.postgresql.org/docs/current/errcodes-appendix.html>).
/// `committing`: the failure may have come after the point where the transaction is durable.
pub fn classified(operation: &'static str, error: sqlx::Error, committing: bool) -> StoreError {
    StoreError::new(kind(&error, committing), operation).with_source(error)
}

fn kind(error: &sqlx::Error, committing: bool) -> StoreErrorKind {
    let unclear = if committing { StoreErrorKind::Unknown } else { StoreErrorKind::Unavailable };
    match error {
        sqlx::Error::Database(fault) => {
            let code = fault.code().unwrap_or_default();
            // A session that ends may have committed before it did.
            if lasting(error) { of_code(&code) } else { of_lost_session(&code, unclear) }
        }
        sqlx::Error::Io(_) | sqlx::Error::Protocol(_) | sqlx::Error::WorkerCrashed => unclear,
        sqlx::Error::PoolTimedOut
        | sqlx::Error::PoolClosed
        | sqlx::Error::Tls(_)
        | sqlx::Error::BeginFailed => StoreErrorKind::Unavailable,
        sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_) | sqlx::Error::ColumnNotFound(_) => {
            StoreErrorKind::Corrupt
        }
        _ => StoreErrorKind::Internal,
    }
}

/// What the server says of a statement, before it committed.
fn of_code(code: &str) -> StoreErrorKind {
    use StoreErrorKind::{Conflict, Corrupt, Full, Internal, Unavailable, Unknown};
    match code {
        UNMET => Conflict,
        "40003" => Unknown,       // statement_completion_unknown
        "53100" => Full,          // disk_full
        "XX001" | "XX002" => Corrupt, // data_corrupted, index_corrupted
        "55P03"                   // lock_not_available: lock_timeout
        | "57014"                 // query_canceled: statement_timeout; raised before the commit begins
        | "25006"                 // read_only_sql_transaction: a standby
        | "58030"                 // io_error
        | "0A000" => Unavailable, // "cached plan must not change result type", after a schema change
        _ => match code.get(..2) {
            Some("23" | "40") => Conflict, // constraints; serialization_failure, deadlock_detected
            Some("08" | "53") => Unavailable, // connection; resources
            Some("57") => Unavailable,     // operator intervention
            _ => Internal,
        },
    }
}

/// What the server says when it ends the session.
fn of_lost_session(code: &str, unclear: StoreErrorKind) -> StoreErrorKind {
    match code {
        // cannot_connect_now, too_many_connections: there was no session yet.
        "57P03" | "53300" => StoreErrorKind::Unavailable,
        "53100" => StoreErrorKind::Full,
        _ => match code.get(..2) {
            // A wrong password, no such database.
            Some("28" | "3D" | "42") => StoreErrorKind::Internal,
            _ => unclear,
        },
    }
}

/// Whether the session lives on after this error of the server.
fn lasting(error: &sqlx::Error) -> bool {
    let fault = error.as_database_error().and_then(|fault| fault.try_downcast_ref::<PgDatabaseError>());
    fault.is_some_and(|fault| !matches!(fault.severity(), PgSeverity::Fatal | PgSeverity::Panic))
}

/// Whether a connection can be used again after one statement failed on it with this error.
pub(super) fn sound(error: &sqlx::Error) -> bool {
    let sqlx::Error::Database(fault) = error else { return false };
    let code = fault.code().unwrap_or_default();
    // Not after faults of the connection or the server, nor where it has stale plans or is read-only.
    lasting(error) && !matches!(code.get(..2), Some("08" | "57" | "58" | "XX" | "0A" | "25" | "26") | None)
        || code == "57014"
}

#[cfg(test)]
mod tests {
    use super::*;
    use StoreErrorKind::{Conflict, Corrupt, Full, Internal, Unavailable, Unknown};

    #[test]
    fn a_statement_that_failed_is_told_by_its_code() {
        for (code, expected) in [
            ("SHOP1", Conflict),
            ("40001", Conflict),
            ("40P01", Conflict),
            ("23505", Conflict),
            ("23514", Conflict),
            ("23503", Conflict),
            ("40003", Unknown),
            ("53100", Full),
            ("53200", Unavailable),
            ("53300", Unavailable),
            ("55P03", Unavailable),
            ("57014", Unavailable),
            ("57P01", Unavailable),
            ("08006", Unavailable),
            ("25006", Unavailable),
            ("0A000", Unavailable),
            ("XX001", Corrupt),
            ("XX002", Corrupt),
            ("XX000", Internal),
            ("42P01", Internal),
            ("22021", Internal),
            ("P0001", Internal),
            ("", Internal),
        ] {
            assert_eq!(of_code(code), expected, "{code}");
        }
    }

    #[test]
    fn a_session_that_ended_may_have_committed() {
        for (code, expected) in [
            ("57P01", Unknown),
            ("57P02", Unknown),
            ("25P03", Unknown),
            ("XX000", Unknown),
            ("57P03", Unavailable),
            ("53300", Unavailable),
            ("28P01", Internal),
            ("3D000", Internal),
        ] {
            assert_eq!(of_lost_session(code, Unknown), expected, "{code}");
        }
        assert_eq!(of_lost_session("57P01", Unavailable), Unavailable, "nothing was being committed");
    }

    #[test]
    fn a_lost_connection_is_unknown_only_where_something_was_written() {
        let lost = || sqlx::Error::Io(std::io::ErrorKind::UnexpectedEof.into());
        for (error, reading, committing) in [
            (lost(), Unavailable, Unknown),
            (sqlx::Error::Protocol("?".to_owned()), Unavailable, Unknown),
            (sqlx::Error::PoolTimedOut, Unavailable, Unavailable),
            (sqlx::Error::PoolClosed, Unavailable, Unavailable),
            (sqlx::Error::ColumnNotFound("n".to_owned()), Corrupt, Corrupt),
            (sqlx::Error::RowNotFound, Internal, Internal),
        ] {
            assert_eq!((kind(&error, false), kind(&error, true)), (reading, committing), "{error}");
            assert!(!sound(&error));
        }
    }
}
