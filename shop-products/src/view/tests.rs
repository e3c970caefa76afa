use super::*;
use proptest::prelude::*;
use shop_core::id::Uuid;
use std::collections::HashMap;

mod races;

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

/// This service has written these, each on the version before.
fn committed(view: &StockView, rows: Vec<ViewRow>) {
    let now = Timestamp::from_millis(0);
    let mut flight = view.begin(now);
    let written = |row: ViewRow| Written { from: Some(row.version.saturating_sub(1)), row };
    flight.commits(rows.into_iter().map(written).collect());
    flight.landed(now);
}

#[test]
fn lines_of_one_product_are_judged_together() {
    use LineStatus::{Insufficient, Ok, Unknown};
    let view = StockView::new(10, false);
    committed(&view, vec![row(1, "a", 5, 1), row(2, "b", 5, 1)]);
    let (found, checked) = statuses(&view, &[by_id(1, 3), by_sku("b", 5), by_sku("a", 3), by_id(9, 1)]);
    assert_eq!(found, [Insufficient, Ok, Insufficient, Unknown]);
    assert_eq!(checked, Checked { available: false, misses: 1 });
    let (found, checked) = statuses(&view, &[by_id(1, 3), by_sku("a", 2)]);
    assert_eq!((found, checked.available), (vec![Ok, Ok], true));
}

#[test]
fn what_was_read_before_a_row_went_is_not_taken_in() {
    let view = StockView::new(10, false);
    let epoch = view.epoch();
    let read = row(1, "a", 5, 1);
    committed(&view, vec![ViewRow { deleted: true, version: 2, ..row(1, "a", 5, 2) }]);
    view.fill(epoch, [read]);
    assert!(view.is_empty(), "the deleted product stays away");
    let epoch = view.epoch();
    committed(&view, vec![row(2, "b", 1, 7)]);
    view.fill(epoch, [row(2, "b", 9, 6), row(3, "c", 9, 1)]);
    assert_eq!(
        statuses(&view, &[by_sku("b", 2), by_sku("c", 9)]).0,
        [LineStatus::Insufficient, LineStatus::Ok]
    );
}

#[test]
fn a_sku_passes_to_another_product() {
    let view = StockView::new(10, false);
    committed(&view, vec![row(1, "a", 5, 1)]);
    committed(&view, vec![row(2, "a", 7, 1), row(1, "z", 5, 2)]);
    let mut out = Vec::new();
    view.check_into(&[by_sku("a", 6), by_sku("z", 5)], &mut out);
    assert_eq!(out.iter().map(|line| line.product_id.unwrap().0.as_u128()).collect::<Vec<_>>(), [2, 1]);
}

#[test]
fn many_lines_are_judged_as_few_are() {
    let view = StockView::new(10, false);
    committed(&view, (0..5).map(|n| row(n, &format!("s{n}"), 20, 1)).collect());
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
        let (view, roomy) = (StockView::new(16, false), StockView::new(40, false));
        let mut model: HashMap<u128, (i64, bool)> = HashMap::new();
        for (version, (n, available, deleted)) in writes.into_iter().enumerate() {
            let row = ViewRow { deleted, ..row(n, &format!("sku-{n}"), available, version as u64) };
            committed(&roomy, vec![row.clone()]);
            committed(&view, vec![row]);
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
