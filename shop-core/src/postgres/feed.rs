use std::sync::Arc;
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgListener, PgPoolOptions};
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::mpsc::{self, Receiver, Sender};
use tokio::time::{Instant, timeout, timeout_at};
use uuid::Uuid;

use super::PgConfig;
use super::error::classified;
use crate::{Clock, StoreError, StoreErrorKind, StoreResult, Timestamp};

const OPERATION: &str = "listen to PostgreSQL";
/// How often the feed asks how far it has come.
const EVERY: Duration = Duration::from_millis(500);
/// How long the server may take to answer that.
const PATIENCE: Duration = Duration::from_secs(4);
/// What is kept for a reader who is slower than what is told.
const KEPT: usize = 1_024;

/// What is told on a channel by `NOTIFY`, on a connection of its own, which a task has and gives up with this.
#[derive(Debug)]
pub struct PgFeed {
    options: PgConnectOptions,
    connect_timeout: Duration,
    channel: &'static str,
    clock: Arc<dyn Clock>,
    /// From the task, while there is one.
    heard: Option<Receiver<StoreResult<PgHeard>>>,
}

/// An item of a [`PgFeed`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PgHeard {
    /// From here on all is heard that is told on the channel; what was told before may have been missed.
    Listening,
    /// The payload of a `NOTIFY`.
    Told(String),
    /// What was told by commits that were done at this moment, by the clock of the feed, has been heard. Comes twice a second.
    Complete(Timestamp),
}

impl PgFeed {
    pub(super) fn new(
        options: PgConnectOptions,
        config: &PgConfig,
        channel: &'static str,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self { options, connect_timeout: config.connect_timeout, channel, clock, heard: None }
    }

    /// Waits for the next item; connects first where there is no connection.
    ///
    /// # Errors
    /// If the connection is lost, within some seconds, or cannot be had; or if more was told meanwhile than is kept. The
    /// next call connects again, and begins with [`PgHeard::Listening`].
    ///
    /// # Cancel safety
    /// A dropped call loses no item.
    pub async fn next(&mut self) -> StoreResult<PgHeard> {
        let heard = self.heard.get_or_insert_with(|| {
            let (tell, heard) = mpsc::channel(KEPT);
            let (options, patience, channel) = (self.options.clone(), self.connect_timeout, self.channel);
            tokio::spawn(follow(options, patience, channel, self.clock.clone(), tell));
            heard
        });
        let item = heard.recv().await;
        let item = item.unwrap_or_else(|| Err(StoreError::new(StoreErrorKind::Unavailable, OPERATION)));
        if item.is_err() {
            self.heard = None;
        }
        item
    }
}

/// Listens until the connection is lost or nobody reads.
async fn follow(
    options: PgConnectOptions,
    connect_timeout: Duration,
    channel: &'static str,
    clock: Arc<dyn Clock>,
    tell: Sender<StoreResult<PgHeard>>,
) {
    if let Err(error) = listen(options, connect_timeout, channel, &*clock, &tell).await {
        // If nobody reads any more, nobody is to be told.
        let _ = tell.send(Err(error)).await;
    }
}

async fn listen(
    options: PgConnectOptions,
    connect_timeout: Duration,
    channel: &'static str,
    clock: &dyn Clock,
    tell: &Sender<StoreResult<PgHeard>>,
) -> StoreResult<()> {
    let failed = |error| classified(OPERATION, error, false);
    let pool =
        PgPoolOptions::new().max_connections(1).acquire_timeout(connect_timeout).connect_lazy_with(options);
    let mut listener = PgListener::connect_with(&pool).await.map_err(failed)?;
    // A lost connection is to be told, not to be replaced in silence.
    listener.eager_reconnect(false);
    // PostgreSQL tells in the order of the commits: what the feed tells itself comes after all that was committed before.
    let own = format!("feed_{}", Uuid::now_v7().simple());
    timeout(PATIENCE, listener.listen_all([channel, &own])).await.map_err(late)?.map_err(failed)?;
    let mut item = Some(PgHeard::Listening);
    let mut asked: Option<Timestamp> = None;
    let mut next = Instant::now();
    loop {
        match item.take().map_or(Ok(()), |item| tell.try_send(Ok(item))) {
            Ok(()) if !tell.is_closed() => {}
            Err(TrySendError::Full(_)) => return Err(lost("more was told than was read")),
            Ok(()) | Err(TrySendError::Closed(_)) => return Ok(()),
        }
        // However much is told: a timeout of something that is always ready would never come.
        let heard =
            if next <= Instant::now() { None } else { timeout_at(next, listener.try_recv()).await.ok() };
        match heard {
            Some(Ok(Some(told))) if told.channel() == own => {
                item = asked.take().map(PgHeard::Complete);
                next = Instant::now() + EVERY;
            }
            Some(Ok(Some(told))) => item = Some(PgHeard::Told(told.payload().to_owned())),
            Some(Ok(None)) => return Err(lost("the connection was lost")),
            Some(Err(error)) => return Err(failed(error)),
            None if asked.is_some() => return Err(lost("the server does not answer")),
            None => {
                asked = Some(clock.now());
                let ask = sqlx::query("SELECT pg_notify($1, '')").bind(&own).execute(&mut listener);
                timeout(PATIENCE, ask).await.map_err(late)?.map_err(failed)?;
                next = Instant::now() + PATIENCE;
            }
        }
    }
}

fn lost(why: &'static str) -> StoreError {
    StoreError::new(StoreErrorKind::Unavailable, OPERATION).with_source(why)
}

fn late(elapsed: tokio::time::error::Elapsed) -> StoreError {
    StoreError::new(StoreErrorKind::Unavailable, OPERATION).with_source(elapsed)
}
