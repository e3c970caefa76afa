use serde::{Deserialize, Serialize};
#[cfg(feature = "http")]
use shop_core::FieldError;
use smol_str::SmolStr;

use super::units::units;
#[cfg(feature = "http")]
use crate::validate;
use crate::{HoldLine, ProductId, ProductRef};

/// A line of a check or a hold: which product, by `product_id` or `sku`, and how many.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename = "Line", deny_unknown_fields)]
pub(crate) struct LineBody {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) product_id: Option<ProductId>,
    // Held without an allocation up to 23 bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) sku: Option<SmolStr>,
    #[serde(deserialize_with = "units")]
    pub(crate) quantity: i64,
}

impl From<&HoldLine> for LineBody {
    fn from(line: &HoldLine) -> Self {
        let (product_id, sku) = match &line.product {
            ProductRef::Id(id) => (Some(*id), None),
            ProductRef::Sku(sku) => (None, Some(sku.clone().into())),
        };
        Self { product_id, sku, quantity: line.quantity }
    }
}

/// What to check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "http", derive(utoipa::ToSchema), schema(as = StockCheckRequest))]
#[serde(deny_unknown_fields)]
pub(crate) struct CheckBody {
    #[cfg_attr(feature = "http", schema(value_type = Vec<crate::http::schema::LineSchema>, min_items = 1, max_items = 1000))]
    pub(crate) lines: Vec<LineBody>,
}

/// The lines of a body, whose pointer is `/lines`. What is wrong with a line's product is told together with what is wrong
/// with the quantities.
///
/// # Errors
/// Every fault.
#[cfg(feature = "http")]
pub(crate) fn into_lines(bodies: Vec<LineBody>) -> Result<Vec<HoldLine>, Vec<FieldError>> {
    let mut faults = Vec::new();
    let mut lines = Vec::with_capacity(bodies.len().min(HoldLine::MAX_LINES + 1));
    // Of a list that is too long, only that is told.
    for (n, body) in bodies.into_iter().take(HoldLine::MAX_LINES + 1).enumerate() {
        let product = match (body.product_id, body.sku) {
            (Some(id), None) => ProductRef::Id(id),
            (None, Some(sku)) => match sku.clone().try_into() {
                Ok(sku) => ProductRef::Sku(sku),
                Err(_) => {
                    faults.extend(validate::sku(&sku, &format!("/lines/{n}/sku")).err());
                    ProductRef::Id(ProductId(shop_core::id::Uuid::nil()))
                }
            },
            (id, _) => {
                let (code, detail) = match id {
                    Some(_) => ("ambiguous", "must have product_id or sku, not both"),
                    None => ("required", "must have product_id or sku"),
                };
                faults.push(FieldError::new(format!("/lines/{n}"), code, detail));
                ProductRef::Id(ProductId(shop_core::id::Uuid::nil()))
            }
        };
        lines.push(HoldLine { product, quantity: body.quantity });
    }
    if lines.len() > HoldLine::MAX_LINES {
        return Err(validate::lines(&lines));
    }
    if faults.is_empty() {
        return Ok(lines);
    }
    faults.extend(validate::lines(&lines));
    Err(faults)
}

#[cfg(test)]
#[cfg(feature = "http")]
mod tests {
    use super::*;

    fn faults(json: &str) -> Vec<(String, String)> {
        let body: CheckBody = serde_json::from_str(json).unwrap();
        let found = into_lines(body.lines).unwrap_err();
        found.into_iter().map(|f| (f.pointer, f.code.into_owned())).collect()
    }

    #[test]
    fn a_line_names_one_product() {
        let found = faults(
            r#"{"lines":[{"quantity":1},{"sku":"A","product_id":"0190a6f0-0000-7000-8000-000000000000","quantity":1},
            {"sku":" A","quantity":0}]}"#,
        );
        let expected = [
            ("/lines/0", "required"),
            ("/lines/1", "ambiguous"),
            ("/lines/2/sku", "invalid"),
            ("/lines/2/quantity", "out_of_range"),
        ];
        assert_eq!(found, expected.map(|(p, c)| (p.to_owned(), c.to_owned())));
    }

    #[test]
    fn too_many_lines_are_one_fault() {
        let line = LineBody { product_id: None, sku: None, quantity: 0 };
        let found = into_lines(vec![line; 1_001]).unwrap_err();
        assert_eq!((found.len(), &*found[0].code, &*found[0].pointer), (1, "too_many", "/lines"));
    }
}
