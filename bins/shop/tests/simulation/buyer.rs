//! Clients that place orders and change their minds.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use shop_orders::{OrderId, OrderStatus};
use shop_products::ProductId;

use crate::book::Told;
use crate::client::{Ask, Client, Reply};

pub(crate) struct Buyer {
    pub(crate) client: Client,
    pub(crate) products: Vec<ProductId>,
}

/// An order as it was told of.
#[derive(Clone)]
struct Known {
    id: OrderId,
    version: u64,
    path: String,
}

/// Units by product, of the lines of a request or an answer.
fn units(lines: &Value) -> BTreeMap<String, i64> {
    let mut units = BTreeMap::new();
    for line in lines.as_array().into_iter().flatten() {
        let product = line["product_id"].as_str().unwrap_or_default().to_owned();
        *units.entry(product).or_insert(0) += line["quantity"].as_i64().unwrap_or_default();
    }
    units
}

impl Buyer {
    pub(crate) async fn shop(self) {
        let world = self.client.world.clone();
        for n in 0..1 + world.below(3) {
            world.pause(3_000).await;
            let Some(order) = self.place(n).await else { continue };
            self.change_mind(order).await;
        }
    }

    fn below(&self, limit: u64) -> u64 {
        self.client.world.below(limit)
    }

    fn lines(&self) -> Value {
        let line = |_| {
            let product = self.products[self.below(self.products.len() as u64) as usize];
            json!({"product_id": product, "quantity": 1 + self.below(3)})
        };
        (0..1 + self.below(3)).map(line).collect()
    }

    /// Writes down what was told of an order; `None` if that is no order.
    fn told(&self, what: &'static str, reply: &Reply) -> Option<Known> {
        let order = reply.json();
        let id = order["id"].as_str().and_then(|id| id.parse().ok());
        let status: Option<OrderStatus> = serde_json::from_value(order["status"].clone()).ok();
        let (Some(id), Some(status), Some(version)) = (id, status, order["version"].as_u64()) else {
            self.client.wrong(what, reply);
            return None;
        };
        self.client.world.note(format_args!("{} told {what}: {id} v{version}", self.client.name));
        let told = Told { what, order: id, version, status, is_deleted: false };
        self.client.world.book.lock().unwrap().told.push(told);
        Some(Known { id, version, path: format!("/v1/orders/{id}") })
    }

    fn refused(&self, what: &str, reply: &Reply) {
        let mut book = self.client.world.book.lock().unwrap();
        book.refused += 1;
        let is_ample = book.is_ample;
        drop(book);
        if is_ample {
            self.client.wrong(what, reply);
        }
    }

    async fn place(&self, n: u64) -> Option<Known> {
        let world = &self.client.world;
        let name = format!("{}-{n}", self.client.name);
        let has_key = self.below(10) < 7;
        let ask = Ask {
            method: "POST",
            path: "/v1/orders".to_owned(),
            key: has_key.then(|| name.clone()),
            body: Some(json!({"lines": self.lines(), "reference": name})),
            ..Ask::default()
        };
        // Without a key nobody may ask twice.
        let reply = if has_key { self.client.insist(&ask).await? } else { self.client.ask(&ask).await? };
        match (reply.status, &*reply.code()) {
            (201, _) => {}
            (409, "insufficient_stock") => {
                self.refused("an order", &reply);
                return None;
            }
            _ if !has_key && reply.is_retryable() => return None,
            _ => {
                self.client.wrong("an order", &reply);
                return None;
            }
        }
        let (order, body) = (self.told("placed", &reply)?, reply.json());
        if body["reference"] != *name || units(&body["lines"]) != units(&ask.body.as_ref()?["lines"]) {
            self.client.wrong("an order of other lines", &reply);
        }
        if has_key {
            let before = world.book.lock().unwrap().keys.insert(name.clone(), order.id);
            if before.is_some_and(|before| before != order.id) {
                world.wrong(format!("{name} got two orders"));
            }
            if self.below(4) == 0 {
                self.again(ask, &reply).await;
            }
        }
        Some(order)
    }

