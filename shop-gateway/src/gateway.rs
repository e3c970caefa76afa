//! The gateway as a service, in its two kinds.

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::fmt;
use std::future::Future;
use std::io;
use std::ops::Deref;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use tokio::io::{AsyncRead, AsyncWrite};
use tower_service::Service;

use crate::body::{BoxError, GatewayBody, RequestBody};
use crate::client::Client;
use crate::config::{ConfigErrors, GatewayConfig, ListenConfig};
use crate::engine::{Blueprint, Engine, health, marks};
use crate::plan::{LocalSeat, Plan, Reloaded, SharedSeat};
#[cfg(feature = "http2")]
use crate::serve::Http2Conn;
#[cfg(feature = "http2")]
use crate::upstream::Io;
use crate::upstream::{Connector, EndpointAddr, EndpointStatus, InProcess, LocalPool, SharedPool};

/// Builds gateways from a configuration and services of the same process.
#[derive(Debug, Clone)]
pub struct GatewayBuilder {
    config: GatewayConfig,
    services: BTreeMap<String, InProcess>,
    connector: Option<Connector>,
}

/// A configuration that was found good, with its services: `Send`, and able to make any number of gateways. A
/// server with a thread a core makes one [`LocalGateway`] on each.
#[derive(Debug, Clone)]
pub struct GatewayPlan(Arc<Plan>);

/// The gateway, for any tokio runtime: a `tower::Service` that is `Send` and cheap to clone. Its clones share
/// their pools.
#[derive(Debug, Clone)]
pub struct Gateway(Arc<SharedSeat>);

/// The gateway of one thread: its pools have no locks and it is not `Send`. Same routes, same behaviour.
#[derive(Debug, Clone)]
pub struct LocalGateway(Rc<LocalSeat>);

impl Gateway {
    /// Starts from a configuration.
    pub fn builder(config: GatewayConfig) -> GatewayBuilder {
        GatewayBuilder { config, services: BTreeMap::new(), connector: None }
    }

    /// Closes idle upstream connections that have waited longer than their upstream's `idle_timeout`. Requests do
    /// so as they pass and [`serve`](crate::serve) does so by itself; a server of your own may call it now and then.
    pub fn sweep(&self) {
        self.0.engine().sweep();
    }

    /// How many upstream connections are idle in the pools.
    pub fn idle_connections(&self) -> usize {
        self.0.engine().idle_connections()
    }
}

impl LocalGateway {
    pub(crate) fn plan(&self) -> &Plan {
        self.0.plan()
    }

    /// As [`Gateway::sweep`].
    pub fn sweep(&self) {
        self.0.engine().sweep();
    }

    /// As [`Gateway::idle_connections`].
    pub fn idle_connections(&self) -> usize {
        self.0.engine().idle_connections()
    }
}

