use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;
use shop_core::{Currency, FieldError, Money};
use utoipa::ToSchema;

use super::super::schema::{
    Attributes, DescriptionText, NameText, PriceSchema, ProductStatusName, SkuText, TagText, Units,
};
use crate::wire::units::optional;
use crate::{ImportRow, NewProduct, ProductDetails, ProductStatus, Sku, validate};

/// A product to be made, or a row of an import.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewProduct)]
pub(in super::super) struct NewProductBody {
    #[schema(value_type = SkuText)]
    pub(in super::super) sku: String,
    #[schema(value_type = NameText)]
    name: String,
    #[schema(value_type = Option<DescriptionText>)]
    description: Option<String>,
    #[schema(value_type = PriceSchema)]
    price: PriceBody,
    #[schema(value_type = Option<Attributes>)]
    attributes: Option<BTreeMap<String, Value>>,
    #[schema(value_type = Option<Vec<TagText>>, max_items = 50)]
    tags: Option<Vec<String>>,
    /// `active` if absent.
    #[schema(value_type = Option<ProductStatusName>)]
    status: Option<ProductStatus>,
    /// Absent: 0 for a new product; an import leaves what a product has.
    #[serde(default, deserialize_with = "optional")]
    #[schema(value_type = Option<Units>)]
    on_hand: Option<i64>,
}

/// All details of a product.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = ProductDetails)]
pub(in super::super) struct DetailsBody {
    #[schema(value_type = SkuText)]
    sku: String,
    #[schema(value_type = NameText)]
    name: String,
    #[schema(value_type = Option<DescriptionText>)]
    description: Option<String>,
    #[schema(value_type = PriceSchema)]
    price: PriceBody,
    #[schema(value_type = Option<Attributes>)]
    attributes: Option<BTreeMap<String, Value>>,
    #[schema(value_type = Option<Vec<TagText>>, max_items = 50)]
    tags: Option<Vec<String>>,
    /// `active` if absent.
    #[schema(value_type = Option<ProductStatusName>)]
    status: Option<ProductStatus>,
}

/// A price before anybody looked at it.
#[derive(Debug, Deserialize)]
#[serde(rename = "Price", deny_unknown_fields)]
pub(in super::super) struct PriceBody {
    amount: String,
    currency: String,
}

impl PriceBody {
    pub(in super::super) fn new(amount: String, currency: String) -> Self {
        Self { amount, currency }
    }

    /// # Errors
    /// Every fault, at `/price`.
    pub(in super::super) fn read(&self) -> Result<Money, Vec<FieldError>> {
        validate::price(&self.amount, &self.currency, "/price")
    }
}

/// What a seller says of a product, in whatever form it came.
#[derive(Debug)]
pub(in super::super) struct DetailsParts {
    pub(in super::super) sku: String,
    pub(in super::super) name: String,
    pub(in super::super) description: String,
    pub(in super::super) price: PriceBody,
    pub(in super::super) attributes: BTreeMap<String, Value>,
    pub(in super::super) tags: Vec<String>,
    pub(in super::super) status: ProductStatus,
}

impl DetailsParts {
    /// The details; those of which only the form is known to be right are the service's to judge.
    ///
    /// # Errors
    /// Every fault, of the content too, if the SKU or the price cannot be read.
    pub(in super::super) fn read(self) -> Result<ProductDetails, Vec<FieldError>> {
        let mut faults = Vec::new();
        let sku = validate::sku(&self.sku, "/sku").map_err(|fault| faults.push(fault)).ok();
        let price = self.price.read().map_err(|mut found| faults.append(&mut found)).ok();
        let details = ProductDetails {
            sku: sku.unwrap_or_else(placeholder),
            name: self.name,
            description: self.description,
            price: price.unwrap_or(Money::from_minor(0, Currency::EUR)),
            attributes: self.attributes,
            tags: self.tags,
            status: self.status,
        };
        if faults.is_empty() {
            return Ok(details);
        }
        faults.extend(validate::details(&details, ""));
        Err(faults)
    }
}

/// Stands in for a SKU that cannot be read, so that the rest can be looked at.
pub(in super::super) fn placeholder() -> Sku {
    "-".parse().expect("one visible character")
}

impl NewProductBody {
    fn split(self) -> (DetailsParts, Option<i64>) {
        let parts = DetailsParts {
            sku: self.sku,
            name: self.name,
            description: self.description.unwrap_or_default(),
            price: self.price,
            attributes: self.attributes.unwrap_or_default(),
            tags: self.tags.unwrap_or_default(),
            status: self.status.unwrap_or_default(),
        };
        (parts, self.on_hand)
    }

    /// # Errors
    /// See [`DetailsParts::read`].
    pub(in super::super) fn into_new(self) -> Result<NewProduct, Vec<FieldError>> {
        let (parts, on_hand) = self.split();
        Ok(NewProduct { details: parts.read()?, on_hand: on_hand.unwrap_or(0) })
    }

    /// # Errors
    /// See [`DetailsParts::read`].
    pub(in super::super) fn into_row(self) -> Result<ImportRow, Vec<FieldError>> {
        let (parts, on_hand) = self.split();
        Ok(ImportRow { details: parts.read()?, on_hand })
    }
}

impl DetailsBody {
    /// # Errors
    /// See [`DetailsParts::read`].
    pub(in super::super) fn into_details(self) -> Result<ProductDetails, Vec<FieldError>> {
        DetailsParts {
            sku: self.sku,
            name: self.name,
            description: self.description.unwrap_or_default(),
            price: self.price,
            attributes: self.attributes.unwrap_or_default(),
            tags: self.tags.unwrap_or_default(),
            status: self.status.unwrap_or_default(),
        }
        .read()
    }
}
