//! The wire forms of products and stock: private types, converted at the edge.

mod adjustment;
mod input;
mod patch;
mod product;

pub(super) use adjustment::{AdjustmentBody, AdjustmentPage, NewAdjustmentBody, StockBody};
pub(super) use input::{DetailsBody, DetailsParts, NewProductBody, PriceBody};
pub(super) use patch::PatchBody;
pub(super) use product::{ExportRow, ProductBody, ProductPage};
