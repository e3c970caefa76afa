use std::fmt;
use std::hash::BuildHasher;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Duration;

use hashbrown::{DefaultHashBuilder, HashTable};
use shop_core::Timestamp;

use crate::{CheckedLine, HoldLine, LineStatus, ProductId, ProductRef, Sku};

mod flights;
mod judge;
mod row;
#[cfg(test)]
mod tests;

pub(crate) use flights::Flight;
use flights::Flights;
use judge::{Repeats, judge_together};
pub(crate) use judge::{complete, unknown};
pub(crate) use row::{ViewRow, Written};

/// What can be taken of each product, in memory: the fast path of a stock check.
///
/// It holds at most so many products as it is made for; the others are read from the store when asked for. What it holds
/// is never older than the last write that went through this service. Where the store tells of the writes of *other*
/// instances ([`ProductStore::changes`](crate::ProductStore::changes)), they are in it too, and [`as_of`](Self::as_of)
/// says up to when; where it does not, they are seen when this instance next reads or writes the product. Only a hold
/// takes stock, and a hold is always decided by the store.
///
/// A check takes one read lock, and makes no heap allocation of its own.
pub struct StockView {
    shelves: RwLock<Shelves>,
    /// Milliseconds of [`as_of`](Self::as_of), [`UNTOLD`] or [`LOST`]. Stored after the rows that it is true of.
    told: AtomicI64,
    hasher: DefaultHashBuilder,
    capacity: usize,
}

/// The store does not tell of others' writes.
const UNTOLD: i64 = i64::MAX;
/// It is not known what others have written.
const LOST: i64 = i64::MIN;

/// What a check found in the view.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Checked {
    /// Whether every line is [`LineStatus::Ok`].
    pub available: bool,
    /// Lines whose product the view does not hold. They are [`LineStatus::Unknown`] in the answer, but the store may know
    /// them.
    pub misses: usize,
}

/// Rows in a table by id, so that a row is one step from its key; a second table leads from SKUs to ids.
struct Shelves {
    rows: HashTable<ViewRow>,
    by_sku: HashTable<SkuEntry>,
    /// Where the row stands that goes next when there is no more room.
    hand: usize,
    /// Rises whenever what was read of a product before may lack what is known of it: this service's write, or a change of a
    /// product that is not held, and so not compared by its version.
    epoch: u64,
    /// When that was last so, for the products of a place. Several share one: what was read of them is then read once more.
    outdated: Box<[u64]>,
    /// When all rows went.
    emptied: u64,
    flights: Flights,
}

/// Places of [`Shelves::outdated`].
const PLACES: usize = 1_024;

impl Default for Shelves {
    fn default() -> Self {
        Self {
            rows: HashTable::new(),
            by_sku: HashTable::new(),
            hand: 0,
            epoch: 0,
            outdated: vec![0; PLACES].into(),
            emptied: 0,
            flights: Flights::default(),
        }
    }
}

impl Shelves {
    /// What was read of a product until now is not to be taken in.
    fn outdate(&mut self, id: ProductId) {
        self.epoch += 1;
        self.outdated[place_of(id)] = self.epoch;
    }

    /// Whether a product may be taken in as it was read then.
    fn is_current(&self, epoch: u64, id: ProductId) -> bool {
        self.outdated[place_of(id)].max(self.emptied) <= epoch
    }
}

fn place_of(id: ProductId) -> usize {
    // The last bits of an id are its most random.
    id.0.as_u64_pair().1 as usize % PLACES
}

/// Whose SKU has this hash. The SKU itself stands in the row.
struct SkuEntry {
    hash: u64,
    id: ProductId,
}

enum Fate {
    Put,
    Remove,
    Leave,
}

impl StockView {
    /// How long what was told last is fresh enough to answer from.
    pub(crate) const FRESH: Duration = Duration::from_secs(3);

    /// `told`: the store tells of others' writes. Until it does, the view is not fresh.
    pub(crate) fn new(capacity: usize, told: bool) -> Self {
        Self {
            shelves: RwLock::default(),
            told: AtomicI64::new(if told { LOST } else { UNTOLD }),
            hasher: DefaultHashBuilder::default(),
            capacity: capacity.max(1),
        }
    }

    /// All writes of all instances that were committed before this moment are in what the view holds from now on. `now` if
    /// the store does not tell of others' writes. `None` if the view is not fresh: its store has not been heard of for 3 s, or
    /// may have told of what was missed.
    pub fn as_of(&self, now: Timestamp) -> Option<Timestamp> {
        match self.told.load(Ordering::Acquire) {
            UNTOLD => Some(now),
            LOST => None,
            millis => {
                let told = Timestamp::from_millis(millis);
                (told.plus(Self::FRESH) >= now).then(|| told.min(now))
            }
        }
    }

    /// How many products it holds.
    pub fn len(&self) -> usize {
        self.read().rows.len()
    }

