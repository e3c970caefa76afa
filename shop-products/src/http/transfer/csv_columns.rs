use serde_json::Value;
use shop_core::{FieldError, Problem};

use super::super::dto::{DetailsParts, PriceBody};
use crate::{ImportRow, Product, ProductStatus};

/// The columns, in the order of an export.
pub(super) const NAMES: [&str; 9] =
    ["sku", "name", "description", "price", "currency", "tags", "status", "on_hand", "attributes"];
const NEEDED: [&str; 4] = ["sku", "name", "price", "currency"];

/// Where each of [`NAMES`] stands in the rows of a file.
#[derive(Debug)]
pub(super) struct Columns {
    places: [Option<usize>; NAMES.len()],
    pub(super) width: usize,
}

impl Columns {
    /// Reads a header row.
    ///
    /// # Errors
    /// 400 `invalid_csv_header` with every column that is unknown, doubled or missing.
    pub(super) fn read<'a>(header: impl Iterator<Item = &'a [u8]>) -> Result<Self, Problem> {
        let mut columns = Self { places: [None; NAMES.len()], width: 0 };
        let mut faults = Vec::new();
        for field in header {
            let name = String::from_utf8_lossy(field).trim().to_ascii_lowercase();
            let pointer = format!("/{}", name.replace('~', "~0").replace('/', "~1"));
            match NAMES.iter().position(|known| *known == name) {
                None => faults.push(FieldError::new(pointer, "unknown_column", "is not known")),
                Some(n) if columns.places[n].is_some() => {
                    faults.push(FieldError::new(pointer, "duplicate_column", "is there twice"));
                }
                Some(n) => columns.places[n] = Some(columns.width),
            }
            columns.width += 1;
        }
        for name in NEEDED {
            if NAMES.iter().position(|known| *known == name).is_some_and(|n| columns.places[n].is_none()) {
                faults.push(FieldError::new(format!("/{name}"), "missing_column", "is needed"));
            }
        }
        if faults.is_empty() {
            return Ok(columns);
        }
        Err(unusable_header(faults))
    }

    /// A row's SKU.
    pub(super) fn sku(&self, fields: &[&str]) -> Option<String> {
        self.places[0].and_then(|place| fields.get(place)).map(|sku| (*sku).to_owned())
    }

    /// A row's content.
    ///
    /// # Errors
    /// Every fault.
    pub(super) fn content(&self, fields: &[&str]) -> Result<ImportRow, Vec<FieldError>> {
        let [sku, name, description, price, currency, tags, status, on_hand, attributes] =
            self.places.map(|place| place.and_then(|place| fields.get(place)).copied().unwrap_or_default());
        let mut faults = Vec::new();
        let mut keep = |fault: FieldError| faults.push(fault);
        let tags = read_tags(tags).map_err(&mut keep).unwrap_or_default();
        let status = read_status(status).map_err(&mut keep).unwrap_or_default();
        let on_hand = read_units(on_hand).map_err(&mut keep).unwrap_or_default();
        let attributes = match attributes {
            "" => Default::default(),
            json => serde_json::from_str(json)
                .map_err(|error| keep(FieldError::new("/attributes", "malformed_json", error.to_string())))
                .unwrap_or_default(),
        };
        let parts = DetailsParts {
            sku: sku.to_owned(),
            name: name.to_owned(),
            description: description.to_owned(),
            price: PriceBody::new(price.to_owned(), currency.to_owned()),
            attributes,
            tags,
            status,
        };
        match parts.read() {
            Ok(details) if faults.is_empty() => Ok(ImportRow { details, on_hand }),
            Ok(_) => Err(faults),
            Err(mut more) => {
                faults.append(&mut more);
                Err(faults)
            }
        }
    }
}

pub(super) fn unusable_header(faults: Vec<FieldError>) -> Problem {
    let detail = format!("the columns are {}", NAMES.join(","));
    Problem {
        errors: faults,
        ..Problem::new(400, "invalid_csv_header", "The CSV header is not valid").detail(detail)
    }
}

