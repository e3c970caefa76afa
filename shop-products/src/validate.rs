//! What the content of a request must be. Every fault is reported, each with an RFC 6901 pointer into the body.
//!
//! Codes: `required`, `too_long`, `out_of_range`, `invalid_character`, `invalid`, `duplicate`, `too_many`, `too_large`,
//! `negative`, `zero`, `scale`.

use std::collections::HashSet;
use std::time::Duration;

use shop_core::{Currency, FieldError, Money, MoneyError};

use crate::{
    HoldLine, HoldRequest, ImportRow, NewAdjustment, NewProduct, ProductDetails, SettleAction, Settlement,
    Sku, Stock,
};

/// The most settlements of one call.
pub const MAX_SETTLEMENTS: usize = 10_000;
/// The longest that a hold may ask to live.
pub const MAX_EXPIRES_IN: Duration = Duration::from_secs(365 * 24 * 3_600);

/// Reads a SKU; `pointer` is where it stands.
///
/// # Errors
/// Why it is none.
pub fn sku(text: &str, pointer: &str) -> Result<Sku, FieldError> {
    text.parse().map_err(|_| {
        let (code, detail) = match text.chars().count() {
            0 => ("required", "must not be empty".to_owned()),
            n if n > Sku::MAX_CHARS => {
                ("too_long", format!("must have at most {} characters", Sku::MAX_CHARS))
            }
            _ if text.chars().any(char::is_control) => {
                ("invalid_character", "must not have control characters".to_owned())
            }
            _ => ("invalid", "must not begin or end with a space".to_owned()),
        };
        FieldError::new(pointer, code, detail)
    })
}

/// Reads a price from a decimal text and an ISO 4217 code; `pointer` is where the price stands.
///
/// # Errors
/// Every fault of it.
pub fn price(amount: &str, currency: &str, pointer: &str) -> Result<Money, Vec<FieldError>> {
    // The scale is only known once the currency is; CLF, with the most decimals, finds an amount that none takes.
    let known = Currency::from_code(currency);
    let mut faults = Vec::new();
    if known.is_none() {
        faults.push(FieldError::new(
            format!("{pointer}/currency"),
            "invalid",
            "must be an ISO 4217 code such as EUR",
        ));
    }
    match format!("{amount} {}", known.as_ref().map_or("CLF", Currency::code)).parse::<Money>() {
        Ok(money) if faults.is_empty() => {
            return match money.ten_thousandths() {
                Some(0..) => Ok(money),
                Some(_) => Err(vec![FieldError::new(
                    format!("{pointer}/amount"),
                    "negative",
                    "must not be negative",
                )]),
                None => {
                    Err(vec![FieldError::new(format!("{pointer}/amount"), "out_of_range", "is too large")])
                }
            };
        }
        Ok(_) => {}
        Err(error) => {
            let code = match error {
                MoneyError::Scale => "scale",
                MoneyError::Range => "out_of_range",
                _ => "invalid",
            };
            faults.push(FieldError::new(format!("{pointer}/amount"), code, error.to_string()));
        }
    }
    Err(faults)
}

/// Every fault of a product's details. `at` is the pointer of the object, empty for the body itself.
pub fn details(details: &ProductDetails, at: &str) -> Vec<FieldError> {
    let mut faults = Faults::new(at);
    faults.text("/name", &details.name, 1, 255, false);
    faults.text("/description", &details.description, 0, 10_000, true);
    match details.price.ten_thousandths() {
        None => faults.push("/price/amount", "out_of_range", "is too large"),
        Some(..0) => faults.push("/price/amount", "negative", "must not be negative"),
        Some(_) => {}
    }
    attributes(&mut faults, details);
    if details.tags.len() > 50 {
        faults.push("/tags", "too_many", "must be at most 50");
    }
    let mut seen = HashSet::new();
    for (n, tag) in details.tags.iter().enumerate().take(50) {
        let pointer = format!("/tags/{n}");
        faults.text(&pointer, tag, 1, 64, false);
        if !seen.insert(tag) {
            faults.push(&pointer, "duplicate", "is there already");
        }
    }
    faults.found
}