    /// Whether it holds none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The most products that it holds.
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    /// Checks lines against what the view holds, fresh or not, and appends one answer a line to `out`, in order. Lines of
    /// one product are judged together: each of them is short if their sum is.
    ///
    /// Takes time in proportion to the number of lines, whatever the number of products, and allocates only if `out` has
    /// to grow.
    pub fn check_into(&self, lines: &[HoldLine], out: &mut Vec<CheckedLine>) -> Checked {
        let start = out.len();
        out.reserve(lines.len());
        let mut checked = Checked { available: true, misses: 0 };
        let mut repeats = Repeats::new(lines.len());
        let shelves = self.read();
        for line in lines {
            let row = match &line.product {
                ProductRef::Id(id) => self.row_of_id(&shelves, *id),
                ProductRef::Sku(sku) => self.row_of_sku(&shelves, sku),
            };
            let answer = match row {
                Some(row) => {
                    if repeats.may_be(row.id) {
                        repeats.found |= out[start..].iter().any(|before| before.product_id == Some(row.id));
                    }
                    row.check(line.quantity)
                }
                None => {
                    checked.misses += 1;
                    unknown(line)
                }
            };
            checked.available &= answer.status == LineStatus::Ok;
            out.push(answer);
        }
        drop(shelves);
        if repeats.found {
            checked.available &= judge_together(&mut out[start..]);
        }
        checked
    }

    /// For [`fill`](Self::fill): to be read before the store is.
    pub(crate) fn epoch(&self) -> u64 {
        self.read().epoch
    }