fn read_tags(text: &str) -> Result<Vec<String>, FieldError> {
    match text {
        "" => Ok(Vec::new()),
        json if json.starts_with('[') => serde_json::from_str(json)
            .map_err(|error| FieldError::new("/tags", "malformed_json", error.to_string())),
        plain => Ok(plain.split('|').map(str::to_owned).collect()),
    }
}

fn read_status(text: &str) -> Result<ProductStatus, FieldError> {
    if text.is_empty() {
        return Ok(ProductStatus::default());
    }
    serde_json::from_value(Value::String(text.to_owned()))
        .map_err(|_| FieldError::new("/status", "invalid_value", "must be draft, active or archived"))
}

fn read_units(text: &str) -> Result<Option<i64>, FieldError> {
    match text.trim() {
        "" => Ok(None),
        digits => digits
            .parse()
            .map(Some)
            .map_err(|_| FieldError::new("/on_hand", "invalid_type", "must be a whole number")),
    }
}

/// A product as a row, in the order of [`NAMES`].
pub(super) fn fields(product: &Product) -> [String; NAMES.len()] {
    let details = &product.details;
    let price = details.price.to_string();
    let (amount, currency) = price.split_once(' ').unwrap_or((&price, ""));
    let status = match details.status {
        ProductStatus::Draft => "draft",
        ProductStatus::Active => "active",
        ProductStatus::Archived => "archived",
    };
    [
        details.sku.to_string(),
        details.name.clone(),
        details.description.clone(),
        amount.to_owned(),
        currency.to_owned(),
        written_tags(&details.tags),
        status.to_owned(),
        product.stock.on_hand.to_string(),
        match details.attributes.is_empty() {
            true => String::new(),
            false => serde_json::to_string(&details.attributes).expect("attributes are JSON"),
        },
    ]
}

/// As they would be read again: JSON where a `|` would not do.
fn written_tags(tags: &[String]) -> String {
    let plain =
        !tags.iter().any(|tag| tag.contains('|')) && !tags.first().is_some_and(|tag| tag.starts_with('['));
    if plain { tags.join("|") } else { serde_json::to_string(tags).expect("texts are JSON") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_read_as_they_were_written() {
        for tags in [&[][..], &["a"], &["a", "b c"], &["a|b", "c"], &["[x"], &["a", "[x"], &["\"", "é"]] {
            let tags: Vec<String> = tags.iter().map(|tag| (*tag).to_owned()).collect();
            assert_eq!(read_tags(&written_tags(&tags)).unwrap(), tags);
        }
        assert!(read_tags("[1]").is_err());
    }

    #[test]
    fn a_header_names_its_faults() {
        let header = |names: &str| Columns::read(names.split(',').map(str::as_bytes));
        assert_eq!(header("price,sku,currency,name").unwrap().width, 4);
        let problem = header("sku,SKU,colour,name,price").unwrap_err();
        let codes: Vec<_> = problem.errors.iter().map(|f| (f.pointer.as_str(), f.code.as_ref())).collect();
        assert_eq!(
            codes,
            [("/sku", "duplicate_column"), ("/colour", "unknown_column"), ("/currency", "missing_column")]
        );
    }

    #[test]
    fn a_row_names_all_its_faults() {
        let columns = Columns::read(NAMES.iter().map(|name| name.as_bytes())).unwrap();
        let faults = columns.content(&[" ", "", "", "1.999", "EUR", "[", "gone", "many", "{"]).unwrap_err();
        let mut pointers: Vec<_> = faults.iter().map(|fault| fault.pointer.as_str()).collect();
        pointers.sort_unstable();
        assert_eq!(
            pointers,
            ["/attributes", "/name", "/on_hand", "/price/amount", "/sku", "/status", "/tags"]
        );
    }
}
