//! The `[log.logstash]` section.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use serde::de::{self, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use super::url::LogstashUrl;
use crate::duration::HumanDuration;
use crate::size::ByteSize;

/// The smallest spool, in bytes.
const MIN_SPOOL: u64 = 256 << 10;

/// `[log.logstash]`: where the events are sent, and what may become of them on the way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LogstashConfig {
    /// One URL, or a list of them: the first one that can be reached gets all events. All of them acknowledge, or none does.
    #[serde(deserialize_with = "one_or_more")]
    pub url: Vec<LogstashUrl>,
    /// What happens to an event when spool and queue are full. Default `drop`.
    #[serde(default)]
    pub overflow: LogstashOverflow,
    /// How long `overflow = "block"` makes an event wait for room before it is dropped. Default 100 ms.
    #[serde(default = "block_for")]
    pub block_for: HumanDuration,
    /// How much work goes into compression for `lumberjack://`, from 0 (none) to 9. Default 3.
    #[serde(default = "compression")]
    pub compression: u8,
    /// The largest datagram of `udp://`, from 512 B to 32 KiB; a larger event is dropped. Default 32 KiB: none is.
    #[serde(default = "max_datagram")]
    pub max_datagram: ByteSize,
    /// How long a connection may take to be there. Default 5 s.
    #[serde(default = "connect_timeout")]
    pub connect_timeout: HumanDuration,
    /// How long the receiver may take no byte of what is sent. Default 10 s.
    #[serde(default = "write_timeout")]
    pub write_timeout: HumanDuration,
    /// How long the receiver may say nothing about what was sent; `http://`: how long it may take to answer. Default 30 s.
    #[serde(default = "ack_timeout")]
    pub ack_timeout: HumanDuration,
    /// `[log.logstash.spool]`, for acknowledged transports; events wait in memory only when absent.
    #[serde(default)]
    pub spool: Option<SpoolConfig>,
}

impl LogstashConfig {
    /// These receivers, and defaults.
    pub fn new(url: Vec<LogstashUrl>) -> Self {
        Self {
            url,
            overflow: LogstashOverflow::default(),
            block_for: block_for(),
            compression: compression(),
            max_datagram: max_datagram(),
            connect_timeout: connect_timeout(),
            write_timeout: write_timeout(),
            ack_timeout: ack_timeout(),
            spool: None,
        }
    }

    /// What is well-formed and cannot work: the key and the fault.
    pub(super) fn faults(&self) -> Vec<(&'static str, String)> {
        let mut found = Vec::new();
        let acknowledged = self.url.iter().filter(|url| url.scheme.is_acknowledged()).count();
        if self.url.is_empty() {
            found.push(("log.logstash.url", "has no URL".to_owned()));
        } else if acknowledged != 0 && acknowledged != self.url.len() {
            let fault =
                "tcp:// and udp:// acknowledge nothing and cannot stand in for http:// or lumberjack://";
            found.push(("log.logstash.url", fault.to_owned()));
        } else if acknowledged == 0 && self.spool.is_some() {
            let fault =
                "only http:// and lumberjack:// have a spool: tcp:// and udp:// never say what may leave it";
            found.push(("log.logstash.spool", fault.to_owned()));
        }
        for (key, duration) in [
            ("log.logstash.connect_timeout", self.connect_timeout),
            ("log.logstash.write_timeout", self.write_timeout),
            ("log.logstash.ack_timeout", self.ack_timeout),
        ] {
            if duration.0.is_zero() {
                found.push((key, "must not be 0".to_owned()));
            }
        }
        if self.compression > 9 {
            found.push(("log.logstash.compression", "must be from 0 to 9".to_owned()));
        }
        if !(512..=32 << 10).contains(&self.max_datagram.0) {
            found.push(("log.logstash.max_datagram", "must be from 512B to 32KiB".to_owned()));
        }
        if self.spool.as_ref().is_some_and(|spool| spool.max_bytes.0 < MIN_SPOOL) {
            found.push(("log.logstash.spool.max_bytes", "must be at least 256KiB".to_owned()));
        }
        found
    }
}

/// What happens to an event when spool and queue are full, because the receiver is away for long or too slow.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogstashOverflow {
    /// It is dropped.
    #[default]
    Drop,
    /// As the queue fills, DEBUG and TRACE are dropped from the half of it on and INFO from three quarters; WARN, ERROR and
    /// access events when it is full.
    DropByLevel,
    /// The emitting thread waits up to `block_for`; after one wait in vain events are dropped without one until there was room.
    Block,
}

/// `[log.logstash.spool]`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SpoolConfig {
    /// The spool is the folder `<service>` in this one; made if need be. One process at a time can have it.
    pub dir: PathBuf,
    /// How large it may become on disk, at least 256 KiB. Default 256 MiB.
    #[serde(default = "max_bytes")]
    pub max_bytes: ByteSize,
    /// How often what is not acknowledged yet is synced to the disk, which only a power cut makes a difference to. 0: with every
    /// write. Default 1 s.
    #[serde(default = "sync")]
    pub sync: HumanDuration,
}

fn block_for() -> HumanDuration {
    Duration::from_millis(100).into()
}

fn compression() -> u8 {
    3
}

fn max_datagram() -> ByteSize {
    ByteSize(32 << 10)
}

fn connect_timeout() -> HumanDuration {
    Duration::from_secs(5).into()
}

fn write_timeout() -> HumanDuration {
    Duration::from_secs(10).into()
}

fn ack_timeout() -> HumanDuration {
    Duration::from_secs(30).into()
}

fn max_bytes() -> ByteSize {
    ByteSize(256 << 20)
}

fn sync() -> HumanDuration {
    Duration::from_secs(1).into()
}

/// What a build without the feature says to the section.
#[cfg(not(feature = "logstash"))]
pub(super) const ABSENT: &str = "this build sends nothing to Logstash; build it with `--features logstash`";

#[cfg(not(feature = "logstash"))]
pub(super) fn refuse<'de, D: Deserializer<'de>>(_: D) -> Result<Option<LogstashConfig>, D::Error> {
    Err(de::Error::custom(ABSENT))
}

fn one_or_more<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<LogstashUrl>, D::Error> {
    struct Urls;
    impl<'de> Visitor<'de> for Urls {
        type Value = Vec<LogstashUrl>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a URL or a list of them")
        }

        fn visit_str<E: de::Error>(self, text: &str) -> Result<Self::Value, E> {
            text.parse().map(|url| vec![url]).map_err(E::custom)
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
            let mut urls = Vec::new();
            while let Some(url) = seq.next_element()? {
                urls.push(url);
            }
            Ok(urls)
        }
    }
    deserializer.deserialize_any(Urls)
}