    /// A write of this service begins, and it is this time; its load comes after.
    pub(crate) fn begin(&self, now: Timestamp) -> Flight<'_> {
        self.flight(&mut self.write(), now)
    }

    /// The same on what was loaded after `since`, and may lack what others have written since. `None` if the view has
    /// promised to have that.
    pub(crate) fn begin_on_guess(&self, since: Timestamp) -> Option<Flight<'_>> {
        let mut shelves = self.write();
        let told = self.told.load(Ordering::Relaxed);
        (told == UNTOLD || told <= since.as_millis()).then(|| self.flight(&mut shelves, since))
    }

    fn flight(&self, shelves: &mut Shelves, since: Timestamp) -> Flight<'_> {
        let number = shelves.flights.begin(since);
        Flight::new(self, number, shelves.epoch)
    }

    /// Takes in what a commit of this service made of products.
    fn landed(&self, flight: u64, epoch: u64, rows: Vec<Written>, now: Timestamp) {
        let mut shelves = self.write();
        let changed = rows.iter().any(Written::is_change) && self.told.load(Ordering::Relaxed) != UNTOLD;
        shelves.flights.end(flight, changed.then_some(now));
        // Judged before any row goes, to make room or for another that has its SKU now.
        let fates: Vec<Fate> = rows.iter().map(|written| self.fate(&shelves, written, epoch)).collect();
        for (written, fate) in rows.into_iter().zip(fates) {
            let (id, is_change) = (written.row.id, written.is_change());
            match fate {
                Fate::Put => self.put(&mut shelves, written.row),
                Fate::Remove => self.remove(&mut shelves, id),
                Fate::Leave => {}
            }
            if is_change {
                shelves.outdate(id);
            }
        }
    }

    /// What a row that was written comes to, if its load was at this epoch.
    fn fate(&self, shelves: &Shelves, written: &Written, epoch: u64) -> Fate {
        let id = written.row.id;
        match self.row_of_id(shelves, id).map(|known| known.version) {
            // Others' writes were seen on which this one was not decided: what both come to, the store knows.
            Some(known) if written.is_change() && Some(known) > written.from => Fate::Remove,
            Some(known) if known >= written.row.version => Fate::Leave,
            None if !shelves.is_current(epoch, id) => Fate::Leave,
            _ => Fate::Put,
        }
    }

    /// A write of this service has ended; of these products it is not known what they are now: they are read from the store.
    fn crashed(&self, flight: u64, products: &[ProductId]) {
        let mut shelves = self.write();
        shelves.flights.end(flight, None);
        for id in products {
            self.remove(&mut shelves, *id);
        }
    }

    /// Takes in what was read from the store, after [`epoch`](Self::epoch) was.
    pub(crate) fn fill(&self, epoch: u64, rows: impl IntoIterator<Item = ViewRow>) {
        let mut shelves = self.write();
        // Chosen before any row goes to make room: what goes may be newer than what is taken in after it.
        let wanted: Vec<ViewRow> = rows
            .into_iter()
            .filter(|row| {
                let known = self.row_of_id(&shelves, row.id);
                shelves.is_current(epoch, row.id) && known.is_none_or(|known| known.version < row.version)
            })
            .collect();
        for row in wanted {
            self.put(&mut shelves, row);
        }
    }

    /// The store tells that a product has this version, or has changed. Whether it is held and may be older: then it is to
    /// be read.
    pub(crate) fn is_outdated(&self, id: ProductId, version: Option<u64>) -> bool {
        if let Some(known) = self.row_of_id(&self.read(), id).map(|known| known.version) {
            return version.is_none_or(|version| known < version);
        }
        let mut shelves = self.write();
        shelves.outdate(id);
        // It may have come in between.
        self.row_of_id(&shelves, id)
            .is_some_and(|known| version.is_none_or(|version| known.version < version))
    }

    /// Drops products of which it is not known what they are now: they are read from the store.
    pub(crate) fn forget(&self, products: &[ProductId]) {
        let mut shelves = self.write();
        for id in products {
            self.remove(&mut shelves, *id);
        }
    }

    /// Drops all: what others wrote before may not have been told. Not fresh until it is [`complete`](Self::complete).
    pub(crate) fn empty(&self) {
        self.lost();
        let mut shelves = self.write();
        shelves.epoch += 1;
        shelves.emptied = shelves.epoch;
        shelves.flights.clear();
        let rows = (std::mem::take(&mut shelves.rows), std::mem::take(&mut shelves.by_sku));
        drop(shelves);
        // Not while checks wait.
        drop(rows);
    }

    /// The store no longer tells, or has been silent for too long.
    pub(crate) fn lost(&self) {
        self.told.store(LOST, Ordering::Release);
    }

    /// All that was committed before `at` was told, and is in what the view holds. Returns as of when that is so with this
    /// service's own writes, of which some may not have been told yet.
    pub(crate) fn complete(&self, at: Timestamp) -> Timestamp {
        let mut shelves = self.write();
        let as_of = shelves.flights.complete(at);
        // While no write can begin on less.
        self.told.store(as_of.as_millis(), Ordering::Release);
        as_of
    }

    /// Whether there is no room but by dropping rows.
    pub(crate) fn is_full(&self) -> bool {
        self.read().rows.len() >= self.capacity
    }

    fn put(&self, shelves: &mut Shelves, row: ViewRow) {
        let id = row.id;
        match shelves.rows.find_mut(self.hash_id(id), |known| known.id == id) {
            Some(known) if known.version > row.version => {}
            Some(_) if row.deleted => self.remove(shelves, id),
            Some(known) if known.sku == row.sku => *known = row,
            Some(_) => {
                self.remove(shelves, id);
                self.insert(shelves, row);
            }
            // It may be on its way in, as it was before.
            None if row.deleted => shelves.outdate(id),
            None => self.insert(shelves, row),
        }
    }

    fn insert(&self, shelves: &mut Shelves, row: ViewRow) {
        // Another product with this SKU has lost it.
        if let Some(stale) = self.row_of_sku(shelves, &row.sku).map(|stale| stale.id) {
            self.remove(shelves, stale);
        }
        if shelves.rows.len() >= self.capacity {
            let next = next_in_turn(shelves);
            self.remove(shelves, next);
        }
        let entry = SkuEntry { hash: self.hash_sku(&row.sku), id: row.id };
        shelves.by_sku.insert_unique(entry.hash, entry, |entry| entry.hash);
        shelves.rows.insert_unique(self.hash_id(row.id), row, |row| self.hash_id(row.id));
    }

    fn remove(&self, shelves: &mut Shelves, id: ProductId) {
        shelves.outdate(id);
        let Ok(entry) = shelves.rows.find_entry(self.hash_id(id), |row| row.id == id) else { return };
        let (row, _) = entry.remove();
        if let Ok(entry) = shelves.by_sku.find_entry(self.hash_sku(&row.sku), |entry| entry.id == id) {
            entry.remove();
        }
    }

    #[inline]
    fn row_of_id<'s>(&self, shelves: &'s Shelves, id: ProductId) -> Option<&'s ViewRow> {
        shelves.rows.find(self.hash_id(id), |row| row.id == id)
    }

    #[inline]
    fn row_of_sku<'s>(&self, shelves: &'s Shelves, sku: &Sku) -> Option<&'s ViewRow> {
        let hash = self.hash_sku(sku);
        let mut found = None;
        shelves.by_sku.find(hash, |entry| {
            if entry.hash == hash {
                found = self.row_of_id(shelves, entry.id).filter(|row| row.sku == *sku);
            }
            found.is_some()
        });
        found
    }

    #[inline]
    fn hash_id(&self, id: ProductId) -> u64 {
        self.hasher.hash_one(id.0.as_u128())
    }

    #[inline]
    fn hash_sku(&self, sku: &Sku) -> u64 {
        self.hasher.hash_one(sku.as_str())
    }

    #[inline]
    fn read(&self) -> RwLockReadGuard<'_, Shelves> {
        // Nothing in here panics half-way through a change.
        self.shelves.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Shelves> {
        self.shelves.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for StockView {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StockView")
            .field("len", &self.len())
            .field("capacity", &self.capacity)
            .finish_non_exhaustive()
    }
}

/// The product of the first row from the hand on, and moves the hand past it: rows go in the order in which they stand.
///
/// # Panics
/// If there is no row.
fn next_in_turn(shelves: &mut Shelves) -> ProductId {
    let buckets = shelves.rows.num_buckets();
    let turn = (0..buckets).map(|step| (shelves.hand + step) % buckets);
    let (place, row) = turn
        .filter_map(|place| Some((place, shelves.rows.get_bucket(place)?)))
        .next()
        .expect("a full view has a row");
    let id = row.id;
    shelves.hand = place + 1;
    id
}
