//! Orders a second in one process: `cargo run --release -p shop-orders --features sqlite --example orders_per_second`.
//!
//! Products and orders each on a SQLite file of its own (WAL, `synchronous=FULL`), orders of two lines, eight callers that
//! each wait for their answer. Arguments, all optional: `products=1000 callers=8 orders=20000 open=0 keyed=false
//! memory=false folder=DIR`. `open` orders are placed and left open before the clock starts.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use shop_core::idempotency::{Fingerprint, Idempotency, Keyed, StoredAnswer};
use shop_core::{Clock, SystemClock};
use shop_orders::store::sqlite::SqliteOrderStore;
use shop_orders::{NewOrder, Order, OrderDetails, OrderService, OrderServiceConfig};
use shop_products::store::memory::MemoryProductStore;
use shop_products::store::sqlite::SqliteProductStore;
use shop_products::{
    HoldLine, LocalCatalog, NewProduct, ProductDetails, ProductId, ProductRef, ProductService,
    ProductServiceConfig, ProductStatus, ProductStore,
};

type Failure = Box<dyn std::error::Error + Send + Sync>;

struct Settings {
    products: usize,
    callers: usize,
    orders: usize,
    open: usize,
    keyed: bool,
    memory: bool,
    folder: Option<String>,
}

fn settings() -> Result<Settings, Failure> {
    let arguments = std::env::args().skip(1);
    let mut given: BTreeMap<String, String> = arguments
        .map(|argument| argument.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned())))
        .collect::<Option<_>>()
        .ok_or("arguments are NAME=VALUE")?;
    let mut number =
        |name: &str, default: usize| given.remove(name).map_or(Ok(default), |value| value.parse());
    let (products, callers) = (number("products", 1_000)?, number("callers", 8)?);
    let (orders, open) = (number("orders", 20_000)?, number("open", 0)?);
    let mut flag = |name: &str| given.remove(name).map_or(Ok(false), |value| value.parse());
    let (keyed, memory) = (flag("keyed")?, flag("memory")?);
    let folder = given.remove("folder");
    match given.keys().next() {
        Some(unknown) => Err(format!("there is no argument {unknown}").into()),
        None => Ok(Settings { products, callers, orders, open, keyed, memory, folder }),
    }
}

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let settings = settings()?;
    let scratch = tempfile::tempdir()?;
    let folder = settings.folder.as_deref().map_or(scratch.path().to_path_buf(), Into::into);
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let path = |name: &str| folder.join(name).display().to_string();
    let stock: Arc<dyn ProductStore> = if settings.memory {
        Arc::new(MemoryProductStore::new())
    } else {
        Arc::new(SqliteProductStore::connect(&path("products.db")).await?)
    };
    let products = ProductService::start(stock, clock.clone(), ProductServiceConfig::default());
    let store = Arc::new(SqliteOrderStore::connect(&path("orders.db")).await?);
    let catalog = Arc::new(LocalCatalog(products.clone()));
    let service = OrderService::start(store, catalog, clock, OrderServiceConfig::default());
    let ids = Arc::new(stock_up(&products, settings.products.max(2)).await?);

    if settings.open > 0 {
        let rate = run(&service, &ids, 64, settings.open, false).await?;
        println!("{} orders placed before, {rate:.0}/s with 64 callers", settings.open);
    }
    let mut rates = Vec::new();
    for _ in 0..5 {
        let rate = run(&service, &ids, settings.callers, settings.orders / 5, settings.keyed).await?;
        rates.push(rate);
    }
    let first = rates[0];
    rates.sort_by(f64::total_cmp);
    println!(
        "{} products, {} callers: {:.0} orders/s (median of five runs; {:.0} to {:.0}; the first {first:.0})",
        ids.len(),
        settings.callers,
        rates[2],
        rates[0],
        rates[4],
    );
    let ended = Instant::now();
    service.settle_now().await?;
    println!("all settled {:.0} ms after the last order", ended.elapsed().as_secs_f64() * 1e3);
    service.shutdown().await;
    Ok(())
}

async fn stock_up(products: &ProductService, count: usize) -> Result<Vec<ProductId>, Failure> {
    let mut ids = Vec::with_capacity(count);
    for n in 0..count {
        let details = ProductDetails {
            sku: format!("SKU-{n:06}").parse()?,
            name: format!("Product number {n}"),
            description: String::new(),
            price: "19.99 EUR".parse()?,
            attributes: BTreeMap::new(),
            tags: Vec::new(),
            status: ProductStatus::Active,
        };
        let made = products.create(NewProduct { details, on_hand: 1_000_000_000 }, None).await?;
        ids.push(made.fresh().ok_or("made now")?.id);
    }
    Ok(ids)
}

/// Orders a second of so many callers that each place one order after the other.
async fn run(
    service: &OrderService,
    ids: &Arc<Vec<ProductId>>,
    callers: usize,
    orders: usize,
    keyed: bool,
) -> Result<f64, Failure> {
    let start = Instant::now();
    let mut tasks = tokio::task::JoinSet::new();
    for caller in 0..callers {
        let (service, ids) = (service.clone(), ids.clone());
        tasks.spawn(async move {
            for n in 0..orders / callers {
                let at = caller + n * callers;
                // Scattered over the products, two different ones.
                let (first, second) =
                    (at.wrapping_mul(7_919) % ids.len(), (at.wrapping_mul(7_919) + 1) % ids.len());
                let line = |at: usize| HoldLine { product: ProductRef::Id(ids[at]), quantity: 1 };
                let lines = vec![line(first), line(second)];
                let new = NewOrder { lines, details: OrderDetails::default(), expected_total: None };
                let key = keyed.then(|| key(at, start)).transpose()?;
                service.place(new, key).await?;
            }
            Ok::<_, Failure>(())
        });
    }
    while let Some(task) = tasks.join_next().await {
        task??;
    }
    Ok((orders / callers * callers) as f64 / start.elapsed().as_secs_f64())
}

fn key(at: usize, run: Instant) -> Result<Keyed<Order>, Failure> {
    let key = format!("order-{at}-{run:?}").replace([' ', '{', '}'], "").parse()?;
    let fingerprint = Fingerprint::of_request("POST", "/v1/orders", &at.to_be_bytes());
    let answer = |order: &Order| StoredAnswer {
        status: 201,
        location: Some(format!("/v1/orders/{}", order.id)),
        etag: Some("\"1\"".to_owned()),
        body: serde_json::to_string(order).unwrap_or_default(),
    };
    Ok(Keyed { idempotency: Idempotency { key, fingerprint }, answer })
}
