//! A view that follows, whatever comes when: others' commits, this service's, loads that take long, events that come late,
//! twice, and in another order.
//!
//! Every commit sets a bit of its own in what is available, so that a row shows which commits are in it.

use super::*;

const PRODUCTS: usize = 3;
/// Bits of an `i64` that is not negative.
const COMMITS: usize = 62;

#[derive(Debug, Clone, Copy)]
enum Step {
    /// Another instance commits.
    Other(usize),
    /// This service's write: its load, its commit, its answer; or its answer is lost.
    Load(usize),
    /// The same, decided on what the last such write has left.
    Guess(usize),
    Commit,
    Land,
    Crash,
    /// A read for a check begins, or ends.
    Read(usize),
    Fill(usize),
    /// An event is told, and stays to be told again or not. The follower may then read the product, well or not.
    Tell {
        event: usize,
        again: bool,
        versioned: bool,
    },
    Refresh {
        fails: bool,
    },
    Current,
    Gap,
}

fn step() -> impl Strategy<Value = Step> {
    let product = || 0..PRODUCTS;
    let tell = (any::<prop::sample::Index>(), prop::bool::weighted(0.2), prop::bool::weighted(0.8));
    prop_oneof![
        4 => product().prop_map(Step::Other),
        3 => product().prop_map(Step::Load),
        3 => product().prop_map(Step::Guess),
        4 => Just(Step::Commit),
        4 => Just(Step::Land),
        1 => Just(Step::Crash),
        3 => product().prop_map(Step::Read),
        3 => (0_usize..8).prop_map(Step::Fill),
        8 => tell.prop_map(|(event, again, versioned)| Step::Tell { event: event.index(1_000), again, versioned }),
        6 => prop::bool::weighted(0.1).prop_map(|fails| Step::Refresh { fails }),
        4 => Just(Step::Current),
        1 => Just(Step::Gap),
    ]
}

#[derive(Debug, Clone, Copy, Default)]
struct Kept {
    bits: i64,
    version: u64,
}

#[derive(Debug, Clone, Copy)]
struct Event {
    product: usize,
    version: u64,
    at: i64,
    told: bool,
}

struct World {
    now: i64,
    store: [Kept; PRODUCTS],
    /// Of each commit: when, and of which product.
    commits: Vec<(i64, usize)>,
    events: Vec<Event>,
    reads: Vec<(u64, usize, Kept)>,
    /// The follower's.
    refresh: Option<(u64, usize, Kept)>,
    /// What this service has written last, and when the load was that this goes back to.
    remembered: [Option<(i64, Kept)>; PRODUCTS],
    /// Bits that this service has written and knows of.
    own: [i64; PRODUCTS],
    /// What each row held last showed, while it is held.
    shown: [Option<i64>; PRODUCTS],
}

/// This service's write on its way.
struct Own<'v> {
    flight: Flight<'v>,
    product: usize,
    since: i64,
    loaded: Kept,
    bit: Option<i64>,
}

fn kept(product: usize, of: Kept) -> ViewRow {
    row(product as u128, &format!("sku-{product}"), of.bits, of.version)
}

fn time(millis: i64) -> Timestamp {
    Timestamp::from_millis(millis)
}

impl World {
    fn new() -> Self {
        Self {
            now: 1,
            store: [Kept { bits: 0, version: 1 }; PRODUCTS],
            commits: Vec::new(),
            events: Vec::new(),
            reads: Vec::new(),
            refresh: None,
            remembered: [None; PRODUCTS],
            own: [0; PRODUCTS],
            shown: [None; PRODUCTS],
        }
    }

    /// Something is committed; its bit.
    fn commit(&mut self, product: usize) -> Option<i64> {
        let bit = (self.commits.len() < COMMITS).then(|| 1 << self.commits.len())?;
        self.commits.push((self.now, product));
        let there = &mut self.store[product];
        *there = Kept { bits: there.bits | bit, version: there.version + 1 };
        self.events.push(Event { product, version: there.version, at: self.now, told: false });
        Some(bit)
    }

    fn tell(&mut self, view: &StockView, place: usize, again: bool, versioned: bool) {
        if self.events.is_empty() || self.refresh.is_some() {
            return;
        }
        let place = place % self.events.len();
        let event = &mut self.events[place];
        event.told = true;
        let (product, version) = (event.product, versioned.then_some(event.version));
        if view.is_outdated(id(product), version) {
            self.refresh = Some((view.epoch(), product, self.store[product]));
        }
        if !again {
            self.events.swap_remove(place);
        }
    }

    /// As the follower does it.
    fn refreshed(&mut self, view: &StockView, fails: bool) {
        let Some((epoch, product, read)) = self.refresh.take() else { return };
        if !fails {
            view.fill(epoch, [kept(product, read)]);
        }
        if fails || view.is_outdated(id(product), Some(read.version)) {
            view.forget(&[id(product)]);
        }
    }

    fn current(&self, view: &StockView) {
        if self.refresh.is_none() {
            let untold = self.events.iter().filter(|event| !event.told).map(|event| event.at).min();
            view.complete(time(untold.unwrap_or(self.now)));
        }
    }

