//! A shop on a socket of its own, and a client of it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use shop_core::http::{CancellationToken, HeaderMap, Server};
use shop_core::{ManualClock, Timestamp};
use shop_orders::http::{App, HttpConfig, app};
use shop_orders::store::memory::MemoryOrderStore;
#[cfg(feature = "sqlite")]
use shop_orders::store::sqlite::SqliteOrderStore;
use shop_orders::{OrderService, OrderServiceConfig, OrderStore};
use shop_products::store::memory::MemoryProductStore;
use shop_products::{
    LocalCatalog, NewProduct, Product, ProductDetails, ProductRef, ProductService, ProductServiceConfig,
    ProductStatus,
};
use tokio::net::TcpStream;

use crate::gate::{Breakable, BreakableStore, GatedCatalog};

/// Makes one test a store of each function that takes an [`On`].
macro_rules! on_every_store {
    ($($name:ident),+ $(,)?) => {
        mod memory {
            $(#[tokio::test]
            async fn $name() {
                super::$name(crate::support::On::Memory).await;
            })+
        }
        #[cfg(feature = "sqlite")]
        mod sqlite {
            $(#[tokio::test]
            async fn $name() {
                super::$name(crate::support::On::Sqlite).await;
            })+
        }
    };
}
pub(crate) use on_every_store;

/// The store that a test runs on.
#[derive(Debug, Clone, Copy)]
pub(crate) enum On {
    Memory,
    #[cfg(feature = "sqlite")]
    Sqlite,
}

impl On {
    pub(crate) async fn shop(self) -> Shop {
        self.shop_with(HttpConfig::default(), |_| {}).await
    }

    pub(crate) async fn shop_with(
        self,
        http: HttpConfig,
        change: impl FnOnce(&mut OrderServiceConfig),
    ) -> Shop {
        let clock = Arc::new(ManualClock::new("2026-01-31T12:00:00Z".parse().unwrap()));
        match self {
            Self::Memory => {
                let store = MemoryOrderStore::with_clock(clock.clone());
                Shop::open(store, clock, None, http, change).await
            }
            #[cfg(feature = "sqlite")]
            Self::Sqlite => {
                let dir = tempfile::tempdir().unwrap();
                let path = dir.path().join("orders.db");
                let config = shop_core::sqlite::SqliteConfig::default();
                let url = format!("sqlite:{}", path.display());
                let store = SqliteOrderStore::connect_with(&url, config, clock.clone()).await.unwrap();
                Shop::open(store, clock, Some(dir), http, change).await
            }
        }
    }
}

/// Orders and products, and the orders' API on a socket.
pub(crate) struct Shop {
    pub(crate) address: SocketAddr,
    pub(crate) app: App,
    pub(crate) products: ProductService,
    pub(crate) orders: OrderService,
    pub(crate) catalog: Arc<GatedCatalog>,
    pub(crate) store: Arc<dyn Breakable>,
    pub(crate) clock: Arc<ManualClock>,
    stop: CancellationToken,
    _dir: Option<tempfile::TempDir>,
}

impl Drop for Shop {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl Shop {
    async fn open<S: OrderStore>(
        store: S,
        clock: Arc<ManualClock>,
        dir: Option<tempfile::TempDir>,
        http: HttpConfig,
        change: impl FnOnce(&mut OrderServiceConfig),
    ) -> Self {
        let product_store = Arc::new(MemoryProductStore::with_clock(clock.clone()));
        let products = ProductService::start(product_store, clock.clone(), ProductServiceConfig::default());
        let catalog = Arc::new(GatedCatalog::new(LocalCatalog(products.clone())));
        let store = Arc::new(BreakableStore::new(store));
        let mut config = OrderServiceConfig {
            settle_interval: Duration::from_millis(1),
            recovery_interval: Duration::from_millis(10),
            ..OrderServiceConfig::default()
        };
        change(&mut config);
        let orders = OrderService::start(store.clone(), catalog.clone(), clock.clone(), config);
        let app = app(orders.clone(), http);
        let server = Server::bind("127.0.0.1:0".parse().unwrap(), app.clone()).await.unwrap();
        let address = server.local_addr();
        let stop = CancellationToken::new();
        tokio::spawn(server.run(stop.clone()));
        Self { address, app, products, orders, catalog, store, clock, stop, _dir: dir }
    }

    /// A product that is for sale.
    pub(crate) async fn product(&self, sku: &str, on_hand: i64, price: &str) -> Product {
        self.product_that_is(ProductStatus::Active, sku, on_hand, price).await
    }

    pub(crate) async fn product_that_is(
        &self,
        status: ProductStatus,
        sku: &str,
        on_hand: i64,
        price: &str,
    ) -> Product {
        let details = ProductDetails {
            sku: sku.parse().unwrap(),
            name: format!("The {sku}"),
            description: String::new(),
            price: price.parse().unwrap(),
            attributes: Default::default(),
            tags: Vec::new(),
            status,
        };
        self.products.create(NewProduct { details, on_hand }, None).await.unwrap().fresh().unwrap()
    }

    /// `(on_hand, allocated)`.
    pub(crate) async fn stock(&self, sku: &str) -> (i64, i64) {
        let product = self.products.get(&ProductRef::Sku(sku.parse().unwrap())).await.unwrap();
        (product.stock.on_hand, product.stock.allocated)
    }

