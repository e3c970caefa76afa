//! What the benches share: a shop in process, its products, and many callers at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use shop_core::{Clock, CombinerConfig, SystemClock};
use shop_orders::store::memory::MemoryOrderStore;
use shop_orders::store::sqlite::SqliteOrderStore;
use shop_orders::{NewOrder, OrderService, OrderServiceConfig, OrderStore};
use shop_products::store::memory::MemoryProductStore;
use shop_products::store::sqlite::SqliteProductStore;
use shop_products::{
    HoldLine, HoldRequest, ImportRow, LocalCatalog, ProductDetails, ProductId, ProductRef, ProductService,
    ProductServiceConfig, ProductStore, ReservationId, RowOutcome, Sku,
};

/// Where a bench keeps its data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Backend {
    /// In memory.
    Memory,
    /// On SQLite, WAL, `synchronous=FULL`.
    Sqlite,
}

impl Backend {
    /// For names of benches.
    pub fn name(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Sqlite => "sqlite",
        }
    }
}

/// A shop in process.
#[derive(Debug)]
pub struct Shop {
    /// Its products.
    pub products: ProductService,
    /// Its orders.
    pub orders: OrderService,
    /// The ids of its products: at n the one whose SKU is [`sku`]`(n)`.
    pub ids: Vec<ProductId>,
    next: AtomicU64,
    _folder: tempfile::TempDir,
}

impl Shop {
    /// A shop with so many products, each with more stock than will be sold, whose combiners take at most `max_batch`.
    ///
    /// The data lie in a new folder of the system's temporary folder.
    ///
    /// # Panics
    /// If a store cannot be made: then there is nothing to measure.
    pub async fn open(backend: Backend, skus: u64, max_batch: usize) -> Self {
        Self::open_with_view(backend, skus, max_batch, ProductServiceConfig::default().view_capacity).await
    }

    /// The same, with room for so many products in the stock view.
    ///
    /// # Panics
    /// If a store cannot be made: then there is nothing to measure.
    pub async fn open_with_view(backend: Backend, skus: u64, max_batch: usize, view_capacity: usize) -> Self {
        let folder = tempfile::tempdir().expect("makes a folder");
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let (products, orders): (Arc<dyn ProductStore>, Arc<dyn OrderStore>) = match backend {
            Backend::Memory => (Arc::new(MemoryProductStore::new()), Arc::new(MemoryOrderStore::new())),
            Backend::Sqlite => {
                let file = |name: &str| format!("sqlite:{}", folder.path().join(name).display());
                let products = SqliteProductStore::connect(&file("products.db")).await;
                let orders = SqliteOrderStore::connect(&file("orders.db")).await;
                (Arc::new(products.expect("opens products")), Arc::new(orders.expect("opens orders")))
            }
        };
        let combiner = CombinerConfig { max_batch, ..CombinerConfig::default() };
        let config = ProductServiceConfig { combiner, view_capacity, ..ProductServiceConfig::default() };
        let products = ProductService::start(products, clock.clone(), config);
        let ids = fill(&products, skus).await;
        let config = OrderServiceConfig { combiner, ..OrderServiceConfig::default() };
        let orders = OrderService::start(orders, Arc::new(LocalCatalog(products.clone())), clock, config);
        Self { products, orders, ids, next: AtomicU64::new(0), _folder: folder }
    }

    /// The next two lines: neighbours, round and round over all products.
    pub fn lines(&self) -> Vec<HoldLine> {
        let n = self.next.fetch_add(1, Ordering::Relaxed);
        let skus = self.ids.len() as u64;
        [n, n + 1].map(|n| HoldLine { product: ProductRef::Sku(sku(n % skus)), quantity: 1 }).into()
    }

    /// Places one order of two lines.
    ///
    /// # Panics
    /// If it is refused: there is stock for all.
    pub async fn place(&self) {
        let order = NewOrder { lines: self.lines(), details: Default::default(), expected_total: None };
        self.orders.place(order, None).await.expect("there is stock for all");
    }

    /// Holds two lines.
    ///
    /// # Panics
    /// If it is refused: there is stock for all.
    pub async fn hold(&self) {
        let id = ReservationId::generate();
        let request = HoldRequest { id, owner: None, lines: self.lines(), expires_in: None };
        self.products.hold(&request).await.expect("there is stock for all");
    }
}

/// The SKU of the product of this number.
///
/// # Panics
/// Never: it is a SKU.
pub fn sku(number: u64) -> Sku {
    format!("SKU-{number:07}").parse().expect("a valid SKU")
}

/// Makes products 0 to `skus`, and says which ids they have.
///
/// # Panics
/// If one cannot be made.
pub async fn fill(products: &ProductService, skus: u64) -> Vec<ProductId> {
    const AT_ONCE: usize = 10_000;
    let mut ids = Vec::with_capacity(skus as usize);
    let mut rows = (0..skus).map(|number| ImportRow {
        details: ProductDetails {
            sku: sku(number),
            name: format!("Product {number}"),
            description: String::new(),
            price: "19.99 EUR".parse().expect("a price"),
            attributes: Default::default(),
            tags: Vec::new(),
            status: Default::default(),
        },
        on_hand: Some(1_000_000_000),
    });
    while (ids.len() as u64) < skus {
        let made = products.import_batch(rows.by_ref().take(AT_ONCE).collect(), false).await;
        ids.extend(made.expect("imports").into_iter().map(|outcome| match outcome {
            RowOutcome::Created(id) => id,
            other => panic!("not a new product: {other:?}"),
        }));
    }
    ids
}

/// Runs `work` `times` times in all, from `callers` tasks at once, and says how long it took.
///
/// # Panics
/// If the work does.
pub async fn at_once<F, R>(shop: &Arc<Shop>, callers: u64, times: u64, work: F) -> Duration
where
    F: Fn(Arc<Shop>) -> R + Copy + Send + 'static,
    R: Future<Output = ()> + Send + 'static,
{
    let from = Instant::now();
    let left = Arc::new(AtomicU64::new(times));
    let tasks: Vec<_> = (0..callers)
        .map(|_| {
            let (shop, left) = (shop.clone(), left.clone());
            tokio::spawn(async move {
                while left
                    .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1))
                    .is_ok()
                {
                    work(shop.clone()).await;
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.expect("the work does not panic");
    }
    from.elapsed()
}
