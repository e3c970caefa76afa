//! An event as a line of JSON. Pure but for the clock and the ids, which are handed in.

use std::collections::HashMap;
use std::fmt::{self, Write as _};
use std::io::Write as _;
use std::ops::Range;
use std::rc::Rc;

use tracing::callsite::Identifier;
use tracing::field::{Field, Visit};
use tracing::{Event, Level};

use super::plan::{Plan, Treatment, is_secret};
use crate::Timestamp;

/// The longest line, in bytes.
pub(super) const MAX_LINE: usize = 32 << 10;
/// The longest value, in bytes.
const MAX_VALUE: usize = 8 << 10;

/// What every event of a process has in common.
#[derive(Debug)]
pub(super) struct Common {
    pub(super) service: String,
    pub(super) version: String,
    pub(super) host: String,
}

/// What is said of one event beside its own fields.
#[derive(Default)]
pub(super) struct Surroundings<'a> {
    pub(super) sequence: u64,
    pub(super) id: uuid::Uuid,
    pub(super) service: Option<&'a str>,
    pub(super) request_id: Option<&'a str>,
    pub(super) trace_id: Option<&'a dyn fmt::Display>,
}

/// The buffers that a thread keeps.
#[derive(Debug, Default)]
pub(super) struct Encoder {
    plans: HashMap<Identifier, Rc<Plan>>,
    values: Vec<u8>,
    message: Vec<u8>,
    ranges: Vec<Range<usize>>,
    line: Vec<u8>,
}

impl Encoder {
    /// The line, with its newline.
    pub(super) fn encode(
        &mut self,
        event: &Event<'_>,
        common: &Common,
        at: Timestamp,
        around: &Surroundings<'_>,
    ) -> &[u8] {
        let metadata = event.metadata();
        let plan =
            self.plans.entry(metadata.callsite()).or_insert_with(|| Rc::new(Plan::of(metadata))).clone();
        self.values.clear();
        self.message.clear();
        self.ranges.clear();
        self.ranges.resize(plan.places.len(), 0..0);
        event.record(&mut Fields { encoder: self, plan: &plan });
        self.own(plan.event_id, |out| {
            let mut buffer = [0; uuid::fmt::Hyphenated::LENGTH];
            string(out, around.id.hyphenated().encode_lower(&mut buffer));
        });
        self.own(plan.sequence, |out| number(out, around.sequence));
        if let Some(id) = around.request_id {
            self.own_if_absent(plan.request_id, |out| string(out, id));
        }
        if let Some(id) = around.trace_id {
            self.own_if_absent(plan.trace_id, |out| display(out, format_args!("{id}")));
        }

        self.head(event, common, at, around.service.or(plan.access_of));
        self.nested(&plan);
        if self.line.len() + 1 > MAX_LINE {
            self.head(event, common, at, around.service.or(plan.access_of));
            // A closed form: nothing of the event's own is left that could be too long.
            let _ = write!(
                self.line,
                r#","event":{{"id":"{}","sequence":{}}},"shop":{{"truncated":true}}"#,
                around.id, around.sequence
            );
        }
        self.line.extend_from_slice(b"}\n");
        // One long event must not make a thread keep its size for ever.
        self.values.shrink_to(MAX_LINE);
        self.message.shrink_to(MAX_LINE);
        &self.line
    }

    fn own(&mut self, place: usize, write: impl FnOnce(&mut Vec<u8>)) {
        if place < self.ranges.len() {
            let start = self.values.len();
            write(&mut self.values);
            self.ranges[place] = start..self.values.len();
        }
    }

    fn own_if_absent(&mut self, place: usize, write: impl FnOnce(&mut Vec<u8>)) {
        if self.ranges.get(place).is_some_and(|range| range.is_empty()) {
            self.own(place, write);
        }
    }

