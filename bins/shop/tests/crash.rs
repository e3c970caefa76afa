//! `shop up` killed a hundred times under load: what was acknowledged is there, once, and the stock fits to the unit.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod support;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use serde_json::json;
use support::load::{Load, sku};
use support::shop::Shop;
use support::sums::{all_orders, check};
use support::within;
use tokio::sync::watch;

const KILLS: u64 = 100;
const CLIENTS: u64 = 8;
const SKUS: usize = 10;
const ON_HAND: i64 = 20_000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shop_that_is_killed_keeps_what_it_acknowledged() {
    let dir = tempfile::tempdir().unwrap();
    // The default grace is 30 s; here it is short, so that recovery runs between the kills as well.
    let start = || {
        let short = [("SHOP__ORDERS__GRACE", "1s"), ("SHOP__ORDERS__PLACE_DEADLINE", "900ms")];
        Shop::start_in(dir.path(), &[&short[..], &[("SHOP__LOG__LEVEL", "warn")]].concat())
    };
    let mut shop = start();
    let client = shop.client();
    for n in 0..SKUS {
        client.product(&sku(n), ON_HAND).await;
    }
    let (running, up) = watch::channel(Some(client));
    let load = Arc::new(Load::new(up, SKUS, 400, Duration::from_millis(3)));
    let clients: Vec<_> = (0..CLIENTS).map(|n| tokio::spawn(load.clone().client(n))).collect();

    let (mut rng, began, mut slowest) = (fastrand::Rng::with_seed(0), Instant::now(), Duration::ZERO);
    for _ in 0..KILLS {
        // Under load: after some answers, and then at any moment.
        load.goes_on(rng.u64(1..40), support::PATIENCE).await;
        tokio::time::sleep(Duration::from_micros(rng.u64(0..5_000))).await;
        shop.process.kill();
        running.send_replace(None);
        let starting = Instant::now();
        shop = tokio::task::block_in_place(start);
        slowest = slowest.max(starting.elapsed());
        running.send_replace(Some(shop.client()));
    }
    let killed_in = began.elapsed();
    load.over.store(true, Ordering::Relaxed);
    for client in clients {
        client.await.unwrap();
    }

    let since = Instant::now();
    let client = shop.client();
    // A killed recovery keeps its lease for 30 s.
    within(Duration::from_secs(60), "nothing is held any more", async || {
        let held = client.get("/v1/reservations?state=held&limit=500").await.ok(200);
        held["data"] == json!([])
    })
    .await;
    within(Duration::from_secs(60), "nothing is in doubt any more", async || {
        let doctor = shop.operator().get("/doctor").await.ok(200);
        let status = shop.operator().get("/status").await.ok(200);
        doctor["in_doubt"] == json!([]) && status["figures"]["orders"]["settlements_open"] == 0
    })
    .await;
    let settled_in = since.elapsed();
    let logs = dir.path().join("logs");
    for file in std::fs::read_dir(logs).unwrap() {
        let text = std::fs::read_to_string(file.unwrap().path()).unwrap();
        let errors: Vec<_> = text.lines().filter(|line| line.contains("\"level\":\"ERROR\"")).collect();
        assert!(errors.is_empty(), "{errors:?}");
    }
    let known = std::mem::take(&mut *load.known.lock().unwrap());
    let orders = all_orders(&client).await;
    let found = check(&client, &known, &[ON_HAND; SKUS], &orders).await;
    println!(
        "{KILLS} kills in {killed_in:.1?}, slowest start {slowest:.0?}, {}; nothing held {settled_in:.1?} after the load",
        load.tally(&known, found),
    );
    assert!(known.placed.len() > 200 && known.lost_answers > 50, "it was no load");
    assert!(known.edits > 50 && known.deleted > 20, "it was no load");
}
