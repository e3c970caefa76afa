//! The PostgreSQL store where things go wrong: callers that go away, a pool that runs dry, sessions that are killed,
//! instances that start together, a server that may lose what it acknowledged.

use std::collections::BTreeMap;
use std::time::Duration;

use shop_core::postgres::watch::{OPEN_TRANSACTIONS, number, waiting};
use shop_core::postgres::{PgConfig, TestDatabase};
use shop_core::{Currency, Money, StoreErrorKind, Timestamp};
use shop_orders::store::postgres::PgOrderStore;
use shop_orders::store::{ChangeSet, Footprint, OrderQuery};
use shop_orders::{
    Decision, EventType, NewEvent, Order, OrderDetails, OrderHold, OrderId, OrderLine, OrderStatus,
    OrderStore, Outcome,
};
use shop_products::{ProductId, ReservationId, SettleAction, Settlement};
use sqlx::Executor as _;

fn patient(connections: u32) -> PgConfig {
    PgConfig { connections, acquire_timeout: Duration::from_secs(60), ..PgConfig::default() }
}

async fn open(database: &TestDatabase, config: PgConfig) -> PgOrderStore {
    PgOrderStore::connect_with(&database.url(), config).await.expect("connect")
}

fn order(number: u64) -> Order {
    let at = Timestamp::from_millis(1_800_000_000_000);
    let price = Money::from_minor(1_250, Currency::EUR);
    let product_id = ProductId::generate();
    let line = OrderLine {
        line: 1,
        product_id,
        sku: "SKU-1".parse().expect("a SKU"),
        name: "A thing".to_owned(),
        unit_price: price,
        quantity: 1,
        total: price,
    };
    let quantities = BTreeMap::from([(product_id, 1)]);
    Order {
        id: OrderId::generate(),
        number,
        status: OrderStatus::Placed,
        details: OrderDetails::default(),
        lines: vec![line],
        total: price,
        version: 1,
        placed_at: at,
        updated_at: at,
        shipped_at: None,
        delivered_at: None,
        cancelled_at: None,
        deleted_at: None,
        holds: vec![OrderHold { reservation_id: ReservationId::generate(), quantities }],
    }
}

fn placing(order: Order) -> ChangeSet {
    let (at, reservation_id) = (order.placed_at, order.holds[0].reservation_id);
    let outcome = Outcome::Placed(order.id);
    ChangeSet {
        decisions: vec![Decision { reservation_id, key: None, attempt: 1, outcome, at }],
        events: vec![NewEvent { kind: EventType::Placed, at, order: order.clone() }],
        settlements: vec![Settlement { reservation_id, action: SettleAction::Commit }],
        created: vec![order],
        ..ChangeSet::default()
    }
}

