//! The PostgreSQL store where things go wrong: callers that go away, sessions that are killed or lost, instances that start
//! together, a server that may lose what it acknowledged; and where many want the same.

#![cfg(all(feature = "testing", feature = "postgres"))]
#![allow(clippy::unwrap_used, reason = "a test: it panics when something is wrong")]

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use shop_core::postgres::watch::{OPEN_TRANSACTIONS, WAITING, number, waiting};
use shop_core::postgres::{PgConfig, PgConnection, TestDatabase};
use shop_core::{StoreErrorKind, SystemClock};
use shop_products::store::postgres::PgProductStore;
use shop_products::store::{ChangeSet, Footprint, ProductChange, ProductChanges, ProductEdit, StockChange};
use shop_products::testing::{a_thousand_buyers_want_one_unit, new_product, product};
use shop_products::{
    Adjustment, AdjustmentId, NewAdjustment, Product, ProductId, ProductRef, ProductService, ProductStore,
    Stock,
};
use sqlx::{AssertSqlSafe, Executor as _};

fn patient(connections: u32) -> PgConfig {
    PgConfig { connections, acquire_timeout: Duration::from_secs(60), ..PgConfig::default() }
}

async fn open(database: &TestDatabase, config: PgConfig) -> PgProductStore {
    PgProductStore::connect_with(&database.url(), config).await.unwrap()
}

fn service(store: PgProductStore) -> ProductService {
    ProductService::start(Arc::new(store), Arc::new(SystemClock), Default::default())
}

fn made(product: &Product) -> ChangeSet {
    ChangeSet { created: vec![product.clone()], ..ChangeSet::default() }
}

/// Takes a unit of each of these, and says so in an adjustment of the first.
fn taken(of: &[ProductId]) -> ChangeSet {
    let change = |id: &ProductId| StockChange {
        product_id: *id,
        on_hand: 0,
        allocated: 1,
        versions: 1,
        expected_edited_version: None,
    };
    let noted = Adjustment {
        id: AdjustmentId::generate(),
        product_id: of[0],
        delta: 0,
        reason: "taken".to_owned(),
        reference: None,
        on_hand: 0,
        created_at: shop_core::Timestamp::from_millis(1),
    };
    ChangeSet { stock: of.iter().map(change).collect(), adjustments: vec![noted], ..ChangeSet::default() }
}

async fn by_id(store: &dyn ProductStore, id: ProductId) -> Option<Product> {
    let footprint = Footprint { products: [id].into(), ..Footprint::default() };
    store.load(&footprint).await.unwrap().products.remove(&id)
}

async fn allocated(store: &dyn ProductStore, id: ProductId) -> i64 {
    by_id(store, id).await.unwrap().stock.allocated
}

async fn run(connection: &mut PgConnection, sql: &'static str) {
    connection.execute(sqlx::raw_sql(sql)).await.unwrap();
}

