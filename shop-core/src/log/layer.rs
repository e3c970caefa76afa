//! The `tracing` layer that turns events into lines.

use std::cell::RefCell;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tracing::{Event, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;

use super::encode::{Common, Encoder, Surroundings};
use super::output::Output;
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
    pub(super) outputs: Vec<Arc<Output>>,
}

impl JsonLayer {
    pub(super) fn new(common: Common, outputs: Vec<Arc<Output>>) -> Self {
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
        if event.metadata().target().ends_with("::access") {
            around.service = None;
        }
        let line = encoder.encode(event, &self.common, at, &around);
        for output in &self.outputs {
            output.send(line);
        }
    }

    /// Says in the stream what the stream has lost.
    pub(super) fn report_dropped(&self) {
        for output in &self.outputs {
            if let Some((dropped, total)) = output.take_dropped() {
                output.send(&self.dropped_line(dropped, total));
            }
        }
    }

    fn dropped_line(&self, dropped: u64, total: u64) -> Vec<u8> {
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
            "shop": {"dropped": dropped, "dropped_total": total},
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
