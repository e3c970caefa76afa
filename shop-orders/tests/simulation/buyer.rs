//! Clients: they place orders and change their minds, and ask again when nobody answers.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use shop_core::idempotency::{Answered, Fingerprint, Idempotency, Keyed, StoredAnswer};
use shop_orders::{NewOrder, Order, OrderDetails, OrderError, OrderId, OrderPatch, OrderService};
use shop_products::{HoldLine, ProductId, ProductRef};
use tokio::time::timeout;

use crate::book::Told;
use crate::host::Host;
use crate::world::World;

/// How long a client waits for an answer.
const PATIENCE: Duration = Duration::from_secs(4);
/// A client that is not answered in calm weather either has found a fault.
const MAX_TRIES: u32 = 200;

pub(crate) type Orders = Arc<Mutex<[Option<Host<OrderService>>; 2]>>;

#[derive(Clone)]
pub(crate) struct Buyer {
    pub(crate) world: Arc<World>,
    pub(crate) orders: Orders,
    pub(crate) products: Vec<ProductId>,
    pub(crate) number: u64,
}

/// An answer, or silence.
type Heard<T> = Option<Result<T, OrderError>>;

fn stored(order: &Order) -> StoredAnswer {
    let body = serde_json::to_string(order).unwrap();
    StoredAnswer { status: 201, location: None, etag: None, body }
}

fn keyed(key: &str, what: &str) -> Keyed<Order> {
    let fingerprint = Fingerprint::of_request("POST", what, key.as_bytes());
    Keyed { idempotency: Idempotency { key: key.parse().unwrap(), fingerprint }, answer: stored }
}

fn order_of(answer: Answered<Order>) -> Order {
    match answer {
        Answered::Fresh(order) => order,
        Answered::Replayed(answer) => serde_json::from_str(&answer.body).unwrap(),
    }
}

impl Buyer {
    pub(crate) async fn shop(self) {
        let count = 1 + self.world.below(3);
        for n in 0..count {
            self.world.pause(8_000).await;
            let Some(order) = self.place(n).await else { continue };
            self.change_mind(order).await;
        }
    }

    fn lines(&self) -> Vec<HoldLine> {
        let count = 1 + self.world.below(3);
        let line = |_| HoldLine {
            product: ProductRef::Id(self.products[self.world.below(self.products.len() as u64) as usize]),
            quantity: 1 + self.world.below(3) as i64,
        };
        (0..count).map(line).collect()
    }

    /// Asks one of the services, through a network of its own.
    async fn ask<T: Send + 'static, F>(&self, call: impl FnOnce(OrderService) -> F) -> Heard<T>
    where
        F: Future<Output = Result<T, OrderError>> + Send + 'static,
    {
        let to = self.world.below(2) as usize;
        self.world.pause(20).await;
        let host = self.orders.lock().unwrap()[to].clone();
        let Some(host) = host.filter(|_| !self.world.unlucky(self.world.weather.lost)) else {
            self.world.pause(1_000).await;
            return None;
        };
        let call = call(host.service);
        let answer = tokio::select! {
            biased;
            () = host.life.ended() => None,
            answer = timeout(PATIENCE, call) => answer.ok(),
        };
        self.world.pause(20).await;
        answer.filter(|_| !self.world.unlucky(self.world.weather.lost))
    }

    /// Whether to ask again; a client may lose interest while nobody answers.
    async fn tries_again(&self, tries: &mut u32, what: &str) -> bool {
        *tries += 1;
        if *tries > MAX_TRIES {
            self.world.wrong(format!("{what} is never answered"));
            return false;
        }
        self.world.pause(1_500).await;
        !self.world.unlucky(40)
    }

    fn told(&self, what: &'static str, order: &Order) {
        self.world.note(format_args!("B{} told {what}: {} v{}", self.number, order.id, order.version));
        self.world.book.lock().unwrap().told.push(Told {
            what,
            order: order.id,
            version: order.version,
            status: order.status,
            is_deleted: false,
        });
    }

    async fn place(&self, n: u64) -> Option<Order> {
        let name = format!("b{}-{n}", self.number);
        let has_key = self.world.below(10) < 9;
        let new = NewOrder {
            lines: self.lines(),
            details: OrderDetails { reference: has_key.then(|| name.clone()), ..OrderDetails::default() },
            expected_total: None,
        };
        let mut tries = 0;
        loop {
            let (new, key) = (new.clone(), has_key.then(|| keyed(&name, "place")));
            match self.ask(|orders| async move { orders.place(new, key).await }).await {
                Some(Ok(answer)) => {
                    let order = order_of(answer);
                    self.told("placed", &order);
                    if has_key {
                        let before = self.world.book.lock().unwrap().keys.insert(name.clone(), order.id);
                        if before.is_some_and(|before| before != order.id) {
                            self.world.wrong(format!("{name} got two orders"));
                        }
                        // The same key at once and again.
                        if self.world.below(4) == 0 {
                            self.again(&name, &order).await;
                        }
                    }
                    return Some(order);
                }
                Some(Err(OrderError::InsufficientStock(_))) => {
                    self.world.book.lock().unwrap().refused += 1;
                    self.world.note(format_args!("B{} refused {name}", self.number));
                    return None;
                }
                Some(Err(error)) if !error.is_retryable() => {
                    self.world.wrong(format!("{name} was answered with {error:?}"));
                    return None;
                }
                Some(Err(_)) | None if !has_key => return None,
                Some(Err(_)) | None => {}
            }
            if !self.tries_again(&mut tries, &name).await {
                return None;
            }
        }
    }

