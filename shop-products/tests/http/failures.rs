//! What a client sees when the store fails, waits or is asked to by configuration.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use async_trait::async_trait;
use serde_json::json;
use shop_core::{PageRequest, StoreError, StoreErrorKind, StoreResult, SystemClock, Timestamp};
use shop_products::http::ProductsHttpConfig;
use shop_products::store::memory::MemoryProductStore;
use shop_products::store::{
    ChangeSet, Footprint, ProductChanges, ProductKey, ProductQuery, ReservationQuery, Snapshot,
};
use shop_products::{Adjustment, AdjustmentId, HeldKey, Product, ProductId, ProductStore, Reservation};
use tokio::sync::Notify;

use crate::support::{Answer, Shop};

/// A memory store that fails, or waits, when it is told to.
#[derive(Debug)]
struct Moody {
    inner: MemoryProductStore,
    mood: Arc<Mood>,
}

#[derive(Debug, Default)]
struct Mood {
    now: AtomicU8,
    waiting: Notify,
    go: Notify,
}

const WELL: u8 = 0;
const AWAY: u8 = 1;
const BROKEN: u8 = 2;
const SLOW: u8 = 3;

impl Moody {
    async fn act(&self, writes: bool) -> StoreResult<()> {
        let fault = |kind| StoreError::new(kind, "select secrets").with_source("password=hunter2");
        match self.mood.now.load(Ordering::SeqCst) {
            AWAY => Err(fault(StoreErrorKind::Unavailable)),
            BROKEN => Err(fault(StoreErrorKind::Corrupt)),
            SLOW if writes => {
                self.mood.waiting.notify_one();
                self.mood.go.notified().await;
                Ok(())
            }
            _ => Ok(()),
        }
    }
}

#[async_trait]
impl ProductStore for Moody {
    async fn load(&self, footprint: &Footprint) -> StoreResult<Snapshot> {
        self.act(false).await?;
        self.inner.load(footprint).await
    }
    async fn commit(&self, changes: &ChangeSet) -> StoreResult<()> {
        self.act(true).await?;
        self.inner.commit(changes).await
    }
    async fn products(
        &self,
        query: &ProductQuery,
        page: &PageRequest<ProductKey>,
    ) -> StoreResult<Vec<Product>> {
        self.act(false).await?;
        self.inner.products(query, page).await
    }
    async fn count_products(&self, query: &ProductQuery) -> StoreResult<u64> {
        self.act(false).await?;
        self.inner.count_products(query).await
    }
    async fn reservations(
        &self,
        query: &ReservationQuery,
        page: &PageRequest<HeldKey>,
    ) -> StoreResult<Vec<Reservation>> {
        self.act(false).await?;
        self.inner.reservations(query, page).await
    }
    async fn adjustments(
        &self,
        product: ProductId,
        page: &PageRequest<AdjustmentId>,
    ) -> StoreResult<Vec<Adjustment>> {
        self.act(false).await?;
        self.inner.adjustments(product, page).await
    }
    async fn purge(&self, before: Timestamp, limit: usize) -> StoreResult<u64> {
        self.inner.purge(before, limit).await
    }
    async fn ping(&self) -> StoreResult<()> {
        self.act(false).await
    }

    fn changes(&self) -> Option<Box<dyn ProductChanges>> {
        self.inner.changes()
    }
}

async fn moody(config: ProductsHttpConfig) -> (Shop, Arc<Mood>) {
    let mood = Arc::new(Mood::default());
    let inner = MemoryProductStore::with_clock(Arc::new(SystemClock));
    let store = Moody { inner, mood: mood.clone() };
    (Shop::over(Arc::new(store), config).await, mood)
}

