//! Request ids.

use std::cell::{Cell, RefCell};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bytes::{Bytes, BytesMut};
use http::HeaderValue;

const CHUNK: usize = 4096;

thread_local! {
    // Ids are short-lived and all of a size: they are cut from one buffer, not allocated one by one.
    static BUFFER: RefCell<BytesMut> = RefCell::new(BytesMut::new());
    static WALL_CLOCK: Cell<Option<(Instant, u64)>> = const { Cell::new(None) };
}

/// How long the wall clock is reckoned from the other clock, which a request has looked at anyway.
const RECKONED: Duration = Duration::from_secs(1);

fn unix_millis(now: Instant) -> u64 {
    if let Some((at, millis)) = WALL_CLOCK.get() {
        let since = now.saturating_duration_since(at);
        if since < RECKONED {
            return millis + u64::from(since.subsec_millis());
        }
    }
    let millis = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64);
    WALL_CLOCK.set(Some((now, millis)));
    millis
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

/// The eight lower-case digits of a number, all computed at once: a request needs ten such groups.
fn hex(n: u32) -> [u8; 8] {
    // A digit to each byte: halves, then bytes, then nibbles are spread apart.
    let n = u64::from(n);
    let n = (n | (n << 16)) & 0x0000_ffff_0000_ffff;
    let n = (n | (n << 8)) & 0x00ff_00ff_00ff_00ff;
    let n = (n | (n << 4)) & 0x0f0f_0f0f_0f0f_0f0f;
    // 6 added to a digit carries into the next bit from `a` on, and `a` is 39 behind `9` and one.
    let letters = ((n + 0x0606_0606_0606_0606) >> 4) & 0x0101_0101_0101_0101;
    (n + 0x3030_3030_3030_3030 + letters * 39).to_be_bytes()
}

/// The sixteen lower-case digits of a number.
pub(super) fn hex64(n: u64) -> [u8; 16] {
    let mut text = [0; 16];
    text[..8].copy_from_slice(&hex((n >> 32) as u32));
    text[8..].copy_from_slice(&hex(n as u32));
    text
}

/// A new UUIDv7 (RFC 9562). Unique, not secret: the random part is not from a cryptographic source.
pub(crate) fn new_request_id(now: Instant) -> HeaderValue {
    // 48 bits of time, the version and 12 random bits; then the variant and 62 random bits.
    let high = hex64((unix_millis(now) << 16) | 0x7000 | (fastrand::u64(..) >> 52));
    let low = hex64((1 << 63) | (fastrand::u64(..) >> 2));
    let mut text = [b'-'; 36];
    text[..8].copy_from_slice(&high[..8]);
    text[9..13].copy_from_slice(&high[8..12]);
    text[14..18].copy_from_slice(&high[12..]);
    text[19..23].copy_from_slice(&low[..4]);
    text[24..].copy_from_slice(&low[4..]);
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
    fn digits_are_what_the_standard_library_writes() {
        let numbers = (0..64).map(|shift| 0x0123_4567_89ab_cdef_u64.rotate_left(shift));
        for n in numbers.chain([0, u64::MAX]) {
            assert_eq!(hex64(n), format!("{n:016x}").as_bytes());
        }
    }

    #[test]
    fn new_ids_are_version_7_and_differ() {
        let ids: HashSet<_> = (0..1000).map(|_| new_request_id(Instant::now())).collect();
        assert_eq!(ids.len(), 1000);
        for id in ids {
            let id: uuid::Uuid = id.to_str().unwrap().parse().unwrap();
            assert_eq!(id.get_version_num(), 7);
            assert_eq!(id.get_variant(), uuid::Variant::RFC4122);
            let (seconds, _) = id.get_timestamp().unwrap().to_unix();
            assert!(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() - seconds < 60);
        }
    }

    #[test]
    fn the_wall_clock_goes_on_between_two_looks_at_it() {
        let start = Instant::now();
        let first = unix_millis(start);
        assert_eq!(unix_millis(start + Duration::from_millis(250)), first + 250);
        assert_eq!(unix_millis(start + Duration::from_millis(999)), first + 999);
        // Looked at again: the test has not taken those two seconds.
        assert!(unix_millis(start + Duration::from_secs(2)) < first + 2000);
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
