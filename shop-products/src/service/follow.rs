//! The stock view follows the writes of all instances, as the store tells of them.
//!
//! The store tells which products were written, not what they are now: those that the view holds are read anew. A product
//! that it does not hold is read when it is asked for. Versions rise with every write, so that what is told twice, late or
//! in another order changes nothing. See [`Flight`](crate::view::Flight) for this service's own writes.

use std::collections::HashMap;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use shop_core::{Limit, PageRequest, StoreError};
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::engine::Engine;
use crate::ProductId;
use crate::store::{
    ChangedProduct, Footprint, ProductChange, ProductChanges, ProductKey, ProductQuery, ProductSort,
    ProductSortField,
};
use crate::view::{StockView, ViewRow};

/// How long nothing must be lost before the view is filled ahead again; as much again by chance, so that instances part.
const CALM: Duration = Duration::from_secs(1);

/// Keeps the view true, and filled ahead.
pub(super) async fn keep(engine: Arc<Engine>, changes: Option<Box<dyn ProductChanges>>) {
    match changes {
        Some(changes) => {
            tokio::join!(Follower::new(&engine).follow(changes), refill(&engine));
        }
        None => fill(&engine).await,
    }
}

/// Fills the view at the start, and whenever it was emptied.
async fn refill(engine: &Engine) {
    engine.emptied.notified().await;
    loop {
        fill(engine).await;
        engine.emptied.notified().await;
        let calm = CALM.mul_f64(1.0 + shop_core::chance::unit());
        while timeout(calm, engine.emptied.notified()).await.is_ok() {}
    }
}

/// Takes the newest products into the view, until it is full.
async fn fill(engine: &Engine) {
    let sort = ProductSort { field: ProductSortField::CreatedAt, descending: true };
    let query = ProductQuery { sort, ..ProductQuery::default() };
    let limit = Limit::new(Limit::MAX).unwrap_or_default();
    let mut after: Option<ProductKey> = None;
    while !engine.view.is_full() {
        let epoch = engine.view.epoch();
        let rows = match engine.store.products(&query, &PageRequest { limit, after: after.clone() }).await {
            Ok(rows) => rows,
            Err(error) => {
                tracing::warn!(error = %error.chain(), "the stock view fills as it is asked, not ahead");
                return;
            }
        };
        let Some(last) = rows.last() else { return };
        after = Some(ProductKey::of(last, sort));
        engine.view.fill(epoch, rows.iter().map(ViewRow::of));
        tokio::task::yield_now().await;
    }
}

struct Follower<'a> {
    engine: &'a Engine,
    /// Until when the view is fresh, whatever the clock says, unless it is told more.
    until: Instant,
    /// How often in a row the subscription was lost or could not be had.
    losses: u32,
}

impl<'a> Follower<'a> {
    fn new(engine: &'a Engine) -> Self {
        Self { engine, until: Instant::now(), losses: 0 }
    }

    async fn follow(mut self, mut changes: Box<dyn ProductChanges>) {
        loop {
            let told = self.patiently(changes.next()).await;
            match told {
                Ok(ProductChange::Changed(changed)) => self.patiently(refresh(self.engine, &changed)).await,
                Ok(ProductChange::Gap) => {
                    self.engine.counters.gap();
                    self.engine.forget();
                    self.engine.view.empty();
                    self.engine.emptied.notify_one();
                }
                Ok(ProductChange::Current(at)) => {
                    let as_of = self.engine.view.complete(at);
                    self.engine.known.complete(as_of);
                    self.until = Instant::now() + StockView::FRESH;
                    if std::mem::take(&mut self.losses) > 0 {
                        tracing::info!("the store tells of changes of products again");
                    }
                }
                Err(error) => self.lost(&error).await,
            }
        }
    }

    /// Waits for it; the view is not fresh from the moment on at which nothing was told for too long.
    async fn patiently<T>(&self, work: impl Future<Output = T>) -> T {
        let mut work = pin!(work);
        let done = timeout_at(self.until, &mut work).await;
        if Instant::now() >= self.until {
            self.engine.view.lost();
        }
        match done {
            Ok(done) => done,
            Err(_late) => work.await,
        }
    }

    async fn lost(&mut self, error: &StoreError) {
        self.engine.view.lost();
        if self.losses == 0 {
            tracing::warn!(
                error = %error.chain(),
                "the store does not tell of changes of products; stock checks read it until it does"
            );
        }
        self.losses = self.losses.saturating_add(1);
        sleep(backoff(self.losses)).await;
    }
}

/// Reads anew what the view holds of these products.
async fn refresh(engine: &Engine, changed: &[ChangedProduct]) {
    engine.counters.told(changed.len());
    engine.known.told(changed);
    let outdated: Vec<&ChangedProduct> =
        changed.iter().filter(|told| engine.view.is_outdated(told.id, told.version)).collect();
    if outdated.is_empty() {
        return;
    }
    let epoch = engine.view.epoch();
    let products = outdated.iter().map(|told| told.id).collect();
    let found = match engine.store.load(&Footprint { products, ..Footprint::default() }).await {
        Ok(found) => found.products,
        Err(error) => {
            tracing::warn!(error = %error.chain(), "changed products could not be read; checks read them");
            HashMap::new()
        }
    };
    engine.view.fill(epoch, found.values().map(ViewRow::of));
    let is_read = |told: &ChangedProduct| {
        let read = found.get(&told.id).map(|product| product.version);
        read.is_some() && read >= told.version && !engine.view.is_outdated(told.id, read)
    };
    let unread: Vec<ProductId> = outdated.iter().filter(|told| !is_read(told)).map(|told| told.id).collect();
    if !unread.is_empty() {
        engine.view.forget(&unread);
    }
}

/// 0.1 s, 0.2 s, 0.4 s… to 12.8 s, less up to half of it by chance, so that instances part.
fn backoff(losses: u32) -> Duration {
    let full = Duration::from_millis(100 << (losses.max(1) - 1).min(7));
    full - full.mul_f64(shop_core::chance::unit() / 2.0)
}
