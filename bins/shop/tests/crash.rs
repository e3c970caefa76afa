//! `shop up` killed a hundred times under load: what was acknowledged is there, once, and the stock fits to the unit.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod support;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use support::client::{Client, Reply, path};
use support::shop::Shop;
use support::within;
use tokio::sync::{Notify, watch};

const KILLS: u64 = 100;
const CLIENTS: u64 = 8;
const SKUS: usize = 10;
const ON_HAND: i64 = 20_000;

/// What the clients know: only what was answered.
#[derive(Default)]
struct Known {
    /// By reference, which is the key too: the answer 201, byte for byte.
    placed: HashMap<String, Vec<u8>>,
    /// References of orders whose answer never came, and which nobody asked for again.
    unknown: BTreeSet<String>,
    /// By order id: the statuses that it may have.
    status: HashMap<String, Vec<&'static str>>,
    /// By SKU: the units of deliveries that were acknowledged.
    delivered: BTreeMap<String, i64>,
    refused: u64,
    replayed: u64,
    lost_answers: u64,
}

/// What the clients share.
struct Load {
    up: watch::Receiver<Option<Client>>,
    known: Mutex<Known>,
    answers: AtomicU64,
    answered: Notify,
    over: AtomicBool,
}

impl Load {
    /// Sends until there is an answer that decides, or `tries` have none. What is sent has a key: it is done once.
    async fn send(
        &self,
        rng: &mut fastrand::Rng,
        tries: usize,
        key: &str,
        target: &str,
        body: Option<&Value>,
    ) -> Option<Reply> {
        let mut up = self.up.clone();
        for _ in 0..tries {
            let client = up.wait_for(Option::is_some).await.unwrap().clone().unwrap();
            let call = client.call("POST", target).header("idempotency-key", key);
            let call = match body {
                Some(body) => call.json(body),
                None => call,
            };
            match call.try_send().await {
                Ok(reply) if reply.status < 500 && reply.status != 429 => {
                    let in_flight = reply.status == 409 && reply.text().contains("idempotency_key_in_flight");
                    if !in_flight {
                        self.answers.fetch_add(1, Ordering::Relaxed);
                        self.answered.notify_one();
                        return Some(reply);
                    }
                }
                Ok(reply) => assert!(reply.header("retry-after").is_some(), "{reply:?}"),
                Err(_) => {
                    self.known.lock().unwrap().lost_answers += 1;
                    // The process that was asked is gone; the next one is waited for, or it is still there and asked again.
                    let _ = tokio::time::timeout(Duration::from_millis(20), up.changed()).await;
                }
            }
            tokio::time::sleep(Duration::from_millis(rng.u64(0..3))).await;
        }
        None
    }

    async fn client(self: Arc<Self>, number: u64) {
        let mut rng = fastrand::Rng::with_seed(number);
        // Its own orders that are placed, as far as it knows.
        let mut open: Vec<String> = Vec::new();
        for n in 0.. {
            if self.over.load(Ordering::Relaxed) {
                return;
            }
            match rng.u32(0..100) {
                0..60 => open.extend(self.place(&mut rng, &format!("{number}-{n}")).await),
                60..70 => self.again(&mut rng, number).await,
                70..80 => self.deliver(&mut rng, &format!("d-{number}-{n}")).await,
                _ if open.is_empty() => {}
                _ => {
                    let id = open.swap_remove(rng.usize(0..open.len()));
                    self.change(&mut rng, &id, &format!("c-{number}-{n}")).await;
                }
            }
        }
    }

    /// Places an order; its id.
    async fn place(&self, rng: &mut fastrand::Rng, key: &str) -> Option<String> {
        let lines: Vec<_> = (0..rng.usize(1..=4))
            .map(|_| json!({"sku": sku(rng.usize(0..SKUS)), "quantity": rng.i64(1..=3)}))
            .collect();
        // One in five never asks again; a lost answer stays unknown.
        let tries = if rng.u32(0..5) == 0 { 1 } else { 400 };
        let body = json!({"lines": lines, "reference": key});
        let reply = self.send(rng, tries, key, "/v1/orders", Some(&body)).await;
        let mut known = self.known.lock().unwrap();
        let Some(reply) = reply else {
            known.unknown.insert(key.to_owned());
            return None;
        };
        if reply.status != 201 {
            reply.problem(409, "insufficient_stock");
            known.refused += 1;
            return None;
        }
        let order = reply.ok(201);
        let id = order["id"].as_str().unwrap().to_owned();
        known.replayed += u64::from(reply.header("idempotency-replayed").is_some());
        known.placed.insert(key.to_owned(), reply.body);
        known.status.insert(id.clone(), vec!["placed"]);
        Some(id)
    }

