use std::task::{Context, Poll, Waker};

use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions as _, Row as _};

use super::writer::exec;
use super::*;
use crate::{StoreError, StoreErrorKind, StoreResult};

const SCHEMA: Schema = Schema {
    component: "test",
    migrations: &["CREATE TABLE t (n INTEGER PRIMARY KEY, CHECK (n < 100)) STRICT"],
};

async fn open(folder: &tempfile::TempDir) -> SqliteDb {
    let path = folder.path().join("new/folder/test.db");
    SqliteDb::open(&format!("sqlite:{}", path.display()), SCHEMA, SqliteConfig::default()).await.unwrap()
}

fn insert(n: i64) -> Script {
    let mut script = Script::new();
    script.run("INSERT INTO t SELECT ? WHERE true ON CONFLICT DO NOTHING", [n.into()]).expect(1);
    script
}

async fn rows(db: &SqliteDb) -> Vec<i64> {
    let rows = db.read("read", Query::new("SELECT n FROM t ORDER BY n")).await.unwrap();
    rows.iter().map(|row| row.get(0)).collect()
}

#[tokio::test]
async fn a_broken_expectation_writes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let db = open(&folder).await;
    db.commit("a", insert(1)).await.unwrap();
    let mut script = insert(2);
    script.run("DELETE FROM t WHERE n = ?", [9.into()]).expect(1);
    assert_eq!(db.commit("b", script).await.unwrap_err().kind(), StoreErrorKind::Conflict);
    assert_eq!(db.commit("c", insert(1)).await.unwrap_err().kind(), StoreErrorKind::Conflict);
    assert_eq!(db.commit("d", insert(100)).await.unwrap_err().kind(), StoreErrorKind::Conflict);
    db.commit("e", insert(3)).await.unwrap();
    assert_eq!(rows(&db).await, [1, 3]);
    let sync: i64 = db.transaction("f", |c| Box::pin(async move {
        let row = sqlx::query("SELECT synchronous + 10 * (SELECT journal_mode = 'wal' FROM pragma_journal_mode) FROM pragma_synchronous")
            .fetch_one(c).await.map_err(|e| classified("f", e, false))?;
        Ok(row.get(0))
    })).await.unwrap();
    assert_eq!(sync, 12, "synchronous=FULL is 2, and the journal is the WAL");
}

