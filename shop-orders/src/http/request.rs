//! Bodies of requests, and what the use cases take.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer};
use shop_core::http::MoneySchema;
use shop_core::{FieldError, Money, Problem};
use shop_products::validate::{price, sku};
use shop_products::{HoldLine, ProductId, ProductRef};
use utoipa::ToSchema;
use utoipa::openapi::schema::{AdditionalProperties, ObjectBuilder, SchemaType};
use utoipa::openapi::{Object, Type};

use crate::{NewOrder, OrderDetails, OrderError, OrderPatch, validate};

/// Keeps `null` apart from an absent member, which RFC 7396 does too.
fn present<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

/// No control characters.
const PLAIN: &str = r"^[^\x00-\x1F\x7F-\x9F]*$";
/// No control characters but tabs and line ends.
const LINES: &str = r"^[^\x00-\x08\x0B\x0C\x0E-\x1F\x7F-\x9F]*$";

/// An order to be placed.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewOrder)]
pub(super) struct NewOrderBody {
    #[schema(value_type = Vec<NewLineSchema>, min_items = 1, max_items = 1_000)]
    lines: Vec<LineBody>,
    /// The shop's id of the customer.
    #[schema(min_length = 1, max_length = 255, pattern = "^[^\\x00-\\x1F\\x7F-\\x9F]*$")]
    customer_id: Option<String>,
    /// Another system's name of the order.
    #[schema(min_length = 1, max_length = 255, pattern = "^[^\\x00-\\x1F\\x7F-\\x9F]*$")]
    reference: Option<String>,
    /// Place the order only if it costs exactly so much.
    #[schema(value_type = Option<MoneySchema>)]
    expected_total: Option<MoneyBody>,
    /// At most 50 entries, names of 1 to 64 characters and values of at most 1,000.
    #[serde(default)]
    #[schema(schema_with = metadata)]
    metadata: BTreeMap<String, String>,
}

impl NewOrderBody {
    /// What the use case takes.
    ///
    /// # Errors
    /// 422 with every fault of the body, not only those that stand in the conversion's way.
    pub(super) fn into_new_order(self) -> Result<NewOrder, Problem> {
        let mut faults = Vec::new();
        let lines = hold_lines(self.lines, &mut faults);
        let expected_total = self.expected_total.and_then(|money| money.read("/expected_total", &mut faults));
        let details = OrderDetails {
            customer_id: self.customer_id,
            reference: self.reference,
            metadata: self.metadata,
        };
        let new = NewOrder { lines, details, expected_total };
        if faults.is_empty() { Ok(new) } else { Err(every_fault(faults, validate::new_order(&new))) }
    }
}

/// What changes of an order (RFC 7396): members not named stay.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = OrderPatch)]
pub(super) struct PatchBody {
    /// All lines of the order as they are to be; only the difference is taken or given back.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Vec<NewLineSchema>, min_items = 1, max_items = 1_000, required = false)]
    lines: Option<Option<Vec<LineBody>>>,
    /// Null removes it.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<String>, min_length = 1, max_length = 255, pattern = "^[^\\x00-\\x1F\\x7F-\\x9F]*$")]
    customer_id: Option<Option<String>>,
    /// Null removes it.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<String>, min_length = 1, max_length = 255, pattern = "^[^\\x00-\\x1F\\x7F-\\x9F]*$")]
    reference: Option<Option<String>>,
    /// Entries to set; null removes an entry, and entries not named stay. At most 50 in the end.
    #[serde(default, deserialize_with = "present")]
    #[schema(schema_with = metadata_patch, required = false)]
    metadata: Option<Option<BTreeMap<String, Option<String>>>>,
}

