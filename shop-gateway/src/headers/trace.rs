//! W3C Trace Context, level 1 (<https://www.w3.org/TR/trace-context/>).

use http::HeaderValue;

use super::ids::{hex64, value};

const LEN: usize = 55;

fn is_hex(digits: &[u8]) -> bool {
    digits.iter().all(|d| matches!(d, b'0'..=b'9' | b'a'..=b'f'))
}

fn is_id(digits: &[u8]) -> bool {
    is_hex(digits) && digits.iter().any(|&d| d != b'0')
}

/// A span of the trace that a client's `traceparent` names; nothing if it is not valid.
pub(crate) fn child_of(parent: &HeaderValue) -> Option<HeaderValue> {
    let p = parent.as_bytes();
    let framed = p.len() >= LEN && p[2] == b'-' && p[35] == b'-' && p[52] == b'-';
    // A later version may carry more behind another hyphen; version 255 is forbidden.
    let version = framed
        && is_hex(&p[..2])
        && &p[..2] != b"ff"
        && (p.len() == LEN || (&p[..2] != b"00" && p[LEN] == b'-'));
    if !version || !is_id(&p[3..35]) || !is_id(&p[36..52]) || !is_hex(&p[53..LEN]) {
        return None;
    }
    let mut text = [b'-'; LEN];
    text[..2].copy_from_slice(b"00");
    text[3..35].copy_from_slice(&p[3..35]);
    text[36..52].copy_from_slice(&hex64(fastrand::u64(1..)));
    // Of the flags only `sampled` is defined.
    text[53..].copy_from_slice(if p[54] & 1 == 1 { b"01" } else { b"00" });
    // Letters have the other parity: `b`, `d` and `f` are odd numbers.
    if p[54].is_ascii_alphabetic() {
        text[54] = if p[54] & 1 == 0 { b'1' } else { b'0' };
    }
    Some(value(&text))
}

/// A new trace, sampled.
pub(crate) fn new_trace() -> HeaderValue {
    let mut text = [b'-'; LEN];
    text[..2].copy_from_slice(b"00");
    text[3..19].copy_from_slice(&hex64(fastrand::u64(..)));
    text[19..35].copy_from_slice(&hex64(fastrand::u64(1..)));
    text[36..52].copy_from_slice(&hex64(fastrand::u64(1..)));
    text[53..].copy_from_slice(b"01");
    value(&text)
}

/// The trace's id in a `traceparent` that this module made.
pub(crate) fn trace_id(traceparent: &HeaderValue) -> &str {
    traceparent.to_str().ok().and_then(|text| text.get(3..35)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn the_trace_stays_and_the_span_is_new() {
        for (parent, flags) in [
            (PARENT.to_owned(), "01"),
            (format!("{}00", &PARENT[..53]), "00"),
            (format!("{}0b", &PARENT[..53]), "01"),
            (format!("{}0a", &PARENT[..53]), "00"),
            (format!("cc{}-what-the-future-brings", &PARENT[2..]), "01"),
        ] {
            let child = child_of(&parent.parse().unwrap()).unwrap();
            assert_eq!(trace_id(&child), &PARENT[3..35]);
            let child = child.to_str().unwrap();
            assert_ne!(child[36..52], PARENT[36..52]);
            assert_eq!(&child[53..], flags, "{parent}");
            assert!(child.starts_with("00-"));
        }
    }

    #[test]
    fn what_is_not_valid_is_not_followed() {
        for parent in [
            "",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-x",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-0x",
        ] {
            assert!(child_of(&parent.parse().unwrap()).is_none(), "{parent}");
        }
    }

    #[test]
    fn a_new_trace_is_a_valid_parent() {
        let parent = new_trace();
        assert_eq!(trace_id(&child_of(&parent).unwrap()), trace_id(&parent));
    }
}
