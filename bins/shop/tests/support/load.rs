//! Clients that place, edit, ship, cancel and delete orders and ask until they know, and what they then know.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::{Notify, watch};

use super::client::{Call, Client, Reply};

/// SKUs and quantities.
pub(crate) type Lines = Vec<(String, i64)>;

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
pub(crate) struct Known {
    /// By reference, which is the key too: the answer 201, byte for byte.
    pub(crate) placed: HashMap<String, Vec<u8>>,
    /// References of orders whose answer never came, and which nobody asked for again.
    pub(crate) unknown: BTreeSet<String>,
    /// By order id: the statuses that it may have; `deleted` is none that can be read.
    pub(crate) status: HashMap<String, Vec<&'static str>>,
    /// By order id, if it was edited: the lines that it may have.
    pub(crate) edited: HashMap<String, Vec<Lines>>,
    pub(crate) edits: u64,
    pub(crate) deleted: u64,
    /// By SKU: the units of deliveries that were acknowledged.
    pub(crate) delivered: BTreeMap<String, i64>,
    pub(crate) refused: u64,
    pub(crate) replayed: u64,
    pub(crate) lost_answers: u64,
}

/// What the clients share.
pub(crate) struct Load {
    up: watch::Receiver<Option<Client>>,
    pub(crate) known: Mutex<Known>,
    pub(crate) answers: AtomicU64,
    answered: Notify,
    pub(crate) over: AtomicBool,
    /// How often a client asks that wants to know.
    tries: usize,
    /// Before it asks again, at most.
    pause: Duration,
    /// How many products there are.
    skus: usize,
}

/// What came of sending something.
struct Sent {
    /// The answer that decides.
    reply: Option<Reply>,
    /// Something was sent before that had no answer: it may still be done.
    doubtful: bool,
}

impl Load {
    pub(crate) fn new(
        up: watch::Receiver<Option<Client>>,
        skus: usize,
        tries: usize,
        pause: Duration,
    ) -> Self {
        Self {
            up,
            known: Mutex::default(),
            answers: AtomicU64::new(0),
            answered: Notify::new(),
            over: AtomicBool::new(false),
            tries,
            pause,
            skus,
        }
    }

    /// What became of it, in words; `found` orders of unknown outcome are there.
    pub(crate) fn tally(&self, known: &Known, found: usize) -> String {
        format!(
            "{} answers ({} lost): {} orders acknowledged, {found} of {} unknown ones placed, {} refused, {} replayed, {} edited, \
             {} deleted",
            self.answers.load(Ordering::Relaxed),
            known.lost_answers,
            known.placed.len(),
            known.unknown.len(),
            known.refused,
            known.replayed,
            known.edits,
            known.deleted,
        )
    }

    /// Waits for more answers.
    pub(crate) async fn goes_on(&self, more: u64, patience: Duration) {
        let enough = self.answers.load(Ordering::Relaxed) + more;
        let busy = async {
            while self.answers.load(Ordering::Relaxed) < enough {
                self.answered.notified().await;
            }
        };
        tokio::time::timeout(patience, busy).await.expect("the load goes on");
    }

    /// One in five never asks again; what has no answer then stays unknown.
    fn some_tries(&self, rng: &mut fastrand::Rng) -> usize {
        if rng.u32(0..5) == 0 { 1 } else { self.tries }
    }

