use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;
use shop_core::{Cursor, Money, Timestamp};
use utoipa::ToSchema;

use super::super::schema::{
    Attributes, DescriptionText, MoneySchema, NameText, ProductIdText, ProductStatusName, SkuText, TagText,
    TimeText, Units, Version,
};
use crate::{Product, ProductId, ProductStatus, Sku};

/// A product.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Product)]
pub(in super::super) struct ProductBody<'a> {
    #[schema(value_type = ProductIdText)]
    id: ProductId,
    #[schema(value_type = SkuText)]
    sku: &'a Sku,
    #[schema(value_type = NameText)]
    name: &'a str,
    #[schema(value_type = DescriptionText)]
    description: &'a str,
    #[schema(value_type = MoneySchema)]
    price: Money,
    #[schema(value_type = Attributes)]
    attributes: &'a BTreeMap<String, Value>,
    #[schema(value_type = Vec<TagText>, max_items = 50)]
    tags: &'a [String],
    #[schema(value_type = ProductStatusName)]
    status: ProductStatus,
    stock: Figures,
    #[schema(value_type = Version)]
    version: u64,
    #[schema(value_type = TimeText)]
    created_at: Timestamp,
    #[schema(value_type = TimeText)]
    updated_at: Timestamp,
}

/// What there is of a product: always `available = on_hand − allocated ≥ 0`.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ProductStock)]
struct Figures {
    /// Units in the warehouse.
    #[schema(value_type = Units)]
    on_hand: i64,
    /// Units of these that reservations hold.
    #[schema(value_type = Units)]
    allocated: i64,
    /// Units that can still be taken.
    #[schema(value_type = Units)]
    available: i64,
}

impl<'a> From<&'a Product> for ProductBody<'a> {
    fn from(product: &'a Product) -> Self {
        let details = &product.details;
        Self {
            id: product.id,
            sku: &details.sku,
            name: &details.name,
            description: &details.description,
            price: details.price,
            attributes: &details.attributes,
            tags: &details.tags,
            status: details.status,
            stock: Figures {
                on_hand: product.stock.on_hand,
                allocated: product.stock.allocated,
                available: product.stock.available(),
            },
            version: product.version,
            created_at: product.created_at,
            updated_at: product.updated_at,
        }
    }
}

/// A page of products.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ProductPage)]
pub(in super::super) struct ProductPage<'a> {
    pub(in super::super) data: Vec<ProductBody<'a>>,
    /// `null` at the end of the list.
    #[schema(required, value_type = Option<String>)]
    pub(in super::super) next_cursor: Option<Cursor>,
    /// Only with `include=total`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in super::super) total: Option<u64>,
}

/// A product as an import takes it.
#[derive(Debug, Serialize)]
pub(in super::super) struct ExportRow<'a> {
    sku: &'a Sku,
    name: &'a str,
    description: &'a str,
    price: Money,
    attributes: &'a BTreeMap<String, Value>,
    tags: &'a [String],
    status: ProductStatus,
    on_hand: i64,
}

impl<'a> From<&'a Product> for ExportRow<'a> {
    fn from(product: &'a Product) -> Self {
        let details = &product.details;
        Self {
            sku: &details.sku,
            name: &details.name,
            description: &details.description,
            price: details.price,
            attributes: &details.attributes,
            tags: &details.tags,
            status: details.status,
            on_hand: product.stock.on_hand,
        }
    }
}
