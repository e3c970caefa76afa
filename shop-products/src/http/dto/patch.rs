use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};
use shop_core::{Currency, FieldError, Money};
use utoipa::ToSchema;

use super::super::schema::{
    Attributes, DescriptionText, NameText, PriceSchema, ProductStatusName, SkuText, TagText,
};
use super::input::{PriceBody, placeholder};
use crate::{ProductDetails, ProductPatch, ProductStatus, validate};

/// A JSON merge patch (RFC 7396) of a product's details. `null` empties `description`, `attributes`, `tags` or one attribute;
/// the others cannot be without a value. A price is given whole.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = ProductPatch)]
pub(in super::super) struct PatchBody {
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = SkuText, required = false)]
    sku: Option<String>,
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = NameText, required = false)]
    name: Option<String>,
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<DescriptionText>)]
    description: Option<Option<String>>,
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = PriceSchema, required = false)]
    price: Option<PriceBody>,
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<Attributes>)]
    attributes: Option<Option<Map<String, Value>>>,
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<Vec<TagText>>, max_items = 50)]
    tags: Option<Option<Vec<String>>>,
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = ProductStatusName, required = false)]
    status: Option<ProductStatus>,
}

/// A member that is there, even if it is `null`.
fn present<'de, T: Deserialize<'de>, D: Deserializer<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

impl PatchBody {
    /// The patch; the product after it is the service's to judge.
    ///
    /// # Errors
    /// Every fault of the patch, if the SKU or the price cannot be read.
    pub(in super::super) fn into_patch(self) -> Result<ProductPatch, Vec<FieldError>> {
        let mut faults = Vec::new();
        let sku = self.sku.and_then(|sku| validate::sku(&sku, "/sku").map_err(|f| faults.push(f)).ok());
        let price = self.price.and_then(|price| price.read().map_err(|mut f| faults.append(&mut f)).ok());
        let patch = ProductPatch {
            sku,
            name: self.name,
            description: self.description,
            price,
            attributes: self.attributes,
            tags: self.tags,
            status: self.status,
        };
        if faults.is_empty() {
            return Ok(patch);
        }
        // What else is wrong with it shows on a product that has nothing wrong.
        let sound = ProductDetails {
            sku: placeholder(),
            name: "-".into(),
            description: String::new(),
            price: Money::from_minor(0, Currency::EUR),
            attributes: Default::default(),
            tags: Vec::new(),
            status: ProductStatus::Active,
        };
        faults.extend(validate::details(&patch.applied_to(&sound), ""));
        Err(faults)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> serde_json::Result<PatchBody> {
        serde_json::from_str(json)
    }

    #[test]
    fn null_and_absent_are_two_things() {
        let patch = read(r#"{"description":null,"tags":["a"],"attributes":{"x":null}}"#).unwrap();
        let patch = patch.into_patch().unwrap();
        assert_eq!(patch.description, Some(None));
        assert_eq!(patch.tags, Some(Some(vec!["a".into()])));
        assert!(patch.attributes.unwrap().unwrap()["x"].is_null());
        assert_eq!((patch.sku, patch.name, patch.price, patch.status), (None, None, None, None));
        for member in ["sku", "name", "price", "status"] {
            assert!(read(&format!(r#"{{"{member}":null}}"#)).is_err(), "{member} cannot be emptied");
        }
        assert!(read(r#"{"version":3}"#).is_err());
    }

    #[test]
    fn every_fault_is_told_at_once() {
        let patch =
            read(r#"{"sku":" ","name":"\u0000","price":{"amount":"1.999","currency":"EUR"}}"#).unwrap();
        let faults = patch.into_patch().unwrap_err();
        let pointers: Vec<_> = faults.iter().map(|fault| fault.pointer.as_str()).collect();
        assert_eq!(pointers, ["/sku", "/price/amount", "/name"]);
    }
}