    fn head(&mut self, event: &Event<'_>, common: &Common, at: Timestamp, service: Option<&str>) {
        let metadata = event.metadata();
        let service = service.unwrap_or(&common.service);
        let (level, lower) = match *metadata.level() {
            Level::ERROR => ("ERROR", "error"),
            Level::WARN => ("WARNING", "warn"),
            Level::INFO => ("INFO", "info"),
            Level::DEBUG => ("DEBUG", "debug"),
            Level::TRACE => ("DEBUG", "trace"),
        };
        let line = &mut self.line;
        line.clear();
        let _ = write!(line, r#"{{"@timestamp":"{at}","@version":"1","message":"#);
        if self.message.is_empty() {
            string(line, metadata.name());
        } else {
            line.extend_from_slice(&self.message);
        }
        line.extend_from_slice(br#","host":"#);
        string(line, &common.host);
        line.extend_from_slice(br#","path":"#);
        string(line, metadata.module_path().unwrap_or_else(|| metadata.target()));
        line.extend_from_slice(br#","tags":["#);
        string(line, service);
        if metadata.target().ends_with("::access") {
            line.extend_from_slice(br#","access""#);
        }
        let rest: [&[u8]; 3] = [br#"],"type":"shop","level":""#, level.as_bytes(), br#"","logger_name":"#];
        rest.iter().for_each(|part| line.extend_from_slice(part));
        string(line, metadata.target());
        let rest: [&[u8]; 3] =
            [br#","log.level":""#, lower.as_bytes(), br#"","ecs":{"version":"8.11.0"},"service":{"name":"#];
        rest.iter().for_each(|part| line.extend_from_slice(part));
        string(line, service);
        line.extend_from_slice(br#","version":"#);
        string(line, &common.version);
        line.extend_from_slice(br#","node":{"name":"#);
        string(line, &common.host);
        line.extend_from_slice(b"}}");
    }

    /// The fields, in the order of their places, so that each object is opened once.
    fn nested(&mut self, plan: &Plan) {
        let mut open: &[String] = &[];
        let mut first_inside = false;
        for (place, range) in plan.places.iter().zip(&self.ranges) {
            if range.is_empty() {
                continue;
            }
            let Some((leaf, parents)) = place.keys.split_last() else {
                continue;
            };
            let shared = open.iter().zip(parents).take_while(|(a, b)| a == b).count();
            for _ in shared..open.len() {
                self.line.push(b'}');
                first_inside = false;
            }
            for key in &parents[shared..] {
                if !first_inside {
                    self.line.push(b',');
                }
                self.line.extend_from_slice(key.as_bytes());
                self.line.push(b'{');
                first_inside = true;
            }
            if !first_inside {
                self.line.push(b',');
            }
            self.line.extend_from_slice(leaf.as_bytes());
            self.line.extend_from_slice(&self.values[range.clone()]);
            first_inside = false;
            open = parents;
        }
        for _ in open {
            self.line.push(b'}');
        }
    }
}

struct Fields<'e> {
    encoder: &'e mut Encoder,
    plan: &'e Plan,
}

impl Fields<'_> {
    fn put(&mut self, field: &Field, write: impl FnOnce(&mut Vec<u8>, Treatment)) {
        let Some((place, treatment)) = self.plan.fields.get(field.index()).copied() else {
            return;
        };
        match treatment {
            Treatment::Skip => {}
            Treatment::Message => write(&mut self.encoder.message, treatment),
            Treatment::Secret => self.encoder.own(place, |out| out.extend_from_slice(br#""***""#)),
            Treatment::Plain | Treatment::Query => self.encoder.own(place, |out| write(out, treatment)),
        }
    }
}

impl Visit for Fields<'_> {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, |out, treatment| match treatment {
            Treatment::Query => display(out, format_args!("{}", MaskedQuery(value))),
            _ => string(out, value),
        });
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, |out, _| number(out, value));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, |out, _| number(out, value));
    }

    fn record_u128(&mut self, field: &Field, value: u128) {
        // Wider than any JSON number that a receiver keeps exactly.
        self.put(field, |out, _| display(out, format_args!("{value}")));
    }

    fn record_i128(&mut self, field: &Field, value: i128) {
        self.put(field, |out, _| display(out, format_args!("{value}")));
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.put(field, |out, _| match serde_json::Number::from_f64(value) {
            Some(value) => number(out, value),
            None => display(out, format_args!("{value}")),
        });
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, |out, _| number(out, value));
    }

    fn record_error(&mut self, field: &Field, value: &(dyn std::error::Error + 'static)) {
        self.put(field, |out, _| {
            let mut writer = Escaped::start(out);
            let _ = write!(writer, "{value}");
            let mut source = value.source();
            while let Some(error) = source {
                let _ = write!(writer, ": {error}");
                source = error.source();
            }
            writer.end();
        });
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.put(field, |out, _| display(out, format_args!("{value:?}")));
    }
}

/// A query whose secret parameters are masked.
struct MaskedQuery<'a>(&'a str);

impl fmt::Display for MaskedQuery<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, pair) in self.0.split('&').enumerate() {
            if index > 0 {
                f.write_char('&')?;
            }
            match pair.split_once('=') {
                Some((name, _)) if is_secret(name) => write!(f, "{name}=***")?,
                _ => f.write_str(pair)?,
            }
        }
        Ok(())
    }
}

fn number(out: &mut Vec<u8>, value: impl fmt::Display) {
    let _ = write!(out, "{value}");
}

fn string(out: &mut Vec<u8>, value: &str) {
    let mut writer = Escaped::start(out);
    let _ = writer.write_str(value);
    writer.end();
}

fn display(out: &mut Vec<u8>, value: fmt::Arguments<'_>) {
    let mut writer = Escaped::start(out);
    let _ = writer.write_fmt(value);
    writer.end();
}

/// Writes a JSON string piece by piece, and at most [`MAX_VALUE`] bytes of it.
struct Escaped<'o> {
    out: &'o mut Vec<u8>,
    left: usize,
}

impl<'o> Escaped<'o> {
    fn start(out: &'o mut Vec<u8>) -> Self {
        out.push(b'"');
        Self { out, left: MAX_VALUE }
    }

    fn end(self) {
        self.out.push(b'"');
    }
}

impl fmt::Write for Escaped<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        const HEX: &[u8; 16] = b"0123456789abcdef";
        let cut = text.len() > self.left;
        let text = if cut { &text[..text.floor_char_boundary(self.left)] } else { text };
        self.left -= text.len();
        let bytes = text.as_bytes();
        let mut start = 0;
        for (index, byte) in bytes.iter().enumerate() {
            let short = match byte {
                b'"' => b'"',
                b'\\' => b'\\',
                b'\n' => b'n',
                b'\r' => b'r',
                b'\t' => b't',
                0..0x20 => b'u',
                _ => continue,
            };
            self.out.extend_from_slice(&bytes[start..index]);
            self.out.extend_from_slice(&[b'\\', short]);
            if short == b'u' {
                let (high, low) = (HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]);
                self.out.extend_from_slice(&[b'0', b'0', high, low]);
            }
            start = index + 1;
        }
        self.out.extend_from_slice(&bytes[start..]);
        if cut {
            self.out.extend_from_slice("…".as_bytes());
            self.left = 0;
            // Ends the formatting of the rest, which would be thrown away.
            return Err(fmt::Error);
        }
        Ok(())
    }
}
