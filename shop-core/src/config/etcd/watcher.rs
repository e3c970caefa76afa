use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use etcd_client::WatchStream;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, timeout};

use super::backoff::Backoff;
use super::connection::{Connection, notice};
use super::keeper::{Keeper, keep};
use super::mirror::{Lost, Mirror, Read};
use super::snapshot::Snapshot;

/// How long etcd may take for an answer.
const ANSWER: Duration = Duration::from_secs(5);
/// How often it is asked whether the watch lives.
const PROGRESS: Duration = Duration::from_secs(3);
/// A watch that is silent for longer than this is dead.
const SILENCE: Duration = Duration::from_secs(10);

/// Follows etcd and keeps a [`Live`](crate::config::Live) up to date.
#[must_use = "nothing is watched unless it runs"]
pub struct Watcher<T> {
    /// None without etcd.
    keeper: Option<Keeper<T>>,
    /// What was read at the start, to be kept on disk.
    unkept: Option<(PathBuf, Snapshot)>,
}

/// What is done next.
enum State {
    /// To connect, authenticate, and read everything.
    Reading,
    /// Everything is read and applied: to watch what comes after it.
    Read(Box<Connection>),
    /// To follow the watch.
    Watching(Box<WatchStream>),
    /// Something failed: to wait before it is tried again.
    Waiting(Lost),
}

impl<T> Watcher<T> {
    pub(super) fn idle() -> Self {
        Self { keeper: None, unkept: None }
    }

    pub(super) fn new(keeper: Keeper<T>, unkept: Option<(PathBuf, Snapshot)>) -> Self {
        Self { keeper: Some(keeper), unkept }
    }
}

impl<T: DeserializeOwned + Serialize> Watcher<T> {
    /// Follows etcd for as long as anybody has the [`Live`](crate::config::Live). Changes, what is refused, and when etcd is lost and found
    /// again are told through `tracing`.
    ///
    /// # Cancel safety
    /// Dropped, it ends the watch; the value stays as it is.
    pub async fn run(self) {
        let Some(keeper) = self.keeper else { return };
        keep(self.unkept).await;
        let status = keeper.status();
        if let (true, Some(revision)) = (status.from_snapshot, status.revision) {
            let reason = status.refused.as_deref().unwrap_or_default();
            tracing::warn!(revision, reason, "started from the snapshot of etcd's values, not from etcd");
        }
        let unread = keeper.unread();
        tokio::pin!(unread);
        let mut run = Run { keeper, mirror: Mirror::default(), backoff: Backoff::default(), down: false };
        let mut state = State::Reading;
        loop {
            state = match state {
                State::Reading => run.read().await,
                State::Read(connection) => run.watch(connection).await,
                State::Watching(stream) => tokio::select! {
                    lost = run.follow(stream) => State::Waiting(lost),
                    () = &mut unread => return,
                },
                State::Waiting(lost) => {
                    run.lost(&lost);
                    tokio::select! {
                        () = sleep(run.backoff.next()) => State::Reading,
                        () = &mut unread => return,
                    }
                }
            };
        }
    }
}

impl<T> fmt::Debug for Watcher<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watcher").finish_non_exhaustive()
    }
}

struct Run<T> {
    keeper: Keeper<T>,
    mirror: Mirror,
    backoff: Backoff,
    /// Whether etcd could not be read when it was tried last, so that it is told once.
    down: bool,
}

impl<T: DeserializeOwned + Serialize> Run<T> {
    async fn read(&mut self) -> State {
        match self.read_all().await {
            Ok((connection, read)) => {
                self.mirror.replace(read);
                self.offer().await;
                State::Read(Box::new(connection))
            }
            Err(reason) => State::Waiting(Lost::Broken(reason)),
        }
    }

    async fn read_all(&self) -> Result<(Connection, Read), String> {
        let mut connection = Connection::open(&self.keeper.recipe.config, ANSWER).await?;
        let read = connection.read().await?;
        Ok((connection, read))
    }

    async fn watch(&mut self, mut connection: Box<Connection>) -> State {
        match connection.watch(self.mirror.revision() + 1).await {
            Ok(stream) => State::Watching(Box::new(stream)),
            Err(reason) => State::Waiting(Lost::Broken(reason)),
        }
    }

    /// Applies what the watch tells until it cannot go on.
    async fn follow(&mut self, mut stream: Box<WatchStream>) -> Lost {
        let mut ticks = interval(PROGRESS);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut heard = Instant::now();
        loop {
            let answer = tokio::select! {
                answer = stream.message() => match answer {
                    Ok(Some(answer)) => notice(answer),
                    Ok(None) => return Lost::Broken("etcd ended the watch".into()),
                    Err(etcd_client::Error::GRpcStatus(status)) => return Lost::Broken(status.message().to_owned()),
                    Err(error) => return Lost::Broken(crate::chain(&error)),
                },
                _ = ticks.tick() => {
                    if heard.elapsed() > SILENCE {
                        return Lost::Silent;
                    }
                    match timeout(ANSWER, stream.request_progress()).await {
                        Ok(Ok(())) => continue,
                        Ok(Err(error)) => return Lost::Broken(crate::chain(&error)),
                        Err(_) => return Lost::Silent,
                    }
                }
            };
            heard = Instant::now();
            let transactions = match self.mirror.check(&answer) {
                Ok(transactions) => transactions,
                Err(lost) => return lost,
            };
            if answer.created {
                self.found();
            } else {
                self.backoff.reset();
            }
            for transaction in transactions {
                self.mirror.apply(transaction);
                self.offer().await;
            }
        }
    }

    async fn offer(&mut self) {
        let kept = self.keeper.offer(self.mirror.entries(), self.mirror.revision());
        keep(kept).await;
    }

    fn found(&mut self) {
        if std::mem::take(&mut self.down) {
            tracing::info!(revision = self.mirror.revision(), "etcd is watched again");
        }
        self.keeper.update(|status| {
            status.watching = true;
            status.lost = None;
        });
    }

    fn lost(&mut self, lost: &Lost) {
        if !std::mem::replace(&mut self.down, true) {
            tracing::warn!(reason = %lost, "etcd is not watched; what is in effect stays until it is read again");
        }
        self.keeper.update(|status| {
            status.watching = false;
            status.lost = Some(lost.to_string());
        });
    }
}
