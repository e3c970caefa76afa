use std::fmt;
use std::hash::BuildHasher;
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use hashbrown::{DefaultHashBuilder, HashTable};

use crate::{CheckedLine, HoldLine, LineStatus, Product, ProductId, ProductRef, ProductStatus, Sku};

/// What can be taken of each product, in memory: the fast path of a stock check.
///
/// It holds at most so many products as it is made for; the others are read from the store when asked for. What it holds
/// is never older than the last write that went through this service. Writes of *other* instances over the same store are
/// seen when this instance next reads or writes the product: the view is exact where one instance writes, and an
/// estimate, as any check is, where several do. Only a hold takes stock, and a hold is always decided by the store.
///
/// A check takes one read lock, and makes no heap allocation of its own.
pub struct StockView {
    shelves: RwLock<Shelves>,
    hasher: DefaultHashBuilder,
    capacity: usize,
}

/// What a check found in the view.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Checked {
    /// Whether every line is [`LineStatus::Ok`].
    pub available: bool,
    /// Lines whose product the view does not hold. They are [`LineStatus::Unknown`] in the answer, but the store may know
    /// them.
    pub misses: usize,
}

/// A product as the view keeps it, in one cache line.
#[derive(Debug, Clone)]
#[repr(align(64))]
pub(crate) struct ViewRow {
    id: ProductId,
    sku: Sku,
    available: i64,
    version: u64,
    orderable: bool,
    deleted: bool,
}

impl ViewRow {
    pub(crate) fn of(product: &Product) -> Self {
        Self {
            id: product.id,
            sku: product.details.sku.clone(),
            available: product.stock.available(),
            version: product.version,
            orderable: product.details.status == ProductStatus::Active,
            deleted: product.deleted_at.is_some(),
        }
    }

    pub(crate) fn id(&self) -> ProductId {
        self.id
    }

    pub(crate) fn is_deleted(&self) -> bool {
        self.deleted
    }

    fn check(&self, requested: i64) -> CheckedLine {
        let status = match (self.orderable, self.available >= requested) {
            (false, _) => LineStatus::Inactive,
            (true, true) => LineStatus::Ok,
            (true, false) => LineStatus::Insufficient,
        };
        CheckedLine {
            product_id: Some(self.id),
            sku: Some(self.sku.clone()),
            requested,
            available: self.available,
            status,
        }
    }
}

/// Rows in a table by id, so that a row is one step from its key; a second table leads from SKUs to ids.
#[derive(Default)]
struct Shelves {
    rows: HashTable<ViewRow>,
    by_sku: HashTable<SkuEntry>,
    /// Where the row stands that goes next when there is no more room.
    hand: usize,
    /// Rises whenever a row goes. What was read from the store before that may be older than what went.
    epoch: u64,
}

/// Whose SKU has this hash. The SKU itself stands in the row.
struct SkuEntry {
    hash: u64,
    id: ProductId,
}

