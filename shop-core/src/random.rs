//! Cheap randomness for request and trace ids, which must be distinct but need not be unguessable.

use std::cell::Cell;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::time::{SystemTime, UNIX_EPOCH};

use uuid::Uuid;

thread_local! {
    // xoroshiro128++ by Blackman and Vigna, seeded from the operating system once a thread.
    static STATE: Cell<(u64, u64)> = Cell::new((seed() | 1, seed()));
}

fn seed() -> u64 {
    RandomState::new().build_hasher().finish()
}

/// The next 64 random bits.
pub(crate) fn next() -> u64 {
    STATE.with(|state| {
        let (a, mut b) = state.get();
        let out = a.wrapping_add(b).rotate_left(17).wrapping_add(a);
        b ^= a;
        state.set((a.rotate_left(49) ^ b ^ (b << 21), b.rotate_left(28)));
        out
    })
}

/// A UUIDv7 (RFC 9562) of now.
pub(crate) fn uuid_v7() -> Uuid {
    let millis = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_millis() as u64);
    let mut random = [0; 10];
    random[..8].copy_from_slice(&next().to_ne_bytes());
    random[8..].copy_from_slice(&next().to_ne_bytes()[..2]);
    uuid::Builder::from_unix_timestamp_millis(millis, &random).into_uuid()
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn ids_are_distinct_across_threads_and_are_version_7() {
        let ids: Vec<Uuid> = (0..4)
            .map(|_| std::thread::spawn(|| (0..10_000).map(|_| uuid_v7()).collect::<Vec<_>>()))
            .flat_map(|thread| thread.join().unwrap())
            .collect();
        assert!(ids.iter().all(|id| id.get_version_num() == 7));
        assert_eq!(ids.iter().collect::<HashSet<_>>().len(), 40_000);
    }
}
