//! A client of the HTTP API that checks what every answer must have.

use std::time::Duration;

use reqwest::header::HeaderMap;
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::{PATIENCE, eventually};

/// Knows where orders and products are: at one gateway, or at two services.
#[derive(Debug, Clone)]
pub(crate) struct Client {
    http: reqwest::Client,
    orders: String,
    products: String,
}

impl Client {
    pub(crate) fn new(orders: &str, products: &str) -> Self {
        let http = reqwest::Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none());
        let http = http.timeout(PATIENCE).build().unwrap();
        Self { http, orders: orders.to_owned(), products: products.to_owned() }
    }

    /// Where a path is answered.
    pub(crate) fn base(&self, target: &str) -> &str {
        let orders = target.starts_with("/v1/orders") || target.starts_with("/v1/events");
        if orders { &self.orders } else { &self.products }
    }

    pub(crate) fn call(&self, method: &str, target: &str) -> Call {
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        Call(self.http.request(method, format!("{}{target}", self.base(target))))
    }

    pub(crate) async fn get(&self, target: &str) -> Reply {
        self.call("GET", target).send().await
    }

    pub(crate) async fn post(&self, target: &str, body: &Value) -> Reply {
        self.call("POST", target).json(body).send().await
    }

    pub(crate) async fn put(&self, target: &str, body: &Value) -> Reply {
        self.call("PUT", target).json(body).send().await
    }

    pub(crate) async fn patch(&self, target: &str, body: &Value) -> Reply {
        self.call("PATCH", target).body("application/merge-patch+json", body.to_string()).send().await
    }

    pub(crate) async fn delete(&self, target: &str) -> Reply {
        self.call("DELETE", target).send().await
    }

    /// A product for sale at 4.95 EUR.
    pub(crate) async fn product(&self, sku: &str, on_hand: i64) -> Value {
        self.post("/v1/products", &product(sku, on_hand)).await.ok(201)
    }

    /// An order of `(sku, quantity)` lines, placed.
    pub(crate) async fn order(&self, lines: &[(&str, i64)]) -> Value {
        self.post("/v1/orders", &json!({"lines": lines_of(lines)})).await.ok(201)
    }

    pub(crate) async fn act(&self, order: &Value, action: &str) -> Reply {
        self.call("POST", &format!("{}/{action}", path(order))).send().await
    }

    /// `(on_hand, allocated, available)`.
    pub(crate) async fn stock(&self, sku: &str) -> (i64, i64, i64) {
        let stock = self.get(&format!("/v1/products/sku:{sku}/stock")).await.ok(200);
        let figure = |name: &str| stock[name].as_i64().unwrap();
        assert_eq!(figure("available"), figure("on_hand") - figure("allocated"), "{stock}");
        assert!(figure("available") >= 0, "{stock}");
        (figure("on_hand"), figure("allocated"), figure("available"))
    }

    /// Waits until settlements have made `(on_hand, allocated)` this.
    pub(crate) async fn stock_becomes(&self, sku: &str, on_hand: i64, allocated: i64) {
        eventually(&format!("stock of {sku} {on_hand}, {allocated}"), async || {
            let (now, taken, _) = self.stock(sku).await;
            (now, taken) == (on_hand, allocated)
        })
        .await;
    }

    /// Sends a head and then chunks of spaces for as long as any are taken; the answer.
    pub(crate) async fn raw(&self, target: &str, head: String, chunks: bool) -> String {
        let address = self.base(target).strip_prefix("http://").unwrap();
        let (mut from, mut to) = TcpStream::connect(address).await.unwrap().into_split();
        to.write_all(head.as_bytes()).await.unwrap();
        let sending = tokio::spawn(async move {
            let chunk = format!("10000\r\n{}\r\n", " ".repeat(0x10000));
            while chunks && to.write_all(chunk.as_bytes()).await.is_ok() {}
            to
        });
        let mut answer = Vec::new();
        let reading = async {
            let mut buffer = [0; 4096];
            while let Ok(read @ 1..) = from.read(&mut buffer).await {
                answer.extend_from_slice(&buffer[..read]);
                if answer.ends_with(b"}") {
                    break;
                }
            }
        };
        tokio::time::timeout(Duration::from_secs(20), reading).await.expect("an answer");
        sending.abort();
        String::from_utf8(answer).unwrap()
    }
}

