use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::api::Api;
use super::{Failure, LineArgument, Outcome};

/// Place, show and move orders.
#[derive(Debug, Args)]
pub struct OrderCommand {
    /// The orders service, or a gateway before it.
    #[arg(long, global = true, default_value = "http://127.0.0.1:8080", env = "SHOP_URL")]
    url: String,
    /// The answer as the service gave it.
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Place an order: all of it or nothing.
    Place {
        /// What and how many: SKU=3, or SKU for one.
        #[arg(required = true, value_name = "SKU[=QUANTITY]")]
        lines: Vec<LineArgument>,
        /// The customer's id.
        #[arg(long)]
        customer: Option<String>,
        /// Another system's name of the order.
        #[arg(long)]
        reference: Option<String>,
        /// Idempotency-Key: the same key places one order, however often it is sent.
        #[arg(long)]
        key: Option<String>,
    },
    /// Show an order.
    Get {
        /// Its id.
        id: String,
    },
    /// The newest orders.
    List {
        /// Only of this status.
        #[arg(long)]
        status: Option<String>,
        /// Only of this customer.
        #[arg(long)]
        customer: Option<String>,
        /// How many.
        #[arg(long, default_value_t = 20)]
        limit: u16,
    },
    /// Cancel a placed order; its stock is available again.
    Cancel {
        /// Its id.
        id: String,
    },
    /// Ship a placed order.
    Ship {
        /// Its id.
        id: String,
    },
    /// Mark a shipped order as delivered.
    Deliver {
        /// Its id.
        id: String,
    },
}

impl OrderCommand {
    /// Does it and prints the order or orders.
    ///
    /// # Errors
    /// If the service cannot be asked, or refuses: then in the problem's own words.
    pub async fn run(self) -> Outcome {
        let api = Api::new(&self.url)?;
        let answer = match self.action {
            Action::Place { lines, customer, reference, key } => {
                let lines: Vec<_> = lines.iter().map(LineArgument::to_json).collect();
                let mut order = json!({ "lines": lines });
                for (name, value) in [("customer_id", customer), ("reference", reference)] {
                    if let Some(value) = value {
                        order[name] = value.into();
                    }
                }
                let request = api.post("/v1/orders").json(&order);
                Api::json(
                    key.into_iter().fold(request, |request, key| request.header("Idempotency-Key", key)),
                )
                .await
            }
            Action::Get { id } => Api::json(api.get(&format!("/v1/orders/{id}"))).await,
            Action::List { status, customer, limit } => {
                let filters = [("status", status), ("customer_id", customer)];
                let given: Vec<_> =
                    filters.iter().filter_map(|(name, value)| Some((name, value.as_ref()?))).collect();
                Api::json(api.get("/v1/orders").query(&[("limit", limit)]).query(&given)).await
            }
            Action::Cancel { id } => act(&api, &id, "cancel").await,
            Action::Ship { id } => act(&api, &id, "ship").await,
            Action::Deliver { id } => act(&api, &id, "deliver").await,
        }?;
        if self.json {
            println!("{answer}");
        } else if let Some(orders) = answer["data"].as_array() {
            orders.iter().for_each(print);
        } else {
            print(&answer);
        }
        Ok(true)
    }
}

async fn act(api: &Api, id: &str, action: &str) -> Result<Value, Failure> {
    Api::json(api.post(&format!("/v1/orders/{id}/{action}"))).await
}

fn print(order: &Value) {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    println!(
        "{}  #{} {} {} {}  {} lines  {}",
        text(&order["id"]),
        order["number"],
        text(&order["status"]),
        text(&order["total"]["amount"]),
        text(&order["total"]["currency"]),
        order["lines"].as_array().map_or(0, Vec::len),
        text(&order["placed_at"]),
    );
}
