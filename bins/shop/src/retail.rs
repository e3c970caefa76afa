//! Real sales as input: the "Online Retail" CSV format (`InvoiceNo, StockCode, Description, Quantity, InvoiceDate, UnitPrice,
//! CustomerID, Country`), dirty as it comes: returns, cancelled invoices, zero prices, missing descriptions.
//!
//! Every row has an end: it is part of a product and, if it is a sale, of an [`Invoice`]; if not, its [`RowKind`] says why.

use std::collections::{BTreeMap, HashMap};
use std::io::Read;

use serde::Deserialize;
use shop_core::{Currency, Money};
use shop_products::Sku;

/// The columns that make a CSV file one of this format.
pub const HEADER: &str = "InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country";

/// What is read of a row; the time of a sale and the country are not replayed.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct RawRow {
    invoice_no: String,
    stock_code: String,
    description: String,
    quantity: String,
    unit_price: String,
    #[serde(rename = "CustomerID")]
    customer_id: String,
}

/// What a row is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum RowKind {
    /// Units sold.
    Sale,
    /// Units that came back: a negative quantity on a cancelled invoice (`C…`).
    Return,
    /// A negative quantity on an invoice that is not cancelled: a count or a loss.
    Correction,
}

impl RowKind {
    /// Why a row of this kind is not ordered; `None` for a sale.
    pub fn reason(self) -> Option<&'static str> {
        match self {
            Self::Sale => None,
            Self::Return => Some("a return on a cancelled invoice"),
            Self::Correction => Some("a stock correction, not a sale"),
        }
    }
}

/// A row that was understood.
#[derive(Debug, Clone)]
pub struct Row {
    /// Its line in the file, from 1; the header is line 1.
    pub line: u64,
    /// The invoice that it belongs to.
    pub invoice: String,
    /// What was sold.
    pub sku: Sku,
    /// How many; negative for a return.
    pub quantity: i64,
    /// What it is.
    pub kind: RowKind,
}

/// A row that cannot be understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RowFault {
    /// Its line in the file, from 1.
    pub line: u64,
    /// What is wrong with it.
    pub reason: String,
}

/// A product as the sales show it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seed {
    /// Its stock code.
    pub sku: Sku,
    /// Its latest description; the SKU if it never has one.
    pub name: String,
    /// Its latest price above zero, in GBP; zero if it never has one.
    pub price: Money,
    /// Units of all sales.
    pub demand: i64,
}

/// The sales of one invoice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invoice {
    /// Its number.
    pub number: String,
    /// Who bought; empty if not known.
    pub customer: String,
    /// What and how many, in the order of the file.
    pub lines: Vec<(Sku, i64)>,
}

/// A whole file.
#[derive(Debug, Default)]
pub struct Sales {
    /// Every row that was understood.
    pub rows: Vec<Row>,
    /// Every row that was not.
    pub faults: Vec<RowFault>,
    /// The products, by SKU.
    pub products: BTreeMap<Sku, Seed>,
    /// The invoices that sell something, in the order of the file.
    pub invoices: Vec<Invoice>,
    /// The numbers of all invoices, those that sell nothing included.
    pub invoice_count: usize,
    /// Rows without a description.
    pub nameless: usize,
    /// Rows with a price of zero.
    pub free: usize,
}

impl Sales {
    /// Reads a whole file.
    ///
    /// # Errors
    /// If the input cannot be read or is not UTF-8. A row that cannot be understood is no error: it is in `faults`.
    pub fn read(input: impl Read) -> Result<Self, csv::Error> {
        let mut sales = Self::default();
        let mut seen: HashMap<String, Option<usize>> = HashMap::new();
        let mut reader = csv::ReaderBuilder::new().flexible(true).from_reader(input);
        let header = reader.headers()?.clone();
        for record in reader.records() {
            let record = record?;
            let line = record.position().map_or(0, csv::Position::line);
            let parsed = record.deserialize(Some(&header)).map_err(|error| error.to_string());
            match parsed.and_then(|raw: RawRow| sales.take(line, &raw).map(|row| (row, raw))) {
                Ok((row, raw)) => sales.file(row, raw, &mut seen),
                Err(reason) => sales.faults.push(RowFault { line, reason }),
            }
        }
        sales.invoice_count = seen.len();
        Ok(sales)
    }

