//! The hosts: what each server runs, over the simulated network.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use shop_core::CombinerConfig;
use shop_core::config::HumanDuration;
use shop_core::http::{Connection, Connections, ServerConfig};
use shop_gateway::{Gateway, GatewayConfig, RouteConfig, UpstreamConfig};
use shop_orders::{Backoff, OrderService, OrderServiceConfig, OrderStore};
use shop_products::client::RestCatalog;
use shop_products::{ProductCatalog, ProductService, ProductServiceConfig, ProductStore};
use tower::{ServiceExt as _, service_fn};
use turmoil::net::{TcpListener, TcpStream};

use crate::bad_catalog::BadCatalog;
use crate::bad_line::BadLine;
use crate::echo::{Asked, Tapped};
use crate::life::Life;
use crate::line::http_client;
use crate::orders_store::BadOrderStore;
use crate::products_store::BadProductStore;
use crate::world::{Broken, World};

pub(crate) const GATEWAYS: [(&str, u16); 2] = [("gateway-1", 8080), ("gateway-2", 8080)];
pub(crate) const ORDERS: [(&str, u16); 2] = [("orders-1", 8081), ("orders-2", 8081)];
pub(crate) const PRODUCTS: [(&str, u16); 2] = [("products-1", 8082), ("products-2", 8082)];

/// What outlives the hosts.
pub(crate) struct Shop {
    pub(crate) world: Arc<World>,
    pub(crate) orders: Arc<dyn OrderStore>,
    pub(crate) products: Arc<dyn ProductStore>,
    pub(crate) asked: Arc<Asked>,
    /// Where orders find products: at themselves, or at the gateways.
    pub(crate) way_to_products: &'static [(&'static str, u16)],
}

/// Accepts for ever.
async fn accept(port: u16, mut serve: impl FnMut(TcpStream, SocketAddr, SocketAddr)) -> turmoil::Result {
    let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).await?;
    loop {
        let (stream, peer) = listener.accept().await?;
        let local = stream.local_addr()?;
        serve(stream, peer, local);
    }
}

fn server_config() -> ServerConfig {
    let mut config = ServerConfig::default();
    // Above what the gateways and clients keep theirs for, and both short, so that both ends come.
    config.idle_timeout = Duration::from_secs(6);
    config.header_timeout = Duration::from_secs(3);
    config
}

impl Shop {
    fn line(&self) -> BadLine {
        BadLine { life: Life::default(), world: self.world.clone() }
    }

    /// `shop-products`, number 0 or 1.
    pub(crate) async fn products(self: Arc<Self>, number: usize) -> turmoil::Result {
        let store = BadProductStore { inner: self.products.clone(), line: self.line() };
        let config = ProductServiceConfig {
            purge_interval: Duration::from_millis(500),
            ..ProductServiceConfig::default()
        };
        // Its clock is that of its store, as it is in a process of its own.
        let service = ProductService::start(Arc::new(store), self.world.clock(5), config);
        let app = shop_products::http::app(service, Default::default());
        let connections = Connections::new(app, &server_config());
        accept(PRODUCTS[number].1, |stream, peer, local| connections.serve(stream, peer, local)).await
    }

    fn catalog(&self, number: usize) -> Arc<dyn ProductCatalog> {
        let client = http_client(&self.world, self.way_to_products);
        let rest = RestCatalog::builder("http://products:8082")
            .request_timeout(Duration::from_millis(800))
            .deadline(Duration::from_secs(2))
            .breaker(5, Duration::from_secs(1))
            .clock(self.world.clock(number))
            .transport(Tapped { client, asked: self.asked.clone() })
            .build()
            .unwrap();
        Arc::new(BadCatalog { inner: rest, broken: self.world.broken })
    }