fn attributes(faults: &mut Faults<'_>, details: &ProductDetails) {
    if details.attributes.len() > 100 {
        faults.push("/attributes", "too_many", "must be at most 100");
        return;
    }
    for name in details.attributes.keys() {
        faults.text(&format!("/attributes/{}", token(name)), name, 1, 64, false);
    }
    if !details.attributes.is_empty() {
        let size = serde_json::to_string(&details.attributes).map_or(usize::MAX, |json| json.len());
        if size > 16 * 1_024 {
            faults.push("/attributes", "too_large", "must be at most 16 KiB as JSON");
        }
    }
}

/// Every fault of a product to be made.
pub fn new_product(new: &NewProduct) -> Vec<FieldError> {
    let mut found = details(&new.details, "");
    on_hand(new.on_hand, &mut found);
    found
}

/// Every fault of a row to be imported.
pub fn import_row(row: &ImportRow) -> Vec<FieldError> {
    let mut found = details(&row.details, "");
    if let Some(units) = row.on_hand {
        on_hand(units, &mut found);
    }
    found
}

fn on_hand(units: i64, found: &mut Vec<FieldError>) {
    if !(0..=Stock::MAX).contains(&units) {
        found.push(FieldError::new("/on_hand", "out_of_range", format!("must be 0 to {}", Stock::MAX)));
    }
}

/// Every fault of an adjustment.
pub fn adjustment(new: &NewAdjustment) -> Vec<FieldError> {
    let mut faults = Faults::new("");
    if new.delta == 0 {
        faults.push("/delta", "zero", "must not be 0");
    } else if !(-Stock::MAX..=Stock::MAX).contains(&new.delta) {
        faults.push("/delta", "out_of_range", &format!("must be −{max} to {max}", max = Stock::MAX));
    }
    faults.text("/reason", &new.reason, 1, 255, false);
    if let Some(reference) = &new.reference {
        faults.text("/reference", reference, 1, 255, false);
    }
    faults.found
}

/// Every fault of the lines of a hold or check, which stand at `/lines`.
pub fn lines(lines: &[HoldLine]) -> Vec<FieldError> {
    let mut faults = Faults::new("");
    match lines.len() {
        0 => faults.push("/lines", "required", "must have at least one line"),
        n if n > HoldLine::MAX_LINES => {
            faults.push("/lines", "too_many", &format!("must be at most {}", HoldLine::MAX_LINES));
            return faults.found;
        }
        _ => {}
    }
    for (n, line) in lines.iter().enumerate() {
        if !(1..=HoldLine::MAX_QUANTITY).contains(&line.quantity) {
            let range = format!("must be 1 to {}", HoldLine::MAX_QUANTITY);
            faults.push(&format!("/lines/{n}/quantity"), "out_of_range", &range);
        }
    }
    faults.found
}

/// Every fault of a hold.
pub fn hold(request: &HoldRequest) -> Vec<FieldError> {
    let mut found = lines(&request.lines);
    let mut faults = Faults::new("");
    if let Some(owner) = &request.owner {
        faults.text("/owner", owner, 1, 64, false);
    }
    if request.expires_in.is_some_and(|span| span.is_zero() || span > MAX_EXPIRES_IN) {
        let range = format!("must be 1 to {}", MAX_EXPIRES_IN.as_secs());
        faults.push("/expires_in", "out_of_range", &range);
    }
    found.append(&mut faults.found);
    found
}

/// Every fault of settlements; they stand at the body's root, an array.
pub fn settlements(settlements: &[Settlement]) -> Vec<FieldError> {
    let mut faults = Faults::new("");
    if settlements.len() > MAX_SETTLEMENTS {
        faults.push("", "too_many", &format!("must be at most {MAX_SETTLEMENTS}"));
        return faults.found;
    }
    for (n, settlement) in settlements.iter().enumerate() {
        if let SettleAction::Shrink(lines) = &settlement.action {
            for (l, line) in lines.iter().enumerate() {
                if line.quantity < 0 {
                    faults.push(&format!("/{n}/shrink/{l}/quantity"), "negative", "must not be negative");
                }
            }
        }
    }
    faults.found
}

/// A name in a JSON pointer (RFC 6901, section 3).
fn token(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

struct Faults<'a> {
    at: &'a str,
    found: Vec<FieldError>,
}

impl<'a> Faults<'a> {
    fn new(at: &'a str) -> Self {
        Self { at, found: Vec::new() }
    }

