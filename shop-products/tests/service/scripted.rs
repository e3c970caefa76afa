use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use shop_core::{Clock, PageRequest, StoreError, StoreErrorKind, StoreResult, Timestamp};
use shop_products::store::memory::MemoryProductStore;
use shop_products::store::{
    ChangeSet, Footprint, ProductChange, ProductChanges, ProductEdit, ProductKey, ProductQuery, ProductStore,
    ReservationQuery, Snapshot,
};
use shop_products::{Adjustment, AdjustmentId, HeldKey, Product, ProductId, Reservation};
use tokio::sync::{Semaphore, mpsc};

/// What the next commit does.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Next {
    /// Fails with this, and writes nothing.
    Fail(StoreErrorKind),
    /// Writes, and then says that the result is unknown.
    WrittenButUnknown,
    /// Writes, and then says that the result is unknown, after another instance has changed the product's name.
    WrittenThenEdited(ProductId),
    /// Writes, and then panics.
    WrittenThenPanic,
    /// Panics.
    Panic,
}

/// A memory store whose commits follow a script, and wait at a gate; that fails to load, and tells of changes, as it is told.
#[derive(Debug, Clone)]
pub(crate) struct Scripted {
    pub(crate) inner: MemoryProductStore,
    script: Arc<Mutex<VecDeque<Next>>>,
    pub(crate) gate: Arc<Semaphore>,
    pub(crate) loads: Arc<AtomicUsize>,
    /// So many loads fail.
    pub(crate) failing_loads: Arc<AtomicUsize>,
    telling: Option<Told>,
}

impl Scripted {
    pub(crate) fn new(clock: Arc<dyn Clock>) -> Self {
        let gate = Arc::new(Semaphore::new(Semaphore::MAX_PERMITS));
        let inner = MemoryProductStore::with_clock(clock);
        let (loads, failing_loads) = (Arc::default(), Arc::default());
        Self { inner, script: Arc::default(), gate, loads, failing_loads, telling: None }
    }

    /// From now on its changes are what is sent.
    pub(crate) fn telling(&mut self) -> mpsc::UnboundedSender<StoreResult<ProductChange>> {
        let (tell, told) = mpsc::unbounded_channel();
        self.telling = Some(Told(Arc::new(tokio::sync::Mutex::new(told))));
        tell
    }

    pub(crate) fn then(&self, next: impl IntoIterator<Item = Next>) {
        self.script.lock().unwrap().extend(next);
    }
}

#[async_trait]
impl ProductStore for Scripted {
    async fn load(&self, footprint: &Footprint) -> StoreResult<Snapshot> {
        self.loads.fetch_add(1, Ordering::Relaxed);
        let left = self.failing_loads.load(Ordering::Relaxed);
        if left > 0 {
            self.failing_loads.store(left - 1, Ordering::Relaxed);
            return Err(StoreError::new(StoreErrorKind::Unavailable, "scripted"));
        }
        self.inner.load(footprint).await
    }

    async fn commit(&self, changes: &ChangeSet) -> StoreResult<()> {
        let _pass = self.gate.acquire().await.unwrap();
        let next = self.script.lock().unwrap().pop_front();
        match next {
            None => self.inner.commit(changes).await,
            Some(Next::Fail(kind)) => Err(StoreError::new(kind, "scripted")),
            Some(Next::Panic) => panic!("scripted"),
            Some(Next::WrittenThenPanic) => {
                self.inner.commit(changes).await?;
                panic!("scripted")
            }
            Some(Next::WrittenThenEdited(id)) => {
                self.inner.commit(changes).await?;
                let footprint = Footprint { products: [id].into(), ..Footprint::default() };
                let mut product = self.inner.load(&footprint).await?.products.remove(&id).unwrap();
                let expected_version = product.version;
                product.details.name.push('!');
                product.version += 1;
                product.edited_version = product.version;
                let edited = vec![ProductEdit { product, expected_version }];
                self.inner.commit(&ChangeSet { edited, ..ChangeSet::default() }).await?;
                Err(StoreError::new(StoreErrorKind::Unknown, "scripted"))
            }
            Some(Next::WrittenButUnknown) => {
                self.inner.commit(changes).await?;
                Err(StoreError::new(StoreErrorKind::Unknown, "scripted"))
            }
        }
    }

    async fn products(
        &self,
        query: &ProductQuery,
        page: &PageRequest<ProductKey>,
    ) -> StoreResult<Vec<Product>> {
        self.inner.products(query, page).await
    }

    async fn count_products(&self, query: &ProductQuery) -> StoreResult<u64> {
        self.inner.count_products(query).await
    }

    async fn reservations(
        &self,
        query: &ReservationQuery,
        page: &PageRequest<HeldKey>,
    ) -> StoreResult<Vec<Reservation>> {
        self.inner.reservations(query, page).await
    }

    async fn adjustments(
        &self,
        product: ProductId,
        page: &PageRequest<AdjustmentId>,
    ) -> StoreResult<Vec<Adjustment>> {
        self.inner.adjustments(product, page).await
    }

    async fn purge(&self, before: Timestamp, limit: usize) -> StoreResult<u64> {
        self.inner.purge(before, limit).await
    }

    async fn ping(&self) -> StoreResult<()> {
        self.inner.ping().await
    }

    fn changes(&self) -> Option<Box<dyn ProductChanges>> {
        self.telling.clone().map(|told| Box::new(told) as Box<dyn ProductChanges>)
    }
}

#[derive(Debug, Clone)]
struct Told(Arc<tokio::sync::Mutex<mpsc::UnboundedReceiver<StoreResult<ProductChange>>>>);

#[async_trait]
impl ProductChanges for Told {
    async fn next(&mut self) -> StoreResult<ProductChange> {
        let item = self.0.lock().await.recv().await;
        match item {
            Some(item) => item,
            None => std::future::pending().await,
        }
    }
}