    /// Understands a row and lets it say what it knows of its product.
    fn take(&mut self, line: u64, raw: &RawRow) -> Result<Row, String> {
        let sku: Sku = raw.stock_code.parse().map_err(|error| format!("StockCode: {error}"))?;
        let quantity: i64 = raw.quantity.parse().map_err(|_| "Quantity: not a whole number".to_owned())?;
        let price: Money =
            format!("{} GBP", raw.unit_price).parse().map_err(|error| format!("UnitPrice: {error}"))?;
        if price.minor() < 0 {
            return Err("UnitPrice: negative".to_owned());
        }
        let kind = match quantity {
            1.. => RowKind::Sale,
            _ if raw.invoice_no.starts_with('C') => RowKind::Return,
            _ => RowKind::Correction,
        };
        let seed = self.products.entry(sku.clone()).or_insert_with(|| Seed {
            name: sku.to_string(),
            sku: sku.clone(),
            price: Money::from_minor(0, Currency::GBP),
            demand: 0,
        });
        let name = raw.description.trim();
        if name.is_empty() {
            self.nameless += 1;
        } else if kind == RowKind::Sale || seed.name == seed.sku.as_str() {
            // Corrections carry remarks such as "damages" where the name should be.
            name.clone_into(&mut seed.name);
        }
        if price.minor() == 0 {
            self.free += 1;
        } else {
            seed.price = price;
        }
        seed.demand += quantity.max(0);
        Ok(Row { line, invoice: raw.invoice_no.clone(), sku, quantity, kind })
    }

    /// Puts a row where it belongs.
    fn file(&mut self, row: Row, raw: RawRow, seen: &mut HashMap<String, Option<usize>>) {
        let place = seen.entry(row.invoice.clone()).or_insert(None);
        if row.kind == RowKind::Sale {
            let index = *place.get_or_insert_with(|| {
                let customer = raw.customer_id.trim_end_matches(".0").to_owned();
                self.invoices.push(Invoice { number: row.invoice.clone(), customer, lines: Vec::new() });
                self.invoices.len() - 1
            });
            self.invoices[index].lines.push((row.sku.clone(), row.quantity));
        }
        self.rows.push(row);
    }
}

/// Units to put in stock for a demand: a share of it, rounded down.
pub fn stock_for(demand: i64, share: f64) -> i64 {
    // Demand is far below 2^53, so that the product is exact enough to be rounded down.
    (demand as f64 * share) as i64
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country
536365,85123A,\"HOLDER, WHITE\",6,2010-12-01 08:26:00,2.55,17850.0,United Kingdom
536365,71053,,8,2010-12-01 08:26:00,0.0,17850.0,United Kingdom
C536379,85123A,HOLDER,-1,2010-12-01 09:41:00,2.75,14527.0,United Kingdom
536589,21777,damages,-10,2010-12-01 16:50:00,0.0,,United Kingdom
536590,85123A,HOLDER,many,2010-12-01 16:50:00,2.55,,United Kingdom
536591,21777,BELL,1,2010-12-01 16:50:00,7.95,,United Kingdom
";

    #[test]
    fn no_row_vanishes() {
        let sales = Sales::read(FILE.as_bytes()).unwrap();
        assert_eq!(sales.rows.len() + sales.faults.len(), 6);
        assert_eq!(sales.faults, [RowFault { line: 6, reason: "Quantity: not a whole number".into() }]);
        let kinds: Vec<_> = sales.rows.iter().map(|row| row.kind).collect();
        use RowKind::{Correction, Return, Sale};
        assert_eq!(kinds, [Sale, Sale, Return, Correction, Sale]);
        assert_eq!((sales.invoice_count, sales.invoices.len()), (4, 2));
        assert_eq!((sales.nameless, sales.free), (1, 2));
    }

    #[test]
    fn a_product_has_its_latest_name_and_price() {
        let sales = Sales::read(FILE.as_bytes()).unwrap();
        let seed = |sku: &str| sales.products[&sku.parse::<Sku>().unwrap()].clone();
        assert_eq!(seed("21777").name, "BELL");
        assert_eq!(seed("71053").name, "71053");
        assert_eq!(seed("85123A").price.to_string(), "2.75 GBP");
        assert_eq!(seed("85123A").demand, 6);
        assert_eq!(sales.invoices[0].customer, "17850");
    }
}
