use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use sqlx::Connection as _;
use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgConnection, Postgres};

/// A connection out of the pool, which goes back only by [`keep`](Self::keep). Dropped otherwise, half-way or in a panic, it
/// is closed, and the server rolls back.
#[derive(Debug)]
pub(super) struct Lease {
    connection: Option<PoolConnection<Postgres>>,
    losses: Losses,
}

impl Lease {
    pub(super) fn new(connection: PoolConnection<Postgres>, losses: Losses) -> Self {
        Self { connection: Some(connection), losses }
    }

    /// Back into the pool: no transaction is open, and no answer is outstanding.
    pub(super) fn keep(mut self) {
        drop(self.connection.take());
    }
}

impl Deref for Lease {
    type Target = PgConnection;

    fn deref(&self) -> &PgConnection {
        self.connection.as_ref().expect("there until the lease ends")
    }
}

impl DerefMut for Lease {
    fn deref_mut(&mut self) -> &mut PgConnection {
        self.connection.as_mut().expect("there until the lease ends")
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if let Some(connection) = self.connection.take() {
            self.losses.note();
            drop(connection.detach());
        }
    }
}

/// When a connection was last given up: a server that restarts takes all of them with it, so those that were idle then
/// are looked at before they are used.
#[derive(Debug, Clone, Default)]
pub(super) struct Losses(Arc<Mutex<Option<Instant>>>);

/// A connection that was idle for longer is looked at before it is used.
const LONG_IDLE: Duration = Duration::from_secs(10);

impl Losses {
    fn note(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }

    fn is_doubtful(&self, idle_for: Duration) -> bool {
        let lost = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        idle_for > LONG_IDLE || lost.is_some_and(|lost| lost.elapsed() <= idle_for)
    }

    /// Whether a connection that was idle for so long can be used.
    pub(super) async fn cleared(
        self,
        connection: &mut PgConnection,
        idle_for: Duration,
    ) -> Result<bool, sqlx::Error> {
        if self.is_doubtful(idle_for) {
            connection.ping().await?;
        }
        Ok(true)
    }
}