#[tokio::test]
async fn a_store_that_is_away_is_503_and_a_fault_is_500_without_internals() {
    let (shop, mood) = moody(ProductsHttpConfig::default()).await;
    let product = shop.product("F-1", 5).await;
    let path = format!("/v1/products/{}", product["id"].as_str().unwrap());
    let new = json!({"sku": "F-2", "name": "x", "price": {"amount": "1", "currency": "EUR"}});
    for (state, status, code) in [(AWAY, 503, "unavailable"), (BROKEN, 500, "internal")] {
        mood.now.store(state, Ordering::SeqCst);
        for failed in [
            shop.get(&path).await,
            shop.get("/v1/products").await,
            shop.get("/v1/products/export").await,
            shop.post("/v1/products", new.clone()).await,
            shop.post("/v1/stock/check", json!({"lines": [{"sku": "F-9", "quantity": 1}]})).await,
            shop.post("/v1/reservations/settle", json!({"release": [product["id"]]})).await,
        ] {
            let problem = failed.problem(status, code);
            assert_eq!(problem["retryable"], state == AWAY);
            assert_eq!(failed.headers.contains_key("retry-after"), state == AWAY);
            assert!(!failed.text.contains("hunter2") && !failed.text.contains("secrets"), "{}", failed.text);
        }
    }
    mood.now.store(WELL, Ordering::SeqCst);
    assert_eq!(shop.get(&path).await.expect(200), product);
}

#[tokio::test]
async fn a_key_in_flight_is_409_until_it_is_done() {
    let (shop, mood) = moody(ProductsHttpConfig::default()).await;
    mood.now.store(SLOW, Ordering::SeqCst);
    let new = json!({"sku": "F-1", "name": "x", "price": {"amount": "1", "currency": "EUR"}});
    let request = || shop.request("POST", "/v1/products").header("idempotency-key", "k").json(&new);
    let first = tokio::spawn(Answer::of(request()));
    mood.waiting.notified().await;
    let busy = Answer::of(request()).await;
    assert_eq!(busy.problem(409, "idempotency_key_in_flight")["retryable"], true);
    assert_eq!(busy.header("retry-after"), "1");
    mood.now.store(WELL, Ordering::SeqCst);
    mood.go.notify_one();
    let first = first.await.unwrap();
    first.expect(201);
    let again = Answer::of(request()).await;
    assert_eq!((again.header("idempotency-replayed"), &again.text), ("true", &first.text));
}

#[tokio::test]
async fn an_import_stops_where_the_store_does_and_says_so() {
    let (shop, mood) = moody(ProductsHttpConfig::default()).await;
    mood.now.store(AWAY, Ordering::SeqCst);
    let row = json!({"sku": "F-1", "name": "x", "price": {"amount": "1", "currency": "EUR"}}).to_string();
    let import = shop.request("POST", "/v1/products/import").header("content-type", "application/x-ndjson");
    let answer = Answer::of(import.body(row)).await;
    assert_eq!(answer.status, 200);
    let line: serde_json::Value = serde_json::from_str(answer.text.trim_end()).unwrap();
    assert_eq!(
        (&line["row"], &line["status"], &line["errors"][0]["code"]),
        (&json!(1), &json!("incomplete"), &json!("unavailable"))
    );
}

#[tokio::test]
async fn configuration_can_ask_for_tags_and_keys() {
    let mut config = ProductsHttpConfig::default();
    config.require_if_match = true;
    config.require_idempotency_key = true;
    let (shop, _) = moody(config).await;
    let new = json!({"sku": "F-1", "name": "x", "price": {"amount": "1", "currency": "EUR"}});
    shop.post("/v1/products", new.clone()).await.problem(400, "idempotency_key_required");
    shop.post("/v1/reservations/settle", json!({})).await.problem(400, "idempotency_key_required");
    let made =
        Answer::of(shop.request("POST", "/v1/products").header("idempotency-key", "k").json(&new)).await;
    made.expect(201);
    let path = made.header("location").to_owned();
    shop.send("PUT", &path, new.clone()).await.problem(428, "if_match_required");
    Answer::of(shop.request("DELETE", &path)).await.problem(428, "if_match_required");
    let patch =
        shop.request("PATCH", &path).header("content-type", "application/merge-patch+json").body("{}");
    Answer::of(patch).await.problem(428, "if_match_required");
    Answer::of(shop.request("PUT", &path).header("if-match", "\"1\"").json(&new)).await.expect(200);
    shop.post("/v1/stock/check", json!({"lines": [{"sku": "F-1", "quantity": 1}]})).await.expect(200);
}
