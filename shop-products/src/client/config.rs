use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use http_body_util::Full;
use shop_core::{Clock, SystemClock};
use tower_service::Service;

use super::breaker::Breaker;
use super::caller::Caller;
use super::carrier::Transport;
use super::catalog::RestCatalog;

/// How a [`RestCatalog`] asks; made by [`RestCatalog::builder`].
#[derive(Clone)]
pub struct RestCatalogBuilder {
    pub(super) base_url: String,
    pub(super) connect_timeout: Duration,
    pub(super) request_timeout: Duration,
    pub(super) deadline: Duration,
    pub(super) max_response: usize,
    pub(super) retries: u32,
    pub(super) backoff: Duration,
    pub(super) breaker_failures: u32,
    pub(super) breaker_cooldown: Duration,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) transport: Option<Transport>,
}

/// Why a client cannot be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// Not an absolute `http://` URL (or `https://`, over a transport of one's own) that paths can be added to.
    #[error("not a base URL: {0}")]
    BaseUrl(String),
    /// The HTTP client cannot be set up.
    #[error("the HTTP client cannot be set up")]
    Client(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl fmt::Debug for RestCatalogBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RestCatalogBuilder")
            .field("base_url", &without_secrets(&self.base_url))
            .field("request_timeout", &self.request_timeout)
            .field("deadline", &self.deadline)
            .field("retries", &self.retries)
            .finish_non_exhaustive()
    }
}

/// An address as it may be shown: without what stands before an `@`, which may be a password.
pub(super) fn without_secrets(url: &str) -> Cow<'_, str> {
    let Some(at) = url.rfind('@') else { return Cow::Borrowed(url) };
    let scheme = url.find("://").map(|end| end + 3).filter(|end| *end <= at).unwrap_or(0);
    Cow::Owned(format!("{}…{}", &url[..scheme], &url[at..]))
}

impl RestCatalogBuilder {
    pub(super) fn new(base_url: String) -> Self {
        Self {
            base_url,
            connect_timeout: Duration::from_secs(1),
            request_timeout: Duration::from_secs(5),
            deadline: Duration::from_secs(10),
            max_response: 8 << 20,
            retries: 2,
            backoff: Duration::from_millis(50),
            breaker_failures: 5,
            breaker_cooldown: Duration::from_secs(5),
            clock: Arc::new(SystemClock),
            transport: None,
        }
    }

    /// A connection must stand within this. Default 1 s. Not for a [`transport`](Self::transport) of one's own.
    #[must_use]
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// One attempt must be answered whole within this. Default 5 s.
    #[must_use]
    pub fn request_timeout(mut self, timeout: Duration) -> Self {
        self.request_timeout = timeout;
        self
    }

    /// A call ends within this, all attempts and pauses included. Default 10 s.
    #[must_use]
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// The most bytes of an answer. Default 8 MiB.
    #[must_use]
    pub fn max_response(mut self, bytes: usize) -> Self {
        self.max_response = bytes;
        self
    }

    /// How often a call that got no answer is repeated. Default twice.
    #[must_use]
    pub fn retries(mut self, retries: u32) -> Self {
        self.retries = retries;
        self
    }

    /// The longest pause before the first repetition; it doubles with each, and a random part of it is waited (full
    /// jitter). Default 50 ms.
    #[must_use]
    pub fn backoff(mut self, pause: Duration) -> Self {
        self.backoff = pause;
        self
    }

    /// After so many attempts without an answer in a row nothing is asked for a while. Default 5 attempts and 5 s.
    #[must_use]
    pub fn breaker(mut self, failures: u32, cooldown: Duration) -> Self {
        self.breaker_failures = failures.max(1);
        self.breaker_cooldown = cooldown;
        self
    }

    /// The clock of the breaker. Default [`SystemClock`].
    #[must_use]
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// Carries requests by this tower service instead of connections of the client's own: over TLS or a Unix socket, inside
    /// layers of the application's, to the products' own HTTP service in the same process, or through a simulated network.
    ///
    /// It is called once an attempt, with an absolute URI below the base URL. Its error, and an answer that breaks off, say
    /// nothing about what was done: the attempt is repeated like any other that got no answer. It must not repeat anything by
    /// itself but what was never sent, and need not have timeouts: its future is dropped when the attempt's time is over.
    ///
    /// ```
    /// use std::sync::Arc;
    /// use shop_core::SystemClock;
    /// use shop_products::client::RestCatalog;
    /// # #[cfg(feature = "http")]
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use shop_products::http::{ProductsHttpConfig, app};
    /// use shop_products::store::memory::MemoryProductStore;
    /// use shop_products::{HoldLine, ProductCatalog, ProductRef, ProductService};
    ///
    /// let store = Arc::new(MemoryProductStore::new());
    /// let service = ProductService::start(store, Arc::new(SystemClock), Default::default());
    /// // The whole HTTP API, without a socket.
    /// let products = app(service, ProductsHttpConfig::default());
    /// let catalog = RestCatalog::builder("http://products").transport(products).build()?;
    /// let mug = HoldLine { product: ProductRef::Sku("MUG-01".parse()?), quantity: 1 };
    /// assert!(!catalog.check(&[mug]).await?.available);
    /// # Ok(())
    /// # }
    /// # #[cfg(not(feature = "http"))]
    /// # fn main() {}
    /// ```
    #[must_use]
    pub fn transport<S, B>(mut self, service: S) -> Self
    where
        S: Service<Request<Full<Bytes>>, Response = Response<B>> + Clone + Send + Sync + 'static,
        S::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
        S::Future: Send,
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        self.transport = Some(Transport::new(service));
        self
    }

    /// Makes the client. Does no I/O.
    ///
    /// # Errors
    /// When the base URL is none, or the HTTP client cannot be set up.
    pub fn build(self) -> Result<RestCatalog, BuildError> {
        let breaker = Breaker::new(self.breaker_failures, self.breaker_cooldown, self.clock.clone());
        Ok(RestCatalog::new(Caller::new(&self, breaker)?))
    }
}
