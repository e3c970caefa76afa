use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{ConnectOptions as _, Connection as _};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::PgConfig;
use super::doubt::{Backend, Doubts};
use super::error::classified;
use super::lease::Lease;
use super::server::refuse_lossy;
use crate::{StoreError, StoreErrorKind, StoreResult};

/// Open connections that nobody uses, and room for so many in use. The driver's own pool does not tell by what the server
/// knows a connection, which has to be known of one whose commit has an unknown result.
#[derive(Debug)]
pub(super) struct Pool {
    options: PgConnectOptions,
    config: PgConfig,
    room: Arc<Semaphore>,
    idle: Mutex<Vec<Session>>,
    lost: Mutex<Option<Instant>>,
    pub(super) doubts: Doubts,
}

/// An open connection.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) connection: PgConnection,
    pub(super) backend: Backend,
    opened: Instant,
    used: Instant,
}

/// A connection that was idle for longer is looked at before it is used.
const LONG_IDLE: Duration = Duration::from_secs(10);
/// One that was idle for longer is closed: there are more than are needed.
const TOO_LONG_IDLE: Duration = Duration::from_secs(600);
/// One that is older is not used again: the server may have gathered much in its session.
const OLD: Duration = Duration::from_secs(1_800);
/// Between two tries to reach a server that is just starting.
const PAUSE: Duration = Duration::from_millis(50);

impl Pool {
    pub(super) fn new(options: PgConnectOptions, config: PgConfig) -> Self {
        let room = Arc::new(Semaphore::new(config.connections.max(1) as usize));
        Self {
            options,
            config,
            room,
            idle: Mutex::default(),
            lost: Mutex::default(),
            doubts: Doubts::default(),
        }
    }

    /// A connection, once one is free; who waits longest is served first. What has an unknown result is settled before
    /// it is used.
    pub(super) async fn lease(self: &Arc<Self>, operation: &'static str) -> StoreResult<Lease> {
        let acquired = timeout(self.config.acquire_timeout, async {
            let place = self.room.clone().acquire_owned().await;
            let place = place.map_err(|closed| unavailable(operation).with_source(closed))?;
            Ok(Lease::new(self.session(operation).await?, self.clone(), place))
        });
        let late = |late| unavailable(operation).with_source(late);
        let mut lease = acquired.await.map_err(late)??;
        timeout(self.config.work_timeout, self.doubts.settle(&mut lease)).await.map_err(late)??;
        Ok(lease)
    }

    async fn session(&self, operation: &'static str) -> StoreResult<Session> {
        loop {
            let Some(mut session) = guarded(&self.idle).pop() else { break };
            if session.opened.elapsed() > OLD {
                continue;
            }
            if !self.is_doubtful(&session) || session.connection.ping().await.is_ok() {
                return Ok(session);
            }
        }
        loop {
            match self.open().await.map_err(|error| classified(operation, error, false)) {
                Err(error) if error.kind() == StoreErrorKind::Unavailable => tokio::time::sleep(PAUSE).await,
                done => return done,
            }
        }
    }

    async fn open(&self) -> Result<Session, sqlx::Error> {
        let mut connection = self.options.connect().await?;
        // The setting of a database or a role may change while this runs.
        refuse_lossy(&mut connection, self.config.trusted_storage).await?;
        let backend = Backend::of(&mut connection).await?;
        let now = Instant::now();
        Ok(Session { connection, backend, opened: now, used: now })
    }

    /// A server that restarts takes all connections with it: those that were idle when one was lost are looked at.
    fn is_doubtful(&self, session: &Session) -> bool {
        session.used.elapsed() > LONG_IDLE || guarded(&self.lost).is_some_and(|lost| lost >= session.used)
    }

    pub(super) fn put_back(&self, session: Session) {
        let mut idle = guarded(&self.idle);
        // The one on top is used next, so the first is idle for longest.
        let unused = idle.iter().take_while(|session| session.used.elapsed() > TOO_LONG_IDLE).count();
        drop(idle.drain(..unused));
        idle.push(Session { used: Instant::now(), ..session });
    }

    pub(super) fn note_loss(&self) {
        *guarded(&self.lost) = Some(Instant::now());
    }

    /// Once what runs has ended. Who comes later is refused.
    pub(super) async fn close(&self) {
        let all = self.room.acquire_many(self.config.connections.max(1)).await;
        self.room.close();
        let idle = std::mem::take(&mut *guarded(&self.idle));
        for session in idle {
            // What it leaves undone the server does.
            let _ = session.connection.close().await;
        }
        drop(all);
    }
}

fn guarded<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

fn unavailable(operation: &'static str) -> StoreError {
    StoreError::new(StoreErrorKind::Unavailable, operation)
}
