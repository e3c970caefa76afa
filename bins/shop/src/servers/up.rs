use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use shop_core::config::Loader;
use shop_core::http::{Admin, CancellationToken, install_prometheus};
use shop_core::process::Failure;
use shop_core::{Clock, SystemClock};
use shop_gateway::Gateway;
use shop_products::LocalCatalog;

use super::{Bound, StoreUrl, bind_admin, gateway, orders, products, serve};
use crate::Source;
use crate::config::{CommonFlags, ShopConfig};

/// The gateway's upstreams that `shop up` has in itself.
pub const IN_PROCESS: &[&str] = &["orders", "products"];

/// Products, orders and the gateway before them, in one process.
#[derive(Debug, Clone, Args)]
pub struct Up {
    /// Where the data and the logs are.
    #[arg(long, value_name = "DIR", default_value = "shop-data")]
    data: PathBuf,
    /// Where the gateway is.
    #[arg(long, value_name = "ADDR")]
    listen: Option<SocketAddr>,
    /// Where the orders service is.
    #[arg(long, value_name = "ADDR")]
    orders_listen: Option<SocketAddr>,
    /// Where the products service is.
    #[arg(long, value_name = "ADDR")]
    products_listen: Option<SocketAddr>,
    /// What is common to all servers.
    #[command(flatten)]
    pub common: CommonFlags,
}

impl Up {
    /// The layers of its configuration: the data folder is a default, so that a file can put a store elsewhere; the log goes to
    /// files in it, and stdout is for people.
    pub fn loader(&self) -> Loader {
        let text = |path: PathBuf| toml_string(&path.to_string_lossy());
        let store = |file: &str| toml_string(&String::from(StoreUrl::sqlite(&self.data.join(file))));
        let defaults = format!(
            "log.stdout.enabled = false\nlog.file.dir = {}\nproducts.store = {}\norders.store = {}\n\
             upstreams.orders.endpoints = []\nupstreams.products.endpoints = []\n",
            text(self.data.join("logs")),
            store("products.db"),
            store("orders.db"),
        );
        self.common
            .loader(&defaults)
            .flag("--listen", "gateway.listen", self.listen.map(|address| [address]))
            .flag("--orders-listen", "orders.listen", self.orders_listen)
            .flag("--products-listen", "products.listen", self.products_listen)
    }
}

fn toml_string(text: &str) -> String {
    // JSON's escapes are TOML's too.
    serde_json::Value::from(text).to_string()
}

/// Runs `shop up` until the shutdown. Prints one line to stdout when it is ready.
///
/// # Errors
/// If a store cannot be opened or an address cannot be bound.
pub async fn up(config: &ShopConfig, source: &Source, shutdown: CancellationToken) -> Result<(), Failure> {
    let metrics = install_prometheus().map_err(|error| Failure::Fault(error.to_string()))?;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let (products, products_app, close_products) = products::part(config, clock.clone()).await?;
    let catalog = Arc::new(LocalCatalog(products.clone()));
    let (orders, orders_app, close_orders) = orders::part(config, catalog, clock).await?;
    for name in IN_PROCESS {
        if let Some(upstream) = config.upstreams.get(*name).filter(|upstream| !upstream.endpoints.is_empty())
        {
            tracing::info!(
                endpoints = ?upstream.endpoints,
                "{name} are in this process: the endpoints of upstreams.{name} are not used"
            );
        }
    }
    let plan = Gateway::builder(config.gateway(IN_PROCESS))
        .service("orders", orders_app.clone())
        .service("products", products_app.clone())
        .plan()
        .map_err(|errors| Failure::Config(errors.to_string()))?;
    let drain = config.drain();
    let servers = vec![
        Bound::bind("orders", config.orders.listen, orders_app, drain).await?,
        Bound::bind("products", config.products.listen, products_app, drain).await?,
    ];
    let admin = source.tell(Admin::new(shop_core::service!("shop"))).metrics(metrics);
    let admin = orders::admin(products::admin(admin, &products), &orders);
    let address = config.admin.listen.unwrap_or(([127, 0, 0, 1], 8090).into());
    let admin = bind_admin(address, admin).await?;
    let running = gateway::start(&plan)?;
    gateway::follow(&plan, source, IN_PROCESS);

    let services: Vec<_> = servers.iter().chain([&admin.0]).map(Bound::address).collect();
    let ready = format!("shop is ready: {} {}", gateway::addresses(&running, &plan), services.join(" "));
    tracing::info!("{ready}");
    // A closed stdout is no reason not to serve.
    let _ = writeln!(std::io::stdout().lock(), "{ready}");

    serve(servers, admin, shutdown, gateway::drain(running, config), async {
        // Orders first: their last settlements still reach products.
        orders.shutdown().await;
        products.shutdown().await;
        close_orders.await;
        close_products.await;
    })
    .await;
    Ok(())
}
