use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Method};
use reqwest::{Client, Url};
use serde::Serialize;
use shop_core::http::current_request;
use tokio::time::{Instant, sleep, timeout_at};

use super::answer::refusal;
use super::backoff::pause;
use super::breaker::{Breaker, BreakerState};
use super::carrier::{Answer, Attempt, Carrier};
use super::config::{BuildError, RestCatalogBuilder, without_secrets};
use super::fault::ClientFault;
use crate::CatalogError;

/// Sends requests until one is answered.
pub(super) struct Caller {
    carrier: Carrier,
    base: Url,
    request_timeout: Duration,
    deadline: Duration,
    max_response: usize,
    retries: u32,
    backoff: Duration,
    breaker: Arc<Breaker>,
}

impl fmt::Debug for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Caller")
            .field("base", &without_secrets(self.base.as_str()))
            .field("breaker", &self.breaker)
            .finish_non_exhaustive()
    }
}

impl Caller {
    pub(super) fn new(config: &RestCatalogBuilder, breaker: Breaker) -> Result<Self, BuildError> {
        let bad_url =
            |why: String| BuildError::BaseUrl(format!("{}: {why}", without_secrets(&config.base_url)));
        let mut base = Url::parse(&config.base_url).map_err(|error| bad_url(error.to_string()))?;
        // What else a transport of the user's speaks is its own business.
        let is_spoken = base.scheme() == "http" || (base.scheme() == "https" && config.transport.is_some());
        if !is_spoken || base.query().is_some() || base.fragment().is_some() {
            return Err(bad_url("must be http://host[:port][/prefix]".into()));
        }
        if !base.path().ends_with('/') {
            base.set_path(&format!("{}/", base.path()));
        }
        let carrier = match &config.transport {
            Some(transport) => Carrier::Service(transport.clone()),
            None => Carrier::Reqwest(client(config)?),
        };
        Ok(Self {
            carrier,
            base,
            request_timeout: config.request_timeout,
            deadline: config.deadline,
            max_response: config.max_response,
            retries: config.retries,
            backoff: config.backoff,
            breaker: Arc::new(breaker),
        })
    }

    /// The address of a path below the base URL, such as `v1/stock/check`.
    ///
    /// # Errors
    /// Never, for a path of ours.
    pub(super) fn url(&self, path: &str) -> Result<Url, CatalogError> {
        self.base.join(path).map_err(|error| CatalogError::Invalid(error.to_string()))
    }

    pub(super) fn breaker_state(&self) -> BreakerState {
        self.breaker.state()
    }

    /// Asks, again and again if there is no answer, until the deadline; the body of the good answer.
    ///
    /// # Errors
    /// What a refusal means, or `Unavailable` when there is no answer.
    pub(super) async fn ask<B: Serialize + Sync>(
        &self,
        method: Method,
        url: Url,
        body: Option<&B>,
    ) -> Result<Bytes, CatalogError> {
        let deadline = after(self.deadline);
        let body = match body.map(serde_json::to_vec).transpose() {
            Ok(body) => body.map(Bytes::from),
            Err(error) => return Err(CatalogError::Invalid(error.to_string())),
        };
        let headers = headers(body.is_some());
        let mut n = 0;
        loop {
            let Some(permit) = self.breaker.admit() else {
                // An earlier attempt of this call was sent.
                let was_sent = n > 0;
                let fault = ClientFault::Open;
                return Err(if was_sent { fault.into() } else { CatalogError::NotSent(Box::new(fault)) });
            };
            let outcome = self.attempt(&method, &url, &headers, body.clone(), deadline).await;
            // A refusal is an answer; only silence, nonsense and gateway errors say that products are not there.
            let (fault, asked) = match outcome {
                Ok(answer) => match answer.status {
                    200..=299 => {
                        permit.tell(true);
                        return Ok(answer.body);
                    }
                    status => match refusal(status, &answer.body) {
                        CatalogError::Unavailable(source) => {
                            permit.tell(status < 500);
                            let fault = match source.downcast_ref() {
                                Some(ClientFault::NotFound) => ClientFault::NotFound,
                                _ => ClientFault::Status(status),
                            };
                            (fault, answer.retry_after)
                        }
                        refused => {
                            permit.tell(true);
                            return Err(refused);
                        }
                    },
                },
                Err(fault) => {
                    // A server that says too much is there.
                    permit.tell(matches!(fault, ClientFault::TooLarge(_)));
                    (fault, None)
                }
            };
            let wait = pause(self.backoff, n, asked);
            if !fault.is_transient() || n == self.retries || wait >= deadline.duration_since(Instant::now()) {
                return Err(fault.into());
            }
            tracing::debug!(error.message = %fault, attempt = n + 1, "products are asked again");
            sleep(wait).await;
            n += 1;
        }
    }

    async fn attempt(
        &self,
        method: &Method,
        url: &Url,
        headers: &HeaderMap,
        body: Option<Bytes>,
        deadline: Instant,
    ) -> Result<Answer, ClientFault> {
        let until = deadline.min(after(self.request_timeout));
        let attempt = Attempt { method, url, headers, body };
        match timeout_at(until, self.carrier.exchange(attempt, self.max_response)).await {
            Ok(answer) => answer,
            Err(_) => Err(ClientFault::Timeout),
        }
    }
}

fn client(config: &RestCatalogBuilder) -> Result<Client, BuildError> {
    Client::builder()
        .connect_timeout(config.connect_timeout)
        // Services talk to each other directly, whatever the environment says of proxies.
        .no_proxy()
        // What redirects is not products.
        .redirect(reqwest::redirect::Policy::none())
        .build()
        .map_err(|error| BuildError::Client(Box::new(error)))
}

/// When so long a time from now is over; a year at most, which is a time that a clock can reckon with.
fn after(time: Duration) -> Instant {
    Instant::now() + time.min(Duration::from_secs(365 * 24 * 3_600))
}

/// With the id and trace of the request that is being answered, if any.
fn headers(has_body: bool) -> HeaderMap {
    let mut headers = HeaderMap::new();
    let json = HeaderValue::from_static("application/json");
    headers.insert(ACCEPT, json.clone());
    if has_body {
        headers.insert(CONTENT_TYPE, json);
    }
    if let Some(context) = current_request() {
        context.inject(&mut headers);
    }
    headers
}
