//! The stock views of two services over one replica set: what one writes, the other's checks show.

use std::sync::Arc;
use std::time::{Duration, Instant};

use mongodb::bson::doc;
use shop_core::{Clock, SystemClock};
use shop_products::testing::{line, new_product, request};
use shop_products::{HoldLine, ProductError, ProductId, ProductRef, ProductService};

use super::{Database, Failing, one_at_a_time};

async fn services(database: &Database) -> [ProductService; 2] {
    let [one, two] = [0, 1].map(|_| database.open(Duration::from_secs(5)));
    [one.await, two.await]
        .map(|store| ProductService::start(Arc::new(store), Arc::new(SystemClock), Default::default()))
}

async fn made(service: &ProductService, count: usize, each: i64) -> Vec<ProductId> {
    let mut ids = Vec::new();
    for n in 0..count {
        let made = service.create(new_product(&format!("p{n}"), each), None).await.unwrap();
        ids.push(made.fresh().unwrap().id);
    }
    ids
}

/// Asks again until it is so.
async fn until(what: &str, mut done: impl AsyncFnMut() -> bool) {
    let since = Instant::now();
    while !done().await {
        assert!(since.elapsed() < Duration::from_secs(30), "{what}: it does not come");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

async fn fresh(service: &ProductService, is: bool) {
    until("fresh", async || service.figures().view_fresh == is).await;
}

async fn available(service: &ProductService, product: ProductId) -> i64 {
    service.check(&[line(product, 1)]).await.unwrap().lines[0].available
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_one_sells_the_other_shows_from_memory() {
    let database = Database::fresh();
    let [mine, other] = services(&database).await;
    let product = made(&other, 1, 100).await[0];
    fresh(&mine, true).await;
    assert_eq!(available(&mine, product).await, 100);
    for left in (90..100).rev() {
        other.hold(&request(vec![line(product, 1)])).await.unwrap();
        let sold = SystemClock.now();
        until("sold", async || {
            let misses = mine.figures().view_misses;
            let check = mine.check(&[line(product, 1)]).await.unwrap();
            let shown = check.lines[0].available;
            assert!(
                shown == left || (shown == left + 1 && check.as_of <= sold),
                "{shown} as of {}",
                check.as_of
            );
            // Once it is told so, it is answered from memory, and said to be so new.
            shown == left && check.as_of > sold && mine.figures().view_misses == misses
        })
        .await;
    }
    assert_eq!(mine.figures().view_gaps, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_sell_at_once_and_both_end_with_what_is_there() {
    let database = Database::fresh();
    let services = services(&database).await;
    let products = made(&services[0], 10, 60).await;
    for service in &services {
        fresh(service, true).await;
    }
    let lines: Vec<HoldLine> = products.iter().map(|id| line(*id, 1)).collect();
    let buyers: Vec<_> = (0..400)
        .map(|n| {
            let (service, lines) = (services[n % 2].clone(), [lines[n % 7].clone(), lines[n % 10].clone()]);
            tokio::spawn(async move {
                let held = match service.hold(&request(lines.to_vec())).await {
                    Ok(_) => true,
                    Err(ProductError::InsufficientStock(_)) => false,
                    Err(other) => panic!("{other:?}"),
                };
                service.check(&lines).await.unwrap();
                held
            })
        })
        .collect();
    let mut held = 0;
    for buyer in buyers {
        held += usize::from(buyer.await.unwrap());
    }
    assert!(held > 200, "{held}");
    let sold = SystemClock.now();
    let asked: Vec<ProductRef> = products.iter().map(|id| ProductRef::Id(*id)).collect();
    let there = services[0].get_many(&asked).await.unwrap();
    let there: Vec<i64> = there.into_iter().map(|product| product.unwrap().stock.available()).collect();
    for service in &services {
        until("told", async || service.check(&lines).await.unwrap().as_of > sold).await;
        let shown = service.check(&lines).await.unwrap();
        assert_eq!(shown.lines.iter().map(|line| line.available).collect::<Vec<_>>(), there);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_the_stream_is_lost_checks_read_the_store() {
    let _alone = one_at_a_time().await;
    let database = Database::fresh();
    let [mine, other] = services(&database).await;
    let product = made(&other, 1, 100).await[0];
    fresh(&mine, true).await;
    assert_eq!(available(&mine, product).await, 100);
    // What a stream needs, and a load does not.
    let fails = doc! { "errorCode": 2 };
    let commands = ["getMore", "aggregate"];
    let failing =
        Failing::commands(database.admin().await, &database.name, &commands, "alwaysOn", fails).await;
    fresh(&mine, false).await;
    for left in (90..100).rev() {
        other.hold(&request(vec![line(product, 1)])).await.unwrap();
        assert_eq!(available(&mine, product).await, left, "at once");
    }
    failing.stop().await;
    fresh(&mine, true).await;
    assert_eq!(available(&mine, product).await, 90);
    assert!(mine.figures().view_gaps >= 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_is_closed_though_it_is_followed() {
    let database = Database::fresh();
    let store = database.open(Duration::from_secs(5)).await;
    let service = ProductService::start(Arc::new(store.clone()), Arc::new(SystemClock), Default::default());
    fresh(&service, true).await;
    tokio::time::timeout(Duration::from_secs(20), store.close()).await.expect("the stream ends with it");
    fresh(&service, false).await;
}
