//! The configuration of every process: one tree, so that one file can serve them all.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use serde::{Deserialize, Serialize};
use shop_core::config::{ConfigErrors, EtcdConfig, HumanDuration, Loader, Violation};
use shop_core::log::LogConfig;
use shop_core::process::{DEFAULT_DRAIN, Failure};
use shop_gateway::{GatewayConfig, ListenConfig, RouteConfig, UpstreamConfig};
use shop_orders::OrderServiceConfig;

use crate::servers::StoreUrl;

/// The lowest layer: what answers where, when nothing else is said.
const BUILT_IN: &str = include_str!("built-in.toml");

/// The whole tree. Unknown keys are refused.
#[derive(Debug, Clone, Serialize, Deserialize, Default)]
#[serde(default, deny_unknown_fields)]
pub struct ShopConfig {
    /// `[etcd]`: common configuration, which lies over the files and under the environment; none when absent.
    pub etcd: Option<EtcdConfig>,
    /// `[log]`
    pub log: LogConfig,
    /// `[process]`
    pub process: ProcessConfig,
    /// `[admin]`
    pub admin: AdminConfig,
    /// `[products]`
    pub products: ProductsConfig,
    /// `[orders]`
    pub orders: OrdersConfig,
    /// `[gateway]`
    pub gateway: ListenConfig,
    /// `[upstreams.NAME]`
    pub upstreams: std::collections::BTreeMap<String, UpstreamConfig>,
    /// `[[routes]]`
    pub routes: Vec<RouteConfig>,
}

/// `[process]`
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ProcessConfig {
    /// How long what runs may go on after SIGTERM or SIGINT. Default 30 s.
    pub drain: HumanDuration,
}

impl Default for ProcessConfig {
    fn default() -> Self {
        Self { drain: DEFAULT_DRAIN.into() }
    }
}

/// `[admin]`
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AdminConfig {
    /// Where `/healthz`, `/readyz`, `/metrics` and `/status` are. Default 127.0.0.1, port 8090 for `shop up` and the gateway,
    /// 8091 for orders, 8092 for products.
    pub listen: Option<SocketAddr>,
}

/// `[products]`
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ProductsConfig {
    /// Where the API is. Default 127.0.0.1:8082.
    pub listen: SocketAddr,
    /// `memory:`, `sqlite:PATH`, `mongodb://…` or `postgres://…`. Default `sqlite:shop-data/products.db`.
    pub store: StoreUrl,
    /// The most products that stock checks answer from memory. Default 200,000.
    pub view_capacity: usize,
    /// PUT, PATCH and DELETE without `If-Match` are refused with 428. Default no.
    pub require_if_match: bool,
    /// POST without `Idempotency-Key` is refused with 400. Default no.
    pub require_idempotency_key: bool,
}

impl Default for ProductsConfig {
    fn default() -> Self {
        Self {
            listen: ([127, 0, 0, 1], 8082).into(),
            store: StoreUrl::sqlite(&PathBuf::from("shop-data/products.db")),
            view_capacity: shop_products::ProductServiceConfig::default().view_capacity,
            require_if_match: false,
            require_idempotency_key: false,
        }
    }
}

/// `[orders]`
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct OrdersConfig {
    /// Where the API is. Default 127.0.0.1:8081.
    pub listen: SocketAddr,
    /// `memory:`, `sqlite:PATH` or `postgres://…`. Default `sqlite:shop-data/orders.db`.
    pub store: StoreUrl,
    /// Where products answer. Default `http://127.0.0.1:8082`; `shop up` asks them in process.
    pub products_url: String,
    /// How long placing may take before it is answered with 503; less than `grace`. Default 10 s.
    pub place_deadline: HumanDuration,
    /// How old a hold must be before recovery decides it; more than `place_deadline`, or recovery gives up orders that are still
    /// being placed. Default 30 s.
    pub grace: HumanDuration,
    /// PATCH and DELETE without `If-Match` are refused with 428. Default no.
    pub require_if_match: bool,
    /// POST without `Idempotency-Key` is refused with 400. Default no.
    pub require_idempotency_key: bool,
}

