//! What all parts of a run share: chance, faults, the trace, and the first thing that is wrong.

use std::collections::VecDeque;
use std::fmt::{self, Arguments};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use shop_core::{Clock, Timestamp};
use tokio::time::sleep;

use crate::book::Book;

/// How much time has passed in a world.
pub(crate) type Now = Arc<dyn Fn() -> Duration + Send + Sync>;

/// What is wrong on purpose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(dead_code, reason = "each simulation breaks parts of its own")]
pub(crate) enum Broken {
    Nothing,
    /// Products release by their own clock.
    HoldsEndByThemselves,
    /// The orders' store writes a decision without its settlements.
    LosesSettlements,
    /// The orders' store writes an order in spite of the row that gave its reservation up.
    DecidesBlindly,
    /// The products' store gives back twice what a release gives back.
    GivesBackTwice,
    /// The orders' store says that it wrote an order and does not.
    LosesOrders,
    /// A gateway asks again whatever was not answered, key or no key.
    AsksTwice,
    /// Orders take a hold that was not answered for one that was refused.
    TakesSilenceForNo,
    /// Orders take a hold that was not answered for one that was granted.
    TakesSilenceForYes,
    /// Recovery releases what it finds held, and only then writes that it was given up.
    ReleasesFirst,
}

/// How bad this world is; of a thousand.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Weather {
    pub(crate) lost: u64,
    pub(crate) late: u64,
    pub(crate) twice: u64,
    pub(crate) store_faults: u64,
    /// The longest step of a store, in milliseconds.
    pub(crate) store_wait: u64,
}

pub(crate) struct World {
    pub(crate) broken: Broken,
    pub(crate) weather: Weather,
    pub(crate) book: Mutex<Book>,
    chance: Mutex<fastrand::Rng>,
    stormy: AtomicBool,
    now: Now,
    trace: Mutex<Trace>,
    fault: Mutex<Option<String>>,
    /// Clocks are wrong by so many milliseconds: orders, orders, products, products, their stores.
    pub(crate) skew: [Arc<AtomicI64>; 6],
}

struct Trace {
    hash: DefaultHasher,
    last: VecDeque<String>,
    shown: bool,
}

impl fmt::Debug for World {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("World")
    }
}

impl World {
    pub(crate) fn new(seed: u64, broken: Broken, shown: bool, now: Now) -> Arc<Self> {
        let mut chance = fastrand::Rng::with_seed(seed);
        let weather = Weather {
            lost: chance.u64(0..150),
            late: chance.u64(0..150),
            twice: chance.u64(0..150),
            store_faults: chance.u64(0..60),
            store_wait: chance.u64(1..30),
        };
        Arc::new(Self {
            broken,
            weather,
            book: Mutex::default(),
            chance: Mutex::new(chance),
            stormy: AtomicBool::new(false),
            now,
            trace: Mutex::new(Trace { hash: DefaultHasher::new(), last: VecDeque::new(), shown }),
            fault: Mutex::default(),
            skew: Default::default(),
        })
    }

    pub(crate) fn chance(&self) -> MutexGuard<'_, fastrand::Rng> {
        self.chance.lock().unwrap()
    }

    pub(crate) fn below(&self, limit: u64) -> u64 {
        self.chance().u64(0..limit.max(1))
    }

    /// Whether something goes wrong that does so often of a thousand, while things go wrong at all.
    pub(crate) fn unlucky(&self, of_thousand: u64) -> bool {
        self.is_stormy() && self.below(1_000) < of_thousand
    }

    pub(crate) fn is_stormy(&self) -> bool {
        self.stormy.load(Ordering::Relaxed)
    }

    pub(crate) fn set_stormy(&self, stormy: bool) {
        self.stormy.store(stormy, Ordering::Relaxed);
    }

    pub(crate) async fn pause(&self, most: u64) {
        let millis = self.below(most + 1);
        sleep(Duration::from_millis(millis)).await;
    }

    pub(crate) fn elapsed(&self) -> Duration {
        (self.now)()
    }

    pub(crate) fn note(&self, what: Arguments<'_>) {
        let line = format!("{:>8} {what}", self.elapsed().as_millis());
        let mut trace = self.trace.lock().unwrap();
        line.hash(&mut trace.hash);
        if trace.shown {
            println!("{line}");
        }
        if trace.last.len() == 60 {
            trace.last.pop_front();
        }
        trace.last.push_back(line);
    }

    pub(crate) fn hash(&self) -> u64 {
        self.trace.lock().unwrap().hash.finish()
    }

    /// Something that must never be.
    pub(crate) fn wrong(&self, what: String) {
        let mut fault = self.fault.lock().unwrap();
        if fault.is_none() {
            let lines: Vec<String> = self.trace.lock().unwrap().last.iter().cloned().collect();
            *fault =
                Some(format!("{what}\nat {} ms, after\n{}", self.elapsed().as_millis(), lines.join("\n")));
        }
    }

    pub(crate) fn fault(&self) -> Option<String> {
        self.fault.lock().unwrap().clone()
    }

    pub(crate) fn clock(self: &Arc<Self>, of: usize) -> Arc<dyn Clock> {
        Arc::new(WrongClock { now: self.now.clone(), skew: self.skew[of].clone() })
    }
}

struct WrongClock {
    now: Now,
    skew: Arc<AtomicI64>,
}

impl fmt::Debug for WrongClock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WrongClock").field("skew", &self.skew).finish_non_exhaustive()
    }
}

impl Clock for WrongClock {
    fn now(&self) -> Timestamp {
        let elapsed = i64::try_from((self.now)().as_millis()).unwrap();
        Timestamp::from_millis(1_780_000_000_000 + elapsed + self.skew.load(Ordering::Relaxed))
    }
}
