//! A server on a socket of its own, and a client that says what it expects.

use std::sync::Arc;

use reqwest::{Method, RequestBuilder, Response};
use serde_json::{Value, json};
use shop_core::http::{CancellationToken, Server};
use shop_core::{Clock, SystemClock};
use shop_products::http::{ProductsHttpConfig, app};
use shop_products::store::memory::MemoryProductStore;
use shop_products::{ProductService, ProductServiceConfig, ProductStore};

/// Makes a test of each function, on each store.
macro_rules! on_every_store {
    ($($test:ident),* $(,)?) => {
        mod memory {
            $(#[tokio::test]
            async fn $test() {
                super::$test(crate::support::Shop::memory().await).await;
            })*
        }

        #[cfg(feature = "sqlite")]
        mod sqlite {
            $(#[tokio::test]
            async fn $test() {
                super::$test(crate::support::Shop::sqlite().await).await;
            })*
        }
    };
}

pub struct Shop {
    pub base: String,
    pub client: reqwest::Client,
    _stop: Stop,
    _dir: Option<tempfile::TempDir>,
}

/// Stops the server when the test is over.
struct Stop(CancellationToken);

impl Drop for Stop {
    fn drop(&mut self) {
        self.0.cancel();
    }
}

impl Shop {
    pub async fn memory() -> Self {
        Self::over(
            Arc::new(MemoryProductStore::with_clock(Arc::new(SystemClock))),
            ProductsHttpConfig::default(),
        )
        .await
    }

    #[cfg(feature = "sqlite")]
    pub async fn sqlite() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let url = format!("sqlite:{}", dir.path().join("products.db").display());
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let store = shop_products::store::sqlite::SqliteProductStore::connect_with(
            &url,
            shop_core::sqlite::SqliteConfig::default(),
            clock,
        )
        .await
        .unwrap();
        let shop = Self::over(Arc::new(store), ProductsHttpConfig::default()).await;
        Self { _dir: Some(dir), ..shop }
    }

    /// On a memory store, at a time that the test decides.
    pub async fn at(clock: Arc<dyn Clock>) -> Self {
        let store = Arc::new(MemoryProductStore::with_clock(clock.clone()));
        Self::with(store, clock, ProductsHttpConfig::default()).await
    }

    pub async fn over(store: Arc<dyn ProductStore>, config: ProductsHttpConfig) -> Self {
        Self::with(store, Arc::new(SystemClock), config).await
    }

    async fn with(store: Arc<dyn ProductStore>, clock: Arc<dyn Clock>, config: ProductsHttpConfig) -> Self {
        let service = ProductService::start(store, clock, ProductServiceConfig::default());
        let app = app(service, config);
        let server = Server::bind(([127, 0, 0, 1], 0).into(), app).await.unwrap();
        let base = format!("http://{}", server.local_addr());
        let stop = CancellationToken::new();
        tokio::spawn(server.run(stop.clone()));
        let client = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build().unwrap();
        Self { base, client, _stop: Stop(stop), _dir: None }
    }

    pub fn address(&self) -> &str {
        self.base.trim_start_matches("http://")
    }

    pub fn request(&self, method: &str, path: &str) -> RequestBuilder {
        self.client.request(Method::from_bytes(method.as_bytes()).unwrap(), format!("{}{path}", self.base))
    }

    pub async fn get(&self, path: &str) -> Answer {
        Answer::of(self.request("GET", path)).await
    }

    pub async fn send(&self, method: &str, path: &str, body: Value) -> Answer {
        Answer::of(self.request(method, path).json(&body)).await
    }

    pub async fn post(&self, path: &str, body: Value) -> Answer {
        self.send("POST", path, body).await
    }

    /// Makes a product with so many units.
    pub async fn product(&self, sku: &str, on_hand: i64) -> Value {
        let body = json!({"sku": sku, "name": format!("Product {sku}"), "price": {"amount": "19.99", "currency": "EUR"}, "on_hand": on_hand});
        self.post("/v1/products", body).await.expect(201)
    }

    /// What `GET …/stock` says: on hand, allocated, available.
    pub async fn stock(&self, id: &Value) -> (i64, i64, i64) {
        let stock = self.get(&format!("/v1/products/{}/stock", id.as_str().unwrap())).await.expect(200);
        let units = |name: &str| stock[name].as_i64().unwrap();
        (units("on_hand"), units("allocated"), units("available"))
    }
}

pub struct Answer {
    pub status: u16,
    pub headers: reqwest::header::HeaderMap,
    pub text: String,
}

impl Answer {
    pub async fn of(request: RequestBuilder) -> Self {
        Self::read(request.send().await.unwrap()).await
    }

    pub async fn read(response: Response) -> Self {
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        Self { status, headers, text: response.text().await.unwrap() }
    }

    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|_| panic!("no JSON: {} {}", self.status, self.text))
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).unwrap_or_else(|| panic!("no {name} in {:?}", self.headers)).to_str().unwrap()
    }

    #[track_caller]
    pub fn expect(&self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}", self.text);
        if self.text.is_empty() { Value::Null } else { self.json() }
    }

    /// A problem of this status and code, complete as the contract has it.
    #[track_caller]
    pub fn problem(&self, status: u16, code: &str) -> Value {
        assert_eq!(self.status, status, "{}", self.text);
        assert_eq!(self.header("content-type"), "application/problem+json");
        let body = self.json();
        assert_eq!(body["code"], code, "{body}");
        assert_eq!(body["type"], format!("urn:shop:problem:{code}"));
        assert_eq!(body["status"], status);
        assert_eq!(body["request_id"], self.header("x-request-id"));
        assert!(body["title"].is_string() && body["retryable"].is_boolean());
        body
    }

    /// The pointers and codes of a problem's faults.
    pub fn faults(&self) -> Vec<(String, String)> {
        let body = self.json();
        let errors = body["errors"].as_array().cloned().unwrap_or_default();
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        errors.iter().map(|fault| (text(&fault["pointer"]), text(&fault["code"]))).collect()
    }
}

/// A reservation's id that nobody else has.
pub fn new_id() -> String {
    shop_products::ReservationId::generate().to_string()
}
