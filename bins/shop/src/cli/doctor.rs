use std::time::Duration;

use clap::Args;
use serde_json::Value;
use shop_core::{Clock, SystemClock, Timestamp};

use super::Outcome;
use super::api::Api;

/// An open settlement is the normal end of every order; only one that is older than this is in doubt.
const UNDER_WAY: Duration = Duration::from_secs(10);

/// What is in doubt: which order is stuck, at what step, and what happens next.
#[derive(Debug, Args)]
pub struct Doctor {
    /// The admin address of the orders service or of `shop up`.
    #[arg(long, default_value = "http://127.0.0.1:8090", env = "SHOP_ADMIN_URL")]
    admin_url: String,
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

fn word(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}
