//! The connection to the first receiver that can be reached.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::time::Instant;

use super::batch::{Progress, Window};
use super::fault::Fault;
use super::http::Http;
use super::lumberjack::Lumberjack;
use super::tcp::Tcp;
use super::udp::Udp;
use crate::chance;
use crate::log::logstash_config::LogstashConfig;
use crate::log::url::{LogstashScheme, LogstashUrl};

/// After a round of all receivers in vain: a random part of this, doubled every round.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// How long a later receiver is used before the first one is tried again.
const DETOUR: Duration = Duration::from_secs(30);
/// How often an outage that goes on is told of.
const REMIND: Duration = Duration::from_secs(60);

#[derive(Debug)]
pub(super) enum Connection {
    Tcp(Tcp),
    Udp(Udp),
    Http(Http),
    Lumberjack(Lumberjack),
}

impl Connection {
    async fn open(url: &LogstashUrl, config: &LogstashConfig) -> io::Result<Self> {
        Ok(match url.scheme {
            LogstashScheme::Tcp => Self::Tcp(Tcp::connect(url, config).await?),
            LogstashScheme::Udp => Self::Udp(Udp::connect(url, config).await?),
            LogstashScheme::Http => Self::Http(Http::connect(url, config).await?),
            LogstashScheme::Lumberjack => Self::Lumberjack(Lumberjack::connect(url, config).await?),
        })
    }

    /// Whether the receiver has not closed it while nothing was sent.
    fn is_open(&mut self) -> bool {
        match self {
            Self::Tcp(tcp) => tcp.is_open(),
            Self::Udp(_) => true,
            Self::Http(http) => http.is_open(),
            Self::Lumberjack(lumberjack) => lumberjack.is_open(),
        }
    }

    /// Sends a window and waits until it is acknowledged, where it is. `progress` is right also when this fails.
    pub(super) async fn deliver(&mut self, window: Window<'_>, progress: &mut Progress) -> Result<(), Fault> {
        match self {
            Self::Tcp(tcp) => tcp.deliver(window, progress).await,
            Self::Udp(udp) => udp.deliver(window, progress).await,
            Self::Http(http) => http.deliver(window, progress).await,
            Self::Lumberjack(lumberjack) => lumberjack.deliver(window, progress).await,
        }
    }
}

#[derive(Debug)]
pub(super) struct Link {
    config: LogstashConfig,
    /// Which URL is used, or is tried next.
    at: usize,
    connection: Option<Connection>,
    since: Instant,
    /// Rounds in vain.
    rounds: u32,
    /// The next attempt comes after a pause.
    pause: bool,
    told: Option<Instant>,
    /// Seen by who waits for the end: nobody answers.
    down: Arc<AtomicBool>,
}

impl Link {
    pub(super) fn new(config: LogstashConfig, down: Arc<AtomicBool>) -> Self {
        let since = Instant::now();
        Self { config, at: 0, connection: None, since, rounds: 0, pause: false, told: None, down }
    }

    /// A connection that seems to be usable; tries for ever. `waiting` says how many events wait, for people.
    pub(super) async fn ready(&mut self, waiting: impl Fn() -> u64) -> &mut Connection {
        if self.connection.as_mut().is_some_and(|connection| !connection.is_open()) {
            self.connection = None;
        }
        if self.at > 0 && self.connection.is_some() && self.since.elapsed() >= DETOUR {
            self.since = Instant::now();
            if let Ok(first) = Connection::open(&self.config.url[0], &self.config).await {
                self.at = 0;
                self.connection = Some(first);
            }
        }
        loop {
            if let Some(connection) = self.connection.take() {
                return self.connection.insert(connection);
            }
            if std::mem::take(&mut self.pause) {
                let longest = FIRST_PAUSE.saturating_mul(1 << self.rounds.min(16)).min(LONGEST_PAUSE);
                self.rounds += 1;
                tokio::time::sleep(longest.mul_f64(chance::unit())).await;
            }
            match Connection::open(&self.config.url[self.at], &self.config).await {
                Ok(connection) => {
                    self.since = Instant::now();
                    self.connection = Some(connection);
                }
                Err(error) => self.failed(&error, waiting()),
            }
        }
    }

    /// The receiver has taken events.
    pub(super) fn went_well(&mut self) {
        self.rounds = 0;
        self.down.store(false, Ordering::Relaxed);
        if self.told.take().is_some() {
            eprintln!("log: {} takes events again", self.config.url[self.at]);
        }
    }

    /// The connection is given up, and the next receiver is tried.
    pub(super) fn failed(&mut self, error: &io::Error, waiting: u64) {
        self.connection = None;
        if self.told.is_none_or(|told| told.elapsed() >= REMIND) {
            self.told = Some(Instant::now());
            eprintln!("log: {}: {error}; {waiting} events wait", self.config.url[self.at]);
        }
        self.at += 1;
        if self.at == self.config.url.len() {
            self.at = 0;
            self.pause = true;
            // A first round in vain may be a connection that was lost.
            self.down.store(self.rounds > 0, Ordering::Relaxed);
        }
    }
}
