//! The MongoDB store on a real replica set (`SHOP_TEST_MONGODB_URL`, started with `--setParameter enableTestCommands=1`),
//! and servers that tests start themselves (`SHOP_TEST_MONGOD` is the path of `mongod`).

#![cfg(all(feature = "testing", feature = "mongodb"))]
#![allow(clippy::unwrap_used, reason = "a test: it panics when something is wrong")]

use std::collections::HashSet;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use mongodb::Client;
use mongodb::bson::{Document, doc};
use shop_core::{StoreErrorKind, StoreResult, SystemClock};
use shop_products::store::mongodb::{MongoConfig, MongoProductStore};
use shop_products::store::{ChangeSet, Footprint, ProductChange, ProductChanges, ProductEdit, StockChange};
use shop_products::testing::{a_thousand_buyers_want_one_unit, line, product, request};
use shop_products::{Product, ProductId, ProductService, ProductStore};

#[path = "mongodb/database.rs"]
mod database;
#[path = "mongodb/follow.rs"]
mod follow;
use database::Database;
#[path = "mongodb/failing.rs"]
mod failing;
use failing::{Failing, one_at_a_time};
#[path = "mongodb/abandoned.rs"]
mod abandoned;
#[path = "mongodb/mongod.rs"]
mod mongod;
#[path = "mongodb/plans.rs"]
mod plans;
#[path = "mongodb/stepdown.rs"]
mod stepdown;
use mongod::Mongod;

impl Database {
    /// The URL under an application's name, by which the server tells some of this test's clients from all others.
    fn url_of(&self, application: &str) -> String {
        let join = if self.url.contains('?') { '&' } else { '?' };
        format!("{}{join}appName={application}", self.url)
    }

    /// A store whose application is named as the database is.
    async fn open(&self, commit_patience: Duration) -> MongoProductStore {
        let config = MongoConfig { commit_patience, ..MongoConfig::default() };
        self.open_as(&self.name, config).await
    }

    async fn open_as(&self, application: &str, config: MongoConfig) -> MongoProductStore {
        let config = MongoConfig { database: self.name.clone(), ..config };
        let url = self.url_of(application);
        MongoProductStore::connect_with(&url, config, Arc::new(SystemClock)).await.unwrap()
    }

    async fn admin(&self) -> mongodb::Database {
        Client::with_uri_str(&self.url).await.unwrap().database("admin")
    }

    /// How many transactions the clients of `open` have open, at work or idle.
    async fn open_transactions(&self) -> usize {
        transactions(&self.admin().await, &self.name).await.len()
    }
}

/// The transactions that an application has open, as the server tells of them.
async fn transactions(admin: &mongodb::Database, application: &str) -> Vec<Document> {
    let theirs = doc! { "$match": { "appName": application, "transaction": { "$exists": true } } };
    let all = doc! { "$currentOp": { "allUsers": true, "idleSessions": true } };
    let mut cursor = admin.aggregate([all, theirs]).await.unwrap();
    let mut found = Vec::new();
    while cursor.advance().await.unwrap() {
        found.push(cursor.deserialize_current().unwrap());
    }
    found
}

fn moved(of: ProductId, allocated: i64) -> ChangeSet {
    let change =
        StockChange { product_id: of, on_hand: 0, allocated, versions: 1, expected_edited_version: None };
    ChangeSet { stock: vec![change], ..ChangeSet::default() }
}

fn made(product: &Product) -> ChangeSet {
    ChangeSet { created: vec![product.clone()], ..ChangeSet::default() }
}

async fn by_id(store: &dyn ProductStore, id: ProductId) -> Option<Product> {
    let footprint = Footprint { products: [id].into(), ..Footprint::default() };
    store.load(&footprint).await.unwrap().products.remove(&id)
}

