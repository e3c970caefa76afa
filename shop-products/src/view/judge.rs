//! Lines of an answer: how those of one product are judged together.

use super::ViewRow;
use crate::{CheckedLine, HoldLine, LineStatus, ProductId, ProductRef};

/// The answer to a line whose product is not held.
pub(crate) fn unknown(line: &HoldLine) -> CheckedLine {
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
pub(super) struct Repeats {
    seen: [u64; 16],
    pub(super) found: bool,
}

impl Repeats {
    /// More lines than these are sorted to find out, rather than each compared with those before.
    const COMPARED: usize = 64;

    pub(super) fn new(lines: usize) -> Self {
        Self { seen: [0; 16], found: lines > Self::COMPARED }
    }

    #[inline]
    pub(super) fn may_be(&mut self, id: ProductId) -> bool {
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
pub(super) fn judge_together(out: &mut [CheckedLine]) -> bool {
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