/// All that a database holds of so many orders, or of none of them.
async fn assert_whole(store: &PgOrderStore) -> u64 {
    let orders = store.count_orders(&OrderQuery::default()).await.expect("count");
    let events = store.events(None, 0, 10_000).await.expect("events");
    let (settlements, _) = store.open_settlements(1).await.expect("settlements");
    assert_eq!(
        (events.len() as u64, settlements),
        (orders, orders),
        "each commit is there whole or not at all"
    );
    let reservations = events.iter().map(|event| event.order.holds[0].reservation_id).collect();
    let snapshot = store.load(&Footprint { reservations, ..Footprint::default() }).await.expect("load");
    assert_eq!(snapshot.decisions.len() as u64, orders);
    orders
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn callers_that_go_away_poison_no_connection() {
    let database = TestDatabase::create().await;
    let store = open(&database, patient(1)).await;
    let mut finished = 0;
    for n in 1..=300 {
        let changes = placing(order(n));
        // From before it is handed over until after it is through: a commit takes a millisecond or so.
        let moment = Duration::from_micros(n * 10);
        if let Ok(done) = tokio::time::timeout(moment, store.commit(&changes)).await {
            done.expect("commit");
            finished += 1;
        }
        let _ =
            tokio::time::timeout(moment / 2, store.load(&Footprint { numbers: 1, ..Footprint::default() }))
                .await;
        let _ = tokio::time::timeout(moment / 2, store.claim_settlements(Duration::ZERO, 1)).await;
    }
    // Waits for its turn: all that went before is through.
    let mut watcher = database.connect().await;
    let before = assert_whole(&store).await;
    assert!(before >= finished);
    for n in 1_001..=1_050 {
        store.commit(&placing(order(n))).await.expect("the one connection works");
    }
    assert_eq!(assert_whole(&store).await, before + 50);
    assert_eq!(number(&mut watcher, OPEN_TRANSACTIONS).await, 0);
    let sessions = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()";
    assert_eq!(number(&mut watcher, sessions).await, 1, "the pool has its one connection");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pool_that_runs_dry_says_so_in_time() {
    let database = TestDatabase::create().await;
    let short =
        PgConfig { connections: 1, acquire_timeout: Duration::from_millis(200), ..PgConfig::default() };
    let store = open(&database, short).await;
    let (mut blocker, mut watcher) = (database.connect().await, database.connect().await);
    blocker.execute(sqlx::raw_sql("BEGIN; LOCK TABLE orders")).await.expect("lock");
    let slow = tokio::spawn({
        let (store, changes) = (store.clone(), placing(order(1)));
        async move { store.commit(&changes).await }
    });
    waiting(&mut watcher).await;
    let refused = store.commit(&placing(order(2))).await.expect_err("no connection is free");
    assert_eq!(refused.kind(), StoreErrorKind::Unavailable);
    assert_eq!(store.ping().await.expect_err("none to read with").kind(), StoreErrorKind::Unavailable);
    blocker.execute(sqlx::raw_sql("COMMIT")).await.expect("unlock");
    slow.await.expect("no panic").expect("it only had to wait");
    store.commit(&placing(order(2))).await.expect("the connection is free again");
    assert_eq!(assert_whole(&store).await, 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_that_is_killed_in_a_commit_leaves_nothing_of_it() {
    let database = TestDatabase::create().await;
    let store = open(&database, patient(2)).await;
    let (mut blocker, mut watcher) = (database.connect().await, database.connect().await);
    // The outbox is written last: all else of the commit is done when it comes to wait.
    blocker.execute(sqlx::raw_sql("BEGIN; LOCK TABLE order_settlements")).await.expect("lock");
    let commit = tokio::spawn({
        let (store, changes) = (store.clone(), placing(order(1)));
        async move { store.commit(&changes).await }
    });
    let pid = waiting(&mut watcher).await;
    watcher.execute(sqlx::query("SELECT pg_terminate_backend($1::int)").bind(pid)).await.expect("kill");
    let failed = commit.await.expect("no panic").expect_err("its session is gone");
    assert_eq!(failed.kind(), StoreErrorKind::Unknown, "{}", failed.chain());
    blocker.execute(sqlx::raw_sql("COMMIT")).await.expect("unlock");
    assert_eq!(assert_whole(&store).await, 0);
    store.commit(&placing(order(1))).await.expect("the number was not used up");
    assert_eq!(assert_whole(&store).await, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_acknowledged_survives_sessions_that_are_killed_all_the_time() {
    let database = TestDatabase::create().await;
    let store = open(&database, patient(2)).await;
    let mut killer = database.connect().await;
    // Waits until they are gone: what lives afterwards is none of those.
    let kill = "SELECT count(pg_terminate_backend(pid, 10000)) FROM pg_stat_activity \
                WHERE datname = current_database() AND pid <> pg_backend_pid()";
    let (mut acknowledged, mut lost) = (Vec::new(), 0);
    let mut number_of = 0;
    while lost < 20 {
        number_of += 1;
        let order = order(number_of);
        let (id, changes) = (order.id, placing(order));
        let (done, _) = tokio::join!(store.commit(&changes), number(&mut killer, kill));
        match done {
            Ok(()) => acknowledged.push(id),
            Err(error) => {
                let kinds = [StoreErrorKind::Unknown, StoreErrorKind::Unavailable];
                assert!(kinds.contains(&error.kind()), "{}", error.chain());
                lost += 1;
            }
        }
    }
    drop(killer);
    // What was idle when the last ones were killed is looked at before it is used.
    store.commit(&placing(order(number_of + 1))).await.expect("it works again");
    assert_whole(&store).await;
    let orders = acknowledged.iter().copied().collect();
    let snapshot = store.load(&Footprint { orders, ..Footprint::default() }).await.expect("load");
    assert_eq!(snapshot.orders.len(), acknowledged.len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_of_events_misses_none_while_instances_commit_side_by_side() {
    let database = TestDatabase::create().await;
    let stores = [open(&database, patient(4)).await, open(&database, patient(4)).await];
    let writers: Vec<_> = (0..8_u64)
        .map(|n| {
            let store = stores[n as usize % 2].clone();
            tokio::spawn(async move {
                for turn in 0..40 {
                    store.commit(&placing(order(1 + n * 40 + turn))).await.expect("commit");
                }
            })
        })
        .collect();
    let (mut seen, mut after) = (0, 0);
    while seen < 320 {
        let page = stores[0].events(None, after, 50).await.expect("events");
        seen += page.len();
        after = page.last().map_or(after, |event| event.sequence);
        if page.is_empty() && writers.iter().all(tokio::task::JoinHandle::is_finished) {
            seen += stores[0].events(None, after, 1_000).await.expect("events").len();
            break;
        }
    }
    for writer in writers {
        writer.await.expect("no panic");
    }
    assert_eq!(seen, 320, "an event came to be behind the reader");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn instances_may_start_together_on_a_new_database() {
    let database = TestDatabase::create().await;
    let started: Vec<_> = (0..6)
        .map(|_| {
            let url = database.url();
            tokio::spawn(async move { PgOrderStore::connect_with(&url, patient(1)).await })
        })
        .collect();
    for (n, store) in (1..).zip(started) {
        let store = store.await.expect("no panic").expect("connect");
        store.commit(&placing(order(n))).await.expect("commit");
        assert_eq!(assert_whole(&store).await, n);
        store.close().await;
    }
}

#[tokio::test]
async fn a_server_that_may_lose_what_it_acknowledged_is_refused() {
    let database = TestDatabase::create().await;
    database.run(&format!("ALTER DATABASE {} SET synchronous_commit = off", database.name())).await;
    let refused = PgOrderStore::connect(&database.url()).await.expect_err("refused");
    assert!(
        refused.chain().contains("SET synchronous_commit = on"),
        "it says what to do: {}",
        refused.chain()
    );
    let mut connection = database.connect().await;
    let tables = number(&mut connection, "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'").await;
    assert_eq!(tables, 0, "and nothing is made there");
}
