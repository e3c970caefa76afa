use std::time::Duration;

use reqwest::{Client, RequestBuilder, Response};
use serde_json::Value;

use super::Failure;

/// A service that speaks the HTTP API.
#[derive(Debug)]
pub(super) struct Api {
    client: Client,
    base: String,
}

impl Api {
    pub(super) fn new(base: &str) -> Result<Self, Failure> {
        let client = Client::builder().connect_timeout(Duration::from_secs(5)).build()?;
        Ok(Self { client, base: base.trim_end_matches('/').to_owned() })
    }

    pub(super) fn get(&self, path: &str) -> RequestBuilder {
        self.client.get(format!("{}{path}", self.base))
    }

    pub(super) fn post(&self, path: &str) -> RequestBuilder {
        self.client.post(format!("{}{path}", self.base))
    }

    /// Sends a request; an answer that is no success becomes the problem's own words.
    pub(super) async fn send(request: RequestBuilder) -> Result<Response, Failure> {
        let response = request.send().await?;
        if response.status().is_success() {
            return Ok(response);
        }
        let status = response.status();
        let body = response.bytes().await.unwrap_or_default();
        Err(Failure(
            serde_json::from_slice(&body).map_or_else(|_| status.to_string(), |problem| explain(&problem)),
        ))
    }

    /// Sends a request and reads its JSON.
    pub(super) async fn json(request: RequestBuilder) -> Result<Value, Failure> {
        Ok(Self::send(request).await?.json().await?)
    }
}

/// A problem+json as lines for the terminal: what happened, then every fault and every line that it names.
fn explain(problem: &Value) -> String {
    let text = |name: &str| problem[name].as_str().unwrap_or_default();
    let mut out = format!("{} ({})", text("title"), text("code"));
    if !text("detail").is_empty() {
        out.push_str(&format!(": {}", text("detail")));
    }
    for error in problem["errors"].as_array().into_iter().flatten() {
        let part = |name: &str| error[name].as_str().unwrap_or_default();
        out.push_str(&format!("\n  {}: {}", part("pointer"), part("detail")));
    }
    for line in problem["lines"].as_array().into_iter().flatten() {
        out.push_str(&format!("\n  {line}"));
    }
    out.push_str(&format!("\n  request id {}", text("request_id")));
    out
}
