//! JSON events through `tracing`: one line an event, to stdout, to rolling files and to Logstash.
//!
//! An event is a superset of what python-logstash (version 1) sends, with the names of the Elastic Common Schema nested:
//!
//! ```json
//! {"@timestamp":"2026-09-12T10:00:00.123Z","@version":"1","message":"POST /v1/orders 201","host":"orders-1",
//!  "path":"shop_orders::http","tags":["orders","access"],"type":"shop","level":"INFO","logger_name":"orders::access",
//!  "log.level":"info","ecs":{"version":"8.11.0"},
//!  "service":{"name":"orders","version":"0.1.0","node":{"name":"orders-1"}},
//!  "event":{"dataset":"orders.access","duration":12500000,"id":"0199…","sequence":184467},
//!  "http":{"request":{"id":"…","method":"POST"},"response":{"status_code":201}},"trace":{"id":"4bf9…"}}
//! ```
//!
//! - Dots in a field's name nest; a field without a dot stands at the top. The names above that the event itself fills cannot be
//!   overridden: a field that is named like one moves to `labels`. A plain `error` field is `error.message`.
//! - `event.sequence` counts this process's events from 0 without a gap, and `event.id` is unique, so a receiver can prove what
//!   arrived. Events inside a request carry its `http.request.id`, `trace.id` and service.
//! - A field whose name looks like a secret's (`password`, `token`…) is `***`, as are such parameters of `url.query`.
//! - A line is at most 32 KiB: long values are cut at 8 KiB, and if that is not enough only the fixed fields stay, with
//!   `shop.truncated`.
//!
//! An event is made into its line in the task that emits it, in a buffer that the thread keeps, and handed to a writer thread
//! of each output. When that falls behind, [`Overflow`] decides: by default the task goes on, the line is dropped, counted,
//! and the stream says so itself with one event `event.action` = `log.dropped`, `shop.dropped` = how many, `shop.output` = which
//! output lost them, once there is room again. Every output gets that event, so that no sequence has a gap that nobody told of.
//!
//! # Logstash
//!
//! Feature `logstash`, section [`[log.logstash]`](LogstashConfig). What becomes of an event depends on the URL's scheme:
//!
//! | scheme | what is sent | promise |
//! |---|---|---|
//! | `lumberjack` | the Beats protocol, version 2: windows of compressed JSON frames | at least once |
//! | `http` | a POST of JSON lines, acknowledged by a 2xx | at least once |
//! | `tcp` | JSON lines | best effort: Logstash's `tcp` input acknowledges nothing, so what a restart of it swallows is lost |
//! | `udp` | a datagram an event | best effort |
//!
//! Acknowledged events go through a [spool on disk](SpoolConfig), if there is one: an event is in it some 10 ms after it was
//! emitted, and from then on survives outages of the receiver and `kill -9` of this process. It leaves the spool when it is
//! acknowledged, so after a crash or a lost acknowledgement some events arrive twice, with the same `event.id`. Without a spool
//! they survive outages only, in a queue of `log.queue` bytes.
//!
//! When spool and queue are full, [`LogstashOverflow`] decides; what is dropped is counted and told as above.
//!
//! A library installs no subscriber: binaries call [`init`], an app of your own adds [`JsonLayer`] to its own.

mod config;
mod encode;
mod guard;
mod init;
mod layer;
#[cfg(feature = "logstash")]
mod logstash;
mod logstash_config;
mod output;
mod plan;
mod queue;
mod url;

pub use self::config::{FileConfig, LogConfig, Overflow, Rotation, StdoutConfig};
pub use self::guard::{LogGuard, LogStats};
pub use self::init::{LogError, LogLevels, check, faults, init, layer, layer_to};
pub use self::layer::JsonLayer;
pub use self::logstash_config::{LogstashConfig, LogstashOverflow, SpoolConfig};
pub use self::url::{LogstashScheme, LogstashUrl};
pub use crate::duration::HumanDuration;
pub use crate::size::ByteSize;
