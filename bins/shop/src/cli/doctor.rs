use std::time::Duration;

use clap::Args;
use serde_json::Value;
use shop_core::{Clock, SystemClock, Timestamp};

use super::api::Api;
use super::reconcile::reconcile;
use super::{Outcome, word};

/// An open settlement is the normal end of every order; only one that is older than this is in doubt.
const UNDER_WAY: Duration = Duration::from_secs(10);

/// What is in doubt: which order is stuck, at what step, and what happens next.
#[derive(Debug, Args)]
pub struct Doctor {
    /// The admin address of the orders service or of `shop up`.
    #[arg(long, default_value = "http://127.0.0.1:8090", env = "SHOP_ADMIN_URL")]
    admin_url: String,
    /// Compare all orders with all reservations, and the stock with the reservations' sums: for when one of the two databases
    /// was restored from an old backup. Says what differs and what would mend it; safe while the shop runs.
    #[arg(long)]
    reconcile: bool,
    /// Mend what needs no decision of a human; what is said to be by hand is left.
    #[arg(long, requires = "reconcile")]
    apply: bool,
    /// The products service, whose stock is added up.
    #[arg(long, default_value = "http://127.0.0.1:8082", env = "SHOP_PRODUCTS_URL")]
    products_url: String,
    /// The answers as the service gave them.
    #[arg(long)]
    json: bool,
}

impl Doctor {
    /// Asks, explains each case, and says whether nothing is in doubt.
    ///
    /// # Errors
    /// If the service cannot be asked.
    pub async fn run(self) -> Outcome {
        let api = Api::new(&self.admin_url)?;
        if self.reconcile {
            return reconcile(&api, &Api::new(&self.products_url)?, self.apply, self.json).await;
        }
        let status = Api::json(api.get("/status")).await?;
        let cases = Api::json(api.get("/doctor")).await?;
        let list = cases["in_doubt"].as_array().cloned().unwrap_or_default();
        let (doubts, under_way): (Vec<_>, Vec<_>) = list.iter().partition(|case| !is_under_way(case));
        if self.json {
            println!("{}", serde_json::json!({ "status": status, "in_doubt": list }));
        } else {
            println!("{} {}", word(&status["service"]), word(&status["version"]));
            if doubts.is_empty() {
                println!("nothing is in doubt; {} under way", under_way.len());
            }
            for case in doubts.iter().chain(&under_way) {
                let part = |name: &str| word(&case[name]);
                println!("{} {} since {}", part("kind"), part("reservation_id"), part("since"));
                println!("  order {}: {}; next: {}", part("order_id"), part("step"), part("next"));
            }
        }
        Ok(doubts.is_empty())
    }
}

fn is_under_way(case: &Value) -> bool {
    let since = case["since"].as_str().and_then(|text| text.parse::<Timestamp>().ok());
    case["kind"] == "open_settlement" && since.is_some_and(|since| SystemClock.now() < since.plus(UNDER_WAY))
}
