use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use sqlx::{Executor as _, Row as _};

use super::*;
use crate::{ManualClock, StoreErrorKind, StoreResult, Timestamp};

const SCHEMA: Schema = Schema {
    component: "test",
    migrations: &["
        CREATE TABLE t (n bigint PRIMARY KEY CHECK (n < 100));
        CREATE FUNCTION put(numbers bigint[], expected bigint) RETURNS void LANGUAGE plpgsql AS $$ BEGIN
            INSERT INTO t SELECT unnest(numbers);
            IF (SELECT count(*) FROM t) <> expected THEN RAISE EXCEPTION 'unmet' USING ERRCODE = 'SHOP1'; END IF;
        END $$;
    "],
};

fn small() -> PgConfig {
    PgConfig { connections: 1, ..PgConfig::default() }
}

async fn open(database: &TestDatabase, config: PgConfig) -> PgDb {
    PgDb::connect(&database.url(), SCHEMA, config).await.expect("connect")
}

fn put(numbers: &[i64], expected: i64) -> Query {
    let mut query = Query::new("SELECT put($1, $2)");
    query.bind(numbers).bind(expected);
    query
}

async fn rows(db: &PgDb) -> Vec<i64> {
    let rows = db.read("read", Query::new("SELECT n FROM t ORDER BY n")).await.expect("read");
    rows.iter().map(|row| row.get(0)).collect()
}

async fn backend(db: &PgDb) -> i32 {
    db.read_row("backend", Query::new("SELECT pg_backend_pid()")).await.expect("read").get(0)
}

fn kind<T: std::fmt::Debug>(result: StoreResult<T>) -> StoreErrorKind {
    result.expect_err("a failure").kind()
}

async fn insert(c: &mut PgConnection, n: i64) -> StoreResult<()> {
    let done = c.execute(sqlx::query("INSERT INTO t VALUES ($1)").bind(n)).await;
    done.map(|_| ()).map_err(|e| classified("insert", e, false))
}

#[tokio::test]
async fn a_broken_expectation_writes_nothing_and_costs_no_connection() {
    let database = TestDatabase::create().await;
    let db = open(&database, small()).await;
    let first = backend(&db).await;
    db.execute("a", put(&[1], 1)).await.expect("as expected");
    assert_eq!(kind(db.execute("b", put(&[2], 9)).await), StoreErrorKind::Conflict, "unmet");
    assert_eq!(kind(db.execute("c", put(&[1], 2)).await), StoreErrorKind::Conflict, "a key twice");
    assert_eq!(kind(db.execute("d", put(&[100], 2)).await), StoreErrorKind::Conflict, "a check");
    db.execute("e", put(&[3], 2)).await.expect("as expected");
    assert_eq!(rows(&db).await, [1, 3]);
    assert_eq!(backend(&db).await, first, "the same connection all the time");
    assert_eq!(
        kind(db.execute("f", Query::new("SELECT nothing FROM nowhere")).await),
        StoreErrorKind::Internal
    );
}

#[tokio::test]
async fn a_failed_transaction_is_rolled_back() {
    let database = TestDatabase::create().await;
    let db = open(&database, small()).await;
    let half = db.transaction("half", |c| {
        Box::pin(async move {
            insert(c, 1).await?;
            Err::<(), _>(crate::StoreError::conflict("half"))
        })
    });
    assert_eq!(kind(half.await), StoreErrorKind::Conflict);
    // The failure of a statement that is passed over: PostgreSQL would say ROLLBACK to the COMMIT, and all would look well.
    let swallowed = db.transaction("swallowed", |c| {
        Box::pin(async move {
            insert(c, 2).await?;
            let _ = insert(c, 2).await;
            Ok(())
        })
    });
    assert_eq!(kind(swallowed.await), StoreErrorKind::Internal);
    let panics: StoreResult<()> = db
        .transaction("panics", |c| {
            Box::pin(async move {
                insert(c, 3).await?;
                panic!("on purpose")
            })
        })
        .await;
    assert_eq!(kind(panics), StoreErrorKind::Unknown);
    db.transaction("whole", |c| Box::pin(insert(c, 4))).await.expect("commit");
    assert_eq!(rows(&db).await, [4]);
}

#[tokio::test]
async fn a_caller_that_goes_away_leaves_no_transaction_open() {
    let database = TestDatabase::create().await;
    let db = open(&database, PgConfig { acquire_timeout: Duration::from_secs(30), ..small() }).await;
    for n in 0..20 {
        let mut work = Box::pin(db.transaction("dropped", move |c| Box::pin(insert(c, n))));
        // Polled once: handed over. Then dropped.
        let polled = work.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        assert!(matches!(polled, Poll::Pending));
    }
    db.transaction("last", |c| Box::pin(insert(c, 99))).await.expect("commit");
    // Who waits longest is served first, so the others are through.
    assert_eq!(rows(&db).await, (0..20).chain([99]).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_dry_pool_is_waited_for_only_so_long() {
    let database = TestDatabase::create().await;
    let db = open(&database, PgConfig { acquire_timeout: Duration::from_millis(200), ..small() }).await;
    let taken = db.pool.lease("take").await.expect("a connection");
    let since = Instant::now();
    assert_eq!(kind(db.execute("dry", put(&[1], 1)).await), StoreErrorKind::Unavailable);
    assert!(since.elapsed() < Duration::from_secs(10), "{:?}", since.elapsed());
    taken.keep();
    db.execute("free again", put(&[1], 1)).await.expect("commit");
}

#[tokio::test]
async fn statements_and_locks_have_a_time() {
    let database = TestDatabase::create().await;
    let limit = Duration::from_millis(200);
    let db = open(&database, PgConfig { statement_timeout: limit, ..small() }).await;
    let first = backend(&db).await;
    let long = db.execute("long", Query::new("SELECT pg_sleep(60)")).await;
    assert_eq!(kind(long), StoreErrorKind::Unavailable);
    assert_eq!(backend(&db).await, first, "a statement that took too long is no fault of the connection");
    let db = open(&database, PgConfig { lock_timeout: limit, ..small() }).await;
    let mut holder = database.connect().await;
    holder.execute(sqlx::raw_sql("BEGIN; LOCK TABLE t")).await.expect("lock");
    assert_eq!(kind(db.execute("locked", put(&[1], 1)).await), StoreErrorKind::Unavailable);
    // A server that says nothing at all.
    let silent = PgConfig { work_timeout: limit, statement_timeout: Duration::from_secs(60), ..small() };
    let db = open(&database, silent).await;
    assert_eq!(kind(db.execute("silent", Query::new("SELECT pg_sleep(60)")).await), StoreErrorKind::Unknown);
    assert_eq!(kind(db.read("silent", Query::new("SELECT pg_sleep(60)")).await), StoreErrorKind::Unavailable);
    db.ping().await.expect("on a new connection");
}

#[tokio::test]
async fn killed_connections_are_replaced() {
    let database = TestDatabase::create().await;
    let db = open(&database, PgConfig { connections: 4, ..PgConfig::default() }).await;
    // All four are open, and idle.
    let mut all = Vec::new();
    for _ in 0..4 {
        all.push(db.pool.lease("take").await.expect("a connection"));
    }
    all.into_iter().for_each(super::lease::Lease::keep);
    let others = format!(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{}'",
        database.name()
    );
    database.run(&others).await;
    let failed = db.execute("first", put(&[1], 1)).await;
    if let Err(error) = failed {
        assert_eq!(error.kind(), StoreErrorKind::Unknown, "{}", error.chain());
    }
    // One loss is enough to know of the others.
    for _ in 0..4 {
        db.ping().await.expect("the others are looked at before they are used");
    }
    // The server ends the session while it commits.
    let suicide = Query::new("SELECT put(ARRAY[7], 1), pg_terminate_backend(pg_backend_pid()), pg_sleep(60)");
    assert_eq!(kind(db.execute("killed", suicide).await), StoreErrorKind::Unknown);
    assert!(!rows(&db).await.contains(&7));
}

/// A store that gives up soon, and a session that holds a lock.
async fn impatient(database: &TestDatabase, lock: &'static str) -> (PgDb, PgConnection) {
    let limit = Duration::from_millis(300);
    let db = open(database, PgConfig { connections: 2, work_timeout: limit, ..PgConfig::default() }).await;
    let mut holder = database.connect().await;
    holder.execute(sqlx::raw_sql(lock)).await.expect("lock");
    (db, holder)
}

/// The server works on a write still, until the next statement, and what it would have written does not come later.
async fn assert_settled(db: &PgDb, mut holder: PgConnection) {
    let at_work = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
    let waits: i64 = holder.fetch_one(at_work).await.expect("ask").get(0);
    assert_eq!(waits, 1);
    assert_eq!(rows(db).await, [0_i64; 0]);
    holder.execute(sqlx::raw_sql("COMMIT")).await.expect("unlock");
    assert_eq!(rows(db).await, [0_i64; 0]);
}

#[tokio::test]
async fn a_statement_of_unknown_result_is_settled_before_the_next() {
    let database = TestDatabase::create().await;
    let (db, holder) = impatient(&database, "BEGIN; LOCK TABLE t IN SHARE MODE").await;
    assert_eq!(kind(db.execute("given up", put(&[1], 1)).await), StoreErrorKind::Unknown);
    assert_settled(&db, holder).await;
}

#[tokio::test]
async fn a_commit_of_unknown_result_is_settled_before_the_next_statement() {
    let database = TestDatabase::create().await;
    // The COMMIT itself waits, for what is put off until then.
    let (db, holder) = impatient(
        &database,
        "BEGIN; CREATE TABLE late (); CREATE FUNCTION late() RETURNS trigger LANGUAGE plpgsql AS
             $$ BEGIN LOCK TABLE late; RETURN NULL; END $$;
         CREATE CONSTRAINT TRIGGER late AFTER INSERT ON t DEFERRABLE INITIALLY DEFERRED
             FOR EACH ROW EXECUTE FUNCTION late();
         COMMIT; BEGIN; LOCK TABLE late",
    )
    .await;
    let given_up = db.transaction("given up", |c| Box::pin(insert(c, 1))).await;
    assert_eq!(kind(given_up), StoreErrorKind::Unknown);
    assert_settled(&db, holder).await;
}

/// The next payload.
async fn told(feed: &mut PgFeed) -> StoreResult<String> {
    loop {
        match feed.next().await? {
            PgHeard::Told(payload) => return Ok(payload),
            PgHeard::Complete(_) => {}
            PgHeard::Listening => panic!("a gap where nothing was lost"),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_feed_tells_what_is_committed_and_when_it_was_not_listening() {
    let database = TestDatabase::create().await;
    let db = open(&database, small()).await;
    let clock = Arc::new(ManualClock::new(Timestamp::from_millis(7)));
    let mut feed = db.feed("test", clock);
    assert_eq!(feed.next().await.expect("a connection"), PgHeard::Listening);
    assert_eq!(feed.next().await.expect("at once"), PgHeard::Complete(Timestamp::from_millis(7)));
    let mut other = database.connect().await;
    let script =
        "BEGIN; NOTIFY test, 'never'; ROLLBACK; BEGIN; NOTIFY test, 'one'; NOTIFY test, 'two'; COMMIT";
    other.execute(sqlx::raw_sql(script)).await.expect("notify");
    for expected in ["one", "two"] {
        assert_eq!(told(&mut feed).await.expect("heard"), expected);
    }
    let kill = "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity \
                WHERE datname = current_database() AND pid <> pg_backend_pid()";
    other.execute(kill).await.expect("kill");
    assert_eq!(told(&mut feed).await.expect_err("lost").kind(), StoreErrorKind::Unavailable);
    assert_eq!(feed.next().await.expect("again"), PgHeard::Listening);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn several_may_open_a_new_database_at_once() {
    let database = TestDatabase::create().await;
    let url = database.url();
    let opened: Vec<_> = (0..8)
        .map(|_| {
            let url = url.clone();
            tokio::spawn(async move { PgDb::connect(&url, SCHEMA, small()).await })
        })
        .collect();
    for db in opened {
        db.await.expect("no panic").expect("connect").close().await;
    }
    let newer = Schema { component: "test", migrations: &[] };
    assert_eq!(kind(PgDb::connect(&url, newer, small()).await), StoreErrorKind::Corrupt);
    let other = Schema { component: "other", migrations: &["CREATE TABLE other_t (n int)"] };
    PgDb::connect(&url, other, small()).await.expect("components share a database");
}

#[tokio::test]
async fn a_server_that_may_lose_commits_is_refused() {
    let database = TestDatabase::create().await;
    let db = open(&database, small()).await;
    for lossy in ["off", "local"] {
        database.run(&format!("ALTER DATABASE {} SET synchronous_commit = {lossy}", database.name())).await;
        let refused = PgDb::connect(&database.url(), SCHEMA, small()).await.expect_err("refused");
        assert_eq!(refused.kind(), StoreErrorKind::Internal);
        assert!(refused.chain().contains("SET synchronous_commit = on"), "{}", refused.chain());
    }
    // What runs already notices as well, with its next connection.
    assert!(db.ping().await.is_err());
    for sound in ["remote_write", "remote_apply", "on"] {
        database.run(&format!("ALTER DATABASE {} SET synchronous_commit = {sound}", database.name())).await;
        open(&database, small()).await.ping().await.expect("ping");
    }
}

#[tokio::test]
async fn what_cannot_be_reached_is_told_at_once() {
    let refused = PgDb::connect("postgres://shop@127.0.0.1:1/shop", SCHEMA, small()).await;
    assert_eq!(kind(refused), StoreErrorKind::Unavailable);
    let none = PgDb::connect("postgres://[", SCHEMA, small()).await;
    assert_eq!(kind(none), StoreErrorKind::Internal);
}
