use std::collections::BTreeMap;
use std::time::Duration;

use indicatif::ProgressBar;
use serde_json::{Value, json};

use super::api::Api;
use super::{Failure, word};

/// How often a product that changes while it is looked at is looked at again.
const ROUNDS: usize = 3;
/// Before each of them.
const PAUSE: Duration = Duration::from_secs(1);

/// Whether every product has allocated what its held and committed reservations add up to.
#[derive(Debug, Default)]
pub(super) struct Sums {
    products: u64,
    /// Products that changed at every look.
    moving: Vec<String>,
    /// Reservations' products that are in no list any more.
    deleted: usize,
    /// `{product_id, sku, on_hand, allocated, reserved}`.
    pub(super) differences: Vec<Value>,
}

/// A product whose sum did not fit at the last look.
struct Suspect {
    id: String,
    sku: String,
}

impl Sums {
    /// Adds up all reservations by product, an entry a product in memory, and compares. What differs is looked at again: it
    /// counts if the product did not change from before the reservations were read until after.
    ///
    /// # Errors
    /// If products cannot be asked.
    pub(super) async fn of(api: &Api, bar: &ProgressBar) -> Result<Self, Failure> {
        bar.set_message("adding up the reservations");
        let mut reserved = reserved(api, bar, |_| true).await?;
        let (mut sums, mut suspects) = (Self::default(), Vec::new());
        let mut cursor = None;
        loop {
            let page = page(api, "/v1/products", cursor).await?;
            for product in page["data"].as_array().into_iter().flatten() {
                sums.products += 1;
                bar.inc(1);
                let id = word(&product["id"]);
                let sum = reserved.remove(&id).unwrap_or_default();
                if product["stock"]["allocated"] != sum {
                    suspects.push(Suspect { id, sku: word(&product["sku"]) });
                }
            }
            cursor = page["next_cursor"].as_str().map(str::to_owned);
            if cursor.is_none() {
                break;
            }
        }
        sums.deleted = reserved.len();
        for _ in 0..ROUNDS {
            if !suspects.is_empty() {
                suspects = sums.look_again(api, bar, suspects).await?;
            }
        }
        sums.moving = suspects.into_iter().map(|suspect| suspect.sku).collect();
        Ok(sums)
    }

    /// Returns those that changed meanwhile.
    async fn look_again(
        &mut self,
        api: &Api,
        bar: &ProgressBar,
        suspects: Vec<Suspect>,
    ) -> Result<Vec<Suspect>, Failure> {
        tokio::time::sleep(PAUSE).await;
        let mut before = BTreeMap::new();
        for suspect in &suspects {
            before.insert(suspect.id.clone(), stock(api, &suspect.id).await?);
        }
        let reserved = reserved(api, bar, |id| before.contains_key(id)).await?;
        let mut moving = Vec::new();
        for suspect in suspects {
            let (was, stock) = (&before[&suspect.id], stock(api, &suspect.id).await?);
            let sum = reserved.get(&suspect.id).copied().unwrap_or_default();
            if stock["version"] != was["version"] {
                moving.push(suspect);
            } else if stock["allocated"] != sum {
                self.differences.push(json!({
                    "product_id": suspect.id, "sku": suspect.sku, "on_hand": stock["on_hand"],
                    "allocated": stock["allocated"], "reserved": sum,
                }));
            }
        }
        Ok(moving)
    }

    pub(super) fn to_json(&self) -> Value {
        json!({
            "products": self.products, "differences": self.differences, "moving": self.moving,
            "deleted": self.deleted,
        })
    }

    pub(super) fn summary(&self) {
        for product in &self.differences {
            println!(
                "{}: {} on hand, {} allocated, but its reservations add up to {}: the stores must be looked into",
                word(&product["sku"]),
                product["on_hand"],
                product["allocated"],
                product["reserved"],
            );
        }
        println!("{} products added up: {} differences", self.products, self.differences.len());
        if !self.moving.is_empty() {
            println!("not judged, since they change all the time: {}", self.moving.join(", "));
        }
        if self.deleted > 0 {
            println!("not judged: {} products that reservations have and that are deleted", self.deleted);
        }
    }
}

/// Units of held and committed reservations by product.
async fn reserved(
    api: &Api,
    bar: &ProgressBar,
    wanted: impl Fn(&str) -> bool,
) -> Result<BTreeMap<String, i64>, Failure> {
    let (mut sums, mut cursor) = (BTreeMap::new(), None);
    loop {
        let page = page(api, "/v1/reservations", cursor).await?;
        for reservation in page["data"].as_array().into_iter().flatten() {
            bar.inc(1);
            if reservation["state"] != "held" && reservation["state"] != "committed" {
                continue;
            }
            for line in reservation["lines"].as_array().into_iter().flatten() {
                let units = line["quantity"].as_i64().unwrap_or_default();
                if let Some(id) = line["product_id"].as_str().filter(|id| units > 0 && wanted(id)) {
                    *sums.entry(id.to_owned()).or_default() += units;
                }
            }
        }
        cursor = page["next_cursor"].as_str().map(str::to_owned);
        if cursor.is_none() {
            return Ok(sums);
        }
    }
}

async fn page(api: &Api, path: &str, cursor: Option<String>) -> Result<Value, Failure> {
    let request = api.get(path).query(&[("limit", "500")]);
    Api::json(cursor.into_iter().fold(request, |request, cursor| request.query(&[("cursor", cursor)]))).await
}

async fn stock(api: &Api, id: &str) -> Result<Value, Failure> {
    Api::json(api.get(&format!("/v1/products/{id}/stock"))).await
}
