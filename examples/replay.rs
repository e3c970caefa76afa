//! A month of a real retailer's invoices as orders, by four replayers at once, with stock for 80 % of what was sold.
//!
//! In process: `cargo run --release -p shop-examples --example replay`; against a running shop, after
//! `shop import --stock-share 0.8 FILE`: add `-- --url http://127.0.0.1:8080`.
//!
//! Each replayer sends every invoice, from another place in the list, with the invoice's number as the idempotency key: each
//! is placed once at most, whoever comes first. At the end every row is accounted for, and the sums must fit to the unit.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use clap::Parser;
use serde_json::{Value, json};
use shop::retail::{Invoice, Sales, stock_for};
use shop_core::idempotency::{Fingerprint, Idempotency, Keyed, StoredAnswer};
use shop_core::{Clock, SystemClock};
use shop_orders::store::sqlite::SqliteOrderStore;
use shop_orders::{NewOrder, Order, OrderDetails, OrderError, OrderService, OrderServiceConfig};
use shop_products::store::sqlite::SqliteProductStore;
use shop_products::{
    HoldLine, LocalCatalog, NewProduct, ProductDetails, ProductRef, ProductService, ProductServiceConfig,
    Sku, Stock,
};

type Fault = Box<dyn std::error::Error + Send + Sync>;

/// Replay sales as orders and check the sums.
#[derive(Parser)]
struct Options {
    /// The sales.
    #[arg(default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/data/online-retail-2010-12.csv"))]
    file: PathBuf,
    /// A running shop that has the products already; in process on a new SQLite database if it is not given.
    #[arg(long)]
    url: Option<String>,
    /// How much of what was sold is in stock.
    #[arg(long, default_value_t = 0.8)]
    stock_share: f64,
    /// How many replay at once.
    #[arg(long, default_value_t = 4)]
    replayers: usize,
}

/// What became of an invoice.
#[derive(Debug, Clone, PartialEq, Eq)]
enum End {
    Placed,
    Refused(String),
}

/// A shop to send orders to.
enum Shop {
    InProcess { products: ProductService, orders: OrderService, _folder: tempfile::TempDir },
    Http { client: reqwest::Client, url: String },
}

#[tokio::main]
async fn main() -> Result<(), Fault> {
    let options = Options::parse();
    let sales = Arc::new(Sales::read(std::fs::File::open(&options.file)?)?);
    let shop = Arc::new(match options.url {
        Some(url) => Shop::Http { client: reqwest::Client::new(), url },
        None => Shop::in_process(&sales, options.stock_share).await?,
    });

    let ends: Arc<Mutex<HashMap<String, End>>> = Arc::default();
    let mut replayers = Vec::new();
    for replayer in 0..options.replayers {
        let (shop, sales, ends) = (shop.clone(), sales.clone(), ends.clone());
        let from = sales.invoices.len() * replayer / options.replayers;
        replayers.push(tokio::spawn(async move {
            for invoice in sales.invoices[from..].iter().chain(&sales.invoices[..from]) {
                let end = shop.place(invoice).await?;
                let mut ends = ends.lock().map_err(|_| "a replayer panicked")?;
                let known = ends.entry(invoice.number.clone()).or_insert_with(|| end.clone());
                if end == End::Placed {
                    *known = end;
                }
            }
            Ok::<_, Fault>(())
        }));
    }
    for replayer in replayers {
        replayer.await??;
    }
    let ends = ends.lock().map_err(|_| "a replayer panicked")?.clone();
    report(&sales, &ends);
    let wrong = shop.check_sums(&sales, options.stock_share, &ends).await?;
    if wrong > 0 {
        return Err(format!("{wrong} products do not add up").into());
    }
    println!("the stock of all {} products adds up to the unit", sales.products.len());
    Ok(())
}

/// Every row by what became of it; none is left over.
fn report(sales: &Sales, ends: &HashMap<String, End>) {
    let mut rows: BTreeMap<String, usize> = BTreeMap::new();
    for row in &sales.rows {
        let end = match (row.kind.reason(), ends.get(&row.invoice)) {
            (Some(reason), _) => format!("reported: {reason}"),
            (None, Some(End::Placed)) => "placed".into(),
            (None, Some(End::Refused(code))) => format!("refused: {code}"),
            (None, None) => "lost".into(),
        };
        *rows.entry(end).or_default() += 1;
    }
    for fault in &sales.faults {
        *rows.entry(format!("reported: line {}: {}", fault.line, fault.reason)).or_default() += 1;
    }
    let placed = ends.values().filter(|end| **end == End::Placed).count();
    println!(
        "{} invoices: {placed} placed, {} refused, {} without a sale",
        sales.invoice_count,
        ends.len() - placed,
        sales.invoice_count - sales.invoices.len(),
    );
    rows.iter().for_each(|(end, count)| println!("{count:>7} rows {end}"));
    println!("{:>7} rows in all", rows.values().sum::<usize>());
    assert!(!rows.contains_key("lost"), "a row vanished");
}

