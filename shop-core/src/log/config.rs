//! The `[log]` section.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::logstash_config::LogstashConfig;
use crate::size::ByteSize;

/// `[log]`: what is logged, and where to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LogConfig {
    /// A level, or levels by target: `info`, `warn,shop_orders=debug`. Default `info`.
    pub level: String,
    /// What the events call this machine; its host name when absent.
    pub host: Option<String>,
    /// What may wait for each writer, at least 32 KiB. Default 8 MiB.
    pub queue: ByteSize,
    /// What happens when that much waits.
    pub overflow: Overflow,
    /// `[log.stdout]`
    pub stdout: StdoutConfig,
    /// `[log.file]`; no files when absent.
    pub file: Option<FileConfig>,
    /// `[log.logstash]`; nothing is sent when absent. Refused by a build without the feature `logstash`.
    #[cfg_attr(not(feature = "logstash"), serde(deserialize_with = "super::logstash_config::refuse"))]
    pub logstash: Option<LogstashConfig>,
}

impl Default for LogConfig {
    fn default() -> Self {
        Self {
            level: "info".into(),
            host: None,
            queue: ByteSize(8 << 20),
            overflow: Overflow::default(),
            stdout: StdoutConfig::default(),
            file: None,
            logstash: None,
        }
    }
}

/// What happens to an event when the writer has fallen behind.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Overflow {
    /// The event is dropped and counted, and the stream says so: a slow disk never stops the shop.
    #[default]
    Drop,
    /// The emitting thread waits: nothing is lost, but a stalled disk stalls every request.
    Block,
}

/// `[log.stdout]`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct StdoutConfig {
    /// Default yes.
    pub enabled: bool,
}

impl Default for StdoutConfig {
    fn default() -> Self {
        Self { enabled: true }
    }
}

/// `[log.file]`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileConfig {
    /// Where `<service>.<date>.jsonl` is written; made if need be.
    pub dir: PathBuf,
    /// When a new file begins, in UTC. Default daily.
    #[serde(default)]
    pub rotation: Rotation,
    /// How many files are kept, at least 1; all when absent.
    #[serde(default)]
    pub keep: Option<usize>,
}

/// When a new file begins.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rotation {
    /// Every hour.
    Hourly,
    /// Every day.
    #[default]
    Daily,
    /// Never: `<service>.jsonl`.
    Never,
}
