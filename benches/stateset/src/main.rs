//! `peer-stateset DB SKUS CALLERS SECONDS [OPEN]`: two-line orders a second through `stateset-embedded` in process, on
//! SQLite with WAL and `synchronous=FULL`, after `OPEN` orders that stay open. Prints one line: orders, seconds, a second.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rust_decimal::Decimal;
use stateset_embedded::{Commerce, CreateCustomer, CreateInventoryItem, CreateOrder, CreateOrderItem, ProductId, StockPolicy};

fn main() {
    let mut args = std::env::args().skip(1);
    let db = args.next().expect("DB");
    let mut number = |name: &str| args.next().map(|n| n.parse::<u64>().expect(name));
    let skus = number("SKUS").expect("SKUS");
    let callers = number("CALLERS").expect("CALLERS");
    let seconds = number("SECONDS").expect("SECONDS");
    let open = number("OPEN").unwrap_or(0);

    let commerce = Commerce::new(&db).expect("opens");
    let customer = commerce
        .customers()
        .create(CreateCustomer {
            email: "buyer@example.com".into(),
            first_name: "B".into(),
            last_name: "Uyer".into(),
            ..Default::default()
        })
        .expect("creates a customer");
    for n in 0..skus {
        commerce
            .inventory()
            .create_item(CreateInventoryItem {
                sku: format!("SKU-{n}"),
                name: format!("Product {n}"),
                initial_quantity: Some(Decimal::from(1_000_000_000_u64)),
                ..Default::default()
            })
            .expect("creates an item");
    }
    // It only must not be nil: stock is found by SKU.
    let product_id = ProductId::new();
    let place = |n: u64| {
        let item = |n: u64| CreateOrderItem {
            product_id,
            sku: format!("SKU-{}", n % skus),
            name: format!("Product {}", n % skus),
            quantity: 1,
            unit_price: Decimal::new(1999, 2),
            ..Default::default()
        };
        commerce.orders().create(CreateOrder {
            customer_id: customer.id,
            items: vec![item(n), item(n + 1)],
            stock_policy: StockPolicy::RejectIfInsufficient,
            ..Default::default()
        })
    };
    let next = AtomicU64::new(0);
    let failed = AtomicU64::new(0);
    let run = |enough: &(dyn Fn(u64) -> bool + Sync)| {
        let (done, stop) = (AtomicU64::new(0), AtomicBool::new(false));
        let from = Instant::now();
        std::thread::scope(|scope| {
            for _ in 0..callers {
                scope.spawn(|| {
                    while !stop.load(Ordering::Relaxed) {
                        match place(next.fetch_add(1, Ordering::Relaxed)) {
                            Ok(_) => {
                                if enough(done.fetch_add(1, Ordering::Relaxed) + 1) {
                                    stop.store(true, Ordering::Relaxed);
                                }
                            }
                            Err(error) => {
                                if failed.fetch_add(1, Ordering::Relaxed) == 0 {
                                    eprintln!("refused: {error}");
                                }
                                if enough(0) {
                                    stop.store(true, Ordering::Relaxed);
                                }
                            }
                        }
                    }
                });
            }
        });
        (done.into_inner(), from.elapsed())
    };
    if open > 0 {
        run(&|done| done >= open);
    }
    let end = Instant::now() + Duration::from_secs(seconds);
    let (done, took) = run(&|_| Instant::now() >= end);
    println!(
        "stateset skus={skus} callers={callers} open={open} orders={done} failed={} seconds={:.2} orders_per_second={:.0}",
        failed.into_inner(),
        took.as_secs_f64(),
        done as f64 / took.as_secs_f64()
    );
}
