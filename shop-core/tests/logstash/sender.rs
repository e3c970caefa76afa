//! The log under test, with a subscriber of its own.

use std::net::SocketAddr;
use std::time::Duration;

use shop_core::log::{
    ByteSize, LogConfig, LogGuard, LogStats, LogstashConfig, SpoolConfig, StdoutConfig, layer,
};
use tracing_subscriber::layer::SubscriberExt;

pub(crate) struct Sender {
    dispatch: tracing::Dispatch,
    guard: LogGuard,
}

impl Sender {
    pub(crate) fn start(logstash: LogstashConfig) -> Self {
        Self::start_with(LogConfig { logstash: Some(logstash), ..config() })
    }

    pub(crate) fn start_with(config: LogConfig) -> Self {
        let (layer, guard) = layer(&config, "shop", "1").unwrap();
        Self { dispatch: tracing::Dispatch::new(tracing_subscriber::registry().with(layer)), guard }
    }

    /// Emits events with these numbers.
    pub(crate) fn emit(&self, numbers: std::ops::Range<u64>) {
        self.within(|| numbers.for_each(|n| tracing::info!(n, "event")));
    }

    pub(crate) fn within(&self, emit: impl FnOnce()) {
        tracing::dispatcher::with_default(&self.dispatch, emit);
    }

    pub(crate) fn stats(&self) -> LogStats {
        self.guard.stats()
    }
}

pub(crate) fn config() -> LogConfig {
    LogConfig {
        host: Some("node-1".into()),
        level: "trace".into(),
        queue: ByteSize(64 << 20),
        stdout: StdoutConfig { enabled: false },
        ..LogConfig::default()
    }
}

/// To these addresses.
pub(crate) fn to(scheme: &str, addresses: &[SocketAddr]) -> LogstashConfig {
    let url = |address: &SocketAddr| match scheme {
        "http" => format!("http://me:hunter2%3A@{address}/in?pipeline=shop").parse().unwrap(),
        _ => format!("{scheme}://{address}").parse().unwrap(),
    };
    LogstashConfig::new(addresses.iter().map(url).collect())
}

/// Notices a peer that hangs soon; on a loaded machine one that does not may seem to.
pub(crate) fn impatient(config: LogstashConfig) -> LogstashConfig {
    let soon = Duration::from_millis(500);
    LogstashConfig { write_timeout: soon.into(), ack_timeout: soon.into(), ..config }
}

pub(crate) fn spool(dir: &std::path::Path, max_bytes: u64) -> SpoolConfig {
    let sync = Duration::from_secs(1).into();
    SpoolConfig { dir: dir.to_owned(), max_bytes: ByteSize(max_bytes), sync }
}