fn kind(outcome: StoreResult<()>) -> StoreErrorKind {
    outcome.expect_err("it fails").kind()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_standalone_server_is_refused_with_what_to_do() {
    let mongod = Mongod::start(&[]);
    // It connects as soon as the server is up.
    let config = MongoConfig { connect_timeout: Duration::from_secs(60), ..MongoConfig::default() };
    let url = format!("mongodb://{}", mongod.address());
    let refused = MongoProductStore::connect_with(&url, config, Arc::new(SystemClock)).await.unwrap_err();
    assert_eq!(refused.kind(), StoreErrorKind::Internal);
    let told = refused.chain();
    assert!(told.contains("--replSet") && told.contains("rs.initiate()"), "{told}");
}

#[tokio::test]
async fn a_server_that_is_not_there_is_unavailable() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let config = MongoConfig { connect_timeout: Duration::from_millis(100), ..MongoConfig::default() };
    let url = format!("mongodb://{free}/?replicaSet=rs0");
    let refused = MongoProductStore::connect_with(&url, config, Arc::new(SystemClock)).await.unwrap_err();
    assert_eq!(refused.kind(), StoreErrorKind::Unavailable, "{}", refused.chain());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn several_instances_may_open_a_new_database_at_once() {
    let database = Arc::new(Database::fresh());
    let opened: Vec<_> = (0..6)
        .map(|_| {
            let database = database.clone();
            tokio::spawn(async move { database.open(Duration::ZERO).await })
        })
        .collect();
    let mut stores = Vec::new();
    for store in opened {
        stores.push(store.await.unwrap());
    }
    let (one, twin) = (product("one", 1, 0), product("one", 1, 0));
    stores[0].commit(&made(&one)).await.unwrap();
    assert_eq!(kind(stores[5].commit(&made(&twin)).await), StoreErrorKind::Conflict, "the index is there");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_of_a_newer_version_is_refused() {
    let database = Database::fresh();
    drop(database.open(Duration::ZERO).await);
    let client = Client::with_uri_str(&database.url).await.unwrap();
    let schema = client.database(&database.name).collection::<Document>("schema");
    assert_eq!(schema.find_one(doc! {}).await.unwrap(), Some(doc! { "_id": "products", "version": 1 }));
    // As it was before there were versions.
    schema.delete_one(doc! {}).await.unwrap();
    drop(database.open(Duration::ZERO).await);
    schema.update_one(doc! {}, doc! { "$inc": { "version": 1 } }).await.unwrap();
    let config = MongoConfig { database: database.name.clone(), ..MongoConfig::default() };
    let clock = Arc::new(SystemClock);
    let refused = MongoProductStore::connect_with(&database.url, config, clock).await.unwrap_err();
    assert_eq!(refused.kind(), StoreErrorKind::Corrupt);
    assert!(refused.chain().contains("newer version"), "{}", refused.chain());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_gets_back_what_a_backup_lacks() {
    let database = Database::fresh();
    drop(database.open(Duration::ZERO).await);
    let db = Client::with_uri_str(&database.url).await.unwrap().database(&database.name);
    db.collection::<Document>("products").drop().await.unwrap();
    db.collection::<Document>("reservations").drop_indexes().await.unwrap();
    let store = database.open(Duration::ZERO).await;
    store.commit(&made(&product("two", 5, 0))).await.unwrap();
    assert_eq!(kind(store.commit(&made(&product("two", 5, 0))).await), StoreErrorKind::Conflict);
    store.reservations(&Default::default(), &Default::default()).await.unwrap();
    // Restored without its options.
    for change in [doc! { "validator": {} }, doc! { "validationAction": "warn" }] {
        let mut command = doc! { "collMod": "products" };
        command.extend(change);
        db.run_command(command).await.unwrap();
        let store = database.open(Duration::ZERO).await;
        let one = product("one", 5, 0);
        store.commit(&made(&one)).await.unwrap();
        assert_eq!(kind(store.commit(&moved(one.id, 6)).await), StoreErrorKind::Conflict);
        assert_eq!(kind(store.commit(&moved(one.id, -1)).await), StoreErrorKind::Conflict);
        db.collection::<Document>("products").delete_many(doc! {}).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_database_refuses_stock_that_is_not_sound() {
    let database = Database::fresh();
    let store = database.open(Duration::ZERO).await;
    let one = product("one", 5, 0);
    store.commit(&made(&one)).await.unwrap();
    let products = Client::with_uri_str(&database.url)
        .await
        .unwrap()
        .database(&database.name)
        .collection::<Document>("products");
    for set in [doc! { "allocated": 6_i64 }, doc! { "allocated": -1_i64 }, doc! { "on_hand": 1.5 }] {
        let refused = products.update_one(doc! {}, doc! { "$set": &set }).await;
        let refused = refused.expect_err("whoever writes it");
        assert!(format!("{:?}", refused.kind).contains("code: 121"), "{set}: {refused}");
    }
    assert_eq!(by_id(&store, one.id).await.unwrap(), one);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dropped_commits_leave_no_transaction_open() {
    let database = Database::fresh();
    let store = database.open(Duration::from_secs(5)).await;
    let one = product("one", 10_000, 0);
    store.commit(&made(&one)).await.unwrap();
    for polls in 0..120_usize {
        let changes = moved(one.id, 1);
        let mut commit = store.commit(&changes);
        for _ in 0..polls {
            if matches!(commit.as_mut().poll(&mut Context::from_waker(Waker::noop())), Poll::Ready(_)) {
                break;
            }
            // A trip to the server and back, so that the moments spread over the whole of a commit.
            if polls % 10 == 0 {
                store.ping().await.unwrap();
            }
            tokio::task::yield_now().await;
        }
    }
    // Comes after all of them.
    store.commit(&moved(one.id, 1)).await.unwrap();
    let allocated = by_id(&store, one.id).await.unwrap().stock.allocated;
    assert!((2..=121).contains(&allocated), "{allocated}");
    assert_eq!(database.open_transactions().await, 0);
    // It would be seen if there were one.
    let client = Client::with_uri_str(database.url_of(&database.name)).await.unwrap();
    let mut session = client.start_session().await.unwrap();
    session.start_transaction().await.unwrap();
    let products = client.database(&database.name).collection::<Document>("products");
    products.find_one(doc! {}).session(&mut session).await.unwrap();
    assert_eq!(database.open_transactions().await, 1);
    session.abort_transaction().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_whose_answer_is_lost_is_asked_for_again() {
    let _alone = one_at_a_time().await;
    let database = Database::fresh();
    let store = database.open(Duration::from_secs(10)).await;
    let one = product("one", 5, 0);
    // More often than the driver itself tries.
    let failing = Failing::commits(&database, doc! { "times": 5 }, doc! { "closeConnection": true }).await;
    let done = store.commit(&made(&one)).await;
    failing.stop().await;
    done.unwrap();
    assert_eq!(by_id(&store, one.id).await.unwrap(), one);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_of_unknown_result_is_settled_before_the_next_load() {
    let _alone = one_at_a_time().await;
    let database = Database::fresh();
    let store = database.open(Duration::ZERO).await;
    let one = product("one", 5, 0);
    store.commit(&made(&one)).await.unwrap();
    let always = || Failing::commits(&database, doc! { "times": 1_000 }, doc! { "closeConnection": true });
    // It never reached the server: the transaction is open there, and would hold the product for a minute.
    let failing = always().await;
    let unknown = kind(store.commit(&moved(one.id, 1)).await);
    failing.stop().await;
    assert_eq!(unknown, StoreErrorKind::Unknown);
    assert_eq!(database.open_transactions().await, 1, "as the server has it");
    assert_eq!(by_id(&store, one.id).await.unwrap(), one);
    assert_eq!(database.open_transactions().await, 0, "nor can it be committed later");
    store.commit(&moved(one.id, 1)).await.unwrap();
    // It was committed, and the answer says something else.
    let lost = doc! { "writeConcernError": { "code": 64, "errmsg": "waiting for replication timed out" } };
    let failing = Failing::commits(&database, doc! { "times": 1_000 }, lost).await;
    let unknown = kind(store.commit(&moved(one.id, 2)).await);
    failing.stop().await;
    assert_eq!(unknown, StoreErrorKind::Unknown);
    assert_eq!(by_id(&store, one.id).await.unwrap().stock.allocated, 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_buyers_of_one_unit_by_two_instances() {
    let database = Database::fresh();
    let services = [0, 1].map(|_| database.open(Duration::from_secs(5)));
    let [one, two] = services;
    let services = [one.await, two.await]
        .map(|store| ProductService::start(Arc::new(store), Arc::new(SystemClock), Default::default()));
    a_thousand_buyers_want_one_unit(&services).await;
}

/// Waits until all of these products were told of, with a version as high as it must be.
async fn told(changes: &mut dyn ProductChanges, mut of: HashSet<(ProductId, u64)>) {
    while !of.is_empty() {
        match changes.next().await.unwrap() {
            ProductChange::Changed(changed) => of.retain(|(id, version)| {
                !changed.iter().any(|told| told.id == *id && told.version.is_none_or(|told| told >= *version))
            }),
            ProductChange::Current(_) => {}
            ProductChange::Gap => panic!("a gap where nothing was lost"),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_another_instance_changes_is_told() {
    let database = Database::fresh();
    let (mine, other) =
        (database.open(Duration::from_secs(5)).await, database.open(Duration::from_secs(5)).await);
    let one = product("one", 5, 0);
    other.commit(&made(&one)).await.unwrap();
    let mut changes = mine.changes().unwrap();
    assert_eq!(changes.next().await.unwrap(), ProductChange::Gap, "what was before is not told");
    let two = product("two", 5, 0);
    let changed = ChangeSet { created: vec![two.clone()], ..moved(one.id, 1) };
    other.commit(&changed).await.unwrap();
    told(&mut *changes, [(one.id, 2), (two.id, 1)].into()).await;
    let mut edited = two.clone();
    (edited.version, edited.edited_version) = (2, 2);
    edited.details.name = "Other".into();
    let edit = ProductEdit { product: edited, expected_version: 1 };
    mine.commit(&ChangeSet { edited: vec![edit], ..ChangeSet::default() }).await.unwrap();
    // A call that is dropped loses nothing.
    let mut expected = HashSet::from([(two.id, 2), (one.id, 3)]);
    for _ in 0..20 {
        let mut next = changes.next();
        if let Poll::Ready(item) = next.as_mut().poll(&mut Context::from_waker(Waker::noop()))
            && let ProductChange::Changed(changed) = item.unwrap()
        {
            assert_eq!((changed[0].id, changed[0].version), (two.id, Some(2)));
            expected.remove(&(two.id, 2));
            break;
        }
        drop(next);
        other.ping().await.unwrap();
    }
    other.commit(&moved(one.id, 1)).await.unwrap();
    told(&mut *changes, expected).await;
    // A stream that ends is an error, then a gap.
    let client = Client::with_uri_str(&database.url).await.unwrap();
    client.database(&database.name).collection::<Document>("products").drop().await.unwrap();
    let lost = loop {
        if let Err(error) = changes.next().await {
            break error;
        }
    };
    assert!(lost.kind().is_retryable(), "{}", lost.chain());
    let again = loop {
        if let Ok(item) = changes.next().await {
            break item;
        }
    };
    assert_eq!(again, ProductChange::Gap);
}
