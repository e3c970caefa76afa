use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use shop_core::{Money, Timestamp};
use smol_str::SmolStr;

use crate::Stock;

shop_core::define_id! {
    /// A product's id.
    ProductId
}

/// A stock keeping unit: the seller's own name of a product. 1 to 64 characters, none of them a control character, no
/// space at either end; compared as written. Up to 23 bytes are held without an allocation.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "SmolStr", into = "SmolStr")]
pub struct Sku(SmolStr);

/// A text that cannot be a SKU.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be 1 to 64 characters without control characters and without spaces at the ends")]
pub struct InvalidSku;

impl Sku {
    /// The most characters that a SKU has.
    pub const MAX_CHARS: usize = 64;

    /// The SKU's text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<SmolStr> for Sku {
    type Error = InvalidSku;

    fn try_from(text: SmolStr) -> Result<Self, Self::Error> {
        let fits = (1..=Self::MAX_CHARS).contains(&text.chars().count());
        let clean = !text.chars().any(char::is_control) && text.trim().len() == text.len();
        if fits && clean { Ok(Self(text)) } else { Err(InvalidSku) }
    }
}

impl FromStr for Sku {
    type Err = InvalidSku;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        SmolStr::from(text).try_into()
    }
}

impl From<Sku> for SmolStr {
    fn from(sku: Sku) -> Self {
        sku.0
    }
}

impl fmt::Display for Sku {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Sku {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sku({})", self.0)
    }
}

/// How a caller names a product.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ProductRef {
    /// By its id.
    Id(ProductId),
    /// By its SKU.
    Sku(Sku),
}

impl fmt::Display for ProductRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Id(id) => id.fmt(f),
            Self::Sku(sku) => write!(f, "sku:{sku}"),
        }
    }
}

/// Whether a product is for sale.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ProductStatus {
    /// Not yet for sale.
    Draft,
    /// For sale.
    #[default]
    Active,
    /// No longer for sale.
    Archived,
}

/// What a seller says of a product: all of a [`Product`] that an edit can change.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ProductDetails {
    /// Unique among products that are not deleted.
    pub sku: Sku,
    /// 1 to 255 characters, no control characters.
    pub name: String,
    /// At most 10,000 characters; empty if there is none.
    pub description: String,
    /// What one unit costs; not negative.
    pub price: Money,
    /// At most 100, names of 1 to 64 characters, 16 KiB in all as JSON.
    pub attributes: BTreeMap<String, Value>,
    /// At most 50, each of 1 to 64 characters, no duplicates.
    pub tags: Vec<String>,
    /// Whether it is for sale.
    pub status: ProductStatus,
}

/// A product with its stock.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Product {
    /// The product's id.
    pub id: ProductId,
    /// What the seller says of it.
    pub details: ProductDetails,
    /// What there is of it.
    pub stock: Stock,
    /// Rises with every change of the product or its stock. The `ETag`.
    pub version: u64,
    /// The `version` that the last change of `details` made. An `If-Match` of this or a later version has seen it, and
    /// stock that moved since does not stand in an edit's way.
    pub edited_version: u64,
    /// When it was made.
    pub created_at: Timestamp,
    /// When its details last changed.
    pub updated_at: Timestamp,
    /// When it was deleted. A deleted product is in no list and cannot be ordered; what is allocated stays allocated.
    pub deleted_at: Option<Timestamp>,
}

impl Product {
    /// Whether it can be ordered: active and not deleted.
    pub fn is_orderable(&self) -> bool {
        self.details.status == ProductStatus::Active && self.deleted_at.is_none()
    }

    /// Whether who has seen `version` has seen the details as they are.
    pub fn has_seen(&self, version: u64) -> bool {
        (self.edited_version..=self.version).contains(&version)
    }
}