impl PatchBody {
    /// What the use case takes.
    ///
    /// # Errors
    /// 422 with every fault of the body, not only those that stand in the conversion's way.
    pub(super) fn into_patch(self) -> Result<OrderPatch, Problem> {
        let mut faults = Vec::new();
        let lines = match self.lines {
            Some(None) => {
                faults.push(FieldError::new(
                    "/lines",
                    "required",
                    "an order has lines: they cannot be removed",
                ));
                None
            }
            Some(Some(lines)) => Some(hold_lines(lines, &mut faults)),
            None => None,
        };
        let metadata = match self.metadata {
            Some(None) => {
                let detail = "must be an object; each entry is removed by a null of its own";
                faults.push(FieldError::new("/metadata", "required", detail));
                None
            }
            other => other.flatten(),
        };
        let patch = OrderPatch { lines, customer_id: self.customer_id, reference: self.reference, metadata };
        if faults.is_empty() { Ok(patch) } else { Err(every_fault(faults, validate::patch(&patch))) }
    }
}

/// Faults found here with those that the domain finds besides.
fn every_fault(mut faults: Vec<FieldError>, rest: Result<(), OrderError>) -> Problem {
    if let Err(OrderError::Invalid(more)) = rest {
        faults.extend(more);
    }
    Problem::invalid(faults)
}

/// A line of a request. Names and prices are not the caller's to say.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct LineBody {
    #[serde(default, deserialize_with = "present")]
    product_id: Option<String>,
    #[serde(default, deserialize_with = "present")]
    sku: Option<String>,
    quantity: i64,
}

/// One product, by its id or by its SKU, and how many units of it.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(untagged)]
#[schema(as = NewLine)]
#[allow(dead_code, reason = "a description; LineBody reads it, and says what is wrong")]
pub(super) enum NewLineSchema {
    /// By id.
    ById(NewLineById),
    /// By SKU.
    BySku(NewLineBySku),
}

/// A product by its id.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[allow(dead_code, reason = "a description")]
pub(super) struct NewLineById {
    #[schema(format = "uuid")]
    product_id: String,
    #[schema(minimum = 1, maximum = 1_000_000)]
    quantity: i64,
}

/// A product by its SKU.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[allow(dead_code, reason = "a description")]
pub(super) struct NewLineBySku {
    #[schema(
        min_length = 1,
        max_length = 64,
        example = "85123A",
        pattern = "^[^\\s\\x00-\\x1F\\x7F-\\x9F]([^\\x00-\\x1F\\x7F-\\x9F]*[^\\s\\x00-\\x1F\\x7F-\\x9F])?$"
    )]
    sku: String,
    #[schema(minimum = 1, maximum = 1_000_000)]
    quantity: i64,
}

/// The lines; a line that names no product stands for any, so that its other faults are found too.
fn hold_lines(lines: Vec<LineBody>, faults: &mut Vec<FieldError>) -> Vec<HoldLine> {
    // The domain refuses more lines as a whole: a million faulty ones are not a million faults in the answer.
    let explained = lines.len() <= HoldLine::MAX_LINES;
    let any = || ProductRef::Id(ProductId(uuid::Uuid::nil()));
    let hold_line = |(n, line): (usize, LineBody)| {
        let product = product(n, line.product_id, line.sku).unwrap_or_else(|fault| {
            if explained {
                faults.push(fault);
            }
            any()
        });
        HoldLine { product, quantity: line.quantity }
    };
    lines.into_iter().enumerate().map(hold_line).collect()
}

fn product(n: usize, product_id: Option<String>, name: Option<String>) -> Result<ProductRef, FieldError> {
    let at = |code, detail| FieldError::new(format!("/lines/{n}"), code, detail);
    match (product_id, name) {
        (Some(id), None) => {
            let fault = |_| FieldError::new(format!("/lines/{n}/product_id"), "invalid", "must be a UUID");
            id.parse().map(ProductRef::Id).map_err(fault)
        }
        (None, Some(text)) => sku(&text, &format!("/lines/{n}/sku")).map(ProductRef::Sku),
        (None, None) => Err(at("required", "must have product_id or sku")),
        (Some(_), Some(_)) => Err(at("ambiguous", "must have product_id or sku, not both")),
    }
}