impl StockView {
    pub(crate) fn new(capacity: usize) -> Self {
        let capacity = capacity.max(1);
        Self { shelves: RwLock::default(), hasher: DefaultHashBuilder::default(), capacity }
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

    /// Checks lines against what the view holds, and appends one answer a line to `out`, in order. Lines of one product
    /// are judged together: each of them is short if their sum is.
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

    /// Reads which rows went so far; for [`fill`](Self::fill).
    pub(crate) fn epoch(&self) -> u64 {
        self.read().epoch
    }

    /// Takes in what a commit of this service made of products.
    pub(crate) fn committed(&self, rows: Vec<ViewRow>) {
        if rows.is_empty() {
            return;
        }
        let mut shelves = self.write();
        for row in rows {
            self.put(&mut shelves, row);
        }
    }

    /// Takes in what was read from the store, after [`epoch`](Self::epoch) was.
    pub(crate) fn fill(&self, epoch: u64, rows: impl IntoIterator<Item = ViewRow>) {
        let mut shelves = self.write();
        let current = shelves.epoch == epoch;
        // Chosen before any row goes to make room: what goes may be newer than what is taken in after it.
        let wanted: Vec<ViewRow> = rows
            .into_iter()
            .filter(|row| match self.row_of_id(&shelves, row.id) {
                Some(known) => known.version < row.version,
                None => current,
            })
            .collect();
        for row in wanted {
            self.put(&mut shelves, row);
        }
    }

    /// Drops products of which it is not known what they are now: they are read from the store.
    pub(crate) fn forget(&self, products: &[ProductId]) {
        let mut shelves = self.write();
        // What is on its way in may be older than what was written.
        shelves.epoch += 1;
        for id in products {
            self.remove(&mut shelves, *id);
        }
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
            None if row.deleted => shelves.epoch += 1,
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
        let Ok(entry) = shelves.rows.find_entry(self.hash_id(id), |row| row.id == id) else { return };
        let (row, _) = entry.remove();
        shelves.epoch += 1;
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

fn unknown(line: &HoldLine) -> CheckedLine {
    let (product_id, sku) = match &line.product {
        ProductRef::Id(id) => (Some(*id), None),
        ProductRef::Sku(sku) => (None, Some(sku.clone())),
    };
    CheckedLine { product_id, sku, requested: line.quantity, available: 0, status: LineStatus::Unknown }
}

/// Answers the lines that the view did not know from rows read from the store. Returns whether every line is
/// [`LineStatus::Ok`].
pub(crate) fn complete(lines: &[HoldLine], rows: &[ViewRow], out: &mut [CheckedLine]) -> bool {
    for (line, answer) in lines.iter().zip(out.iter_mut()) {
        if answer.status == LineStatus::Unknown {
            let found = rows.iter().filter(|row| !row.deleted).find(|row| match &line.product {
                ProductRef::Id(id) => row.id == *id,
                ProductRef::Sku(sku) => row.sku == *sku,
            });
            if let Some(row) = found {
                *answer = row.check(line.quantity);
            }
        }
    }
    judge_together(out) & out.iter().all(|line| line.status == LineStatus::Ok)
}

/// Whether a product stands on two lines: cheap to deny, a look at the lines before to affirm.
struct Repeats {
    seen: [u64; 16],
    found: bool,
}

impl Repeats {
    /// More lines than these are sorted to find out, rather than each compared with those before.
    const COMPARED: usize = 64;

    fn new(lines: usize) -> Self {
        Self { seen: [0; 16], found: lines > Self::COMPARED }
    }

    #[inline]
    fn may_be(&mut self, id: ProductId) -> bool {
        if self.found {
            return false;
        }
        // The last bits of an id are its most random.
        let place = id.0.as_u64_pair().1;
        let (word, bit) = (&mut self.seen[(place >> 6) as usize & 15], 1 << (place & 63));
        let before = *word & bit != 0;
        *word |= bit;
        before
    }
}

/// Makes lines of one product short if their sum is. Returns whether no line became short by that.
fn judge_together(out: &mut [CheckedLine]) -> bool {
    if out.len() <= Repeats::COMPARED {
        return judge_few(out);
    }
    let mut places: Vec<usize> = (0..out.len()).filter(|n| is_judged(&out[*n])).collect();
    places.sort_unstable_by_key(|n| out[*n].product_id);
    let mut sound = true;
    let mut rest = places.as_slice();
    while let Some(first) = rest.first() {
        let product = out[*first].product_id;
        let (group, others) = rest.split_at(rest.partition_point(|n| out[*n].product_id == product));
        rest = others;
        let requested: i64 = group.iter().map(|n| out[*n].requested).sum();
        if requested > out[*first].available {
            for n in group {
                sound &= out[*n].status != LineStatus::Ok;
                out[*n].status = LineStatus::Insufficient;
            }
        }
    }
    sound
}

/// The same without an allocation.
fn judge_few(out: &mut [CheckedLine]) -> bool {
    let mut sound = true;
    for n in 0..out.len() {
        let line = &out[n];
        if line.status == LineStatus::Ok {
            let same = |other: &&CheckedLine| other.product_id == line.product_id && is_judged(other);
            let requested: i64 = out.iter().filter(same).map(|other| other.requested).sum();
            if requested > line.available {
                sound = false;
                out[n].status = LineStatus::Insufficient;
            }
        }
    }
    sound
}

fn is_judged(line: &CheckedLine) -> bool {
    matches!(line.status, LineStatus::Ok | LineStatus::Insufficient)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use shop_core::id::Uuid;
    use std::collections::HashMap;

    fn row(n: u128, sku: &str, available: i64, version: u64) -> ViewRow {
        let id = ProductId(Uuid::from_u128(n));
        ViewRow { id, sku: sku.parse().unwrap(), available, version, orderable: true, deleted: false }
    }

    fn by_id(n: u128, quantity: i64) -> HoldLine {
        HoldLine { product: ProductRef::Id(ProductId(Uuid::from_u128(n))), quantity }
    }

    fn by_sku(sku: &str, quantity: i64) -> HoldLine {
        HoldLine { product: ProductRef::Sku(sku.parse().unwrap()), quantity }
    }

    fn statuses(view: &StockView, lines: &[HoldLine]) -> (Vec<LineStatus>, Checked) {
        let mut out = Vec::new();
        let checked = view.check_into(lines, &mut out);
        (out.iter().map(|line| line.status).collect(), checked)
    }

    #[test]
    fn lines_of_one_product_are_judged_together() {
        use LineStatus::{Insufficient, Ok, Unknown};
        let view = StockView::new(10);
        view.committed(vec![row(1, "a", 5, 1), row(2, "b", 5, 1)]);
        let (found, checked) = statuses(&view, &[by_id(1, 3), by_sku("b", 5), by_sku("a", 3), by_id(9, 1)]);
        assert_eq!(found, [Insufficient, Ok, Insufficient, Unknown]);
        assert_eq!(checked, Checked { available: false, misses: 1 });
        let (found, checked) = statuses(&view, &[by_id(1, 3), by_sku("a", 2)]);
        assert_eq!((found, checked.available), (vec![Ok, Ok], true));
    }

    #[test]
    fn what_was_read_before_a_row_went_is_not_taken_in() {
        let view = StockView::new(10);
        let epoch = view.epoch();
        let read = row(1, "a", 5, 1);
        view.committed(vec![ViewRow { deleted: true, version: 2, ..row(1, "a", 5, 2) }]);
        view.fill(epoch, [read]);
        assert!(view.is_empty(), "the deleted product stays away");
        let epoch = view.epoch();
        view.committed(vec![row(2, "b", 1, 7)]);
        view.fill(epoch, [row(2, "b", 9, 6), row(3, "c", 9, 1)]);
        assert_eq!(
            statuses(&view, &[by_sku("b", 2), by_sku("c", 9)]).0,
            [LineStatus::Insufficient, LineStatus::Ok]
        );
    }

    #[test]
    fn a_sku_passes_to_another_product() {
        let view = StockView::new(10);
        view.committed(vec![row(1, "a", 5, 1)]);
        view.committed(vec![row(2, "a", 7, 1), row(1, "z", 5, 2)]);
        let mut out = Vec::new();
        view.check_into(&[by_sku("a", 6), by_sku("z", 5)], &mut out);
        assert_eq!(out.iter().map(|line| line.product_id.unwrap().0.as_u128()).collect::<Vec<_>>(), [2, 1]);
    }

    #[test]
    fn many_lines_are_judged_as_few_are() {
        let view = StockView::new(10);
        view.committed((0..5).map(|n| row(n, &format!("s{n}"), 20, 1)).collect());
        let lines: Vec<_> = (0..70).map(|n| by_id(n % 5, if n % 5 == 3 { 2 } else { 1 })).collect();
        for (count, short) in [(40, 0), (60, 12), (70, 14)] {
            let (found, checked) = statuses(&view, &lines[..count]);
            let is_short = |n: usize| short > 0 && n % 5 == 3;
            assert_eq!(found.iter().filter(|status| **status == LineStatus::Insufficient).count(), short);
            assert!(found.iter().enumerate().all(|(n, s)| (*s == LineStatus::Insufficient) == is_short(n)));
            assert_eq!(checked.available, short == 0);
        }
    }

    proptest! {
        /// Never more than the capacity; what is there is what was written last.
        #[test]
        fn holds_the_last_of_each(writes in prop::collection::vec((0_u128..40, 0_i64..9, any::<bool>()), 1..200)) {
            let (view, roomy) = (StockView::new(16), StockView::new(40));
            let mut model: HashMap<u128, (i64, bool)> = HashMap::new();
            for (version, (n, available, deleted)) in writes.into_iter().enumerate() {
                let row = ViewRow { deleted, ..row(n, &format!("sku-{n}"), available, version as u64) };
                roomy.committed(vec![row.clone()]);
                view.committed(vec![row]);
                model.insert(n, (available, deleted));
                prop_assert!(view.len() <= 16);
                let live = model.values().filter(|(_, deleted)| !deleted).count();
                prop_assert_eq!(roomy.len(), live);
                let written = view.check_into(&[by_id(n, 1)], &mut Vec::new());
                prop_assert_eq!(written.misses, usize::from(deleted), "what was written last is there");
                for (n, (available, deleted)) in &model {
                    for line in [by_id(*n, 1), by_sku(&format!("sku-{n}"), 1)] {
                        let mut out = Vec::new();
                        let found = roomy.check_into(std::slice::from_ref(&line), &mut out);
                        prop_assert_eq!(found.misses, usize::from(*deleted), "with room for all nothing is missed");
                        prop_assert!(*deleted || out[0].available == *available);
                        out.clear();
                        if view.check_into(&[line], &mut out).misses == 0 {
                            prop_assert!(!deleted);
                            prop_assert_eq!(out[0].available, *available);
                        }
                    }
                }
            }
        }
    }
}
