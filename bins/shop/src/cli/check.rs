use clap::Args;
use serde_json::json;

use super::api::Api;
use super::{LineArgument, Outcome};

/// Whether there is enough of each product, now.
#[derive(Debug, Args)]
pub struct Check {
    /// What and how many: SKU=3, or SKU for one.
    #[arg(required = true, value_name = "SKU[=QUANTITY]")]
    lines: Vec<LineArgument>,
    /// The products service, or a gateway before it.
    #[arg(long, default_value = "http://127.0.0.1:8080", env = "SHOP_URL")]
    url: String,
    /// The answer as the service gave it.
    #[arg(long)]
    json: bool,
}

impl Check {
    /// Asks, prints a line a product, and says whether all can be had.
    ///
    /// # Errors
    /// If the service cannot be asked or refuses the question.
    pub async fn run(self) -> Outcome {
        let api = Api::new(&self.url)?;
        let lines: Vec<_> = self.lines.iter().map(LineArgument::to_json).collect();
        let answer = Api::json(api.post("/v1/stock/check").json(&json!({ "lines": lines }))).await?;
        if self.json {
            println!("{answer}");
        } else {
            for (asked, line) in self.lines.iter().zip(answer["lines"].as_array().into_iter().flatten()) {
                let status = line["status"].as_str().unwrap_or_default();
                println!("{:<24} {:>10} of {:>10}  {status}", asked.sku, asked.quantity, line["available"]);
            }
        }
        Ok(answer["available"] == true)
    }
}
