//! Request ids.

use std::cell::RefCell;
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::{Bytes, BytesMut};
use http::HeaderValue;

const CHUNK: usize = 4096;

thread_local! {
    // Ids are short-lived and all of a size: they are cut from one buffer, not allocated one by one.
    static BUFFER: RefCell<BytesMut> = RefCell::new(BytesMut::new());
}

/// A header value of `N` bytes, cut from the thread's buffer.
pub(super) fn value<const N: usize>(text: &[u8; N]) -> HeaderValue {
    let bytes: Bytes = BUFFER.with_borrow_mut(|buffer| {
        if buffer.capacity() < N {
            *buffer = BytesMut::with_capacity(CHUNK);
        }
        buffer.extend_from_slice(text);
        buffer.split().freeze()
    });
    HeaderValue::from_maybe_shared(bytes).expect("ids are hexadecimal digits and hyphens")
}

/// A new UUIDv7 (RFC 9562). Unique, not secret: the random part is not from a cryptographic source.
pub(crate) fn new_request_id() -> HeaderValue {
    let millis = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64);
    let mut random = [0; 10];
    random[..8].copy_from_slice(&fastrand::u64(..).to_ne_bytes());
    random[8..].copy_from_slice(&fastrand::u16(..).to_ne_bytes());
    let mut text = [0; uuid::fmt::Hyphenated::LENGTH];
    uuid::Builder::from_unix_timestamp_millis(millis, &random)
        .into_uuid()
        .hyphenated()
        .encode_lower(&mut text);
    value(&text)
}

/// Whether an id that a client sent is taken: 1 to 128 visible ASCII characters.
pub(crate) fn is_request_id(id: &HeaderValue) -> bool {
    (1..=128).contains(&id.len()) && id.as_bytes().iter().all(u8::is_ascii_graphic)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn new_ids_are_version_7_and_differ() {
        let ids: HashSet<_> = (0..1000).map(|_| new_request_id()).collect();
        assert_eq!(ids.len(), 1000);
        for id in ids {
            let id: uuid::Uuid = id.to_str().unwrap().parse().unwrap();
            assert_eq!(id.get_version_num(), 7);
        }
    }

    #[test]
    fn what_a_client_may_call_a_request() {
        for (id, taken) in [("a", true), ("", false), ("a b", false), ("~!x", true)] {
            assert_eq!(is_request_id(&id.parse().unwrap()), taken, "{id}");
        }
        assert!(is_request_id(&"x".repeat(128).parse().unwrap()));
        assert!(!is_request_id(&"x".repeat(129).parse().unwrap()));
        assert!(!is_request_id(&HeaderValue::from_bytes(b"\xe9").unwrap()));
    }
}
