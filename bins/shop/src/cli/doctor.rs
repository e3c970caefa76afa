use clap::Args;
use serde_json::Value;

use super::Outcome;
use super::api::Api;

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
    /// Asks, explains each case, and says whether there is none.
    ///
    /// # Errors
    /// If the service cannot be asked.
    pub async fn run(self) -> Outcome {
        let api = Api::new(&self.admin_url)?;
        let status = Api::json(api.get("/status")).await?;
        let cases = Api::json(api.get("/doctor")).await?;
        let list = cases["in_doubt"].as_array().cloned().unwrap_or_default();
        if self.json {
            println!("{}", serde_json::json!({ "status": status, "in_doubt": list }));
        } else {
            println!("{} {}", word(&status["service"]), word(&status["version"]));
            if list.is_empty() {
                println!("nothing is in doubt");
            }
            for case in &list {
                let part = |name: &str| word(&case[name]);
                println!("{} {} since {}", part("kind"), part("reservation_id"), part("since"));
                println!("  order {}: {}; next: {}", part("order_id"), part("step"), part("next"));
            }
        }
        Ok(list.is_empty())
    }
}

fn word(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}
