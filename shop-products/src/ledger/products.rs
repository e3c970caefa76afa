use shop_core::FieldError;
use shop_core::idempotency::{Answered, Keyed};

use super::Ledger;
use crate::{
    Adjustment, AdjustmentId, ImportRow, NewAdjustment, NewProduct, Product, ProductDetails,
    ProductEditRequest, ProductError, ProductId, ProductRef, RowOutcome, Stock, validate,
};

impl Ledger {
    pub(super) fn create(
        &mut self,
        new: &NewProduct,
        keyed: Option<&Keyed<Product>>,
    ) -> Result<Answered<Product>, ProductError> {
        if let Some(answer) = self.replay(keyed)? {
            return Ok(Answered::Replayed(answer));
        }
        if self.skus.contains_key(&new.details.sku) {
            return Err(ProductError::DuplicateSku);
        }
        let product = self.made(&new.details, new.on_hand);
        self.record(keyed, &product);
        Ok(Answered::Fresh(product))
    }

    fn made(&mut self, details: &ProductDetails, on_hand: i64) -> Product {
        let product = Product {
            id: ProductId::generate(),
            details: details.clone(),
            stock: Stock { on_hand, allocated: 0 },
            version: 1,
            edited_version: 1,
            created_at: self.now,
            updated_at: self.now,
            deleted_at: None,
        };
        self.add(product.clone());
        product
    }

    pub(super) fn edit(
        &mut self,
        product: &ProductRef,
        if_match: Option<&[u64]>,
        edit: &ProductEditRequest,
    ) -> Result<Product, ProductError> {
        let before = self.live(product)?;
        seen(before, if_match)?;
        let details = match edit {
            ProductEditRequest::Replace(details) => details.clone(),
            ProductEditRequest::Patch(patch) => patch.applied_to(&before.details),
        };
        if details == before.details {
            return Ok(before.clone());
        }
        let faults = validate::details(&details, "");
        if !faults.is_empty() {
            return Err(ProductError::Invalid(faults));
        }
        if self.skus.get(&details.sku).is_some_and(|holder| *holder != before.id) {
            return Err(ProductError::DuplicateSku);
        }
        let id = before.id;
        self.replace_details(id, details);
        Ok(self.entry(id).product.clone())
    }

    fn replace_details(&mut self, id: ProductId, details: ProductDetails) {
        let now = self.now;
        let entry = self.entry(id);
        let before = std::mem::replace(&mut entry.product.details, details);
        entry.edit(now);
        let sku = entry.product.details.sku.clone();
        if before.sku != sku {
            self.skus.remove(&before.sku);
            self.skus.insert(sku, id);
        }
    }

    pub(super) fn delete(
        &mut self,
        product: &ProductRef,
        if_match: Option<&[u64]>,
    ) -> Result<(), ProductError> {
        let before = self.live(product)?;
        seen(before, if_match)?;
        let (id, now) = (before.id, self.now);
        let entry = self.entry(id);
        entry.edit(now);
        entry.product.deleted_at = Some(now);
        let sku = entry.product.details.sku.clone();
        self.skus.remove(&sku);
        Ok(())
    }

    pub(super) fn adjust(
        &mut self,
        product: &ProductRef,
        new: &NewAdjustment,
        keyed: Option<&Keyed<(Adjustment, Product)>>,
    ) -> Result<Answered<(Adjustment, Product)>, ProductError> {
        if let Some(answer) = self.replay(keyed)? {
            return Ok(Answered::Replayed(answer));
        }
        let before = self.live(product)?;
        let (id, now) = (before.id, self.now);
        let on_hand = before.stock.on_hand.saturating_add(new.delta);
        sound(before.stock, on_hand, "/delta")?;
        let adjustment = Adjustment {
            id: AdjustmentId::generate(),
            product_id: id,
            delta: new.delta,
            reason: new.reason.clone(),
            reference: new.reference.clone(),
            on_hand,
            created_at: now,
        };
        // The whole product, not a difference: the adjustment says what `on_hand` was after it, and that must be so.
        let entry = self.entry(id);
        entry.product.stock.on_hand = on_hand;
        entry.touch();
        let product = entry.product.clone();
        self.adjustments.push(adjustment.clone());
        let outcome = (adjustment, product);
        self.record(keyed, &outcome);
        Ok(Answered::Fresh(outcome))
    }

    pub(super) fn import(&mut self, row: &ImportRow) -> RowOutcome {
        let faults = validate::import_row(row);
        if !faults.is_empty() {
            return RowOutcome::Refused(ProductError::Invalid(faults));
        }
        let Some(&id) = self.skus.get(&row.details.sku) else {
            return RowOutcome::Created(self.made(&row.details, row.on_hand.unwrap_or(0)).id);
        };
        let before = &self.entry(id).product;
        let stock = before.stock;
        let on_hand = row.on_hand.unwrap_or(stock.on_hand);
        let edits = before.details != row.details;
        if !edits && on_hand == stock.on_hand {
            return RowOutcome::Unchanged(id);
        }
        if let Err(refused) = sound(stock, on_hand, "/on_hand") {
            return RowOutcome::Refused(refused);
        }
        if on_hand != stock.on_hand {
            let entry = self.entry(id);
            entry.product.stock.on_hand = on_hand;
            entry.touch();
        }
        if edits {
            self.replace_details(id, row.details.clone());
        }
        RowOutcome::Updated(id)
    }
}

fn seen(product: &Product, if_match: Option<&[u64]>) -> Result<(), ProductError> {
    match if_match {
        Some(versions) if !versions.iter().any(|version| product.has_seen(*version)) => {
            Err(ProductError::VersionMismatch { current: product.version })
        }
        _ => Ok(()),
    }
}

/// Whether stock may have `on_hand` units.
fn sound(stock: Stock, on_hand: i64, pointer: &str) -> Result<(), ProductError> {
    if on_hand < stock.allocated {
        return Err(ProductError::BelowAllocated { on_hand, allocated: stock.allocated });
    }
    if on_hand > Stock::MAX {
        let detail = format!("on_hand would be over {}", Stock::MAX);
        return Err(ProductError::Invalid(vec![FieldError::new(pointer, "out_of_range", detail)]));
    }
    Ok(())
}