#[tokio::test]
async fn a_caller_that_goes_away_leaves_no_transaction_open() {
    let folder = tempfile::tempdir().unwrap();
    let db = open(&folder).await;
    for n in 0..50 {
        let mut commit = Box::pin(db.commit("dropped", insert(n)));
        // Polled once: handed over. Then dropped.
        let polled = commit.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        assert!(matches!(polled, Poll::Pending));
        drop(commit);
        let mut reading = Box::pin(db.read("dropped", Query::new("SELECT n FROM t")));
        let _ = reading.as_mut().poll(&mut Context::from_waker(Waker::noop()));
    }
    db.commit("last", insert(99)).await.unwrap();
    assert_eq!(rows(&db).await, (0..50).chain([99]).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_writer_that_cannot_read_is_given_up() {
    let folder = tempfile::tempdir().unwrap();
    let db = open(&folder).await;
    db.commit("insert", insert(7)).await.unwrap();
    // A connection that fails whatever is asked of it: to another database, without the table.
    let bad = SqliteConnectOptions::new().in_memory(true).connect().await.unwrap();
    *db.shared.writer.lock().await = Some(bad);
    let row = db.read_row("read", Query::new("SELECT max(n) FROM t")).await.unwrap();
    assert_eq!(row.get::<i64, _>(0), 7);
    assert!(db.shared.writer.lock().await.is_none(), "the bad connection is kept");
    db.commit("after", insert(8)).await.unwrap();
    // No row is no fault of the connection.
    let none = db.read_row("read", Query::new("SELECT n FROM t WHERE n = 99")).await;
    assert!(none.is_err() && db.shared.writer.lock().await.is_some());
}

#[tokio::test]
async fn a_failed_transaction_is_rolled_back() {
    let folder = tempfile::tempdir().unwrap();
    let db = open(&folder).await;
    let failed: StoreResult<()> = db
        .transaction("half", |c| {
            Box::pin(async move {
                exec(c, "INSERT INTO t VALUES (1)").await.map_err(|e| classified("half", e, false))?;
                Err(StoreError::conflict("half"))
            })
        })
        .await;
    assert_eq!(failed.unwrap_err().kind(), StoreErrorKind::Conflict);
    assert_eq!(rows(&db).await, [0_i64; 0]);
    let panicked: StoreResult<()> = db
        .transaction("panics", |c| {
            Box::pin(async move {
                exec(c, "INSERT INTO t VALUES (1)").await.map_err(|e| classified("panics", e, false))?;
                panic!("on purpose")
            })
        })
        .await;
    assert_eq!(panicked.unwrap_err().kind(), StoreErrorKind::Unknown);
    db.commit("after", insert(2)).await.unwrap();
    assert_eq!(rows(&db).await, [2]);
}

#[cfg(unix)]
#[tokio::test]
async fn nothing_is_written_to_a_file_that_was_removed_or_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let db = open(&folder).await;
    db.commit("before", insert(1)).await.unwrap();
    let (here, away) = (folder.path().join("new/folder/test.db"), folder.path().join("away.db"));
    std::fs::rename(&here, &away).unwrap();
    let mut refused = vec![db.commit("gone", insert(2)).await.unwrap_err(), db.ping().await.unwrap_err()];
    assert!(!here.exists(), "a database without what was in the other");
    std::fs::copy(&away, &here).unwrap();
    let statement = Query::new("INSERT INTO t VALUES (3)");
    refused.push(db.execute("replaced", statement).await.unwrap_err());
    refused.push(db.transaction("replaced", |_| Box::pin(async { Ok(()) })).await.unwrap_err());
    for error in refused {
        assert_eq!(error.kind(), StoreErrorKind::Unavailable, "{}", error.chain());
        assert!(error.chain().contains("test.db is not there any more: "), "{}", error.chain());
    }
    std::fs::rename(&away, &here).unwrap();
    db.commit("back", insert(4)).await.unwrap();
    db.ping().await.unwrap();
    assert_eq!(rows(&db).await, [1, 4]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn several_may_open_a_new_file_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("new.db");
    let opened: Vec<_> = (0..8)
        .map(|_| {
            let path = path.display().to_string();
            tokio::spawn(async move { SqliteDb::open(&path, SCHEMA, SqliteConfig::default()).await })
        })
        .collect();
    for db in opened {
        db.await.unwrap().unwrap();
    }
    let newer = Schema { component: "test", migrations: &[] };
    let refused = SqliteDb::open(&path.display().to_string(), newer, SqliteConfig::default()).await;
    assert_eq!(refused.unwrap_err().kind(), StoreErrorKind::Corrupt);
}

#[tokio::test]
async fn what_others_commit_is_noticed_and_what_is_ones_own_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let (mine, other) = (open(&folder).await, open(&folder).await);
    let before = mine.others("look").await.unwrap();
    for n in 0..3 {
        mine.commit("mine", insert(n)).await.unwrap();
        assert_eq!(rows(&mine).await.len() as i64, n + 1);
        assert_eq!(mine.others("look").await.unwrap(), before);
    }
    other.commit("other", insert(10)).await.unwrap();
    // Not hidden by a commit that comes after it.
    mine.commit("mine", insert(11)).await.unwrap();
    let after = mine.others("look").await.unwrap();
    assert_ne!(after, before);
    assert_eq!(mine.others("look").await.unwrap(), after);
    mine.close().await;
    assert_eq!(mine.others("look").await.unwrap_err().kind(), StoreErrorKind::Unavailable);
}
