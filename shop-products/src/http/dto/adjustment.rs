use serde::{Deserialize, Serialize};
use shop_core::{Cursor, Timestamp};
use utoipa::ToSchema;

use super::super::schema::{
    AdjustmentIdText, Delta, ProductIdText, ReasonText, ReferenceText, TimeText, Units, Version,
};
use crate::wire::units::units;
use crate::{Adjustment, AdjustmentId, NewAdjustment, Product, ProductId};

/// A change of `on_hand`, with its reason.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewAdjustment)]
pub(in super::super) struct NewAdjustmentBody {
    #[serde(deserialize_with = "units")]
    #[schema(value_type = Delta)]
    delta: i64,
    #[schema(value_type = ReasonText)]
    reason: String,
    #[schema(value_type = Option<ReferenceText>)]
    reference: Option<String>,
}

impl From<NewAdjustmentBody> for NewAdjustment {
    fn from(body: NewAdjustmentBody) -> Self {
        Self { delta: body.delta, reason: body.reason, reference: body.reference }
    }
}

/// An adjustment that was made.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Adjustment)]
pub(in super::super) struct AdjustmentBody<'a> {
    #[schema(value_type = AdjustmentIdText)]
    id: AdjustmentId,
    #[schema(value_type = ProductIdText)]
    product_id: ProductId,
    #[schema(value_type = Delta)]
    delta: i64,
    #[schema(value_type = ReasonText)]
    reason: &'a str,
    #[schema(required, value_type = Option<ReferenceText>)]
    reference: Option<&'a str>,
    /// `on_hand` after it.
    #[schema(value_type = Units)]
    on_hand: i64,
    #[schema(value_type = TimeText)]
    created_at: Timestamp,
}

impl<'a> From<&'a Adjustment> for AdjustmentBody<'a> {
    fn from(made: &'a Adjustment) -> Self {
        Self {
            id: made.id,
            product_id: made.product_id,
            delta: made.delta,
            reason: &made.reason,
            reference: made.reference.as_deref(),
            on_hand: made.on_hand,
            created_at: made.created_at,
        }
    }
}

/// A page of adjustments, newest first.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = AdjustmentPage)]
pub(in super::super) struct AdjustmentPage<'a> {
    pub(in super::super) data: Vec<AdjustmentBody<'a>>,
    /// `null` at the end of the list.
    #[schema(required, value_type = Option<String>)]
    pub(in super::super) next_cursor: Option<Cursor>,
}

/// A product's stock: always `available = on_hand − allocated ≥ 0`.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Stock)]
pub(in super::super) struct StockBody {
    #[schema(value_type = ProductIdText)]
    product_id: ProductId,
    #[schema(value_type = Units)]
    on_hand: i64,
    #[schema(value_type = Units)]
    allocated: i64,
    #[schema(value_type = Units)]
    available: i64,
    #[schema(value_type = Version)]
    version: u64,
}

impl From<&Product> for StockBody {
    fn from(product: &Product) -> Self {
        Self {
            product_id: product.id,
            on_hand: product.stock.on_hand,
            allocated: product.stock.allocated,
            available: product.stock.available(),
            version: product.version,
        }
    }
}
