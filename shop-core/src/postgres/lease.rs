use std::ops::{Deref, DerefMut};
use std::sync::Arc;

use sqlx::postgres::PgConnection;
use tokio::sync::OwnedSemaphorePermit;

use super::pool::{Pool, Session};

/// A connection out of the pool, which goes back only by [`keep`](Self::keep). Dropped otherwise, half-way or in a panic, it
/// is closed, and the server rolls back or, if that has begun, commits.
#[derive(Debug)]
pub(super) struct Lease {
    session: Option<Session>,
    pool: Arc<Pool>,
    committing: bool,
    // After the session: its place is free when it is back, or closed.
    _place: OwnedSemaphorePermit,
}

impl Lease {
    pub(super) fn new(session: Session, pool: Arc<Pool>, place: OwnedSemaphorePermit) -> Self {
        Self { session: Some(session), pool, committing: false, _place: place }
    }

    /// From here on it may come to a commit whose result is unknown, if the connection is lost.
    pub(super) fn committing(&mut self) {
        self.committing = true;
    }

    /// Back into the pool: no transaction is open, and no answer is outstanding.
    pub(super) fn keep(mut self) {
        if let Some(session) = self.session.take() {
            self.pool.put_back(session);
        }
    }
}

impl Deref for Lease {
    type Target = PgConnection;

    fn deref(&self) -> &PgConnection {
        &self.session.as_ref().expect("there until the lease ends").connection
    }
}

impl DerefMut for Lease {
    fn deref_mut(&mut self) -> &mut PgConnection {
        &mut self.session.as_mut().expect("there until the lease ends").connection
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if let Some(session) = self.session.take() {
            self.pool.note_loss();
            if self.committing {
                self.pool.doubts.add(session.backend);
            }
        }
    }
}