impl GatewayBuilder {
    /// Makes a service of this process the upstream of a name: it is called without a socket, in the task of the
    /// client's connection. Its error becomes 502.
    ///
    /// # Cancel safety
    /// The service's future is dropped when the client leaves; work that must not stop half-way belongs into a task.
    #[must_use]
    pub fn service<S, B>(mut self, name: impl Into<String>, service: S) -> Self
    where
        S: Service<Request<RequestBody>, Response = Response<B>> + Clone + Send + Sync + 'static,
        S::Error: Into<BoxError>,
        S::Future: Send,
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        self.services.insert(name.into(), InProcess::new(service));
        self
    }

    /// Opens the connections to all endpoints by this, instead of by TCP and Unix sockets: inside TLS, through a proxy, or in
    /// a simulated network. It is called with the endpoint as it is configured, and must answer within the upstream's
    /// `connect_timeout`, after which its future is dropped. Its error becomes 502.
    ///
    /// A connection's reads must wake as those of a socket do: once, for the waker of the last read that was pending.
    ///
    /// ```
    /// use std::collections::BTreeMap;
    /// use shop_gateway::{EndpointAddr, Gateway, GatewayConfig, RouteConfig, UpstreamConfig};
    ///
    /// # fn main() -> Result<(), shop_gateway::ConfigErrors> {
    /// let upstream = UpstreamConfig { endpoints: vec!["orders:8081".to_owned()], ..UpstreamConfig::default() };
    /// let config = GatewayConfig {
    ///     upstreams: BTreeMap::from([("orders".to_owned(), upstream)]),
    ///     routes: vec![RouteConfig::new("/v1/orders", "orders")],
    ///     ..GatewayConfig::default()
    /// };
    /// let gateway = Gateway::builder(config)
    ///     .connector(|endpoint: EndpointAddr| async move {
    ///         // Here: the other end of a pipe, with nobody at it.
    ///         assert_eq!(endpoint.to_string(), "orders:8081");
    ///         let (ours, _theirs) = tokio::io::duplex(64 * 1024);
    ///         Ok(ours)
    ///     })
    ///     .build()?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Cancel safety
    /// The future is dropped when the client leaves.
    #[must_use]
    pub fn connector<F, Fut, S>(mut self, connect: F) -> Self
    where
        F: Fn(EndpointAddr) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = io::Result<S>> + Send + 'static,
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        self.connector = Some(Connector::new(connect));
        self
    }

    /// Checks the configuration, and reads the files of its TLS sections. No other I/O.
    ///
    /// # Errors
    /// Every fault of the configuration.
    pub fn plan(self) -> Result<GatewayPlan, ConfigErrors> {
        let names: BTreeSet<String> = self.services.keys().cloned().collect();
        self.config.validate_with(&names)?;
        let Self { config, services, connector } = self;
        #[cfg(feature = "tls")]
        let tls = Arc::new(crate::tls::TlsStore::load(&config)?);
        Ok(GatewayPlan(Arc::new(Plan::new(Blueprint {
            limiters: Blueprint::limiters(&config, None),
            health: health(&config, |_| None),
            marks: marks(&config, |_| None),
            config,
            services,
            connector,
            #[cfg(feature = "tls")]
            tls,
        }))))
    }

    /// A gateway for any runtime; as [`plan`](Self::plan).
    ///
    /// # Errors
    /// Every fault of the configuration.
    pub fn build(self) -> Result<Gateway, ConfigErrors> {
        Ok(self.plan()?.gateway())
    }

    /// A gateway for this thread; as [`plan`](Self::plan).
    ///
    /// # Errors
    /// Every fault of the configuration.
    pub fn build_local(self) -> Result<LocalGateway, ConfigErrors> {
        Ok(self.plan()?.local_gateway())
    }
}

impl GatewayPlan {
    /// A gateway for any runtime, with pools of its own.
    pub fn gateway(&self) -> Gateway {
        Gateway(Arc::new(SharedSeat::new(self.0.clone())))
    }

    /// A gateway for this thread, with pools of its own.
    pub fn local_gateway(&self) -> LocalGateway {
        LocalGateway(Rc::new(LocalSeat::new(self.0.clone())))
    }

    /// Reads all files of TLS sections again: for connections opened from now on. A running [`Server`](crate::Server) does so
    /// by itself within seconds when a file has changed. What is bad changes nothing of its section. Blocks for as long as reading
    /// takes.
    ///
    /// # Errors
    /// Every file that is bad.
    #[cfg(feature = "tls")]
    pub fn reload_tls(&self) -> Result<(), ConfigErrors> {
        self.0.current().tls.reload(false)
    }

    #[cfg(feature = "tls")]
    pub(crate) fn tls(&self) -> Arc<crate::tls::TlsStore> {
        self.0.current().tls.clone()
    }

    /// Looks now and then whether files have changed, in a task of the current runtime.
    pub(crate) fn watch_files(&self) {
        #[cfg(feature = "tls")]
        tokio::spawn(crate::tls::watch(self.0.clone()));
    }

    /// What all gateways of the plan know of the endpoints of each upstream that has several.
    pub fn endpoints(&self) -> BTreeMap<String, Vec<EndpointStatus>> {
        let current = self.0.current();
        current.health.iter().map(|(name, health)| (name.clone(), health.status())).collect()
    }

    /// Where the configuration says to listen.
    pub fn listen_config(&self) -> &ListenConfig {
        self.0.listen()
    }

    /// Makes another configuration that of all gateways of the plan, whole, or changes nothing. Requests that run end as they
    /// began; upstreams that are unchanged keep their connections, and open WebSockets stay. The times of heads and of idle
    /// connections, and the longest head, hold for connections that are accepted from now on. Where to listen waits for a restart, and is named. Does no I/O but to read certificates; blocks while it
    /// does.
    ///
    /// ```
    /// use shop_gateway::{Gateway, GatewayConfig, RouteConfig, UpstreamConfig};
    ///
    /// # fn main() -> Result<(), shop_gateway::ConfigErrors> {
    /// let mut config = GatewayConfig::default();
    /// let upstream = UpstreamConfig { endpoints: vec!["orders:8081".to_owned()], ..UpstreamConfig::default() };
    /// config.upstreams.insert("orders".to_owned(), upstream);
    /// let plan = Gateway::builder(config.clone()).plan()?;
    /// let gateway = plan.gateway();
    ///
    /// config.routes.push(RouteConfig::new("/v1/orders", "orders"));
    /// let reloaded = plan.reload(config.clone())?;
    /// assert!(reloaded.routes && reloaded.upstreams.is_empty());
    ///
    /// config.routes.push(RouteConfig::new("/v1/products", "products"));
    /// let refused = plan.reload(config).unwrap_err();
    /// assert_eq!(refused.faults()[0].path, "routes[1].upstream");
    /// # drop(gateway);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// Every fault of the configuration.
    pub fn reload(&self, config: GatewayConfig) -> Result<Reloaded, ConfigErrors> {
        self.0.swap(config)
    }
}