    async fn again(&self, name: &str, order: &Order) {
        let lines: Vec<HoldLine> = order
            .lines
            .iter()
            .map(|line| HoldLine { product: ProductRef::Id(line.product_id), quantity: line.quantity })
            .collect();
        let details = order.details.clone();
        let (new, key) = (NewOrder { lines, details, expected_total: None }, Some(keyed(name, "place")));
        match self.ask(|orders| async move { orders.place(new, key).await }).await {
            Some(Ok(Answered::Replayed(answer))) if answer == stored(order) => {}
            Some(Err(error)) if error.is_retryable() => {}
            None => {}
            other => self.world.wrong(format!("{name} again was answered with {other:?}")),
        }
    }

    async fn change_mind(&self, mut order: Order) {
        for n in 0..self.world.below(4) {
            self.world.pause(4_000).await;
            let changed = match self.world.below(10) {
                0..=3 => self.edit(&order).await,
                4..=5 => self.advance(&order, n, "cancel").await,
                6..=7 => self.advance(&order, n, "ship").await,
                8 => self.advance(&order, n, "deliver").await,
                _ => return self.delete(&order).await,
            };
            if let Some(changed) = changed {
                order = changed;
            }
        }
    }

    async fn edit(&self, order: &Order) -> Option<Order> {
        let patch = OrderPatch { lines: Some(self.lines()), ..OrderPatch::default() };
        let (id, mut tries) = (order.id, 0);
        loop {
            let patch = patch.clone();
            match self.ask(move |orders| async move { orders.edit(id, None, patch).await }).await {
                Some(Ok(order)) => {
                    self.told("edited", &order);
                    return Some(order);
                }
                Some(Err(OrderError::InsufficientStock(_) | OrderError::IllegalTransition { .. })) => {
                    return None;
                }
                Some(Err(error)) if !error.is_retryable() => {
                    self.world.wrong(format!("an edit of {id} was answered with {error:?}"));
                    return None;
                }
                Some(Err(_)) | None => {}
            }
            if !self.tries_again(&mut tries, "an edit").await {
                return None;
            }
        }
    }

    async fn advance(&self, order: &Order, n: u64, what: &'static str) -> Option<Order> {
        let (id, mut tries) = (order.id, 0);
        let key = format!("{what}-{n}-{id}");
        let has_key = self.world.below(2) == 0;
        loop {
            let key = has_key.then(|| keyed(&key, what));
            let call = move |orders: OrderService| async move {
                match what {
                    "cancel" => orders.cancel(id, None, key).await,
                    "ship" => orders.ship(id, None, key).await,
                    _ => orders.deliver(id, None, key).await,
                }
            };
            match self.ask(call).await {
                Some(Ok(answer)) => {
                    let order = order_of(answer);
                    self.told(what, &order);
                    return Some(order);
                }
                Some(Err(OrderError::IllegalTransition { .. })) => return None,
                Some(Err(error)) if !error.is_retryable() => {
                    self.world.wrong(format!("{what} of {id} was answered with {error:?}"));
                    return None;
                }
                Some(Err(_)) | None => {}
            }
            if !self.tries_again(&mut tries, what).await {
                return None;
            }
        }
    }

    async fn delete(&self, order: &Order) {
        let (id, mut tries) = (order.id, 0);
        loop {
            match self.ask(move |orders| async move { orders.delete(id, None).await }).await {
                Some(Ok(())) => return self.told_deleted(id, "deleted"),
                // An earlier call was heard, or the order is lost; which of the two is seen in the end.
                Some(Err(OrderError::NotFound)) => return self.told_deleted(id, "gone"),
                Some(Err(error)) if !error.is_retryable() => {
                    return self.world.wrong(format!("a deletion of {id} was answered with {error:?}"));
                }
                Some(Err(_)) | None => {}
            }
            if !self.tries_again(&mut tries, "a deletion").await {
                return;
            }
        }
    }

    fn told_deleted(&self, order: OrderId, what: &'static str) {
        self.world.note(format_args!("B{} told {what}: {order}", self.number));
        let status = shop_orders::OrderStatus::Cancelled;
        let told = Told { what, order, version: 0, status, is_deleted: true };
        self.world.book.lock().unwrap().told.push(told);
    }
}
