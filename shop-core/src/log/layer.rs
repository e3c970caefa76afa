//! The `tracing` layer that turns events into lines.

use std::cell::RefCell;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tracing::{Event, Level, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;

use super::encode::{Common, Encoder, Surroundings};
use super::queue::{Queue, Rank};
use crate::{Clock, SystemClock, Timestamp, chance};

thread_local! {
    static ENCODER: RefCell<Encoder> = RefCell::default();
}

/// Writes every event that reaches it as one line of JSON to every output. Spans leave no trace in it.
#[derive(Clone)]
pub struct JsonLayer {
    shared: Arc<Shared>,
}

pub(super) struct Shared {
    pub(super) common: Common,
    pub(super) sequence: AtomicU64,
    pub(super) outputs: Vec<Arc<Queue>>,
}

impl JsonLayer {
    pub(super) fn new(common: Common, outputs: Vec<Arc<Queue>>) -> Self {
        Self { shared: Arc::new(Shared { common, sequence: AtomicU64::new(0), outputs }) }
    }

    pub(super) fn shared(&self) -> Arc<Shared> {
        self.shared.clone()
    }
}

impl Shared {
    fn write(&self, encoder: &mut Encoder, event: &Event<'_>) {
        let mut around = Surroundings {
            sequence: self.sequence.fetch_add(1, Ordering::Relaxed),
            id: chance::id_of_now(),
            ..Surroundings::default()
        };
        let at = SystemClock.now();
        #[cfg(feature = "http")]
        let request = crate::http::current_request();
        #[cfg(feature = "http")]
        if let Some(request) = &request {
            around.service = Some(request.service);
            around.request_id = Some(request.request_id.as_str());
            around.trace_id = Some(&request.trace.trace_id);
        }
        // An access event is its own service's, whoever's request it is part of.
        let access = event.metadata().target().ends_with("::access");
        if access {
            around.service = None;
        }
        let rank = match *event.metadata().level() {
            Level::ERROR | Level::WARN => Rank::High,
            _ if access => Rank::High,
            Level::INFO => Rank::Info,
            Level::DEBUG | Level::TRACE => Rank::Detail,
        };
        let line = encoder.encode(event, &self.common, at, &around);
        for output in &self.outputs {
            output.send(line, rank);
        }
    }

    /// Says in the stream what an output has lost: to all of them, since the line takes a number of the sequence.
    pub(super) fn report_dropped(&self) {
        for lossy in &self.outputs {
            if let Some((dropped, total)) = lossy.take_dropped() {
                let line = self.dropped_line(lossy.name, dropped, total);
                for output in &self.outputs {
                    output.send(&line, Rank::High);
                }
            }
        }
    }

    fn dropped_line(&self, output: &str, dropped: u64, total: u64) -> Vec<u8> {
        let Common { service, version, host } = &self.common;
        let at: Timestamp = SystemClock.now();
        let line = serde_json::json!({
            "@timestamp": at.to_string(), "@version": "1", "message": format!("{dropped} log events were dropped"),
            "host": host, "path": module_path!(), "tags": [service], "type": "shop", "level": "WARNING",
            "logger_name": "shop_core::log", "log.level": "warn", "ecs": {"version": "8.11.0"},
            "service": {"name": service, "version": version, "node": {"name": host}},
            "event": {
                "id": chance::id_of_now().to_string(), "sequence": self.sequence.fetch_add(1, Ordering::Relaxed),
                "action": "log.dropped",
            },
            "shop": {"output": output, "dropped": dropped, "dropped_total": total},
        });
        let mut line = line.to_string().into_bytes();
        line.push(b'\n');
        line
    }
}

impl fmt::Debug for JsonLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JsonLayer").field("common", &self.shared.common).finish_non_exhaustive()
    }
}

impl<S: Subscriber> Layer<S> for JsonLayer {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        ENCODER.with(|encoder| match encoder.try_borrow_mut() {
            Ok(mut encoder) => self.shared.write(&mut encoder, event),
            // A value that logs while it is being logged.
            Err(_) => self.shared.write(&mut Encoder::default(), event),
        });
        self.shared.report_dropped();
    }
}
