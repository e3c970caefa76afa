use shop_core::Money;
use shop_products::{HoldLine, ProductId, Sku};

use crate::{OrderError, OrderLine};

/// What an order copies of a product.
#[derive(Debug, Clone)]
pub(super) struct Copied {
    pub(super) product_id: ProductId,
    pub(super) sku: Sku,
    pub(super) name: String,
    pub(super) unit_price: Money,
}

/// Lines with their products and totals, and the sum of all.
pub(super) fn priced(asked: &[HoldLine], products: &[Copied]) -> Result<(Vec<OrderLine>, Money), OrderError> {
    let currency = products.first().map(|product| product.unit_price.currency());
    let currency = currency.ok_or_else(|| OrderError::Internal("an order without lines".into()))?;
    if products.iter().any(|product| product.unit_price.currency() != currency) {
        return Err(OrderError::MixedCurrencies);
    }
    let mut sum = Money::from_minor(0, currency);
    let mut lines = Vec::with_capacity(asked.len());
    for (index, (asked, product)) in asked.iter().zip(products).enumerate() {
        let too_much =
            |pointer: String| OrderError::invalid(&pointer, "out_of_range", "the total does not fit");
        let total = product.unit_price.checked_mul(asked.quantity);
        let total = total.ok_or_else(|| too_much(format!("/lines/{index}/quantity")))?;
        sum = sum.checked_add(total).ok_or_else(|| too_much("/lines".into()))?;
        lines.push(OrderLine {
            line: u32::try_from(index + 1).unwrap_or(u32::MAX),
            product_id: product.product_id,
            sku: product.sku.clone(),
            name: product.name.clone(),
            unit_price: product.unit_price,
            quantity: asked.quantity,
            total,
        });
    }
    Ok((lines, sum))
}