/// What the server side needs of a gateway.
pub(crate) trait Handler: Clone + 'static {
    type Pool: crate::upstream::Pool;

    /// A reference to an engine of its own.
    type Engine: Deref<Target = Engine<Self::Pool>> + 'static;

    /// The engine of now.
    fn engine(&self) -> Self::Engine;

    /// Serves a connection of HTTP/2, with its requests in tasks.
    #[cfg(feature = "http2")]
    fn serve_http2(self, stream: Box<dyn Io>, conn: Http2Conn) -> impl Future<Output = ()>;
}

/// Tasks of this thread.
#[cfg(feature = "http2")]
#[derive(Debug, Clone, Copy)]
struct LocalExecutor;

#[cfg(feature = "http2")]
impl<F: Future<Output = ()> + 'static> hyper::rt::Executor<F> for LocalExecutor {
    fn execute(&self, task: F) {
        tokio::task::spawn_local(task);
    }
}

impl Handler for Gateway {
    type Pool = SharedPool;
    type Engine = Arc<Engine<SharedPool>>;

    fn engine(&self) -> Arc<Engine<SharedPool>> {
        self.0.engine()
    }

    #[cfg(feature = "http2")]
    fn serve_http2(self, stream: Box<dyn Io>, conn: Http2Conn) -> impl Future<Output = ()> {
        let executor = hyper_util::rt::TokioExecutor::new();
        conn.run(self, stream, executor, |gateway, req, http2| http2.answer(gateway, req))
    }
}

impl Handler for LocalGateway {
    type Pool = LocalPool;
    type Engine = Rc<Engine<LocalPool>>;

    fn engine(&self) -> Rc<Engine<LocalPool>> {
        self.0.engine()
    }

    #[cfg(feature = "http2")]
    fn serve_http2(self, stream: Box<dyn Io>, conn: Http2Conn) -> impl Future<Output = ()> {
        conn.run(self, stream, LocalExecutor, |gateway, req, http2| http2.answer(gateway, req))
    }
}

/// The answer that is on its way.
pub struct GatewayFuture(Pin<Box<dyn Future<Output = Response<GatewayBody>> + Send>>);

/// The answer that is on its way, on this thread.
pub struct LocalGatewayFuture(Pin<Box<dyn Future<Output = Response<GatewayBody<LocalPool>>>>>);

impl Future for GatewayFuture {
    type Output = Result<Response<GatewayBody>, Infallible>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.0.as_mut().poll(cx).map(Ok)
    }
}

impl Future for LocalGatewayFuture {
    type Output = Result<Response<GatewayBody<LocalPool>>, Infallible>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.0.as_mut().poll(cx).map(Ok)
    }
}

impl<B> Service<Request<B>> for Gateway
where
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    type Response = Response<GatewayBody>;
    type Error = Infallible;
    type Future = GatewayFuture;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, req: Request<B>) -> GatewayFuture {
        let engine = self.0.engine();
        let client = Client::of(req.extensions(), req.uri().scheme_str());
        let mut slot = Some(req.map(RequestBody::new));
        GatewayFuture(Box::pin(async move {
            let mut res = engine.handle(&mut slot, &client).await;
            if let Some(tunnel) = res.body_mut().take_tunnel() {
                tunnel.detach();
            }
            res
        }))
    }
}

impl<B> Service<Request<B>> for LocalGateway
where
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    type Response = Response<GatewayBody<LocalPool>>;
    type Error = Infallible;
    type Future = LocalGatewayFuture;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, req: Request<B>) -> LocalGatewayFuture {
        let engine = self.0.engine();
        let client = Client::of(req.extensions(), req.uri().scheme_str());
        let mut slot = Some(req.map(RequestBody::new));
        LocalGatewayFuture(Box::pin(async move {
            let mut res = engine.handle(&mut slot, &client).await;
            if let Some(tunnel) = res.body_mut().take_tunnel() {
                tunnel.detach();
            }
            res
        }))
    }
}

impl fmt::Debug for GatewayFuture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("GatewayFuture")
    }
}

impl fmt::Debug for LocalGatewayFuture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LocalGatewayFuture")
    }
}
