//! What a request may say. All faults are reported at once, each with its RFC 6901 pointer.

use std::collections::BTreeMap;

use shop_core::FieldError;
use shop_products::HoldLine;

use crate::{NewOrder, OrderError, OrderPatch};

/// The most entries of an order's metadata.
pub(crate) const MAX_METADATA: usize = 50;

const MAX_TEXT: usize = 255;
const MAX_NAME: usize = 64;
const MAX_VALUE: usize = 1_000;
/// The most faults of metadata that are told: what is removed may be many.
const MAX_FAULTS: usize = 1_000;

pub(crate) fn new_order(new: &NewOrder) -> Result<(), OrderError> {
    let mut faults = Faults::default();
    faults.lines(&new.lines);
    faults.text("/customer_id", new.details.customer_id.as_deref());
    faults.text("/reference", new.details.reference.as_deref());
    faults.metadata_size(new.details.metadata.len());
    faults.metadata(new.details.metadata.iter().map(|(name, value)| (name, Some(value))));
    faults.into_result()
}

pub(crate) fn patch(patch: &OrderPatch) -> Result<(), OrderError> {
    let mut faults = Faults::default();
    if let Some(lines) = &patch.lines {
        faults.lines(lines);
    }
    faults.text("/customer_id", patch.customer_id.as_ref().and_then(Option::as_deref));
    faults.text("/reference", patch.reference.as_ref().and_then(Option::as_deref));
    if let Some(metadata) = &patch.metadata {
        faults.metadata(metadata.iter().map(|(name, value)| (name, value.as_ref())));
    }
    faults.into_result()
}

/// What only the merged order shows.
pub(crate) fn merged_metadata(metadata: &BTreeMap<String, String>) -> Result<(), OrderError> {
    let mut faults = Faults::default();
    faults.metadata_size(metadata.len());
    faults.into_result()
}

#[derive(Default)]
struct Faults(Vec<FieldError>);

impl Faults {
    fn push(&mut self, pointer: impl Into<String>, code: &'static str, detail: impl Into<String>) {
        self.0.push(FieldError::new(pointer, code, detail));
    }

    fn lines(&mut self, lines: &[HoldLine]) {
        if !(1..=HoldLine::MAX_LINES).contains(&lines.len()) {
            self.push("/lines", "out_of_range", format!("must be 1 to {} lines", HoldLine::MAX_LINES));
            // A million faulty lines are not a million faults in the answer.
            return;
        }
        for (line, asked) in lines.iter().enumerate() {
            if !(1..=HoldLine::MAX_QUANTITY).contains(&asked.quantity) {
                let detail = format!("must be 1 to {}", HoldLine::MAX_QUANTITY);
                self.push(format!("/lines/{line}/quantity"), "out_of_range", detail);
            }
        }
    }

    fn text(&mut self, pointer: &str, text: Option<&str>) {
        let Some(text) = text else { return };
        if !fits(text, 1, MAX_TEXT) {
            self.push(pointer, "invalid_length", format!("must be 1 to {MAX_TEXT} characters"));
        }
        if text.chars().any(char::is_control) {
            self.push(pointer, "control_character", "must not contain control characters");
        }
    }

    fn metadata_size(&mut self, entries: usize) {
        if entries > MAX_METADATA {
            self.push("/metadata", "too_many", format!("must be at most {MAX_METADATA} entries"));
        }
    }

    fn metadata<'a>(&mut self, entries: impl Iterator<Item = (&'a String, Option<&'a String>)>) {
        let most = self.0.len() + MAX_FAULTS;
        for (name, value) in entries {
            if self.0.len() >= most {
                return;
            }
            let pointer = || format!("/metadata/{}", escaped(name));
            if !fits(name, 1, MAX_NAME) || name.chars().any(char::is_control) {
                let detail =
                    format!("the name must be 1 to {MAX_NAME} characters without control characters");
                self.push(pointer(), "invalid_name", detail);
            }
            let Some(value) = value else { continue };
            if !fits(value, 0, MAX_VALUE) {
                self.push(pointer(), "invalid_length", format!("must be at most {MAX_VALUE} characters"));
            }
            if value.chars().any(|c| c.is_control() && !matches!(c, '\n' | '\r' | '\t')) {
                self.push(
                    pointer(),
                    "control_character",
                    "must not contain control characters but tabs and line ends",
                );
            }
        }
    }

    fn into_result(self) -> Result<(), OrderError> {
        if self.0.is_empty() { Ok(()) } else { Err(OrderError::Invalid(self.0)) }
    }
}

/// Whether a text has so many characters; a long one is not counted to its end.
fn fits(text: &str, least: usize, most: usize) -> bool {
    (least..=most).contains(&text.chars().take(most + 1).count())
}

/// A name as a part of an RFC 6901 pointer. What is too long to be a name is cut, so that an answer stays small.
fn escaped(name: &str) -> String {
    name.chars().take(MAX_NAME).collect::<String>().replace('~', "~0").replace('/', "~1")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::OrderDetails;
    use shop_products::{ProductId, ProductRef};

    fn line(quantity: i64) -> HoldLine {
        HoldLine { product: ProductRef::Id(ProductId::generate()), quantity }
    }

    fn pointers(result: Result<(), OrderError>) -> Vec<String> {
        match result {
            Ok(()) => Vec::new(),
            Err(OrderError::Invalid(faults)) => faults.into_iter().map(|fault| fault.pointer).collect(),
            Err(other) => panic!("{other:?}"),
        }
    }

    #[test]
    fn every_fault_is_reported_at_once() {
        let details = OrderDetails {
            customer_id: Some(String::new()),
            reference: Some("a\0b".into()),
            metadata: [("a/b~".to_owned(), "\0".to_owned()), ("ok".to_owned(), "two\nlines".to_owned())]
                .into(),
        };
        let new = NewOrder { lines: vec![line(0), line(1), line(i64::MIN)], details, expected_total: None };
        assert_eq!(
            pointers(new_order(&new)),
            ["/lines/0/quantity", "/lines/2/quantity", "/customer_id", "/reference", "/metadata/a~1b~0"]
        );
    }

    #[test]
    fn the_bounds_are_inclusive() {
        let details = OrderDetails { customer_id: Some("é".repeat(255)), ..OrderDetails::default() };
        let lines = vec![line(1_000_000); 1_000];
        assert!(new_order(&NewOrder { lines, details, expected_total: None }).is_ok());
        for lines in [vec![], vec![line(1); 1_001]] {
            let new = NewOrder { lines, details: OrderDetails::default(), expected_total: None };
            assert_eq!(pointers(new_order(&new)), ["/lines"]);
        }
        let too_long = OrderPatch { reference: Some(Some("x".repeat(256))), ..OrderPatch::default() };
        assert_eq!(pointers(patch(&too_long)), ["/reference"]);
    }

    #[test]
    fn every_entry_of_the_metadata_is_looked_at_and_few_faults_are_told() {
        let entries = |bad: usize| {
            let nulls = (0..1_000).map(|n| (format!("a{n}"), None));
            let bad = (0..bad).map(|n| (format!("b{n}"), Some("\0".to_owned())));
            OrderPatch { metadata: Some(nulls.chain(bad).collect()), ..OrderPatch::default() }
        };
        assert_eq!(pointers(patch(&entries(1))), ["/metadata/b0"]);
        assert!(patch(&entries(0)).is_ok());
        assert_eq!(pointers(patch(&entries(2_000))).len(), MAX_FAULTS);
    }
}
