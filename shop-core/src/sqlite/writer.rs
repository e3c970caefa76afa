//! The connection that writes: how it is opened, made ready, and left after a failure.

use std::time::Duration;

use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{ConnectOptions as _, Executor as _};

use super::classified;
use crate::{StoreError, StoreErrorKind, StoreResult};

/// Ends a failed transaction. `false` if the connection is better given up: closing it rolls back as well.
pub(super) async fn rolled_back(writer: &mut SqliteConnection, error: &StoreError) -> bool {
    // SQLite has ended the transaction itself after some errors; that there is none is then no fault.
    let _ = exec(writer, "ROLLBACK").await;
    matches!(error.kind(), StoreErrorKind::Conflict)
}

pub(super) async fn exec(writer: &mut SqliteConnection, sql: &'static str) -> Result<(), sqlx::Error> {
    writer.execute(sqlx::raw_sql(sql)).await.map(|_| ())
}

/// Opens the first connection. Switching a new file to WAL does not wait for a lock by itself.
pub(super) async fn open_patiently(
    options: &SqliteConnectOptions,
    patience: Duration,
) -> StoreResult<SqliteConnection> {
    let mut waited = Duration::ZERO;
    let pause = Duration::from_millis(10);
    loop {
        let error = match options.connect().await {
            Ok(mut writer) => match prepare_writer(&mut writer).await {
                Ok(()) => return Ok(writer),
                Err(error) => error,
            },
            Err(error) => classified("open SQLite", error, false),
        };
        if error.kind() != StoreErrorKind::Unavailable || waited >= patience {
            return Err(error);
        }
        tokio::time::sleep(pause).await;
        waited += pause;
    }
}

pub(super) async fn prepare_writer(writer: &mut SqliteConnection) -> StoreResult<()> {
    exec(writer, "CREATE TEMP TABLE expectation (held INTEGER CHECK (held)) STRICT")
        .await
        .map_err(|e| classified("prepare the writer", e, false))
}

pub(super) async fn begin_session(writer: &mut SqliteConnection, session: &'static str) -> StoreResult<()> {
    if session.is_empty() {
        return Ok(());
    }
    exec(writer, session).await.map_err(|e| classified("prepare the writer", e, false))
}