impl Default for OrdersConfig {
    fn default() -> Self {
        let service = OrderServiceConfig::default();
        Self {
            listen: ([127, 0, 0, 1], 8081).into(),
            store: StoreUrl::sqlite(&PathBuf::from("shop-data/orders.db")),
            products_url: "http://127.0.0.1:8082".into(),
            place_deadline: service.place_deadline.into(),
            grace: service.grace.into(),
            require_if_match: false,
            require_idempotency_key: false,
        }
    }
}

impl OrdersConfig {
    /// The settings of the service.
    pub fn service(&self) -> OrderServiceConfig {
        OrderServiceConfig {
            place_deadline: self.place_deadline.0,
            grace: self.grace.0,
            ..OrderServiceConfig::default()
        }
    }
}

impl ShopConfig {
    /// The gateway's part, in a process that has the upstreams `in_process` in itself: their endpoints, which are for a gateway
    /// of its own, do not count.
    pub fn gateway(&self, in_process: &[&str]) -> GatewayConfig {
        let mut upstreams = self.upstreams.clone();
        for name in in_process {
            if let Some(upstream) = upstreams.get_mut(*name) {
                upstream.endpoints.clear();
            }
        }
        GatewayConfig { gateway: self.gateway.clone(), upstreams, routes: self.routes.clone() }
    }

    /// How long what runs may go on after a signal.
    pub fn drain(&self) -> Duration {
        self.process.drain.0
    }

    /// What is well-formed and cannot work. `in_process` are the upstreams that are services of this process.
    pub(crate) fn violations(&self, in_process: &[&str]) -> Vec<Violation> {
        let mut found = Vec::new();
        if self.etcd.is_some() && !cfg!(feature = "etcd") {
            let why = "this build reads no configuration from etcd; build it with `--features etcd`, or full";
            found.push(Violation::new("etcd", why));
        }
        for fault in shop_core::log::faults(&self.log) {
            // It names the key itself: `log.level: …`.
            let said = fault.to_string();
            let (path, message) = said.split_once(": ").unwrap_or(("log", &said));
            found.push(Violation::new(path, message));
        }
        if let Err(error) = shop_products::client::RestCatalog::builder(&self.orders.products_url).build() {
            found.push(Violation::new("orders.products_url", error.to_string()));
        }
        if let Some(why) = self.orders.store.refused_for_orders() {
            found.push(Violation::new("orders.store", why));
        }
        if let Err(error) = self.orders.service().validate() {
            // Its settings have the names of the keys.
            found.push(Violation::new(format!("orders.{}", error.setting()), error.fault()));
        }
        if self.gateway.listen.is_empty() {
            found.push(Violation::new("gateway.listen", "has no address"));
        }
        let services = in_process.iter().map(|name| (*name).to_owned()).collect();
        if let Err(errors) = self.gateway(in_process).validate_with(&services) {
            found.extend(errors.faults().iter().map(|fault| {
                // `routes[2].upstream` is `routes.2.upstream` here.
                Violation::new(fault.path.replace('[', ".").replace(']', ""), fault.message.clone())
            }));
        }
        found
    }
}

/// The flags that every server has.
#[derive(Debug, Clone, Args)]
pub struct CommonFlags {
    /// A TOML file; may be given several times, later ones over earlier ones.
    #[arg(long, value_name = "FILE")]
    pub config: Vec<PathBuf>,
    /// Where /healthz, /readyz, /metrics and /status are.
    #[arg(long, value_name = "ADDR")]
    pub admin_listen: Option<SocketAddr>,
    /// Say whether the configuration is good, and end.
    #[arg(long)]
    pub check: bool,
}

impl CommonFlags {
    /// The layers below a server's own flags: built-in, files, environment, and these flags.
    pub fn loader(&self, defaults: &str) -> Loader {
        let files = Loader::new().text("built-in", BUILT_IN).text("defaults", defaults);
        let files = self.config.iter().fold(files, Loader::file);
        files.env_os(std::env::vars_os()).flag("--admin-listen", "admin.listen", self.admin_listen)
    }
}

/// The end of a process whose configuration is bad.
pub(crate) fn bad(errors: &ConfigErrors) -> Failure {
    Failure::Config(format!("bad configuration\n{errors}"))
}