    /// Sends until there is an answer that decides, or `tries` have none. What is sent has a key: it is done once.
    async fn send(
        &self,
        rng: &mut fastrand::Rng,
        tries: usize,
        key: &str,
        target: &str,
        body: Option<&Value>,
    ) -> Sent {
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
    async fn send_call(&self, rng: &mut fastrand::Rng, tries: usize, call: impl Fn(&Client) -> Call) -> Sent {
        let (mut up, mut doubtful) = (self.up.clone(), false);
        for _ in 0..tries {
            let client = up.wait_for(Option::is_some).await.unwrap().clone().unwrap();
            match call(&client).try_send().await {
                Ok(reply) if reply.status < 500 && reply.status != 429 => {
                    let in_flight = reply.status == 409 && reply.text().contains("idempotency_key_in_flight");
                    if !in_flight {
                        self.answers.fetch_add(1, Ordering::Relaxed);
                        self.answered.notify_one();
                        return Sent { reply: Some(reply), doubtful };
                    }
                }
                Ok(reply) => {
                    doubtful = true;
                    // A gateway whose upstream is gone or silent.
                    let upstream = matches!(reply.status, 502 | 504);
                    assert!(upstream || reply.header("retry-after").is_some(), "{reply:?}");
                }
                Err(_) => {
                    doubtful = true;
                    self.known.lock().unwrap().lost_answers += 1;
                    // The process that was asked is gone; the next one is waited for, or it is still there and asked again.
                    let _ = tokio::time::timeout(Duration::from_millis(20), up.changed()).await;
                }
            }
            tokio::time::sleep(self.pause.mul_f64(rng.f64())).await;
        }
        Sent { reply: None, doubtful: true }
    }

    pub(crate) async fn client(self: Arc<Self>, number: u64) {
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
            .map(|_| json!({"sku": sku(rng.usize(0..self.skus)), "quantity": rng.i64(1..=3)}))
            .collect();
        let tries = self.some_tries(rng);
        let body = json!({"lines": lines, "reference": key});
        let Sent { reply, doubtful } = self.send(rng, tries, key, "/v1/orders", Some(&body)).await;
        let mut known = self.known.lock().unwrap();
        let Some(reply) = reply else {
            known.unknown.insert(key.to_owned());
            return None;
        };
        if reply.status != 201 {
            reply.problem(409, "insufficient_stock");
            known.refused += 1;
            if doubtful {
                // What was sent before may have been placed since.
                known.unknown.insert(key.to_owned());
            }
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
        if let Some(reply) = self.send(rng, self.tries, &picked.0, "/v1/orders", Some(&body)).await.reply {
            assert_eq!((reply.status, &reply.body), (201, &picked.1), "{reply:?}");
            assert_eq!(reply.header("idempotency-replayed"), Some("true"));
            self.known.lock().unwrap().replayed += 1;
        }
    }

    /// New units on hand: asked for until it is known that they are there.
    async fn deliver(&self, rng: &mut fastrand::Rng, key: &str) {
        let (sku, units) = (sku(rng.usize(0..self.skus)), rng.i64(1..=20));
        let target = format!("/v1/products/sku:{sku}/stock/adjustments");
        let body = json!({"delta": units, "reason": "delivery", "reference": key});
        let reply = self.send(rng, usize::MAX, key, &target, Some(&body)).await.reply.unwrap();
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
        let tries = self.some_tries(rng);
        let patch = |client: &Client| {
            let call = client.call("PATCH", &target).header("if-match", &version);
            call.body("application/merge-patch+json", body.clone())
        };
        let Sent { reply, doubtful } = self.send_call(rng, tries, patch).await;
        let edited = match reply {
            None => {
                let mut known = self.known.lock().unwrap();
                known.edited.insert(order.id, vec![order.lines, lines]);
                return None;
            }
            Some(reply) if reply.status == 409 => {
                reply.problem(409, "insufficient_stock");
                let mut known = self.known.lock().unwrap();
                known.refused += 1;
                if doubtful {
                    // What was sent before may have been done since.
                    known.edited.insert(order.id, vec![order.lines, lines]);
                    return None;
                }
                return Some(order);
            }
            // Nobody else changes it: it is what was sent before, and the answer was lost.
            Some(reply) if reply.status == 412 => {
                let get = |client: &Client| client.call("GET", &target);
                self.send_call(rng, usize::MAX, get).await.reply.unwrap().ok(200)
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
        let tries = self.some_tries(rng);
        let reply = self.send_call(rng, tries, |client| client.call("DELETE", &target)).await.reply;
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
            let tries = self.some_tries(rng);
            let target = format!("/v1/orders/{id}/{action}");
            let reply = self.send(rng, tries, &format!("{key}-{action}"), &target, None).await.reply;
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

pub(crate) fn lines_in(order: &Value) -> Lines {
    let lines = order["lines"].as_array().unwrap().iter();
    lines.map(|l| (l["sku"].as_str().unwrap().to_owned(), l["quantity"].as_i64().unwrap())).collect()
}

pub(crate) fn sku(n: usize) -> String {
    format!("SKU-{n}")
}
