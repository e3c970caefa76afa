//! Outputs opened, and the layer and its guard made.

use std::fmt;
use std::io::{self, Write};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tracing_appender::rolling::{self, RollingFileAppender};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;

use super::config::{FileConfig, LogConfig, Rotation};
use super::encode::Common;
use super::layer::{JsonLayer, Shared};
use super::output::Output;

/// How long the end of a process waits for its last lines.
const SETTLE: Duration = Duration::from_secs(5);

/// Why logging cannot begin.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LogError {
    /// `log.level` is no level and no list of levels by target.
    #[error("log.level: {0:?} is not a level, or a list such as warn,shop_orders=debug")]
    Level(String),
    /// The files cannot be written.
    #[error("log.file.dir: cannot write to {dir}")]
    File {
        /// The folder.
        dir: String,
        /// Why.
        source: io::Error,
    },
    /// A writer's thread cannot be started.
    #[error("cannot start a writer's thread")]
    Thread(#[source] io::Error),
    /// Another subscriber was installed before.
    #[error("a tracing subscriber is installed already")]
    Installed,
}

/// What became of the lines so far, summed over the outputs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LogStats {
    /// Written.
    pub written: u64,
    /// Dropped because the writer had fallen behind.
    pub dropped: u64,
    /// Not written because of an error, such as a full disk.
    pub failed: u64,
}

/// Keeps the outputs alive. Dropped, it waits up to 5 s until every line is written, and tells stderr if some could not be.
#[must_use = "dropped at once, it ends the log"]
pub struct LogGuard {
    shared: Arc<Shared>,
    writers: Vec<JoinHandle<()>>,
}

impl LogGuard {
    /// What became of the lines so far.
    pub fn stats(&self) -> LogStats {
        self.shared.outputs.iter().fold(LogStats::default(), |sum, output| LogStats {
            written: sum.written + output.written(),
            dropped: sum.dropped + output.dropped(),
            failed: sum.failed + output.failed(),
        })
    }
}

impl Drop for LogGuard {
    fn drop(&mut self) {
        let deadline = Instant::now() + SETTLE;
        let outputs = &self.shared.outputs;
        outputs.iter().for_each(|output| {
            output.settle(deadline);
        });
        // With room again, what was dropped last can be told.
        self.shared.report_dropped();
        let left: u64 = outputs.iter().map(|output| output.settle(deadline)).sum();
        outputs.iter().for_each(|output| output.close());
        for writer in self.writers.drain(..) {
            // One that hangs in a write cannot be waited for.
            while !writer.is_finished() && Instant::now() < deadline {
                std::thread::sleep(Duration::from_millis(1));
            }
            if writer.is_finished() && writer.join().is_err() {
                eprintln!("log: a writer panicked");
            }
        }
        if left > 0 {
            eprintln!("log: {left} lines were not written in time");
        }
    }
}

impl fmt::Debug for LogGuard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LogGuard").field("stats", &self.stats()).finish()
    }
}

/// Whether a configuration can be used, without opening anything.
///
/// # Errors
/// [`LogError::Level`].
pub fn check(config: &LogConfig) -> Result<(), LogError> {
    levels(config).map(drop)
}

/// Installs the process's subscriber: the configured outputs behind the configured levels. For binaries.
///
/// # Errors
/// When the level is not one, a file cannot be opened, or a subscriber is installed already.
pub fn init(config: &LogConfig, service: &str, version: &str) -> Result<LogGuard, LogError> {
    let levels = levels(config)?;
    let (layer, guard) = layer(config, service, version)?;
    let subscriber = tracing_subscriber::registry().with(layer.with_filter(levels));
    tracing::subscriber::set_global_default(subscriber).map_err(|_| LogError::Installed)?;
    Ok(guard)
}

/// A layer for a subscriber of your own, which also decides the levels: `config.level` is not used.
///
/// # Errors
/// When a file cannot be opened.
pub fn layer(config: &LogConfig, service: &str, version: &str) -> Result<(JsonLayer, LogGuard), LogError> {
    let mut outputs = Vec::new();
    if config.stdout.enabled {
        outputs.push(Output::start("log-stdout", config, io::stdout()).map_err(LogError::Thread)?);
    }
    if let Some(file) = &config.file {
        outputs.push(Output::start("log-file", config, open(file, service)?).map_err(LogError::Thread)?);
    }
    Ok(assemble(config, service, version, outputs))
}

/// A layer that writes to any writer, on a thread of its own.
///
/// # Errors
/// When the thread cannot be started.
pub fn layer_to(
    writer: impl Write + Send + 'static,
    config: &LogConfig,
    service: &str,
    version: &str,
) -> Result<(JsonLayer, LogGuard), LogError> {
    let output = Output::start("log-writer", config, writer).map_err(LogError::Thread)?;
    Ok(assemble(config, service, version, vec![output]))
}

fn assemble(
    config: &LogConfig,
    service: &str,
    version: &str,
    outputs: Vec<(Arc<Output>, JoinHandle<()>)>,
) -> (JsonLayer, LogGuard) {
    let (outputs, writers) = outputs.into_iter().unzip();
    let host = config.host.clone().unwrap_or_else(host_name);
    let layer = JsonLayer::new(Common { service: service.into(), version: version.into(), host }, outputs);
    let guard = LogGuard { shared: layer.shared(), writers };
    (layer, guard)
}

fn levels(config: &LogConfig) -> Result<Targets, LogError> {
    let refuse = || LogError::Level(config.level.clone());
    // A text that is no level would be taken for the name of a target.
    let mut parts = config.level.split(',');
    if parts.any(|part| {
        !part.contains('=') && part.trim().parse::<tracing::Level>().is_err() && part.trim() != "off"
    }) {
        return Err(refuse());
    }
    config.level.parse().map_err(|_| refuse())
}

fn open(config: &FileConfig, service: &str) -> Result<RollingFileAppender, LogError> {
    let fail = |source| LogError::File { dir: config.dir.display().to_string(), source };
    std::fs::create_dir_all(&config.dir).map_err(fail)?;
    let rotation = match config.rotation {
        Rotation::Hourly => rolling::Rotation::HOURLY,
        Rotation::Daily => rolling::Rotation::DAILY,
        Rotation::Never => rolling::Rotation::NEVER,
    };
    let mut builder =
        RollingFileAppender::builder().rotation(rotation).filename_prefix(service).filename_suffix("jsonl");
    if let Some(keep) = config.keep {
        builder = builder.max_log_files(keep.max(1));
    }
    builder.build(&config.dir).map_err(|error| fail(io::Error::other(error)))
}

fn host_name() -> String {
    let kernel = std::fs::read_to_string("/proc/sys/kernel/hostname").ok();
    let name =
        kernel.or_else(|| std::env::var("HOSTNAME").ok()).or_else(|| std::env::var("COMPUTERNAME").ok());
    name.map(|name| name.trim().to_owned())
        .filter(|name| !name.is_empty())
        .unwrap_or_else(|| "localhost".into())
}
