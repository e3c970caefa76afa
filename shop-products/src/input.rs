use serde_json::{Map, Value};
use shop_core::Money;

use crate::{ProductDetails, ProductError, ProductId, ProductStatus, Sku};

/// A product to be made.
#[derive(Debug, Clone, PartialEq)]
pub struct NewProduct {
    /// What the seller says of it.
    pub details: ProductDetails,
    /// Units in the warehouse, 0 to [`Stock::MAX`](crate::Stock::MAX).
    pub on_hand: i64,
}

/// A change of a product's details.
#[derive(Debug, Clone, PartialEq)]
pub enum ProductEditRequest {
    /// All of them (`PUT`).
    Replace(ProductDetails),
    /// Some of them (`PATCH`).
    Patch(ProductPatch),
}

/// A JSON merge patch (RFC 7396) of a product: `None` leaves a member, `Some(None)` is `null` and empties it.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ProductPatch {
    /// Another SKU.
    pub sku: Option<Sku>,
    /// Another name.
    pub name: Option<String>,
    /// Another description.
    pub description: Option<Option<String>>,
    /// Another price.
    pub price: Option<Money>,
    /// A merge patch of the attributes: `null` members remove, objects are merged, all else replaces.
    pub attributes: Option<Option<Map<String, Value>>>,
    /// Other tags, all of them.
    pub tags: Option<Option<Vec<String>>>,
    /// Another status.
    pub status: Option<ProductStatus>,
}

impl ProductPatch {
    /// The details after the patch; not validated.
    pub(crate) fn applied_to(&self, details: &ProductDetails) -> ProductDetails {
        let mut details = details.clone();
        if let Some(sku) = &self.sku {
            details.sku = sku.clone();
        }
        if let Some(name) = &self.name {
            details.name.clone_from(name);
        }
        if let Some(description) = &self.description {
            details.description = description.clone().unwrap_or_default();
        }
        if let Some(price) = self.price {
            details.price = price;
        }
        if let Some(tags) = &self.tags {
            details.tags = tags.clone().unwrap_or_default();
        }
        if let Some(status) = self.status {
            details.status = status;
        }
        match &self.attributes {
            None => {}
            Some(None) => details.attributes.clear(),
            Some(Some(patch)) => {
                for (name, value) in patch {
                    if value.is_null() {
                        details.attributes.remove(name);
                    } else {
                        merge(details.attributes.entry(name.clone()).or_default(), value);
                    }
                }
            }
        }
        details
    }
}

/// RFC 7396, section 2.
fn merge(target: &mut Value, patch: &Value) {
    let Value::Object(members) = patch else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = Value::Object(Map::new());
    }
    if let Value::Object(object) = target {
        for (name, value) in members {
            if value.is_null() {
                object.remove(name);
            } else {
                merge(object.entry(name.clone()).or_insert(Value::Null), value);
            }
        }
    }
}

/// A change of `on_hand`, with its reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewAdjustment {
    /// Units added; negative takes away; not 0.
    pub delta: i64,
    /// Why: 1 to 255 characters.
    pub reason: String,
    /// The other system's name of it: 1 to 255 characters.
    pub reference: Option<String>,
}

/// One row of an import: the product of this SKU is made, or replaced.
#[derive(Debug, Clone, PartialEq)]
pub struct ImportRow {
    /// All details.
    pub details: ProductDetails,
    /// What `on_hand` is to be; `None` leaves it (0 for a new product).
    pub on_hand: Option<i64>,
}

/// What became of one row of an import.
#[derive(Debug, Clone)]
pub enum RowOutcome {
    /// A new product.
    Created(ProductId),
    /// A product that was there has other details or stock now.
    Updated(ProductId),
    /// A product that was there is as the row says already.
    Unchanged(ProductId),
    /// Nothing was done, for this reason.
    Refused(ProductError),
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// The examples of RFC 7396, appendix A, that have an object for a patch.
    #[test]
    fn merges_as_the_rfc_has_it() {
        for (before, patch, after) in [
            (json!({"a":"b"}), json!({"a":"c"}), json!({"a":"c"})),
            (json!({"a":"b"}), json!({"b":"c"}), json!({"a":"b","b":"c"})),
            (json!({"a":"b"}), json!({"a":null}), json!({})),
            (json!({"a":"b","b":"c"}), json!({"a":null}), json!({"b":"c"})),
            (json!({"a":["b"]}), json!({"a":"c"}), json!({"a":"c"})),
            (json!({"a":{"b":"c"}}), json!({"a":{"b":"d","c":null}}), json!({"a":{"b":"d"}})),
            (json!({"e":null}), json!({"a":1}), json!({"e":null,"a":1})),
            (json!([1, 2]), json!({"a":"b","c":null}), json!({"a":"b"})),
            (json!({}), json!({"a":{"bb":{"ccc":null}}}), json!({"a":{"bb":{}}})),
            (json!({"a":"foo"}), json!(["b"]), json!(["b"])),
        ] {
            let mut merged = before.clone();
            merge(&mut merged, &patch);
            assert_eq!(merged, after, "{before} with {patch}");
        }
    }
}