impl Shop {
    /// A shop on a new SQLite database, with the products of the sales.
    async fn in_process(sales: &Sales, share: f64) -> Result<Self, Fault> {
        let folder = tempfile::tempdir()?;
        let file = |name: &str| format!("sqlite:{}", folder.path().join(name).display());
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let store = SqliteProductStore::connect(&file("products.db")).await?;
        let products = ProductService::start(Arc::new(store), clock.clone(), ProductServiceConfig::default());
        for seed in sales.products.values() {
            let details = ProductDetails {
                sku: seed.sku.clone(),
                name: seed.name.clone(),
                description: String::new(),
                price: seed.price,
                attributes: BTreeMap::new(),
                tags: Vec::new(),
                status: Default::default(),
            };
            products.create(NewProduct { details, on_hand: stock_for(seed.demand, share) }, None).await?;
        }
        let store = SqliteOrderStore::connect(&file("orders.db")).await?;
        let catalog = Arc::new(LocalCatalog(products.clone()));
        let orders = OrderService::start(Arc::new(store), catalog, clock, OrderServiceConfig::default());
        Ok(Self::InProcess { products, orders, _folder: folder })
    }

    /// Places an invoice's order, again while another replayer has it in hand.
    async fn place(&self, invoice: &Invoice) -> Result<End, Fault> {
        let mut turns = tokio::time::interval(Duration::from_millis(5));
        loop {
            turns.tick().await;
            let code = match self {
                Self::InProcess { orders, .. } => in_process(orders, invoice).await?,
                Self::Http { client, url } => over_http(client, url, invoice).await?,
            };
            match code.as_deref() {
                None => return Ok(End::Placed),
                Some("idempotency_key_in_flight") => {}
                Some(code) => return Ok(End::Refused(code.to_owned())),
            }
        }
    }

    async fn stock(&self, sku: &Sku) -> Result<Stock, Fault> {
        match self {
            Self::InProcess { products, .. } => Ok(products.get(&ProductRef::Sku(sku.clone())).await?.stock),
            Self::Http { client, url } => {
                let mut address = reqwest::Url::parse(url)?;
                address.path_segments_mut().map_err(|()| "not an http address")?.extend([
                    "v1",
                    "products",
                    &format!("sku:{sku}"),
                    "stock",
                ]);
                let stock: Value = client.get(address).send().await?.error_for_status()?.json().await?;
                let units = |name: &str| stock[name].as_i64().ok_or("no such figure");
                Ok(Stock { on_hand: units("on_hand")?, allocated: units("allocated")? })
            }
        }
    }

    /// How many products do not have exactly the units of the placed orders allocated.
    async fn check_sums(
        &self,
        sales: &Sales,
        share: f64,
        ends: &HashMap<String, End>,
    ) -> Result<usize, Fault> {
        let mut sold: HashMap<&Sku, i64> = HashMap::new();
        for invoice in sales.invoices.iter().filter(|invoice| ends[&invoice.number] == End::Placed) {
            for (sku, quantity) in &invoice.lines {
                *sold.entry(sku).or_default() += quantity;
            }
        }
        let mut wrong = 0;
        for seed in sales.products.values() {
            let found = self.stock(&seed.sku).await?;
            let due = Stock {
                on_hand: stock_for(seed.demand, share),
                allocated: sold.get(&seed.sku).copied().unwrap_or_default(),
            };
            if found != due {
                println!("{}: {found:?}, should be {due:?}", seed.sku);
                wrong += 1;
            }
        }
        Ok(wrong)
    }
}

/// The problem's code, or `None` if the order is placed.
async fn in_process(orders: &OrderService, invoice: &Invoice) -> Result<Option<String>, Fault> {
    let new = NewOrder {
        lines: invoice
            .lines
            .iter()
            .map(|(sku, quantity)| HoldLine { product: ProductRef::Sku(sku.clone()), quantity: *quantity })
            .collect(),
        details: OrderDetails {
            customer_id: (!invoice.customer.is_empty()).then(|| invoice.customer.clone()),
            reference: Some(invoice.number.clone()),
            metadata: BTreeMap::new(),
        },
        expected_total: None,
    };
    let keyed = Keyed {
        idempotency: Idempotency {
            key: invoice.number.parse()?,
            fingerprint: Fingerprint::of_value(&invoice.lines),
        },
        answer: |order: &Order| StoredAnswer {
            status: 201,
            location: None,
            etag: None,
            body: order.id.to_string(),
        },
    };
    match orders.place(new, Some(keyed)).await {
        Ok(_) => Ok(None),
        Err(OrderError::InsufficientStock(_)) => Ok(Some("insufficient_stock".into())),
        Err(OrderError::KeyInFlight) => Ok(Some("idempotency_key_in_flight".into())),
        Err(error) => Err(error.into()),
    }
}

/// The same over HTTP.
async fn over_http(client: &reqwest::Client, url: &str, invoice: &Invoice) -> Result<Option<String>, Fault> {
    let lines: Vec<_> =
        invoice.lines.iter().map(|(sku, quantity)| json!({ "sku": sku, "quantity": quantity })).collect();
    let mut order = json!({ "lines": lines, "reference": invoice.number });
    if !invoice.customer.is_empty() {
        order["customer_id"] = invoice.customer.clone().into();
    }
    let request =
        client.post(format!("{url}/v1/orders")).header("Idempotency-Key", &invoice.number).json(&order);
    let answer = request.send().await?;
    if answer.status().is_success() {
        return Ok(None);
    }
    let problem: Value = answer.json().await?;
    match problem["code"].as_str() {
        Some(code) if problem["status"] == 409 => Ok(Some(code.to_owned())),
        _ => Err(format!("invoice {}: {problem}", invoice.number).into()),
    }
}