    /// Asks for an order again that was acknowledged: the same answer, whatever became of the order.
    async fn again(&self, rng: &mut fastrand::Rng, number: u64) {
        let mine = format!("{number}-");
        let picked = {
            let known = self.known.lock().unwrap();
            let mut own: Vec<_> = known.placed.iter().filter(|(key, _)| key.starts_with(&mine)).collect();
            own.sort();
            if own.is_empty() {
                return;
            }
            let (key, body) = own[rng.usize(0..own.len())];
            (key.clone(), body.clone())
        };
        let order: Value = serde_json::from_slice(&picked.1).unwrap();
        let lines: Vec<_> = order["lines"].as_array().unwrap().iter().collect();
        let lines: Vec<_> =
            lines.iter().map(|l| json!({"sku": l["sku"], "quantity": l["quantity"]})).collect();
        let body = json!({"lines": lines, "reference": picked.0});
        if let Some(reply) = self.send(rng, 400, &picked.0, "/v1/orders", Some(&body)).await {
            assert_eq!((reply.status, &reply.body), (201, &picked.1), "{reply:?}");
            assert_eq!(reply.header("idempotency-replayed"), Some("true"));
            self.known.lock().unwrap().replayed += 1;
        }
    }

    /// New units on hand: asked for until it is known that they are there.
    async fn deliver(&self, rng: &mut fastrand::Rng, key: &str) {
        let (sku, units) = (sku(rng.usize(0..SKUS)), rng.i64(1..=20));
        let target = format!("/v1/products/sku:{sku}/stock/adjustments");
        let body = json!({"delta": units, "reason": "delivery", "reference": key});
        let reply = self.send(rng, usize::MAX, key, &target, Some(&body)).await.unwrap();
        reply.ok(201);
        *self.known.lock().unwrap().delivered.entry(sku).or_default() += units;
    }

    /// Cancels or ships an order, sometimes delivers it; one in five times it is not known whether.
    async fn change(&self, rng: &mut fastrand::Rng, id: &str, key: &str) {
        let steps: &[_] = match rng.u32(0..4) {
            0 | 1 => &[("cancel", "cancelled")],
            2 => &[("ship", "shipped")],
            _ => &[("ship", "shipped"), ("deliver", "delivered")],
        };
        for (action, status) in steps {
            let tries = if rng.u32(0..5) == 0 { 1 } else { 400 };
            let target = format!("/v1/orders/{id}/{action}");
            let reply = self.send(rng, tries, &format!("{key}-{action}"), &target, None).await;
            let mut known = self.known.lock().unwrap();
            let statuses = known.status.get_mut(id).unwrap();
            match reply {
                Some(reply) => {
                    assert_eq!(reply.ok(200)["status"], *status);
                    *statuses = vec![status];
                }
                None => {
                    statuses.push(status);
                    return;
                }
            }
        }
    }
}

