//! Products and orders inside an app of your own: no server, no socket, one folder on disk.
//!
//! `cargo run -p shop-examples --example embedded`

use std::sync::Arc;

use shop_core::{Clock, SystemClock};
use shop_orders::store::sqlite::SqliteOrderStore;
use shop_orders::{NewOrder, OrderError, OrderService, OrderServiceConfig};
use shop_products::store::sqlite::SqliteProductStore;
use shop_products::{
    HoldLine, LocalCatalog, NewProduct, ProductDetails, ProductRef, ProductService, ProductServiceConfig,
};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = tempfile::tempdir()?;
    let file = |name: &str| format!("sqlite:{}", folder.path().join(name).display());
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);

    // Products keep the catalogue and the stock…
    let store = SqliteProductStore::connect(&file("products.db")).await?;
    let products = ProductService::start(Arc::new(store), clock.clone(), ProductServiceConfig::default());

    // …and orders reach them through a port: in process here, over REST in separate servers.
    let store = SqliteOrderStore::connect(&file("orders.db")).await?;
    let catalog = Arc::new(LocalCatalog(products.clone()));
    let orders = OrderService::start(Arc::new(store), catalog, clock, OrderServiceConfig::default());

    let mug = ProductDetails {
        sku: "MUG-01".parse()?,
        name: "Enamel mug".into(),
        description: String::new(),
        price: "12.50 EUR".parse()?,
        attributes: Default::default(),
        tags: vec!["kitchen".into()],
        status: Default::default(),
    };
    products.create(NewProduct { details: mug, on_hand: 10 }, None).await?;
    let mug = ProductRef::Sku("MUG-01".parse()?);

    let lines = |quantity| vec![HoldLine { product: mug.clone(), quantity }];
    let order = NewOrder { lines: lines(3), details: Default::default(), expected_total: None };
    let order = orders.place(order, None).await?.fresh().expect("without a key nothing is replayed");
    println!("order #{}: {} for {}", order.number, order.id, order.total);

    // All of an order or nothing of it: eight are refused, and the seven stay available.
    let greedy = NewOrder { lines: lines(8), details: Default::default(), expected_total: None };
    match orders.place(greedy, None).await {
        Err(OrderError::InsufficientStock(short)) => {
            println!("refused: {} of {} left", short[0].available, short[0].requested)
        }
        other => return Err(format!("eight of seven mugs were sold: {other:?}").into()),
    }

    orders.cancel(order.id, None, None).await?;
    orders.shutdown().await;
    let stock = products.get(&mug).await?.stock;
    println!("after the cancel: {} on hand, {} allocated", stock.on_hand, stock.allocated);
    assert_eq!((stock.on_hand, stock.allocated), (10, 0));
    products.shutdown().await;
    Ok(())
}