    fn held(view: &StockView, product: usize) -> Option<i64> {
        let mut out = Vec::new();
        let misses = view.check_into(&[by_id(product as u128, 1)], &mut out).misses;
        (misses == 0).then(|| out[0].available)
    }

    fn judge(&mut self, view: &StockView) -> Result<(), TestCaseError> {
        let as_of = view.as_of(time(self.now)).map(Timestamp::as_millis);
        for product in 0..PRODUCTS {
            let held = Self::held(view, product);
            if let Some(bits) = held {
                prop_assert_eq!(bits & self.own[product], self.own[product], "an own write is not there");
                let before = self.shown[product].unwrap_or(0);
                prop_assert_eq!(bits & before, before, "a row went back");
                for (n, (at, of)) in self.commits.iter().enumerate() {
                    let is_in =
                        bits & (1 << n) != 0 || *of != product || as_of.is_none_or(|as_of| *at >= as_of);
                    prop_assert!(is_in, "{} is not what it says: {:?} lacks {}", product, as_of, n);
                }
            }
            self.shown[product] = held;
        }
        Ok(())
    }
}

fn id(product: usize) -> ProductId {
    ProductId(Uuid::from_u128(product as u128))
}

fn run(capacity: usize, steps: Vec<Step>) -> Result<(), TestCaseError> {
    let (view, mut world) = (StockView::new(capacity, true), World::new());
    let mut own: Option<Own<'_>> = None;
    for step in steps {
        world.now += 1;
        match step {
            Step::Other(product) => drop(world.commit(product)),
            Step::Load(product) if own.is_none() => {
                world.remembered[product] = None;
                let flight = view.begin(time(world.now));
                own =
                    Some(Own { flight, product, since: world.now, loaded: world.store[product], bit: None });
            }
            Step::Guess(product) if own.is_none() => {
                if let Some((since, loaded)) = world.remembered[product].take()
                    && let Some(flight) = view.begin_on_guess(time(since))
                {
                    own = Some(Own { flight, product, since, loaded, bit: None });
                }
            }
            Step::Commit => {
                if let Some(own) = own.as_mut().filter(|own| own.bit.is_none()) {
                    own.bit = world.commit(own.product);
                    if let Some(bit) = own.bit {
                        let row = Kept { bits: own.loaded.bits | bit, version: own.loaded.version + 1 };
                        let row = kept(own.product, row);
                        own.flight.commits(vec![Written { row, from: Some(own.loaded.version) }]);
                    }
                }
            }
            Step::Land => {
                if let Some(Own { flight, product, since, loaded, bit: Some(bit) }) =
                    own.take_if(|own| own.bit.is_some())
                {
                    world.own[product] |= bit;
                    let left = Kept { bits: loaded.bits | bit, version: loaded.version + 1 };
                    world.remembered[product] = Some((since, left));
                    flight.landed(time(world.now));
                }
            }
            Step::Crash => drop(own.take()),
            Step::Read(product) => world.reads.push((view.epoch(), product, world.store[product])),
            Step::Fill(place) if place < world.reads.len() => {
                let (epoch, product, read) = world.reads.swap_remove(place);
                view.fill(epoch, [kept(product, read)]);
            }
            Step::Tell { event, again, versioned } => world.tell(&view, event, again, versioned),
            Step::Refresh { fails } => world.refreshed(&view, fails),
            Step::Current => world.current(&view),
            Step::Gap if world.refresh.is_none() => {
                view.empty();
                world.events.clear();
                world.shown = [None; PRODUCTS];
            }
            _ => {}
        }
        world.judge(&view)?;
        prop_assert!(view.len() <= capacity);
    }
    // What is on its way arrives; then the view is what the store is.
    world.now += 1;
    drop(own);
    world.refreshed(&view, false);
    for (epoch, product, read) in std::mem::take(&mut world.reads) {
        view.fill(epoch, [kept(product, read)]);
    }
    while !world.events.is_empty() {
        world.tell(&view, 0, false, true);
        world.refreshed(&view, false);
    }
    world.current(&view);
    prop_assert_eq!(view.as_of(time(world.now)), Some(time(world.now)));
    for product in 0..PRODUCTS {
        let held = World::held(&view, product);
        prop_assert!(held.is_none_or(|bits| bits == world.store[product].bits), "{} differs", product);
    }
    Ok(())
}

#[test]
fn nothing_is_promised_that_a_guess_may_lack() {
    use Step::{Commit, Current, Gap, Guess, Land, Load, Other};
    run(2, vec![Load(1), Other(1), Commit, Gap, Land, Current, Guess(1), Commit, Land, Current]).unwrap();
    run(2, vec![Gap, Load(1), Other(1), Commit, Land, Guess(1), Commit, Current, Land, Current]).unwrap();
}

proptest! {
    #[test]
    fn ends_as_the_store_and_never_says_more_than_it_knows(
        roomy in any::<bool>(),
        steps in prop::collection::vec(step(), 1..150),
    ) {
        run(if roomy { PRODUCTS } else { 2 }, steps)?;
    }
}
