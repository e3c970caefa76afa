//! `shop up` killed a hundred times under load: what was acknowledged is there, once, and the stock fits to the unit.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod support;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use support::client::{Call, Client, Reply, path};
use support::shop::Shop;
use support::within;
use tokio::sync::{Notify, watch};

const KILLS: u64 = 100;
const CLIENTS: u64 = 8;
const SKUS: usize = 10;
const ON_HAND: i64 = 20_000;

/// SKUs and quantities.
type Lines = Vec<(String, i64)>;

/// An order that is placed, as far as the client knows that placed it and that alone changes it.
struct Open {
    id: String,
    version: u64,
    lines: Lines,
}

impl Open {
    fn of(order: &Value) -> Self {
        Self {
            id: order["id"].as_str().unwrap().to_owned(),
            version: order["version"].as_u64().unwrap(),
            lines: lines_in(order),
        }
    }
}

/// What the clients know: only what was answered.
#[derive(Default)]
struct Known {
    /// By reference, which is the key too: the answer 201, byte for byte.
    placed: HashMap<String, Vec<u8>>,
    /// References of orders whose answer never came, and which nobody asked for again.
    unknown: BTreeSet<String>,
    /// By order id: the statuses that it may have; `deleted` is none that can be read.
    status: HashMap<String, Vec<&'static str>>,
    /// By order id, if it was edited: the lines that it may have.
    edited: HashMap<String, Vec<Lines>>,
    edits: u64,
    deleted: u64,
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
        self.send_call(rng, tries, |client| {
            let call = client.call("POST", target).header("idempotency-key", key);
            match body {
                Some(body) => call.json(body),
                None => call,
            }
        })
        .await
    }

    /// Sends anything that may be sent again.
    async fn send_call(
        &self,
        rng: &mut fastrand::Rng,
        tries: usize,
        call: impl Fn(&Client) -> Call,
    ) -> Option<Reply> {
        let mut up = self.up.clone();
        for _ in 0..tries {
            let client = up.wait_for(Option::is_some).await.unwrap().clone().unwrap();
            match call(&client).try_send().await {
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
        let mut open: Vec<Open> = Vec::new();
        for n in 0.. {
            if self.over.load(Ordering::Relaxed) {
                return;
            }
            match rng.u32(0..100) {
                0..50 => open.extend(self.place(&mut rng, &format!("{number}-{n}")).await),
                50..58 => self.again(&mut rng, number).await,
                58..66 => self.deliver(&mut rng, &format!("d-{number}-{n}")).await,
                _ if open.is_empty() => {}
                what => {
                    let order = open.swap_remove(rng.usize(0..open.len()));
                    match what {
                        66..82 => open.extend(self.edit(&mut rng, order).await),
                        82..88 => self.delete(&mut rng, &order.id).await,
                        _ => self.change(&mut rng, &order.id, &format!("c-{number}-{n}")).await,
                    }
                }
            }
        }
    }

    /// Places an order.
    async fn place(&self, rng: &mut fastrand::Rng, key: &str) -> Option<Open> {
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
        known.replayed += u64::from(reply.header("idempotency-replayed").is_some());
        known.placed.insert(key.to_owned(), reply.body);
        let open = Open::of(&order);
        known.status.insert(open.id.clone(), vec!["placed"]);
        Some(open)
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

    /// Changes one quantity, up or down; the order as it is then, unless that is not known, which is so one in five times.
    /// Sent for one version, so that what was sent again is done once, and what comes late not at all.
    async fn edit(&self, rng: &mut fastrand::Rng, order: Open) -> Option<Open> {
        let mut lines = order.lines.clone();
        let line = rng.usize(0..lines.len());
        let quantity = &mut lines[line].1;
        *quantity =
            if *quantity > 1 && rng.bool() { rng.i64(1..*quantity) } else { *quantity + rng.i64(1..=3) };
        let body: Vec<_> = lines.iter().map(|(sku, n)| json!({"sku": sku, "quantity": n})).collect();
        let (body, version) = (json!({"lines": body}).to_string(), format!("\"{}\"", order.version));
        let target = format!("/v1/orders/{}", order.id);
        let tries = if rng.u32(0..5) == 0 { 1 } else { 400 };
        let patch = |client: &Client| {
            let call = client.call("PATCH", &target).header("if-match", &version);
            call.body("application/merge-patch+json", body.clone())
        };
        let reply = self.send_call(rng, tries, patch).await;
        let edited = match reply {
            None => {
                let mut known = self.known.lock().unwrap();
                known.edited.insert(order.id, vec![order.lines, lines]);
                return None;
            }
            Some(reply) if reply.status == 409 => {
                reply.problem(409, "insufficient_stock");
                self.known.lock().unwrap().refused += 1;
                return Some(order);
            }
            // Nobody else changes it: it is what was sent before, and the answer was lost.
            Some(reply) if reply.status == 412 => {
                let get = |client: &Client| client.call("GET", &target);
                self.send_call(rng, usize::MAX, get).await.unwrap().ok(200)
            }
            Some(reply) => reply.ok(200),
        };
        assert_eq!((lines_in(&edited), &edited["version"]), (lines.clone(), &json!(order.version + 1)));
        let mut known = self.known.lock().unwrap();
        known.edits += 1;
        known.edited.insert(order.id, vec![lines]);
        Some(Open::of(&edited))
    }

    /// Deletes an order that is placed, which gives its stock back; one in five times it is not known whether.
    async fn delete(&self, rng: &mut fastrand::Rng, id: &str) {
        let target = format!("/v1/orders/{id}");
        let tries = if rng.u32(0..5) == 0 { 1 } else { 400 };
        let reply = self.send_call(rng, tries, |client| client.call("DELETE", &target)).await;
        let mut known = self.known.lock().unwrap();
        let statuses = known.status.get_mut(id).unwrap();
        match reply {
            // 404 when it was sent before, and the answer was lost.
            Some(reply) => {
                assert!(matches!(reply.status, 204 | 404), "{reply:?}");
                *statuses = vec!["deleted"];
                known.deleted += 1;
            }
            None => statuses.push("deleted"),
        }
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

fn lines_in(order: &Value) -> Lines {
    let lines = order["lines"].as_array().unwrap().iter();
    lines.map(|l| (l["sku"].as_str().unwrap().to_owned(), l["quantity"].as_i64().unwrap())).collect()
}

fn sku(n: usize) -> String {
    format!("SKU-{n}")
}

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
         unknown ones placed, {} refused, {} replayed, {} edited, {} deleted; nothing held {settled_in:.1?} after the load",
        load.answers.load(Ordering::Relaxed),
        known.lost_answers,
        known.placed.len(),
        known.unknown.len(),
        known.refused,
        known.replayed,
        known.edits,
        known.deleted,
    );
    assert!(known.placed.len() > 200 && known.lost_answers > 50, "it was no load");
    assert!(known.edits > 50 && known.deleted > 20, "it was no load");
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
        let id = acknowledged["id"].as_str().unwrap();
        let statuses = &known.status[id];
        let Some(order) = by_reference.get(&**reference).map(|same| same[0]) else {
            assert!(statuses.contains(&"deleted"), "lost: {acknowledged}");
            let gone = client.get(&path(&acknowledged)).await;
            gone.problem(404, "not_found");
            continue;
        };
        for name in ["id", "number", "placed_at"] {
            assert_eq!(order[name], acknowledged[name], "{name} of {order}");
        }
        match known.edited.get(id) {
            None => {
                assert_eq!(
                    (&order["lines"], &order["total"]),
                    (&acknowledged["lines"], &acknowledged["total"])
                );
            }
            Some(lines) => assert!(lines.contains(&lines_in(order)), "{lines:?}: {order}"),
        }
        let cents = 495 * lines_in(order).iter().map(|(_, quantity)| quantity).sum::<i64>();
        assert_eq!(order["total"]["amount"], format!("{}.{:02}", cents / 100, cents % 100), "{order}");
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
    let (mut placed, mut deleted) = (BTreeSet::new(), BTreeSet::new());
    let mut after = 0;
    loop {
        let page = client.get(&format!("/v1/events?after={after}&limit=500")).await.ok(200);
        let events = page["data"].as_array().unwrap();
        for event in events {
            let sequence = event["sequence"].as_u64().unwrap();
            assert!(sequence > after, "{event}");
            after = sequence;
            let id = event["order_id"].as_str().unwrap().to_owned();
            let new = match event["type"].as_str().unwrap() {
                "order.placed" => placed.insert(id),
                "order.deleted" => deleted.insert(id),
                _ => true,
            };
            assert!(new, "twice in the feed: {event}");
        }
        if events.is_empty() {
            break;
        }
    }
    let there: BTreeSet<_> = orders.iter().map(|order| order["id"].as_str().unwrap().to_owned()).collect();
    assert!(deleted.is_subset(&placed) && deleted.is_disjoint(&there), "{deleted:?}");
    assert_eq!(&placed - &deleted, there, "the feed has every order");
    by_reference.keys().filter(|reference| known.unknown.contains(**reference)).count()
}
