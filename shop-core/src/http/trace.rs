//! W3C Trace Context, level 1: `traceparent` and `tracestate`, taken or made.

use std::fmt;

use http::{HeaderMap, HeaderName, HeaderValue};

use crate::chance;

static TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
static TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

/// A trace's id; shows as 32 lower-case hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct TraceId(u128);

/// A span's id; shows as 16 lower-case hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct SpanId(u64);

impl fmt::Display for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Debug for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for SpanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl fmt::Debug for SpanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Where a request stands in its trace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TraceContext {
    /// The trace that the request belongs to.
    pub trace_id: TraceId,
    /// This process's part of it, the parent of whatever it calls.
    pub span_id: SpanId,
    /// The caller's part, if the caller sent one.
    pub parent_id: Option<SpanId>,
    /// The `trace-flags` octet; bit 0 is "sampled".
    pub flags: u8,
    /// `tracestate`, passed on as it came.
    pub state: Option<HeaderValue>,
}

impl TraceContext {
    /// A new trace that starts here.
    pub fn start() -> Self {
        let id = u128::from(chance::next()) << 64 | u128::from(chance::next() | 1);
        Self {
            trace_id: TraceId(id),
            span_id: SpanId(chance::next().max(1)),
            parent_id: None,
            flags: 1,
            state: None,
        }
    }

    /// Continues the caller's trace; starts one if the headers name none, or none that is valid.
    pub fn from_headers(headers: &HeaderMap) -> Self {
        let mut values = headers.get_all(&TRACEPARENT).iter();
        let (Some(value), None) = (values.next(), values.next()) else {
            return Self::start();
        };
        let Some((trace_id, parent_id, flags)) = parse(value.as_bytes()) else {
            return Self::start();
        };
        Self {
            trace_id: TraceId(trace_id),
            span_id: SpanId(chance::next().max(1)),
            parent_id: Some(SpanId(parent_id)),
            flags,
            state: tracestate(headers),
        }
    }

    /// The `traceparent` for a request that this one makes.
    pub fn traceparent(&self) -> HeaderValue {
        let text = format!("00-{}-{}-{:02x}", self.trace_id, self.span_id, self.flags);
        HeaderValue::from_maybe_shared(text).expect("hexadecimal digits and dashes")
    }

    /// Writes `traceparent` and `tracestate` into the headers of a request that this one makes.
    pub fn inject(&self, headers: &mut HeaderMap) {
        headers.insert(TRACEPARENT.clone(), self.traceparent());
        match &self.state {
            Some(state) => headers.insert(TRACESTATE.clone(), state.clone()),
            None => headers.remove(&TRACESTATE),
        };
    }
}

fn tracestate(headers: &HeaderMap) -> Option<HeaderValue> {
    let mut values = headers.get_all(&TRACESTATE).iter();
    let first = values.next()?.clone();
    let mut joined: Option<Vec<u8>> = None;
    for more in values {
        let list = joined.get_or_insert_with(|| first.as_bytes().to_vec());
        list.push(b',');
        list.extend_from_slice(more.as_bytes());
    }
    match joined {
        None => Some(first),
        Some(list) => HeaderValue::from_bytes(&list).ok(),
    }
}

fn hex(digits: &[u8]) -> Option<u128> {
    digits.iter().try_fold(0, |value, digit| {
        let nibble = match digit {
            b'0'..=b'9' => digit - b'0',
            b'a'..=b'f' => digit - b'a' + 10,
            _ => return None,
        };
        Some(value << 4 | u128::from(nibble))
    })
}

/// `version "-" trace-id "-" parent-id "-" trace-flags`; a later version may have more behind a dash.
fn parse(text: &[u8]) -> Option<(u128, u64, u8)> {
    let (head, rest) = text.split_at_checked(55)?;
    let version = hex(&head[..2])?;
    let dashes = head[2] == b'-' && head[35] == b'-' && head[52] == b'-';
    let length = rest.is_empty() || (version > 0 && rest[0] == b'-');
    if version == 0xff || !dashes || !length {
        return None;
    }
    let (trace, parent, flags) = (hex(&head[3..35])?, hex(&head[36..52])? as u64, hex(&head[53..55])? as u8);
    (trace != 0 && parent != 0).then_some((trace, parent, flags))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAMPLE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    fn headers(values: &[&str]) -> HeaderMap {
        values.iter().map(|v| (TRACEPARENT.clone(), HeaderValue::from_str(v).unwrap())).collect()
    }

    #[test]
    fn a_valid_parent_is_continued_with_a_span_of_our_own() {
        let context = TraceContext::from_headers(&headers(&[SAMPLE]));
        assert_eq!(context.trace_id.to_string(), "4bf92f3577b34da6a3ce929d0e0e4736");
        assert_eq!(context.parent_id.unwrap().to_string(), "00f067aa0ba902b7");
        assert_ne!(Some(context.span_id), context.parent_id);
        let onward = context.traceparent();
        assert_eq!(onward.to_str().unwrap(), format!("00-{}-{}-01", context.trace_id, context.span_id));
        assert!(parse(onward.as_bytes()).is_some());
    }

    #[test]
    fn an_invalid_parent_starts_a_trace() {
        let zero_trace = "00-00000000000000000000000000000000-00f067aa0ba902b7-01";
        let zero_parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01";
        let upper = SAMPLE.to_uppercase();
        let longer = format!("{SAMPLE}-x");
        let ff = SAMPLE.replacen("00", "ff", 1);
        for bad in ["", "00", zero_trace, zero_parent, &upper, &longer, &ff] {
            let context = TraceContext::from_headers(&headers(&[bad]));
            assert_eq!(context.parent_id, None, "{bad}");
        }
        assert_eq!(TraceContext::from_headers(&headers(&[SAMPLE, SAMPLE])).parent_id, None, "sent twice");
        let later = format!("{}-x", SAMPLE.replacen("00", "01", 1));
        assert!(
            TraceContext::from_headers(&headers(&[&later])).parent_id.is_some(),
            "a later version may be longer"
        );
    }

    #[test]
    fn tracestate_is_passed_on_only_with_a_valid_parent() {
        let mut list = headers(&[SAMPLE]);
        list.append("tracestate", HeaderValue::from_static("a=1"));
        list.append("tracestate", HeaderValue::from_static("b=2"));
        let mut onward = HeaderMap::new();
        TraceContext::from_headers(&list).inject(&mut onward);
        assert_eq!(onward["tracestate"], "a=1,b=2");
        list.remove("traceparent");
        assert_eq!(TraceContext::from_headers(&list).state, None);
    }
}
