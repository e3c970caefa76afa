//! `mongodb_holds URL`: holds a second on MongoDB, ours beside the driver alone, in alternating rounds of one run.
//!
//! Ours has 64 callers, one hold each at a time. The driver alone is one caller who always has 64 holds at hand, for one
//! transaction: a find, guarded updates (summed by product), an insert and a commit, `w: majority, j: true`; without a
//! combiner, checks, indexes, validation, change streams, expiry or idempotent replay.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use clap::Parser;
use mongodb::bson::{Document, doc};
use mongodb::options::{Acknowledgment, ClientOptions, WriteConcern};
use mongodb::{Client, Database};
use shop_benches::fill;
use shop_core::SystemClock;
use shop_products::store::mongodb::MongoProductStore;
use shop_products::{HoldLine, HoldRequest, ProductId, ProductRef, ProductService, ReservationId};

/// Holds a second on MongoDB, ours beside the driver alone.
#[derive(Parser)]
struct Options {
    /// A replica set without a database, such as `mongodb://127.0.0.1:27017/?replicaSet=rs0`. Databases `bench_shop` and
    /// `bench_driver` are made anew on it.
    url: String,
    /// Seconds a round.
    #[arg(long, default_value_t = 5)]
    seconds: u64,
    /// Rounds.
    #[arg(long, default_value_t = 3)]
    rounds: u32,
    /// Callers of ours.
    #[arg(long, default_value_t = 64)]
    callers: u64,
    /// Holds in a transaction of the driver alone.
    #[arg(long, default_value_t = 64)]
    batch: usize,
}

/// Products and lines a hold.
const SHAPES: [(usize, usize); 3] = [(5, 2), (1_000, 2), (1_000, 21)];

fn main() {
    let runtime = tokio::runtime::Runtime::new().expect("starts a runtime");
    runtime.block_on(measure(&Options::parse()));
}

async fn measure(options: &Options) {
    for (products, lines) in SHAPES {
        let ours = Ours::open(&options.url, products).await;
        let driver = Driver::open(&options.url, products).await;
        for round in 1..=options.rounds {
            let alone = driver.round(options, lines).await;
            let held = ours.round(options, lines).await;
            println!(
                "{products:>5} products, {lines:>2} lines, round {round}: driver {alone:>6.0} holds/s, ours {held:>6.0} holds/s, \
                 ours / driver {:.2}",
                held / alone
            );
        }
    }
}

/// The products of a hold: neighbours from a random one on.
fn chosen(products: usize, lines: usize) -> impl Iterator<Item = usize> {
    let first = fastrand::usize(0..products);
    (first..first + lines).map(move |n| n % products)
}

async fn fresh(url: &str, name: &str) -> Database {
    let mut options = ClientOptions::parse(url).await.expect("a URL of MongoDB");
    options.write_concern = Some(WriteConcern::builder().w(Acknowledgment::Majority).journal(true).build());
    let database = Client::with_options(options).expect("a client").database(name);
    database.drop().await.expect("the database is made anew");
    database
}

struct Ours {
    service: ProductService,
    ids: Arc<[ProductId]>,
}

impl Ours {
    async fn open(url: &str, products: usize) -> Self {
        fresh(url, "bench_shop").await;
        let store =
            MongoProductStore::connect(&url.replace("/?", "/bench_shop?")).await.expect("opens the store");
        let service = ProductService::start(Arc::new(store), Arc::new(SystemClock), Default::default());
        let ids = fill(&service, products as u64).await;
        Self { service, ids: ids.into() }
    }

    async fn round(&self, options: &Options, lines: usize) -> f64 {
        let (over, held) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let began = Instant::now();
        let callers: Vec<_> = (0..options.callers)
            .map(|_| {
                let (service, ids) = (self.service.clone(), self.ids.clone());
                let (over, held) = (over.clone(), held.clone());
                tokio::spawn(async move {
                    while !over.load(Ordering::Relaxed) {
                        let lines = chosen(ids.len(), lines)
                            .map(|n| HoldLine { product: ProductRef::Id(ids[n]), quantity: 1 });
                        let request = HoldRequest {
                            id: ReservationId::generate(),
                            owner: None,
                            lines: lines.collect(),
                            expires_in: None,
                        };
                        service.hold(&request).await.expect("there is stock for all");
                        held.fetch_add(1, Ordering::Relaxed);
                    }
                })
            })
            .collect();
        tokio::time::sleep(Duration::from_secs(options.seconds)).await;
        over.store(true, Ordering::Relaxed);
        for caller in callers {
            caller.await.expect("a caller does not panic");
        }
        held.load(Ordering::Relaxed) as f64 / began.elapsed().as_secs_f64()
    }
}

struct Driver {
    database: Database,
    products: usize,
}

impl Driver {
    async fn open(url: &str, products: usize) -> Self {
        let database = fresh(url, "bench_driver").await;
        let all =
            (0..products as i64).map(|n| doc! { "_id": n, "on_hand": 1_000_000_000_i64, "allocated": 0_i64 });
        database.collection::<Document>("products").insert_many(all).await.expect("products are made");
        database.create_collection("holds").await.expect("a collection is made");
        Self { database, products }
    }

    async fn round(&self, options: &Options, lines: usize) -> f64 {
        let (began, mut held) = (Instant::now(), 0);
        while began.elapsed() < Duration::from_secs(options.seconds) {
            self.transaction(options.batch, lines).await.expect("a transaction of the driver alone");
            held += options.batch;
        }
        held as f64 / began.elapsed().as_secs_f64()
    }

    async fn transaction(&self, batch: usize, lines: usize) -> mongodb::error::Result<()> {
        let holds: Vec<Vec<i64>> =
            (0..batch).map(|_| chosen(self.products, lines).map(|n| n as i64).collect()).collect();
        let mut sums = BTreeMap::<i64, i64>::new();
        for product in holds.iter().flatten() {
            *sums.entry(*product).or_default() += 1;
        }
        let products = self.database.collection::<Document>("products");
        let mut session = self.database.client().start_session().await?;
        session.start_transaction().await?;
        let ids: Vec<_> = sums.keys().copied().collect();
        let mut found = products.find(doc! { "_id": { "$in": ids } }).session(&mut session).await?;
        let mut enough = 0;
        while found.advance(&mut session).await? {
            enough += usize::from(found.deserialize_current()?.get_i64("on_hand").is_ok());
        }
        assert_eq!(enough, sums.len());
        let updates = sums.iter().map(|(id, sum)| {
            let guard = doc! { "$gte": [{ "$subtract": ["$on_hand", "$allocated"] }, sum] };
            doc! { "q": { "_id": id, "$expr": guard }, "u": { "$inc": { "allocated": sum } } }
        });
        let update = doc! { "update": "products", "updates": updates.collect::<Vec<_>>() };
        let updated = self.database.run_command(update).session(&mut session).await?;
        assert_eq!(updated.get_i32("n").ok(), i32::try_from(sums.len()).ok());
        let reserved = holds.iter().map(|lines| {
            let lines: Vec<_> = lines.iter().map(|id| doc! { "product": id, "quantity": 1_i64 }).collect();
            doc! { "lines": lines, "state": "held" }
        });
        self.database.collection::<Document>("holds").insert_many(reserved).session(&mut session).await?;
        session.commit_transaction().await
    }
}