/// An amount of money, to be read with all its faults.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct MoneyBody {
    amount: String,
    currency: String,
}

impl MoneyBody {
    fn read(&self, pointer: &str, faults: &mut Vec<FieldError>) -> Option<Money> {
        price(&self.amount, &self.currency, pointer).map_err(|found| faults.extend(found)).ok()
    }
}

fn metadata_object(value: SchemaType) -> ObjectBuilder {
    let name = ObjectBuilder::new()
        .schema_type(Type::String)
        .min_length(Some(1))
        .max_length(Some(64))
        .pattern(Some(PLAIN))
        .build();
    let value = ObjectBuilder::new().schema_type(value).max_length(Some(1_000)).pattern(Some(LINES));
    ObjectBuilder::new()
        .schema_type(Type::Object)
        .property_names(Some(name))
        .additional_properties(Some(AdditionalProperties::from(value)))
}

fn metadata() -> Object {
    metadata_object(Type::String.into()).max_properties(Some(validate::MAX_METADATA)).build()
}

fn metadata_patch() -> Object {
    metadata_object(SchemaType::from_iter([Type::String, Type::Null])).build()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn faults(result: Result<impl std::fmt::Debug, Problem>) -> Vec<(String, String)> {
        let problem = result.unwrap_err();
        assert_eq!((problem.status, &*problem.code), (422, "invalid"));
        problem.errors.into_iter().map(|fault| (fault.pointer, fault.code.into_owned())).collect()
    }

    fn patch(body: Value) -> Result<OrderPatch, Problem> {
        serde_json::from_value::<PatchBody>(body).unwrap().into_patch()
    }

    #[test]
    fn faults_of_the_edge_and_of_the_domain_come_together() {
        let body = json!({
            "lines": [
                {"quantity": 1},
                {"sku": "a", "product_id": "b", "quantity": 0},
                {"product_id": "b", "quantity": 1},
                {"sku": "", "quantity": 1},
            ],
            "customer_id": "",
            "expected_total": {"amount": "1.234", "currency": "EUR"},
        });
        let found = faults(serde_json::from_value::<NewOrderBody>(body).unwrap().into_new_order());
        let expected = [
            ("/lines/0", "required"),
            ("/lines/1", "ambiguous"),
            ("/lines/2/product_id", "invalid"),
            ("/lines/3/sku", "required"),
            ("/expected_total/amount", "scale"),
            ("/lines/1/quantity", "out_of_range"),
            ("/customer_id", "invalid_length"),
        ];
        assert_eq!(found, expected.map(|(pointer, code)| (pointer.to_owned(), code.to_owned())));
    }

    #[test]
    fn many_faulty_lines_are_one_fault() {
        let body = json!({"lines": vec![json!({"quantity": 0}); 1_001]});
        let new = serde_json::from_value::<NewOrderBody>(body).unwrap().into_new_order().unwrap();
        assert!(matches!(validate::new_order(&new), Err(OrderError::Invalid(faults)) if faults.len() == 1));
    }

    #[test]
    fn null_is_not_absent() {
        assert_eq!(patch(json!({})).unwrap(), OrderPatch::default());
        let removed = patch(json!({"customer_id": null, "metadata": {"a": null, "b": "c"}})).unwrap();
        assert_eq!(removed.customer_id, Some(None));
        assert_eq!(removed.reference, None);
        let metadata = [("a".to_owned(), None), ("b".to_owned(), Some("c".to_owned()))];
        assert_eq!(removed.metadata, Some(metadata.into()));
        let both = faults(patch(json!({"lines": null, "metadata": null, "reference": "\u{0}"})));
        let pointers: Vec<_> = both.iter().map(|(pointer, _)| pointer.as_str()).collect();
        assert_eq!(pointers, ["/lines", "/metadata", "/reference"]);
        let line = json!({"lines": [{"sku": null, "quantity": 1}]});
        assert!(serde_json::from_value::<PatchBody>(line).is_err(), "null is no SKU");
    }
}
