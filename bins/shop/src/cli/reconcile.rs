use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::api::Api;
use super::sums::Sums;
use super::{Outcome, progress, word};

/// What the pages of the walk came to.
#[derive(Debug, Default)]
struct Found {
    reservations: u64,
    orders: u64,
    under_way: u64,
    forgotten: u64,
    differences: Vec<Value>,
}

/// Compares orders with products, page by page, mends what can be mended if it is to, and adds the stock up. Says whether
/// nothing is left that differs.
///
/// # Errors
/// If a service cannot be asked. What was mended before stays so; it can be run again.
pub(super) async fn reconcile(admin: &Api, products: &Api, apply: bool, as_json: bool) -> Outcome {
    let bar = progress::rows(as_json);
    let mut found = Found::default();
    let mut cursor: Option<String> = None;
    loop {
        let request = if apply { admin.post("/reconcile") } else { admin.get("/reconcile") };
        let request = request.query(&[("limit", "500")]);
        let request =
            cursor.into_iter().fold(request, |request, cursor| request.query(&[("cursor", cursor)]));
        let page = Api::json(request).await?;
        let (rows, differences) = found.add(&page);
        bar.inc(rows);
        if !as_json {
            // Above the bar, and at once: there may be many.
            differences.iter().for_each(|difference| bar.suspend(|| print(difference)));
        }
        bar.set_message(format!("{} differences", found.differences.len()));
        cursor = page["next_cursor"].as_str().map(str::to_owned);
        if cursor.is_none() {
            break;
        }
    }
    let sums = Sums::of(products, &bar).await?;
    bar.finish_and_clear();
    let left = found.differences.iter().filter(|difference| difference["applied"] != true).count();
    if as_json {
        println!("{}", found.to_json(&sums));
    } else {
        found.summary(left);
        sums.summary();
    }
    Ok(left == 0 && sums.differences.is_empty())
}

impl Found {
    /// How many rows a page was of, and its differences.
    fn add<'a>(&mut self, page: &'a Value) -> (u64, &'a [Value]) {
        let figure = |name: &str| page[name].as_u64().unwrap_or_default();
        let (reservations, orders) = (figure("reservations"), figure("orders"));
        self.reservations += reservations;
        self.orders += orders;
        self.under_way += figure("under_way");
        self.forgotten += figure("forgotten");
        let differences = page["differences"].as_array().map(Vec::as_slice).unwrap_or_default();
        self.differences.extend_from_slice(differences);
        (reservations + orders, differences)
    }

    fn to_json(&self, sums: &Sums) -> Value {
        json!({
            "reservations": self.reservations, "orders": self.orders, "under_way": self.under_way,
            "forgotten": self.forgotten, "differences": self.differences, "oversold": self.oversold(),
            "sums": sums.to_json(),
        })
    }

    /// Units, by SKU, that orders have and nobody can hold for them any more.
    fn oversold(&self) -> BTreeMap<String, i64> {
        let mut asked: BTreeMap<String, (i64, i64)> = BTreeMap::new();
        let open = self.differences.iter().filter(|difference| difference["applied"] != true);
        for line in open.flat_map(|difference| difference["lines"].as_array().into_iter().flatten()) {
            if line["status"].is_null() {
                continue;
            }
            let number = |name: &str| line[name].as_i64().unwrap_or_default();
            let name = if line["sku"].is_null() { &line["product_id"] } else { &line["sku"] };
            let sum = asked.entry(word(name)).or_default();
            sum.0 += number("ordered");
            // As the last of them was told.
            sum.1 = number("available");
        }
        asked.retain(|_, (ordered, available)| ordered > available);
        asked.into_iter().map(|(sku, (ordered, available))| (sku, ordered - available)).collect()
    }

    fn summary(&self, left: usize) {
        println!(
            "{} reservations and {} orders compared: {} differences, {left} of them left; {} under way",
            self.reservations,
            self.orders,
            self.differences.len(),
            self.under_way,
        );
        for (sku, units) in self.oversold() {
            println!(
                "oversold: {sku} by {units}; decide which orders get what there is, and cancel the others"
            );
        }
        if self.forgotten > 0 {
            println!(
                "not judged: {} orders that were shipped more than 23 hours ago, and deleted ones: products need not know \
                 their reservations any more. If products are from a backup older than that, count what is on hand",
                self.forgotten
            );
        }
    }
}

fn print(difference: &Value) {
    let order = match difference["order_id"].as_str() {
        Some(id) => format!("order #{} {id}: {}", difference["order_number"], word(&difference["order"])),
        None => word(&difference["order"]),
    };
    let state = difference["reservation"].as_str().unwrap_or("unknown to products");
    println!("reservation {} is {state}; {order}", word(&difference["reservation_id"]));
    for line in difference["lines"].as_array().into_iter().flatten() {
        let name = if line["sku"].is_null() { &line["product_id"] } else { &line["sku"] };
        let can_be_had = match line["status"].as_str() {
            Some(status) => format!(", {} available ({status})", line["available"]),
            None => String::new(),
        };
        println!("  {}: {} ordered, {} reserved{can_be_had}", word(name), line["ordered"], line["reserved"]);
    }
    let done = if difference["applied"] == true { "done" } else { "to do" };
    println!("  {done}: {}", explain(difference["repair"].as_str().unwrap_or_default()));
}

/// A repair in words.
fn explain(repair: &str) -> &str {
    match repair {
        "commit" => "commit the reservation",
        "release" => "release the reservation",
        "fulfil" => "fulfil the reservation: its units left the warehouse",
        "shrink" => "give back what the reservation has above the order's lines",
        "hold_and_commit" => "hold the order's units again and commit them",
        "hold_and_fulfil" => "hold the order's units again and fulfil them: they left the warehouse",
        "expire_and_release" => "give the reservation up and release it: no order has it",
        "cancel_by_hand" => {
            "by hand: its stock was given back; cancel the order, or cancel it and place it anew"
        }
        "ship_by_hand" => "by hand: its units left the warehouse; ship the order",
        "find_by_hand" => {
            "by hand: its units left the warehouse; find out for whom, adjust the stock if they came back"
        }
        "adjust_by_hand" => "by hand: the order was shipped, its units are still on hand; adjust the stock",
        "edit_by_hand" => {
            "by hand: less is reserved than ordered; edit the order to that, then to what it should have"
        }
        other => other,
    }
}
