//! The operator's commands: clients of the same HTTP API that everybody uses.

mod api;
mod check;
#[cfg(feature = "etcd")]
mod config;
mod doctor;
mod export;
mod import;
mod order;
mod progress;
mod reconcile;
mod sums;

pub use check::Check;
#[cfg(feature = "etcd")]
pub use config::Config;
pub use doctor::Doctor;
pub use export::Export;
pub use import::Import;
pub use order::OrderCommand;

/// Why a command did not do what it was asked, in words for the terminal.
#[derive(Debug)]
pub struct Failure(pub String);

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl<E: std::error::Error + 'static> From<E> for Failure {
    fn from(error: E) -> Self {
        Self(shop_core::chain(&error))
    }
}

/// What a command came to: `true` if all of it was done, `false` if something was refused and said so.
pub type Outcome = Result<bool, Failure>;

/// A product and a quantity on the command line: `SKU=3`, or `SKU` for one unit.
#[derive(Debug, Clone)]
pub struct LineArgument {
    sku: String,
    quantity: i64,
}

impl std::str::FromStr for LineArgument {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (sku, quantity) = match text.rsplit_once('=') {
            Some((sku, quantity)) => {
                (sku, quantity.parse().map_err(|_| format!("{quantity:?} is not a whole number"))?)
            }
            None => (text, 1),
        };
        if sku.is_empty() {
            Err("a SKU is missing".into())
        } else {
            Ok(Self { sku: sku.to_owned(), quantity })
        }
    }
}

impl LineArgument {
    fn to_json(&self) -> serde_json::Value {
        serde_json::json!({ "sku": self.sku, "quantity": self.quantity })
    }
}

/// A value of an answer as a word: text without its quotes.
fn word(value: &serde_json::Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}
