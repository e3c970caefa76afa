use shop_core::idempotency::{Answered, Keyed};

use super::Ledger;
use crate::store::Footprint;
use crate::{
    Adjustment, HoldRequest, ImportRow, NewAdjustment, NewProduct, Product, ProductEditRequest, ProductError,
    ProductRef, Reservation, RowOutcome, SettleOutcome, Settlement,
};

/// A write, validated as far as it can be without the store.
#[derive(Debug)]
pub(crate) enum Command {
    Create {
        new: Box<NewProduct>,
        keyed: Option<Keyed<Product>>,
    },
    Edit {
        product: ProductRef,
        if_match: Option<Vec<u64>>,
        edit: Box<ProductEditRequest>,
    },
    Delete {
        product: ProductRef,
        if_match: Option<Vec<u64>>,
    },
    Adjust {
        product: ProductRef,
        new: NewAdjustment,
        keyed: Option<Keyed<(Adjustment, Product)>>,
    },
    Import {
        rows: Vec<ImportRow>,
    },
    Hold {
        request: HoldRequest,
    },
    Settle {
        settlements: Vec<Settlement>,
        keyed: Option<Keyed<Vec<SettleOutcome>>>,
    },
    /// Releases what has expired.
    Expire,
}

/// What a command came to; the variant is the command's.
#[derive(Debug)]
pub(crate) enum Outcome {
    Created(Box<Answered<Product>>),
    Edited(Box<Product>),
    Deleted,
    Adjusted(Box<Answered<(Adjustment, Product)>>),
    Imported(Vec<RowOutcome>),
    Held(Reservation, bool),
    Settled(Answered<Vec<SettleOutcome>>),
    Expired,
}

impl Command {
    /// Adds what the decision reads.
    pub(crate) fn add_to(&self, footprint: &mut Footprint) {
        let product = |footprint: &mut Footprint, product: &ProductRef| match product {
            ProductRef::Id(id) => drop(footprint.products.insert(*id)),
            ProductRef::Sku(sku) => drop(footprint.skus.insert(sku.clone())),
        };
        match self {
            Self::Create { new, keyed } => {
                footprint.skus.insert(new.details.sku.clone());
                footprint.keys.extend(keyed.as_ref().map(|keyed| keyed.idempotency.key.clone()));
            }
            Self::Edit { product: which, edit, .. } => {
                product(footprint, which);
                let sku = match edit.as_ref() {
                    ProductEditRequest::Replace(details) => Some(details.sku.clone()),
                    ProductEditRequest::Patch(patch) => patch.sku.clone(),
                };
                footprint.skus.extend(sku);
            }
            Self::Delete { product: which, .. } => product(footprint, which),
            Self::Adjust { product: which, keyed, .. } => {
                product(footprint, which);
                footprint.keys.extend(keyed.as_ref().map(|keyed| keyed.idempotency.key.clone()));
            }
            Self::Import { rows } => footprint.skus.extend(rows.iter().map(|row| row.details.sku.clone())),
            Self::Hold { request } => {
                footprint.reservations.insert(request.id);
                for line in &request.lines {
                    product(footprint, &line.product);
                }
            }
            Self::Settle { settlements, keyed } => {
                footprint.reservations.extend(settlements.iter().map(|settlement| settlement.reservation_id));
                footprint.keys.extend(keyed.as_ref().map(|keyed| keyed.idempotency.key.clone()));
            }
            Self::Expire => {}
        }
    }
}

impl Ledger {
    /// Decides one command on the working copy.
    pub(crate) fn decide(&mut self, command: &Command) -> Result<Outcome, ProductError> {
        match command {
            Command::Create { new, keyed } => {
                self.create(new, keyed.as_ref()).map(|created| Outcome::Created(Box::new(created)))
            }
            Command::Edit { product, if_match, edit } => self
                .edit(product, if_match.as_deref(), edit)
                .map(|product| Outcome::Edited(Box::new(product))),
            Command::Delete { product, if_match } => {
                self.delete(product, if_match.as_deref()).map(|()| Outcome::Deleted)
            }
            Command::Adjust { product, new, keyed } => self
                .adjust(product, new, keyed.as_ref())
                .map(|adjusted| Outcome::Adjusted(Box::new(adjusted))),
            Command::Import { rows } => {
                Ok(Outcome::Imported(rows.iter().map(|row| self.import(row)).collect()))
            }
            Command::Hold { request } => self.hold(request).map(|(held, fresh)| Outcome::Held(held, fresh)),
            Command::Settle { settlements, keyed } => {
                self.settle(settlements, keyed.as_ref()).map(Outcome::Settled)
            }
            Command::Expire => Ok(Outcome::Expired),
        }
    }
}