fn sku(n: usize) -> String {
    format!("SKU-{n}")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shop_that_is_killed_keeps_what_it_acknowledged() {
    let dir = tempfile::tempdir().unwrap();
    // The default grace is 30 s; here it is short, so that recovery runs between the kills as well.
    let start = || Shop::start_in(dir.path(), &[("SHOP__ORDERS__GRACE", "1s"), ("SHOP__LOG__LEVEL", "warn")]);
    let mut shop = start();
    let client = shop.client();
    for n in 0..SKUS {
        client.product(&sku(n), ON_HAND).await;
    }
    let (running, up) = watch::channel(Some(client));
    let load = Arc::new(Load {
        up,
        known: Mutex::default(),
        answers: AtomicU64::new(0),
        answered: Notify::new(),
        over: AtomicBool::new(false),
    });
    let clients: Vec<_> = (0..CLIENTS).map(|n| tokio::spawn(load.clone().client(n))).collect();

    let (mut rng, began, mut slowest) = (fastrand::Rng::with_seed(0), Instant::now(), Duration::ZERO);
    for _ in 0..KILLS {
        // Under load: after some answers, and then at any moment.
        let enough = load.answers.load(Ordering::Relaxed) + rng.u64(1..40);
        let busy = async {
            while load.answers.load(Ordering::Relaxed) < enough {
                load.answered.notified().await;
            }
        };
        tokio::time::timeout(support::PATIENCE, busy).await.expect("the load goes on");
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
    let found = check(&client, &known, &orders).await;
    println!(
        "{KILLS} kills in {killed_in:.1?}, slowest start {slowest:.0?}, {} answers ({} lost): {} orders acknowledged, {found} of {} \
         unknown ones placed, {} refused, {} replayed; nothing held {settled_in:.1?} after the load",
        load.answers.load(Ordering::Relaxed),
        known.lost_answers,
        known.placed.len(),
        known.unknown.len(),
        known.refused,
        known.replayed,
    );
    assert!(known.placed.len() > 200 && known.lost_answers > 50, "it was no load");
}

/// Every order that there is.
async fn all_orders(client: &Client) -> Vec<Value> {
    let (mut target, mut orders) = (Some("/v1/orders?limit=500".to_owned()), Vec::new());
    while let Some(asked) = target {
        let page = client.get(&asked).await;
        orders.extend(page.ok(200)["data"].as_array().unwrap().clone());
        target = page.next();
    }
    orders
}

/// Compares what is there with what was acknowledged; how many orders of unknown outcome are there.
async fn check(client: &Client, known: &Known, orders: &[Value]) -> usize {
    let mut by_reference: BTreeMap<&str, Vec<&Value>> = BTreeMap::new();
    for order in orders {
        by_reference.entry(order["reference"].as_str().unwrap()).or_default().push(order);
    }
    for (reference, same) in &by_reference {
        assert_eq!(same.len(), 1, "placed twice with one key: {same:?}");
        assert!(
            known.placed.contains_key(*reference) || known.unknown.contains(*reference),
            "whose? {same:?}"
        );
    }
    for (reference, body) in &known.placed {
        let acknowledged: Value = serde_json::from_slice(body).unwrap();
        let order = by_reference.get(&**reference).unwrap_or_else(|| panic!("lost: {acknowledged}"))[0];
        for name in ["id", "number", "lines", "total", "placed_at"] {
            assert_eq!(order[name], acknowledged[name], "{name} of {order}");
        }
        let statuses = &known.status[order["id"].as_str().unwrap()];
        assert!(statuses.contains(&order["status"].as_str().unwrap()), "{statuses:?}: {order}");
        assert_eq!(client.get(&path(order)).await.ok(200), *order);
    }
    let (mut allocated, mut shipped) = (BTreeMap::<&str, i64>::new(), BTreeMap::<&str, i64>::new());
    for order in orders {
        let sums = match order["status"].as_str().unwrap() {
            "placed" => &mut allocated,
            "cancelled" => continue,
            _ => &mut shipped,
        };
        for line in order["lines"].as_array().unwrap() {
            *sums.entry(line["sku"].as_str().unwrap()).or_default() += line["quantity"].as_i64().unwrap();
        }
    }
    for sku in (0..SKUS).map(sku) {
        let of = |sums: &BTreeMap<&str, i64>| sums.get(&*sku).copied().unwrap_or_default();
        let on_hand = ON_HAND + known.delivered.get(&sku).copied().unwrap_or_default() - of(&shipped);
        assert_eq!(client.stock(&sku).await, (on_hand, of(&allocated), on_hand - of(&allocated)), "{sku}");
    }
    let mut placed = BTreeSet::new();
    let mut after = 0;
    loop {
        let page = client.get(&format!("/v1/events?after={after}&limit=500")).await.ok(200);
        let events = page["data"].as_array().unwrap();
        for event in events {
            let sequence = event["sequence"].as_u64().unwrap();
            assert!(sequence > after, "{event}");
            after = sequence;
            let id = event["order_id"].as_str().unwrap().to_owned();
            assert!(event["type"] != "order.placed" || placed.insert(id), "twice in the feed: {event}");
        }
        if events.is_empty() {
            break;
        }
    }
    let there: BTreeSet<_> = orders.iter().map(|order| order["id"].as_str().unwrap().to_owned()).collect();
    assert_eq!(placed, there, "the feed has every order");
    by_reference.keys().filter(|reference| known.unknown.contains(**reference)).count()
}