    /// Waits until settlements have made the stock this.
    pub(crate) async fn stock_becomes(&self, sku: &str, stock: (i64, i64)) {
        eventually(&format!("stock of {sku} {stock:?}"), async || self.stock(sku).await == stock).await;
    }

    /// All that a refused request must leave as it is.
    pub(crate) async fn state(&self, skus: &[&str]) -> Value {
        let mut stock = Vec::new();
        for sku in skus {
            stock.push(self.stock(sku).await);
        }
        let orders = self.get("/v1/orders?limit=500&include=total").send().await;
        let events = self.get("/v1/events?limit=500").send().await;
        json!({"orders": orders.json(), "events": events.json(), "stock": stock})
    }

    pub(crate) fn call(&self, method: &str, target: &str) -> Call {
        let request =
            hyper::Request::builder().method(method).uri(target).header("host", self.address.to_string());
        Call { address: self.address, request, body: Bytes::new() }
    }

    pub(crate) fn get(&self, target: &str) -> Call {
        self.call("GET", target)
    }

    pub(crate) fn post(&self, target: &str, body: &Value) -> Call {
        self.call("POST", target).body("application/json", body.to_string())
    }

    pub(crate) fn action(&self, order: &Value, action: &str) -> Call {
        self.call("POST", &format!("{}/{action}", target(order)))
    }

    pub(crate) fn patch(&self, order: &Value, patch: &Value) -> Call {
        self.call("PATCH", &target(order)).body("application/merge-patch+json", patch.to_string())
    }

    pub(crate) fn delete(&self, order: &Value) -> Call {
        self.call("DELETE", &target(order))
    }

    /// Places an order of `(sku, quantity)` lines.
    pub(crate) async fn order(&self, lines: &[(&str, i64)]) -> Value {
        self.post("/v1/orders", &json!({"lines": lines_of(lines)})).send().await.ok(201)
    }

    /// The order as it is now.
    pub(crate) async fn again(&self, order: &Value) -> Value {
        self.get(&target(order)).send().await.ok(200)
    }

    pub(crate) fn now(&self) -> Timestamp {
        shop_core::Clock::now(&*self.clock)
    }

    pub(crate) fn wait(&self, seconds: u64) {
        self.clock.advance(Duration::from_secs(seconds));
    }
}

pub(crate) fn target(order: &Value) -> String {
    format!("/v1/orders/{}", order["id"].as_str().unwrap())
}

pub(crate) fn lines_of(lines: &[(&str, i64)]) -> Value {
    lines.iter().map(|(sku, quantity)| json!({"sku": sku, "quantity": quantity})).collect()
}

/// Waits, for 10 s at most, until something is so; other tasks run meanwhile.
pub(crate) async fn eventually(what: &str, mut so: impl AsyncFnMut() -> bool) {
    let waiting = async {
        while !so().await {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), waiting).await.unwrap_or_else(|_| panic!("never: {what}"));
}

/// A request to be sent on a connection of its own.
pub(crate) struct Call {
    address: SocketAddr,
    request: hyper::http::request::Builder,
    body: Bytes,
}

impl Call {
    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.request = self.request.header(name, value);
        self
    }

    pub(crate) fn body(mut self, content_type: &str, body: impl Into<Bytes>) -> Self {
        self.body = body.into();
        self.header("content-type", content_type)
    }

    pub(crate) async fn send(self) -> Reply {
        let stream = TcpStream::connect(self.address).await.unwrap();
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        let response = sender.send_request(self.request.body(Full::new(self.body)).unwrap()).await.unwrap();
        let (head, body) = response.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        Reply { status: head.status.as_u16(), headers: head.headers, body }
    }
}

/// An answer, read to its end.
#[derive(Debug, Clone)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Reply {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// The body of an answer of this status, as JSON.
    #[track_caller]
    pub(crate) fn ok(&self, status: u16) -> Value {
        assert_eq!(self.status, status, "{self:?}");
        assert_eq!(self.header("content-type"), Some("application/json"));
        self.json()
    }

    /// A problem of this status and code, as RFC 9457 and the contract have it.
    #[track_caller]
    pub(crate) fn problem(&self, status: u16, code: &str) -> Value {
        assert_eq!(self.status, status, "{self:?}");
        assert_eq!(self.header("content-type"), Some("application/problem+json"), "{self:?}");
        let problem = self.json();
        assert_eq!(problem["code"], code, "{problem}");
        assert_eq!(problem["status"], status, "{problem}");
        assert_eq!(problem["type"], format!("urn:shop:problem:{code}"));
        assert_eq!(problem["request_id"], *self.header("x-request-id").unwrap());
        assert!(
            !problem["title"].as_str().unwrap().is_empty() && problem["retryable"].is_boolean(),
            "{problem}"
        );
        problem
    }

    /// The pointers of a problem's faults.
    #[track_caller]
    pub(crate) fn pointers(&self, status: u16, code: &str) -> Vec<String> {
        let problem = self.problem(status, code);
        let errors = problem["errors"].as_array().unwrap_or_else(|| panic!("no faults: {problem}"));
        errors.iter().map(|fault| fault["pointer"].as_str().unwrap().to_owned()).collect()
    }
}
