//! Outputs opened, and the layer and its guard made.

use std::io::{self, Write};
use std::sync::Arc;

use tracing_appender::rolling::{self, RollingFileAppender};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::{Layer, Registry, reload};

use super::config::{FileConfig, LogConfig, Overflow, Rotation};
use super::encode::Common;
use super::guard::{LogGuard, Running};
use super::layer::JsonLayer;
use super::logstash_config::LogstashConfig;
use super::output;
use super::queue::{Policy, Queue};

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
    /// A setting cannot work.
    #[error("{key}: {fault}")]
    Setting {
        /// The key, such as `log.logstash.url`.
        key: &'static str,
        /// What is wrong with it.
        fault: String,
    },
    /// The spool cannot be used.
    #[error("log.logstash.spool.dir: cannot use {dir}")]
    Spool {
        /// The folder.
        dir: String,
        /// Why.
        source: io::Error,
    },
    /// A writer's thread cannot be started.
    #[error("cannot start a writer's thread")]
    Thread(#[source] io::Error),
    /// The subscriber is no more.
    #[error("the log has ended")]
    Ended,
    /// Another subscriber was installed before.
    #[error("a tracing subscriber is installed already")]
    Installed,
}

/// Sets the levels of the process's log while it runs.
#[derive(Debug, Clone)]
pub struct LogLevels(reload::Handle<Targets, Registry>);

impl LogLevels {
    /// Logs at this level, or at these levels by target, from now on: `info`, `warn,shop_orders=debug`.
    ///
    /// # Errors
    /// [`LogError::Level`]; [`LogError::Ended`].
    pub fn set(&self, level: &str) -> Result<(), LogError> {
        self.0.reload(parse(level)?).map_err(|_| LogError::Ended)
    }
}

/// Whether a configuration can be used, without opening anything.
///
/// # Errors
/// The first of [`faults`].
pub fn check(config: &LogConfig) -> Result<(), LogError> {
    faults(config).into_iter().next().map_or(Ok(()), Err)
}

/// Everything that makes a configuration unusable, without opening anything.
pub fn faults(config: &LogConfig) -> Vec<LogError> {
    let logstash = config.logstash.iter().flat_map(LogstashConfig::faults);
    let settings = logstash.map(|(key, fault)| LogError::Setting { key, fault });
    parse(&config.level).err().into_iter().chain(settings).collect()
}

/// Installs the process's subscriber: the configured outputs behind the configured levels. For binaries.
///
/// # Errors
/// When the level is not one, a file cannot be opened, or a subscriber is installed already.
pub fn init(config: &LogConfig, service: &str, version: &str) -> Result<LogGuard, LogError> {
    let (levels, handle) = reload::Layer::new(parse(&config.level)?);
    let (layer, mut guard) = layer(config, service, version)?;
    guard.levels = Some(LogLevels(handle));
    let subscriber = tracing_subscriber::registry().with(layer.with_filter(levels));
    tracing::subscriber::set_global_default(subscriber).map_err(|_| LogError::Installed)?;
    Ok(guard)
}

/// A layer for a subscriber of your own, which also decides the levels: `config.level` is not used.
///
/// # Errors
/// When a file or the spool cannot be opened, or [`check`] refuses `[log.logstash]`.
pub fn layer(config: &LogConfig, service: &str, version: &str) -> Result<(JsonLayer, LogGuard), LogError> {
    let mut outputs = Vec::new();
    if config.stdout.enabled {
        outputs.push(start(queue("stdout", config), io::stdout())?);
    }
    if let Some(file) = &config.file {
        outputs.push(start(queue("file", config), open(file, service)?)?);
    }
    if let Some(logstash) = &config.logstash {
        check(config)?;
        #[cfg(feature = "logstash")]
        outputs.push(super::logstash::start(logstash, config.queue.0, service)?);
        #[cfg(not(feature = "logstash"))]
        return Err(LogError::Setting {
            key: "log.logstash",
            fault: format!("{} for {:?}", super::logstash_config::ABSENT, logstash.url),
        });
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
    let output = start(queue("writer", config), writer)?;
    Ok(assemble(config, service, version, vec![output]))
}

fn start(queue: Queue, writer: impl Write + Send + 'static) -> Result<Running, LogError> {
    let queue = Arc::new(queue);
    let thread = output::start(queue.clone(), writer).map_err(LogError::Thread)?;
    Ok(Running {
        queue,
        threads: vec![thread],
        #[cfg(feature = "logstash")]
        shipping: None,
    })
}

fn queue(name: &'static str, config: &LogConfig) -> Queue {
    let policy = match config.overflow {
        Overflow::Drop => Policy::Drop,
        Overflow::Block => Policy::Block(None),
    };
    Queue::new(name, config.queue.0, policy)
}

fn assemble(
    config: &LogConfig,
    service: &str,
    version: &str,
    outputs: Vec<Running>,
) -> (JsonLayer, LogGuard) {
    let host = config.host.clone().unwrap_or_else(host_name);
    let queues = outputs.iter().map(|output| output.queue.clone()).collect();
    let layer = JsonLayer::new(Common { service: service.into(), version: version.into(), host }, queues);
    let guard = LogGuard::new(layer.shared(), outputs);
    (layer, guard)
}

fn parse(level: &str) -> Result<Targets, LogError> {
    let refuse = || LogError::Level(level.to_owned());
    // A text that is no level would be taken for the name of a target.
    let mut parts = level.split(',');
    if parts.any(|part| {
        !part.contains('=') && part.trim().parse::<tracing::Level>().is_err() && part.trim() != "off"
    }) {
        return Err(refuse());
    }
    level.parse().map_err(|_| refuse())
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