    fn push(&mut self, pointer: &str, code: &'static str, detail: &str) {
        self.found.push(FieldError::new(format!("{}{pointer}", self.at), code, detail));
    }

    /// A text of `min` to `max` characters without control characters; `lines`: but for line feeds, returns and tabs.
    fn text(&mut self, pointer: &str, text: &str, min: usize, max: usize, lines: bool) {
        // A text of `max` characters has at most four bytes each: longer ones need no counting.
        if text.len() > max * 4 || text.chars().count() > max {
            self.push(pointer, "too_long", &format!("must have at most {max} characters"));
        } else if text.chars().count() < min || (min > 0 && text.trim().is_empty()) {
            self.push(pointer, "required", "must not be empty");
        }
        if text.chars().any(|c| c.is_control() && !(lines && matches!(c, '\n' | '\r' | '\t'))) {
            self.push(pointer, "invalid_character", "must not have control characters");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ProductId, ProductRef, ReservationId};
    use serde_json::json;

    fn codes(faults: &[FieldError]) -> Vec<(&str, &str)> {
        faults.iter().map(|fault| (fault.pointer.as_str(), fault.code.as_ref())).collect()
    }

    #[test]
    fn every_fault_is_reported_at_once() {
        let faults = details(
            &ProductDetails {
                sku: "A".parse().unwrap(),
                name: "\0".into(),
                description: "x".repeat(10_001),
                price: Money::from_minor(-1, Currency::EUR),
                attributes: [("a/b".repeat(30), json!(1)), ("big".into(), json!("x".repeat(20_000)))].into(),
                tags: vec!["a".into(), "a".into(), String::new()],
                status: crate::ProductStatus::Active,
            },
            "",
        );
        let long = format!("/attributes/{}", "a~1b".repeat(30));
        assert_eq!(
            codes(&faults),
            [
                ("/name", "invalid_character"),
                ("/description", "too_long"),
                ("/price/amount", "negative"),
                (long.as_str(), "too_long"),
                ("/attributes", "too_large"),
                ("/tags/1", "duplicate"),
                ("/tags/2", "required"),
            ]
        );
    }

    #[test]
    fn lines_have_their_limits() {
        let line = |quantity| HoldLine { product: ProductRef::Id(ProductId::generate()), quantity };
        let faults = lines(&[line(0), line(1), line(-5), line(HoldLine::MAX_QUANTITY), line(i64::MAX)]);
        assert_eq!(
            codes(&faults),
            [0, 2, 4].map(|n| (
                ["/lines/0/quantity", "", "/lines/2/quantity", "", "/lines/4/quantity"][n],
                "out_of_range"
            ))
        );
        assert_eq!(codes(&lines(&[])), [("/lines", "required")]);
        assert_eq!(codes(&lines(&vec![line(0); 1_001])), [("/lines", "too_many")]);
        let request = HoldRequest {
            id: ReservationId::generate(),
            owner: Some(String::new()),
            lines: vec![line(1)],
            expires_in: Some(Duration::ZERO),
        };
        assert_eq!(codes(&hold(&request)), [("/owner", "required"), ("/expires_in", "out_of_range")]);
    }

    #[test]
    fn a_price_fits_its_currency() {
        assert_eq!(price("19.99", "EUR", "/price").unwrap().minor(), 1_999);
        assert_eq!(codes(&price("19.999", "EUR", "/price").unwrap_err()), [("/price/amount", "scale")]);
        assert_eq!(codes(&price("-1", "EUR", "/price").unwrap_err()), [("/price/amount", "negative")]);
        assert_eq!(
            codes(&price("9223372036854775807", "JPY", "").unwrap_err()),
            [("/amount", "out_of_range")]
        );
        assert_eq!(
            codes(&price("abc", "eur", "/price").unwrap_err()),
            [("/price/currency", "invalid"), ("/price/amount", "invalid")]
        );
    }

    #[test]
    fn a_sku_says_what_is_wrong() {
        for (text, code) in
            [("", "required"), (" a", "invalid"), ("a\0", "invalid_character"), (&"x".repeat(65), "too_long")]
        {
            assert_eq!(sku(text, "/sku").unwrap_err().code, code, "{text:?}");
        }
    }
}