    /// `shop-orders`, number 0 or 1.
    pub(crate) async fn orders(self: Arc<Self>, number: usize) -> turmoil::Result {
        let store = BadOrderStore { inner: self.orders.clone(), line: self.line() };
        let config = OrderServiceConfig {
            combiner: CombinerConfig { max_batch: 16, queue: 64 },
            place_deadline: Duration::from_secs(3),
            hold_backoff: Backoff { first: Duration::from_millis(20), most: Duration::from_millis(500) },
            recovery_interval: Duration::from_secs(1),
            grace: Duration::from_secs(4),
            lease: Duration::from_secs(4),
            settle_backoff: Backoff { first: Duration::from_millis(100), most: Duration::from_secs(1) },
            maintenance_interval: Duration::from_millis(500),
            ..OrderServiceConfig::default()
        };
        let catalog = self.catalog(number);
        let service = OrderService::start(Arc::new(store), catalog, self.world.clock(number), config);
        let watched = (service.clone(), self.world.clone());
        let app = shop_orders::http::app(service, Default::default());
        let connections = Connections::new(app, &server_config());
        accept(ORDERS[number].1, |stream, peer, local| {
            if watched.0.figures().mismatches > 0 {
                watched.1.wrong("an orders service has met a mismatch".to_owned());
            }
            connections.serve(stream, peer, local);
        })
        .await
    }

    /// `shop-gateway`, number 0 or 1.
    pub(crate) async fn gateway(self: Arc<Self>, number: usize) -> turmoil::Result {
        let config = gateway_config();
        let gateway = Gateway::builder(config.clone())
            .connector(|endpoint| async move { TcpStream::connect(endpoint.to_string()).await })
            .build()
            .map_err(|errors| errors.to_string())?;
        if self.world.broken == Broken::AsksTwice {
            let make = move |_: Arc<Connection>| {
                let gateway = gateway.clone();
                service_fn(move |request| ask_twice(gateway.clone(), request))
            };
            let connections = Connections::new(make, &server_config());
            let serve = |stream, peer, local| connections.serve(stream, peer, local);
            return accept(GATEWAYS[number].1, serve).await;
        }
        let mut connections = shop_gateway::Connections::new(gateway, &config.gateway);
        accept(GATEWAYS[number].1, |stream, peer, _| connections.serve(stream, peer)).await
    }
}

fn gateway_config() -> GatewayConfig {
    let upstream = |endpoints: [(&str, u16); 2]| UpstreamConfig {
        endpoints: endpoints.iter().map(|(host, port)| format!("{host}:{port}")).collect(),
        connect_timeout: HumanDuration(Duration::from_millis(600)),
        // Less than orders may take, so that what was not answered may still be done.
        response_timeout: HumanDuration(Duration::from_millis(1_500)),
        idle_timeout: HumanDuration(Duration::from_secs(4)),
        ..UpstreamConfig::default()
    };
    let mut config = GatewayConfig {
        upstreams: BTreeMap::from([
            ("orders".to_owned(), upstream(ORDERS)),
            ("products".to_owned(), upstream(PRODUCTS)),
        ]),
        routes: vec![RouteConfig::new("/v1/orders", "orders"), RouteConfig::new("/v1", "products")],
        ..GatewayConfig::default()
    };
    config.gateway.limits.header_timeout = HumanDuration(Duration::from_secs(3));
    config.gateway.limits.body_timeout = HumanDuration(Duration::from_secs(3));
    config.gateway.limits.idle_timeout = HumanDuration(Duration::from_secs(6));
    config
}

/// A gateway that means well.
async fn ask_twice(
    gateway: Gateway,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let (head, body) = request.into_parts();
    let Ok(body) = body.collect().await else { return Ok(Response::default()) };
    let body = body.to_bytes();
    let mut tries = 0;
    loop {
        let request = Request::from_parts(head.clone(), Full::new(body.clone()));
        let response = gateway.clone().oneshot(request).await?;
        let is_answer = !matches!(response.status(), StatusCode::BAD_GATEWAY | StatusCode::GATEWAY_TIMEOUT);
        tries += 1;
        if is_answer || tries == 3 {
            let (head, body) = response.into_parts();
            let body = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
            return Ok(Response::from_parts(head, Full::new(body)));
        }
    }
}
