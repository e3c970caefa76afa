use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};

use crate::{ImportRow, RowOutcome, Sku};

/// So many SKUs are remembered; then it begins anew.
const MOST: usize = 100_000;

/// What the rows of a dry run would have made of products, so that a later row of the same SKU is answered as the run
/// itself would answer it, and no id is named that no product has.
#[derive(Debug, Default)]
pub(super) struct DryRun {
    made: HashMap<Sku, Made>,
    hasher: RandomState,
}

/// What a row would make of its product.
#[derive(Debug, Clone)]
pub(super) struct Claim {
    sku: Sku,
    details: u64,
    on_hand: Option<i64>,
}

#[derive(Debug)]
struct Made {
    details: u64,
    /// `None`: what it is in the store.
    on_hand: Option<i64>,
    /// There is a product with an id.
    exists: bool,
}

impl DryRun {
    /// Notes what a batch claims, before the service takes it.
    pub(super) fn claims(&mut self, rows: &[ImportRow]) -> Vec<Claim> {
        if self.made.len() >= MOST {
            self.made.clear();
        }
        rows.iter().map(|row| self.claim(row)).collect()
    }

    fn claim(&self, ImportRow { details: d, on_hand }: &ImportRow) -> Claim {
        let said = (&d.name, &d.description, d.price, &d.attributes, &d.tags, d.status);
        Claim { sku: d.sku.clone(), details: self.hasher.hash_one(said), on_hand: *on_hand }
    }

    /// What the run would say of a row, where the service has judged it without what an earlier batch would have done.
    /// `true` if its id is that of a product.
    ///
    /// It may say `updated` where the run says `unchanged` if one batch changes a product's details and leaves its stock,
    /// and a later one says the same with the stock that it has.
    pub(super) fn judge(&mut self, claim: Claim, outcome: RowOutcome) -> (RowOutcome, bool) {
        let (id, fresh, unchanged) = match outcome {
            RowOutcome::Refused(_) => return (outcome, false),
            RowOutcome::Created(id) => (id, true, false),
            RowOutcome::Updated(id) => (id, false, false),
            RowOutcome::Unchanged(id) => (id, false, true),
        };
        let Claim { sku, details, on_hand } = claim;
        let Some(made) = self.made.get_mut(&sku) else {
            let on_hand = if fresh { Some(on_hand.unwrap_or(0)) } else { on_hand };
            self.made.insert(sku, Made { details, on_hand, exists: !fresh });
            return (outcome, !fresh);
        };
        let same_stock = match (on_hand, made.on_hand) {
            (None, _) => true,
            (Some(_), None) => unchanged,
            (said, there) => said == there,
        };
        let same = made.details == details && same_stock;
        made.details = details;
        made.on_hand = on_hand.or(made.on_hand);
        (if same { RowOutcome::Unchanged(id) } else { RowOutcome::Updated(id) }, made.exists)
    }
}
