//! Chance: what spreads retries, and what makes ids. Distinct, not unguessable. Of the operating system, unless a test has
//! seeded its thread so that a run can be repeated.

use std::cell::Cell;
use std::hash::{BuildHasher, Hasher, RandomState};

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

/// A random number from 0 to below 1, good enough to spread retries.
pub fn unit() -> f64 {
    (next() >> 11) as f64 / (1_u64 << 53) as f64
}

/// A new UUIDv7 (RFC 9562): of those of a process what is made later sorts later.
pub fn id() -> Uuid {
    #[cfg(any(test, feature = "testing"))]
    if let Some(id) = seeded::id() {
        return id;
    }
    Uuid::now_v7()
}

/// A UUIDv7 of now, for what needs no order within a millisecond.
#[cfg(any(feature = "http", feature = "log"))]
pub(crate) fn id_of_now() -> Uuid {
    use std::time::{SystemTime, UNIX_EPOCH};
    v7(SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_millis() as u64))
}

#[cfg(any(test, feature = "http", feature = "log", feature = "testing"))]
fn v7(millis: u64) -> Uuid {
    let mut random = [0; 10];
    random[..8].copy_from_slice(&next().to_ne_bytes());
    random[8..].copy_from_slice(&next().to_ne_bytes()[..2]);
    uuid::Builder::from_unix_timestamp_millis(millis, &random).into_uuid()
}

#[cfg(any(test, feature = "testing"))]
pub use seeded::seed_thread;

#[cfg(any(test, feature = "testing"))]
mod seeded {
    use std::cell::Cell;

    use uuid::Uuid;

    use super::{STATE, next, v7};

    thread_local! {
        /// How many ids were made, where the thread was seeded.
        static IDS: Cell<Option<u64>> = const { Cell::new(None) };
    }

    /// From now on chance on this thread follows from `seed` alone (feature `testing`). For simulations: ids are no longer
    /// unique among threads.
    pub fn seed_thread(seed: u64) {
        STATE.set((seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1, seed));
        // The first numbers of seeds that are alike are alike.
        for _ in 0..32 {
            next();
        }
        IDS.set(Some(0));
    }

    pub(super) fn id() -> Option<Uuid> {
        let made = IDS.get()? + 1;
        IDS.set(Some(made));
        // Counted in milliseconds from 2023, so that no clock is asked.
        Some(v7(1_672_531_200_000 + made))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn a_seed_gives_the_same_again_and_ids_still_rise() {
        let run = |seed| {
            std::thread::spawn(move || {
                seed_thread(seed);
                let ids: Vec<Uuid> = (0..100).map(|_| id()).collect();
                assert!(ids.is_sorted() && ids.iter().all(|id| id.get_version_num() == 7));
                let units: Vec<f64> = (0..100).map(|_| unit()).collect();
                assert!(units.iter().all(|unit| (0.0..1.0).contains(unit)));
                (ids, units)
            })
            .join()
            .unwrap()
        };
        assert_eq!(run(1), run(1));
        assert_ne!(run(1), run(2));
    }

    #[test]
    fn without_a_seed_no_two_ids_are_the_same() {
        let ids: HashSet<Uuid> = (0..1_000).map(|_| id()).collect();
        assert_eq!(ids.len(), 1_000);
    }

    #[cfg(any(feature = "http", feature = "log"))]
    #[test]
    fn ids_are_distinct_across_threads_and_are_version_7() {
        let ids: Vec<Uuid> = (0..4)
            .map(|_| std::thread::spawn(|| (0..10_000).map(|_| id_of_now()).collect::<Vec<_>>()))
            .flat_map(|thread| thread.join().unwrap())
            .collect();
        assert!(ids.iter().all(|id| id.get_version_num() == 7));
        assert_eq!(ids.iter().collect::<HashSet<_>>().len(), 40_000);
    }
}