/// A body that makes a product.
pub(crate) fn product(sku: &str, on_hand: i64) -> Value {
    json!({"sku": sku, "name": format!("Product {sku}"), "price": {"amount": "4.95", "currency": "EUR"}, "on_hand": on_hand})
}

/// Order lines.
pub(crate) fn lines_of(lines: &[(&str, i64)]) -> Value {
    lines.iter().map(|(sku, quantity)| json!({"sku": sku, "quantity": quantity})).collect()
}

/// An order's path.
pub(crate) fn path(order: &Value) -> String {
    format!("/v1/orders/{}", order["id"].as_str().unwrap())
}

/// A request that is being made.
#[derive(Debug)]
pub(crate) struct Call(RequestBuilder);

impl Call {
    pub(crate) fn header(self, name: &str, value: &str) -> Self {
        Self(self.0.header(name, value))
    }

    pub(crate) fn json(self, body: &Value) -> Self {
        Self(self.0.json(body))
    }

    pub(crate) fn body(self, content_type: &str, body: impl Into<reqwest::Body>) -> Self {
        Self(self.0.header("content-type", content_type).body(body))
    }

    pub(crate) async fn send(self) -> Reply {
        self.try_send().await.unwrap()
    }

    /// The answer, or how the connection failed.
    pub(crate) async fn try_send(self) -> reqwest::Result<Reply> {
        let answer = self.0.send().await?;
        let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
        Ok(Reply { status, headers, body: answer.bytes().await?.to_vec() })
    }
}

/// An answer, read to its end.
#[derive(Clone)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

impl std::fmt::Debug for Reply {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {:?} {}", self.status, self.headers, self.text())
    }
}

impl Reply {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The lines of an NDJSON body.
    pub(crate) fn rows(&self) -> Vec<Value> {
        self.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// An answer of this status whose body is JSON.
    #[track_caller]
    pub(crate) fn ok(&self, status: u16) -> Value {
        assert_eq!(self.status, status, "{self:?}");
        assert_eq!(self.header("content-type"), Some("application/json"), "{self:?}");
        assert!(self.header("x-request-id").is_some(), "{self:?}");
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// An answer of this status without a body.
    #[track_caller]
    pub(crate) fn empty(&self, status: u16) {
        assert_eq!((self.status, self.body.len()), (status, 0), "{self:?}");
        assert!(self.header("x-request-id").is_some(), "{self:?}");
    }

    /// A problem of this status and code, as RFC 9457 and the contract have it.
    #[track_caller]
    pub(crate) fn problem(&self, status: u16, code: &str) -> Value {
        assert_eq!(self.status, status, "{self:?}");
        assert_eq!(self.header("content-type"), Some("application/problem+json"), "{self:?}");
        let problem: Value = serde_json::from_slice(&self.body).unwrap();
        assert_eq!(problem["code"], code, "{problem}");
        assert_eq!(problem["status"], status, "{problem}");
        assert_eq!(problem["type"], format!("urn:shop:problem:{code}"));
        assert_eq!(problem["request_id"], *self.header("x-request-id").unwrap());
        assert!(problem["title"].as_str().is_some_and(|title| !title.is_empty()), "{problem}");
        let retryable = problem["retryable"].as_bool().unwrap_or_else(|| panic!("{problem}"));
        let says_when = self.header("retry-after").is_some();
        assert!(retryable || !says_when, "{self:?}");
        assert!(says_when || ![429, 503].contains(&status), "{self:?}");
        problem
    }

    /// The pointers of a problem's faults, in no order.
    #[track_caller]
    pub(crate) fn pointers(&self, status: u16, code: &str) -> Vec<String> {
        let problem = self.problem(status, code);
        let errors = problem["errors"].as_array().unwrap_or_else(|| panic!("no faults: {problem}"));
        let mut pointers: Vec<_> =
            errors.iter().map(|fault| fault["pointer"].as_str().unwrap().to_owned()).collect();
        pointers.sort();
        pointers
    }

    /// Where `Link: <…>; rel="next"` leads.
    pub(crate) fn next(&self) -> Option<String> {
        let link = self.header("link")?;
        Some(link.strip_prefix('<').unwrap().strip_suffix(">; rel=\"next\"").unwrap().to_owned())
    }
}
