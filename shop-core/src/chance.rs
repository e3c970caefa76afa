//! Chance: what spreads retries, and what makes ids. Of the operating system, unless a test has seeded its thread so that
//! a run can be repeated.

use std::cell::Cell;
use std::hash::{BuildHasher, RandomState};

use uuid::Uuid;

thread_local! {
    static SEEDED: Cell<Option<Seeded>> = const { Cell::new(None) };
}

#[derive(Debug, Clone, Copy)]
struct Seeded {
    state: u64,
    ids: u64,
}

impl Seeded {
    /// SplitMix64 (S. Vigna).
    fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.state ^ (self.state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

fn seeded<T>(take: impl FnOnce(&mut Seeded) -> T) -> Option<T> {
    SEEDED.with(|cell| {
        let mut seeded = cell.get()?;
        let taken = take(&mut seeded);
        cell.set(Some(seeded));
        Some(taken)
    })
}

/// From now on chance on this thread follows from `seed` alone. For simulations: ids are no longer unique among threads.
pub fn seed_thread(seed: u64) {
    SEEDED.with(|cell| cell.set(Some(Seeded { state: seed, ids: 0 })));
}

/// A random number from 0 to below 1, good enough to spread retries.
pub fn unit() -> f64 {
    let bits = seeded(Seeded::next).unwrap_or_else(|| RandomState::new().hash_one(0_u8));
    (bits >> 11) as f64 / (1_u64 << 53) as f64
}

/// A new UUIDv7 (RFC 9562): made later, sorted later.
pub fn id() -> Uuid {
    let made = seeded(|seeded| {
        seeded.ids += 1;
        let mut random = [0; 10];
        random[..8].copy_from_slice(&seeded.next().to_be_bytes());
        // Counted in milliseconds from 2023, so that no clock is asked.
        uuid::Builder::from_unix_timestamp_millis(1_672_531_200_000 + seeded.ids, &random).into_uuid()
    });
    made.unwrap_or_else(Uuid::now_v7)
}

#[cfg(test)]
mod tests {
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
        let ids: std::collections::HashSet<Uuid> = (0..1_000).map(|_| id()).collect();
        assert_eq!(ids.len(), 1_000);
    }
}