/// Every adjustment that a commit wrote is there with its unit of stock, and the other way round.
async fn assert_whole(database: &TestDatabase, of: ProductId) -> i64 {
    let mut connection = database.connect().await;
    let notes = "SELECT count(*) FROM product_adjustments";
    let noted = number(&mut connection, notes).await;
    let units = format!("SELECT allocated FROM product_stock WHERE id = '{of}'");
    assert_eq!(number(&mut connection, &units).await, noted, "each commit is there whole or not at all");
    noted
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn callers_that_go_away_poison_no_connection() {
    let database = TestDatabase::create().await;
    let store = open(&database, patient(1)).await;
    let one = product("one", 10_000, 0);
    store.commit(&made(&one)).await.unwrap();
    let mut finished = 0;
    for n in 1..=300 {
        // From before it is handed over until after it is through: a commit takes a millisecond or so.
        let moment = Duration::from_micros(n * 10);
        let changes = taken(&[one.id]);
        if let Ok(done) = tokio::time::timeout(moment, store.commit(&changes)).await {
            done.unwrap();
            finished += 1;
        }
        let footprint = Footprint { products: [one.id].into(), ..Footprint::default() };
        let _ = tokio::time::timeout(moment / 2, store.load(&footprint)).await;
    }
    // Waits for its turn: all that went before is through.
    store.commit(&taken(&[one.id])).await.unwrap();
    assert!(assert_whole(&database, one.id).await > finished);
    let mut watcher = database.connect().await;
    assert_eq!(number(&mut watcher, OPEN_TRANSACTIONS).await, 0);
    let sessions = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() \
                    AND pid <> pg_backend_pid() AND backend_type = 'client backend'";
    assert_eq!(number(&mut watcher, sessions).await, 1, "the pool has its one connection");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_that_is_killed_in_a_commit_leaves_nothing_of_it() {
    let database = TestDatabase::create().await;
    let store = open(&database, patient(2)).await;
    let one = product("one", 5, 0);
    store.commit(&made(&one)).await.unwrap();
    let (mut blocker, mut watcher) = (database.connect().await, database.connect().await);
    // The adjustments are written after the stock.
    run(&mut blocker, "BEGIN; LOCK TABLE product_adjustments").await;
    let commit = tokio::spawn({
        let (store, changes) = (store.clone(), taken(&[one.id]));
        async move { store.commit(&changes).await }
    });
    let pid = waiting(&mut watcher).await;
    watcher.execute(sqlx::query("SELECT pg_terminate_backend($1::int)").bind(pid)).await.unwrap();
    let failed = commit.await.unwrap().expect_err("its session is gone");
    assert_eq!(failed.kind(), StoreErrorKind::Unknown, "{}", failed.chain());
    run(&mut blocker, "COMMIT").await;
    assert_eq!(by_id(&store, one.id).await.unwrap(), one);
    store.commit(&taken(&[one.id])).await.unwrap();
    assert_eq!(assert_whole(&database, one.id).await, 1);
}

/// The server does not notice that nobody waits for its answer any more, and would commit when the lock is free.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_that_was_given_up_does_not_come_after_a_load_that_did_not_find_it() {
    let database = TestDatabase::create().await;
    let patience = Duration::from_millis(300);
    let short = PgConfig { connections: 2, work_timeout: patience, ..PgConfig::default() };
    let store = open(&database, short).await;
    let one = product("one", 5, 0);
    store.commit(&made(&one)).await.unwrap();
    let mut blocker = database.connect().await;
    run(&mut blocker, "BEGIN; LOCK TABLE product_adjustments IN SHARE MODE").await;
    let failed = store.commit(&taken(&[one.id])).await.expect_err("no answer in time");
    assert_eq!(failed.kind(), StoreErrorKind::Unknown, "{}", failed.chain());
    assert_ne!(number(&mut blocker, WAITING).await, 0, "it is at work still");
    assert_eq!(allocated(&store, one.id).await, 0);
    assert_eq!(number(&mut blocker, WAITING).await, 0, "it has ended");
    run(&mut blocker, "COMMIT").await;
    assert_eq!(allocated(&store, one.id).await, 0);
    assert_eq!(assert_whole(&database, one.id).await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_acknowledged_survives_sessions_that_are_killed_all_the_time() {
    let database = TestDatabase::create().await;
    let store = open(&database, patient(2)).await;
    let one = product("one", 1_000_000, 0);
    store.commit(&made(&one)).await.unwrap();
    let mut killer = database.connect().await;
    // Waits until they are gone: what lives afterwards is none of those.
    let kill = "SELECT count(pg_terminate_backend(pid, 10000)) FROM pg_stat_activity \
                WHERE datname = current_database() AND pid <> pg_backend_pid()";
    let (mut acknowledged, mut lost) = (0, 0);
    while lost < 20 {
        let changes = taken(&[one.id]);
        let (done, _) = tokio::join!(store.commit(&changes), number(&mut killer, kill));
        match done {
            Ok(()) => acknowledged += 1,
            Err(error) => {
                let kinds = [StoreErrorKind::Unknown, StoreErrorKind::Unavailable];
                assert!(kinds.contains(&error.kind()), "{}", error.chain());
                lost += 1;
            }
        }
    }
    drop(killer);
    // What was idle when the last ones were killed is looked at before it is used.
    store.commit(&taken(&[one.id])).await.unwrap();
    let whole = assert_whole(&database, one.id).await;
    assert!((acknowledged + 1..=acknowledged + 1 + lost).contains(&whole), "{whole} of {acknowledged}");
}

/// An adjustment is applied once, whatever became of the connection that carried it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_adjustment_of_unknown_outcome_is_looked_up_and_done_once() {
    let database = TestDatabase::create().await;
    let service = service(open(&database, patient(3)).await);
    let id = service.create(new_product("one", 0), None).await.unwrap().fresh().unwrap().id;
    let mut killer = database.connect().await;
    let kill = "SELECT count(pg_terminate_backend(pid, 10000)) FROM pg_stat_activity \
                WHERE datname = current_database() AND pid <> pg_backend_pid() AND query LIKE '%commit%'";
    let new = NewAdjustment { delta: 1, reason: "delivery".to_owned(), reference: None };
    let (mut done, mut failed) = (0, 0);
    for _ in 0..60 {
        let product = ProductRef::Id(id);
        let adjust = service.adjust(&product, new.clone(), None);
        match tokio::join!(adjust, number(&mut killer, kill)).0 {
            Ok(_) => done += 1,
            Err(_) => failed += 1,
        }
    }
    // One that was reported as failed may be there, as it is with any lost answer; one that was reported as done is.
    let on_hand = loop {
        if let Ok(product) = service.get(&ProductRef::Id(id)).await {
            break product.stock.on_hand;
        }
    };
    assert!(done > 0, "{failed} failed");
    assert!((done..=done + failed).contains(&on_hand), "{on_hand}: {done} done, {failed} failed");
    let notes = number(&mut killer, "SELECT count(*) FROM product_adjustments").await;
    assert_eq!(notes, on_hand);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn instances_may_start_together_on_a_new_database() {
    let database = TestDatabase::create().await;
    let started: Vec<_> = (0..6)
        .map(|_| {
            let url = database.url();
            tokio::spawn(async move { PgProductStore::connect_with(&url, patient(1)).await })
        })
        .collect();
    for (n, store) in started.into_iter().enumerate() {
        let store = store.await.unwrap().unwrap();
        store.commit(&made(&product(&format!("p{n}"), 1, 0))).await.unwrap();
        assert_eq!(store.count_products(&Default::default()).await.unwrap(), n as u64 + 1);
        store.close().await;
        let closed = store.ping().await.expect_err("no connection is left");
        assert_eq!(closed.kind(), StoreErrorKind::Unavailable);
    }
}

#[tokio::test]
async fn a_server_that_may_lose_what_it_acknowledged_is_refused() {
    let database = TestDatabase::create().await;
    database.run(&format!("ALTER DATABASE {} SET synchronous_commit = off", database.name())).await;
    let refused = PgProductStore::connect(&database.url()).await.expect_err("refused");
    assert!(
        refused.chain().contains("SET synchronous_commit = on"),
        "it says what to do: {}",
        refused.chain()
    );
    let mut connection = database.connect().await;
    let tables = number(&mut connection, "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'").await;
    assert_eq!(tables, 0, "and nothing is made there");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_database_refuses_stock_that_is_not_sound() {
    let database = TestDatabase::create().await;
    let store = open(&database, patient(1)).await;
    let one = product("one", 5, 0);
    store.commit(&made(&one)).await.unwrap();
    let mut connection = database.connect().await;
    for set in ["allocated = 6", "allocated = -1", "on_hand = -1", "on_hand = 1000000000001"] {
        let update = format!("UPDATE product_stock SET {set}");
        let refused =
            connection.execute(sqlx::query(AssertSqlSafe(update))).await.expect_err("whoever writes it");
        assert_eq!(
            refused.as_database_error().and_then(|fault| fault.code()).as_deref(),
            Some("23514"),
            "{set}"
        );
    }
    assert_eq!(by_id(&store, one.id).await.unwrap(), one);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_buyers_of_one_unit_by_two_instances() {
    let database = TestDatabase::create().await;
    let services = [service(open(&database, patient(4)).await), service(open(&database, patient(4)).await)];
    a_thousand_buyers_want_one_unit(&services).await;
}

/// Each of 64 tasks writes all five in an order of its own: straight to the store, so that no combiner puts them in line.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn five_hot_products_under_64_tasks_never_deadlock() {
    const TURNS: i64 = 20;
    let database = TestDatabase::create().await;
    let stores = [open(&database, patient(8)).await, open(&database, patient(8)).await];
    let hot: Vec<Product> = (0..5).map(|n| product(&format!("hot-{n}"), 10_000, 0)).collect();
    stores[0].commit(&ChangeSet { created: hot.clone(), ..ChangeSet::default() }).await.unwrap();
    let tasks: Vec<_> = (0..64_usize)
        .map(|n| {
            let mut ids: Vec<_> = hot.iter().map(|product| product.id).collect();
            ids.rotate_left(n % 5);
            if n % 2 == 0 {
                ids.reverse();
            }
            let store = stores[n % 2].clone();
            tokio::spawn(async move {
                for _ in 0..TURNS {
                    store.commit(&taken(&ids)).await.unwrap();
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    for product in &hot {
        let expected = Stock { on_hand: 10_000, allocated: 64 * TURNS };
        assert_eq!(by_id(&stores[0], product.id).await.unwrap().stock, expected);
    }
}

/// Waits until all of these products were told of, with a version as high as it must be.
async fn told(changes: &mut dyn ProductChanges, mut of: HashSet<(ProductId, u64)>) {
    while !of.is_empty() {
        match changes.next().await.unwrap() {
            ProductChange::Changed(changed) => of.retain(|(id, version)| {
                !changed
                    .iter()
                    .any(|told| told.id == *id && told.version.is_some_and(|told| told >= *version))
            }),
            ProductChange::Current(_) => {}
            ProductChange::Gap => panic!("a gap where nothing was lost"),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_another_instance_changes_is_told() {
    let database = TestDatabase::create().await;
    let (mine, other) = (open(&database, patient(2)).await, open(&database, patient(2)).await);
    let one = product("one", 5, 0);
    other.commit(&made(&one)).await.unwrap();
    let mut changes = mine.changes().unwrap();
    assert_eq!(changes.next().await.unwrap(), ProductChange::Gap, "what was before is not told");
    let two = product("two", 5, 0);
    other.commit(&ChangeSet { created: vec![two.clone()], ..taken(&[one.id]) }).await.unwrap();
    told(&mut *changes, [(one.id, 2), (two.id, 1)].into()).await;
    let mut edited = two.clone();
    (edited.version, edited.edited_version) = (2, 2);
    edited.details.name = "Other".into();
    let edit = ProductEdit { product: edited, expected_version: 1 };
    mine.commit(&ChangeSet { edited: vec![edit], ..ChangeSet::default() }).await.unwrap();
    other.commit(&taken(&[one.id])).await.unwrap();
    // A commit that fails is not told; what is told in one item has no bound but that of the payload.
    other.commit(&taken(&[ProductId::generate()])).await.expect_err("not there");
    let many: Vec<Product> = (0..1_000).map(|n| product(&format!("many-{n}"), 1, 0)).collect();
    other.commit(&ChangeSet { created: many.clone(), ..ChangeSet::default() }).await.unwrap();
    let expected = many.iter().map(|product| (product.id, 1)).chain([(two.id, 2), (one.id, 3)]);
    told(&mut *changes, expected.collect()).await;
}

/// The sessions of this database that have not committed anything: those of subscriptions, where a test uses one store.
const LISTENING: &str = "FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() \
                         AND backend_type = 'client backend' AND query NOT LIKE '%shop_products_commit%'";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broken_subscription_is_an_error_and_then_a_gap() {
    let database = TestDatabase::create().await;
    let (mine, other) = (open(&database, patient(2)).await, open(&database, patient(2)).await);
    let one = product("one", 5, 0);
    other.commit(&made(&one)).await.unwrap();
    let mut changes = mine.changes().unwrap();
    assert_eq!(changes.next().await.unwrap(), ProductChange::Gap);
    let mut killer = database.connect().await;
    let kill = format!("SELECT count(pg_terminate_backend(pid, 10000)) {LISTENING}");
    assert_eq!(number(&mut killer, &kill).await, 1);
    other.commit(&taken(&[one.id])).await.unwrap();
    let lost = loop {
        match changes.next().await {
            Ok(ProductChange::Current(_)) => {}
            Ok(told) => panic!("{told:?}"),
            Err(lost) => break lost,
        }
    };
    assert!(lost.kind().is_retryable(), "{}", lost.chain());
    assert_eq!(changes.next().await.unwrap(), ProductChange::Gap, "it may have missed something");
    other.commit(&taken(&[one.id])).await.unwrap();
    told(&mut *changes, [(one.id, 3)].into()).await;
    // Who no longer asks costs no connection.
    drop(changes);
    let listening = format!("SELECT count(*) {LISTENING}");
    while number(&mut killer, &listening).await > 0 {
        tokio::task::yield_now().await;
    }
}
