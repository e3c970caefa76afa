//! A store of your own: products in an append-only journal (`own_store/journal.rs`). It passes the published suite without an
//! exception: `cargo test -p shop-examples --test own_store`.
//!
//! `cargo run -p shop-examples --example own_store`

#[path = "own_store/journal.rs"]
mod journal;

use std::sync::Arc;

use journal::JournalStore;
use shop_core::SystemClock;
use shop_products::{
    HoldLine, HoldRequest, NewProduct, ProductDetails, ProductRef, ProductService, ProductServiceConfig,
    ReservationId,
};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("products.journal");
    let start = || -> Result<_, Box<dyn std::error::Error>> {
        let store = Arc::new(JournalStore::open(&path)?);
        Ok(ProductService::start(store, Arc::new(SystemClock), ProductServiceConfig::default()))
    };

    let products = start()?;
    let details = ProductDetails {
        sku: "MUG-01".parse()?,
        name: "Enamel mug".into(),
        description: String::new(),
        price: "12.50 EUR".parse()?,
        attributes: Default::default(),
        tags: Vec::new(),
        status: Default::default(),
    };
    products.create(NewProduct { details, on_hand: 10 }, None).await?;
    let mug = ProductRef::Sku("MUG-01".parse()?);
    let lines = vec![HoldLine { product: mug.clone(), quantity: 4 }];
    products
        .hold(&HoldRequest { id: ReservationId::generate(), owner: None, lines, expires_in: None })
        .await?;
    products.shutdown().await;

    // Another service over the same journal: nothing is lost.
    let products = start()?;
    let stock = products.get(&mug).await?.stock;
    println!("after the restart: {} on hand, {} allocated", stock.on_hand, stock.allocated);
    assert_eq!((stock.on_hand, stock.allocated), (10, 4));
    println!("the journal has {} lines", std::fs::read_to_string(&path)?.lines().count());
    products.shutdown().await;
    Ok(())
}
