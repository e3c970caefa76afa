//! Who takes goods in, writes some off, and looks at what there is.

use serde_json::json;
use shop_products::ProductId;

use crate::client::{Ask, Client};

pub(crate) struct Clerk {
    pub(crate) client: Client,
    pub(crate) products: Vec<ProductId>,
}

impl Clerk {
    pub(crate) async fn work(self) {
        let world = self.client.world.clone();
        for n in 0..world.below(6) {
            world.pause(3_000).await;
            let product = self.products[world.below(self.products.len() as u64) as usize];
            match world.below(4) {
                0 => self.look(product).await,
                _ => self.adjust(product, n).await,
            }
        }
    }

    async fn look(&self, product: ProductId) {
        let ask = Ask { method: "GET", path: format!("/v1/products/{product}/stock"), ..Ask::default() };
        let Some(reply) = self.client.insist(&ask).await else { return };
        let stock = reply.json();
        let figure = |name: &str| stock[name].as_i64().unwrap_or(i64::MIN);
        let available = figure("on_hand").saturating_sub(figure("allocated"));
        if reply.status != 200 || figure("available") != available || available < 0 {
            self.client.wrong("a look at stock", &reply);
        }
    }

    async fn adjust(&self, product: ProductId, n: u64) {
        let world = &self.client.world;
        let reference = format!("{}-{n}", self.client.name);
        let has_key = world.below(4) > 0;
        let delta = world.below(8) as i64 - 3;
        let delta = if delta == 0 { 5 } else { delta };
        let ask = Ask {
            method: "POST",
            path: format!("/v1/products/{product}/stock/adjustments"),
            key: has_key.then(|| reference.clone()),
            body: Some(json!({"delta": delta, "reason": "a count", "reference": reference})),
            ..Ask::default()
        };
        let reply = if has_key { self.client.insist(&ask).await } else { self.client.ask(&ask).await };
        let Some(reply) = reply else { return };
        match reply.status {
            201 if world.book.lock().unwrap().adjustments.contains_key(&reference) => {}
            // More than what no order has taken cannot go.
            409 if delta < 0 && !reply.is_retryable() => {}
            _ if !has_key && reply.is_retryable() => {}
            _ => self.client.wrong("an adjustment", &reply),
        }
    }
}
