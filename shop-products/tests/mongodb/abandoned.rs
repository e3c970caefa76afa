//! Transactions that a process has left open, and transactions that only look like it.

use mongodb::ClientSession;
use tokio::time::timeout;

use super::*;

/// Far less than the minute after which the server itself ends a transaction.
const SOON: Duration = Duration::from_secs(10);

fn service(store: MongoProductStore) -> ProductService {
    ProductService::start(Arc::new(store), Arc::new(SystemClock), Default::default())
}

/// Waits until an application has one transaction, which has been idle for so long by the server's clock.
async fn idle(admin: &mongodb::Database, application: &str, so_long: Duration) {
    loop {
        let found = transactions(admin, application).await;
        let of = |found: &Document| found.get_document("transaction").unwrap().get_i64("timeInactiveMicros");
        if found.len() == 1 && of(&found[0]).is_ok_and(|micros| micros >= so_long.as_micros() as i64) {
            return;
        }
    }
}

/// A transaction that another program has open, which has written a product.
async fn of_another_program(database: &Database, application: &str, product: &Product) -> ClientSession {
    let client = Client::with_uri_str(database.url_of(application)).await.unwrap();
    let mut session = client.start_session().await.unwrap();
    session.start_transaction().await.unwrap();
    let products = client.database(&database.name).collection::<Document>("products");
    let change = doc! { "$inc": { "allocated": 1_i64 } };
    let by_sku = doc! { "sku": product.details.sku.as_str() };
    assert_eq!(products.update_one(by_sku, change).session(&mut session).await.unwrap().modified_count, 1);
    session
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_transaction_that_its_process_has_left_is_ended_and_no_other() {
    let _alone = one_at_a_time().await;
    let database = Database::fresh();
    let admin = database.admin().await;
    let [dead_app, alive_app, other_app] =
        ["dead", "alive", "other"].map(|who| format!("{}_{who}", database.name));
    let config = |commit_patience| MongoConfig { commit_patience, ..MongoConfig::default() };
    let (dead, alive) = (
        database.open_as(&dead_app, config(Duration::ZERO)).await,
        database.open_as(&alive_app, config(Duration::from_secs(60))).await,
    );
    let store = database.open(Duration::from_secs(5)).await;
    let products = ["one", "two", "three"].map(|sku| product(sku, 5, 0));
    store.commit(&ChangeSet { created: products.to_vec(), ..ChangeSet::default() }).await.unwrap();
    let [one, two, three] = products;
    let lost = || (doc! { "times": 1_000 }, doc! { "closeConnection": true });

    // Its commit never comes to the server, and it does nothing more.
    let (mode, how) = lost();
    let failing = Failing::commands(admin.clone(), &dead_app, &["commitTransaction"], mode, how).await;
    assert_eq!(kind(dead.commit(&moved(one.id, 1)).await), StoreErrorKind::Unknown);
    failing.stop().await;
    let mut other = of_another_program(&database, &other_app, &three).await;
    for application in [&dead_app, &other_app] {
        idle(&admin, application, MongoConfig::default().abandoned_after).await;
    }
    // This one still tries.
    let (mode, how) = lost();
    let failing = Failing::commands(admin.clone(), &alive_app, &["commitTransaction"], mode, how).await;
    let (of, changes) = (alive.clone(), moved(two.id, 1));
    let trying = tokio::spawn(async move { of.commit(&changes).await });
    idle(&admin, &alive_app, Duration::ZERO).await;

    let held = timeout(SOON, service(store.clone()).hold(&request(vec![line(one.id, 2)]))).await;
    held.expect("in time").unwrap();
    assert_eq!(by_id(&store, one.id).await.unwrap().stock.allocated, 2, "nothing of what was left");
    assert_eq!(transactions(&admin, &dead_app).await.len(), 0);
    failing.stop().await;
    trying.await.unwrap().unwrap();
    other.commit_transaction().await.unwrap();
    for product in [two, three] {
        assert_eq!(by_id(&store, product.id).await.unwrap().stock.allocated, 1);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_instance_that_was_only_slow_decides_again() {
    let _alone = one_at_a_time().await;
    let database = Database::fresh();
    let admin = database.admin().await;
    let slow_app = format!("{}_slow", database.name);
    let slow = service(database.open_as(&slow_app, MongoConfig::default()).await);
    let hasty = MongoConfig { abandoned_after: Duration::ZERO, ..MongoConfig::default() };
    let store = database.open_as(&database.name, hasty).await;
    let other = service(store.clone());
    // After the product was written; and when the commit is under way.
    for command in ["insert", "commitTransaction"] {
        let one = product(command, 5, 0);
        store.commit(&made(&one)).await.unwrap();
        let stuck = doc! { "blockConnection": true, "blockTimeMS": 60_000 };
        let failing =
            Failing::commands(admin.clone(), &slow_app, &[command], doc! { "times": 1 }, stuck).await;
        let (service, wanted) = (slow.clone(), request(vec![line(one.id, 1)]));
        let holding = tokio::spawn(async move { service.hold(&wanted).await });
        idle(&admin, &slow_app, Duration::ZERO).await;
        let held = timeout(SOON, other.hold(&request(vec![line(one.id, 2)]))).await;
        held.expect("in time").unwrap();
        timeout(SOON, holding).await.expect("in time").unwrap().unwrap();
        failing.stop().await;
        assert_eq!(by_id(&store, one.id).await.unwrap().stock.allocated, 3, "{command}: each once");
    }
}
