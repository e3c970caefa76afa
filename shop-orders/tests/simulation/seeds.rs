//! Many seeds, one after the other.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::run::simulate;
use crate::stocktaking::Report;
use crate::world::Broken;

/// A number that the environment gives.
pub(crate) fn number(name: &str, default: u64) -> u64 {
    std::env::var(name)
        .map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{name} is not a number")))
}

/// Each on a thread of its own, two at a time.
pub(crate) fn seeds(
    first: u64,
    count: u64,
    broken: Broken,
    each: impl Fn(u64, Result<Report, String>) -> bool + Send + Sync,
) {
    let next = AtomicU64::new(first);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= first + count || !each(seed, simulate(seed, broken, false)) {
                        next.fetch_max(first + count, Ordering::Relaxed);
                        return;
                    }
                }
            });
        }
    });
}

/// The first of so many seeds that goes wrong, and how.
pub(crate) fn first_fault(
    first: u64,
    count: u64,
    broken: Broken,
    right: impl Fn(Report) + Send + Sync,
) -> Option<(u64, String)> {
    let fault = Mutex::new(None);
    seeds(first, count, broken, |seed, result| match result {
        Ok(report) => {
            right(report);
            true
        }
        Err(error) => {
            fault.lock().unwrap().get_or_insert((seed, error));
            false
        }
    });
    fault.into_inner().unwrap()
}

/// A broken part must be found, by one of so many seeds.
pub(crate) fn is_found(broken: Broken, patience: u64) {
    let (seed, error) =
        first_fault(0, patience, broken, drop).unwrap_or_else(|| panic!("{broken:?} is not found"));
    println!("{broken:?}: found with seed {seed}: {}", error.lines().next().unwrap_or_default());
}

/// A seed, twice.
pub(crate) fn is_repeatable(seed: u64) {
    let run = || std::thread::spawn(move || simulate(seed, Broken::Nothing, false)).join().unwrap();
    let again = [run().unwrap().hash, run().unwrap().hash];
    assert_eq!(again[0], again[1], "seed {seed}");
}

/// Runs the seed of the environment and shows its trace.
pub(crate) fn show() {
    let seed = number("SHOP_SIM_SEED", 0);
    let shown = std::env::var_os("SHOP_SIM_SEED").is_some();
    let result = std::thread::spawn(move || simulate(seed, Broken::Nothing, shown)).join().unwrap();
    match result {
        Ok(report) => println!("seed {seed}: {report:?}"),
        Err(error) => panic!("seed {seed}: {error}"),
    }
}

/// Runs as many seeds as the environment says, or `count`; `again` is the command that shows one.
pub(crate) fn all_are_right(count: u64, again: &str) {
    let (first, count) = (number("SHOP_SIM_FIRST", 0), number("SHOP_SIM_SEEDS", count));
    let sum = Mutex::new(Report::default());
    let fault = first_fault(first, count, Broken::Nothing, |report| sum.lock().unwrap().add(&report));
    if let Some((seed, error)) = fault {
        panic!("{error}\n\nagain:\nSHOP_SIM_SEED={seed} {again}");
    }
    let sum = sum.into_inner().unwrap();
    println!("{count} seeds: {sum:?}");
    // A world in which nothing happens proves nothing.
    assert!(count < 100 || sum.has_everything(), "{sum:?}");
}
