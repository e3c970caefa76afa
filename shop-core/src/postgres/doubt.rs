use std::sync::{Mutex, MutexGuard, PoisonError};

use sqlx::postgres::PgConnection;
use sqlx::{Executor as _, Row as _};

use super::error::classified;
use crate::{StoreError, StoreErrorKind, StoreResult};

const OPERATION: &str = "settle a commit of unknown result";

/// A process of the server, which works for one connection: its number, and when it was started, in microseconds since the
/// Unix epoch, since numbers are given again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Backend {
    pid: i32,
    started: i64,
}

impl Backend {
    pub(super) async fn of(connection: &mut PgConnection) -> Result<Self, sqlx::Error> {
        let ask = sqlx::query(
            "SELECT pid, (extract(epoch FROM backend_start) * 1000000)::bigint FROM pg_stat_activity \
             WHERE pid = pg_backend_pid()",
        );
        let row = connection.fetch_one(ask).await?;
        Ok(Self { pid: row.try_get(0)?, started: row.try_get(1)? })
    }
}

/// Those whose connection was lost, or given up, in a write. The server may not have noticed yet: such a backend may still
/// be at work, or be about to begin, and commit after a load has not found what it writes. So they are ended before the
/// next statement of any kind, which is then to be relied upon.
#[derive(Debug, Default)]
pub(super) struct Doubts(Mutex<Vec<Backend>>);

impl Doubts {
    pub(super) fn add(&self, backend: Backend) {
        self.guarded().push(backend);
    }

    /// Ends these backends, and waits until they are gone. What is committed then is there, and nothing more comes.
    pub(super) async fn settle(&self, connection: &mut PgConnection) -> StoreResult<()> {
        let doubts = self.guarded().clone();
        if doubts.is_empty() {
            return Ok(());
        }
        // A user may end what is its own.
        let end = sqlx::query(
            "SELECT coalesce(bool_and(pg_terminate_backend(a.pid, 5000)), true) \
             FROM unnest($1::int[], $2::bigint[]) AS d (pid, started) JOIN pg_stat_activity a ON a.pid = d.pid \
             AND (extract(epoch FROM a.backend_start) * 1000000)::bigint = d.started",
        );
        let pids: Vec<i32> = doubts.iter().map(|backend| backend.pid).collect();
        let started: Vec<i64> = doubts.iter().map(|backend| backend.started).collect();
        let ended = connection.fetch_one(end.bind(pids).bind(started)).await;
        let ended: bool =
            ended.and_then(|row| row.try_get(0)).map_err(|e| classified(OPERATION, e, false))?;
        if !ended {
            return Err(StoreError::new(StoreErrorKind::Unavailable, OPERATION)
                .with_source("the session of that commit does not end"));
        }
        self.guarded().retain(|backend| !doubts.contains(backend));
        Ok(())
    }

    fn guarded(&self) -> MutexGuard<'_, Vec<Backend>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