    /// The same key at once: the same answer; for something else, none.
    async fn again(&self, mut ask: Ask, first: &Reply) {
        if let Some(reply) = self.client.insist(&ask).await {
            let is_replayed = reply.headers.get("idempotency-replayed").is_some_and(|is| is == "true");
            if reply.status != 201 || reply.body != first.body || !is_replayed {
                self.client.wrong("an order again", &reply);
            }
        }
        ask.body = Some(json!({"lines": self.lines(), "reference": "another"}));
        if let Some(reply) = self.client.insist(&ask).await
            && (reply.status, &*reply.code()) != (422, "idempotency_key_reused")
        {
            self.client.wrong("another order with the same key", &reply);
        }
    }

    async fn change_mind(&self, mut order: Known) {
        for n in 0..self.below(4) {
            self.client.world.pause(2_000).await;
            let changed = match self.below(12) {
                0..=4 => self.edit(&order).await,
                5..=6 => self.advance(&order, n, "cancel").await,
                7..=8 => self.advance(&order, n, "ship").await,
                9 => self.advance(&order, n, "deliver").await,
                10 => self.look(&order).await,
                _ => return self.delete(&order).await,
            };
            if let Some(changed) = changed {
                order = changed;
            }
        }
    }

    /// Nobody else changes the order, so it is as it was told, or as an own request has made it that was not answered.
    async fn look(&self, order: &Known) -> Option<Known> {
        let ask = Ask { method: "GET", path: order.path.clone(), ..Ask::default() };
        let reply = self.client.insist(&ask).await?;
        if reply.status != 200 || reply.json()["version"].as_u64().is_none_or(|now| now < order.version) {
            self.client.wrong("a look at an order", &reply);
            return None;
        }
        self.told("looked at", &reply)
    }

    async fn edit(&self, order: &Known) -> Option<Known> {
        let lines = self.lines();
        let if_match = (self.below(3) > 0).then_some(order.version);
        let ask = Ask {
            method: "PATCH",
            path: order.path.clone(),
            if_match,
            body: Some(json!({"lines": lines})),
            ..Ask::default()
        };
        let reply = self.client.insist(&ask).await?;
        match (reply.status, &*reply.code()) {
            (200, _) => {
                let edited = self.told("edited", &reply)?;
                // The same lines again are no change.
                let is_next = if_match.is_none_or(|version| [version, version + 1].contains(&edited.version));
                if !is_next || units(&reply.json()["lines"]) != units(&lines) {
                    self.client.wrong("an edit", &reply);
                }
                Some(edited)
            }
            (409, "insufficient_stock") => {
                self.refused("an edit", &reply);
                None
            }
            (409, "illegal_transition") => None,
            // What was sent before was done, and its answer lost.
            (412, "version_mismatch") if if_match.is_some() => self.look(order).await,
            _ => {
                self.client.wrong("an edit", &reply);
                None
            }
        }
    }

    async fn advance(&self, order: &Known, n: u64, what: &'static str) -> Option<Known> {
        let (has_key, has_version) = (self.below(2) == 0, self.below(3) == 0);
        let ask = Ask {
            method: "POST",
            path: format!("{}/{what}", order.path),
            key: has_key.then(|| format!("{what}-{n}-{}", order.id)),
            if_match: has_version.then_some(order.version),
            ..Ask::default()
        };
        let reply = self.client.insist(&ask).await?;
        match (reply.status, &*reply.code()) {
            (200, _) => self.told(what, &reply),
            (409, "illegal_transition") => None,
            (412, "version_mismatch") if has_version => self.look(order).await,
            _ => {
                self.client.wrong(what, &reply);
                None
            }
        }
    }

    async fn delete(&self, order: &Known) {
        let if_match = (self.below(3) == 0).then_some(order.version);
        let ask = Ask { method: "DELETE", path: order.path.clone(), if_match, ..Ask::default() };
        let Some(reply) = self.client.insist(&ask).await else { return };
        let what = match (reply.status, &*reply.code()) {
            (204, _) => "deleted",
            // An earlier call was heard, or the order is lost; which of the two is seen in the end.
            (404, "not_found") => "gone",
            (412, "version_mismatch") if if_match.is_some() => return,
            _ => return self.client.wrong("a deletion", &reply),
        };
        self.client.world.note(format_args!("{} told {what}: {}", self.client.name, order.id));
        let status = OrderStatus::Cancelled;
        let told = Told { what, order: order.id, version: 0, status, is_deleted: true };
        self.client.world.book.lock().unwrap().told.push(told);
    }
}
