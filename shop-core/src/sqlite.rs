//! What the SQLite stores share: opening a database file as it has to be opened, schema changes, one writer that cannot be
//! left half-way, readers, and errors by result code.
//!
//! sqlx sets neither WAL nor `synchronous` on its own. Here a database is in WAL mode with `synchronous=FULL` (a commit is
//! on disk when it returns), all writes go through one connection by `BEGIN IMMEDIATE`, and readers never wait for it.
//!
//! A statement of sqlx's SQLite driver costs a hop to the connection's thread and back, and so does every row that it
//! returns. A [`Script`] runs a whole transaction in one hop out and one back a statement; [`SqliteDb::execute`] runs one
//! statement, which is a transaction of its own and may be an `INSERT` into a view whose `INSTEAD OF` trigger does it all.

use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use sqlx::sqlite::{
    SqliteArguments, SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteRow, SqliteSynchronous,
};
use sqlx::{Arguments as _, AssertSqlSafe, ConnectOptions as _, Connection as _, Executor as _, Row as _};
use tokio::sync::Mutex;

use crate::{StoreError, StoreErrorKind, StoreResult};

pub use sqlx::sqlite::{SqliteConnection, SqlitePool};

/// The schema of one component, as the list of its changes.
#[derive(Debug, Clone, Copy)]
pub struct Schema {
    /// Whose tables these are. Components may share a file.
    pub component: &'static str,
    /// Every change since the first, in order, each a script of SQL. What was released is never edited, only added to.
    pub migrations: &'static [&'static str],
}

/// How a database is opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SqliteConfig {
    /// The most connections that read at the same time.
    pub readers: u32,
    /// The writer's page cache, in KiB.
    pub writer_cache: u32,
    /// Each reader's page cache, in KiB.
    pub reader_cache: u32,
    /// How long to wait for a lock that another process holds.
    pub busy_timeout: Duration,
}

impl Default for SqliteConfig {
    fn default() -> Self {
        Self { readers: 3, writer_cache: 4_096, reader_cache: 1_024, busy_timeout: Duration::from_secs(5) }
    }
}

/// An open database: a writer and some readers. Clones share them.
#[derive(Debug, Clone)]
pub struct SqliteDb {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    options: SqliteConnectOptions,
    session: &'static str,
    /// `None` until first used, while in use, and after a failure that may have left it in a bad way.
    writer: Arc<Mutex<Option<SqliteConnection>>>,
    readers: SqlitePool,
}

/// A future that borrows the connection of its transaction.
pub type TransactionFuture<'c, T> = Pin<Box<dyn Future<Output = StoreResult<T>> + Send + 'c>>;

/// The path of `sqlite:PATH`, `sqlite://PATH` or a bare path.
pub fn path_of(url: &str) -> &Path {
    let path = url.strip_prefix("sqlite:").unwrap_or(url);
    Path::new(path.strip_prefix("//").unwrap_or(path))
}

impl SqliteDb {
    /// Opens a database file (`sqlite:PATH` or a bare path), makes it and its folder if they are missing, and brings its
    /// schema up to date. Safe when several instances do so at once.
    ///
    /// # Errors
    /// [`StoreErrorKind::Unavailable`] if it cannot be opened or stays locked, [`StoreErrorKind::Corrupt`] if it is no
    /// database or of a newer version than this program knows.
    pub async fn open(url: &str, schema: Schema, config: SqliteConfig) -> StoreResult<Self> {
        Self::open_with_session(url, schema, config, "").await
    }

    /// [`open`](Self::open) with a script that the writer runs whenever it is opened, once the schema is up to date: for
    /// temporary views and triggers.
    ///
    /// # Errors
    /// Those of [`open`](Self::open).
    pub async fn open_with_session(
        url: &str,
        schema: Schema,
        config: SqliteConfig,
        session: &'static str,
    ) -> StoreResult<Self> {
        let path = path_of(url);
        if path.as_os_str().is_empty() || path == Path::new(":memory:") {
            return Err(StoreError::new(StoreErrorKind::Internal, "open SQLite")
                .with_source("a file is needed; use the memory store for a database in memory"));
        }
        let path = path.to_path_buf();
        let options = Self::options(&path, &config);
        if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            std::fs::create_dir_all(folder).map_err(|e| {
                StoreError::new(StoreErrorKind::Unavailable, "make the folder of the database").with_source(e)
            })?;
        }
        let mut writer = open_patiently(&options, config.busy_timeout).await?;
        migrate(&mut writer, schema).await?;
        begin_session(&mut writer, session).await?;
        let readers = SqlitePoolOptions::new()
            .max_connections(config.readers.max(1))
            .acquire_timeout(Duration::from_secs(10))
            .idle_timeout(None)
            .max_lifetime(None)
            .test_before_acquire(false)
            .connect_lazy_with(
                options
                    .clone()
                    .pragma("query_only", "ON")
                    .pragma("cache_size", format!("-{}", config.reader_cache)),
            );
        let shared = Shared { options, session, writer: Arc::new(Mutex::new(Some(writer))), readers };
        Ok(Self { shared: Arc::new(shared) })
    }

    fn options(path: &Path, config: &SqliteConfig) -> SqliteConnectOptions {
        SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .busy_timeout(config.busy_timeout)
            .foreign_keys(false)
            .pragma("temp_store", "MEMORY")
            .pragma("cache_size", format!("-{}", config.writer_cache))
            // A checkpoint syncs twice; every 16 MiB of log is often enough, and keeps the log's file small.
            .pragma("wal_autocheckpoint", "4000")
            .pragma("journal_size_limit", "67108864")
            .disable_statement_logging()
    }

    /// Runs a script as one transaction: all of it or nothing.
    ///
    /// # Errors
    /// [`StoreErrorKind::Conflict`] if an expectation or a constraint does not hold; then, and with `Unavailable` and
    /// `Full`, nothing is written. [`StoreErrorKind::Unknown`] if the disk failed or the runtime shut down meanwhile.
    ///
    /// # Cancel safety
    /// Once polled it runs to its end, whether the caller waits or not.
    pub async fn commit(&self, operation: &'static str, script: Script) -> StoreResult<()> {
        let shared = self.shared.clone();
        in_a_task(operation, async move {
            let mut slot = shared.writer.clone().lock_owned().await;
            // Out of its place while it works: if this task is dropped half-way, so is the connection, and SQLite rolls back.
            let mut writer = shared.ready(slot.take()).await?;
            let Script { mut sql, arguments } = script;
            sql.push_str("COMMIT;");
            let done = writer.execute(sqlx::query_with(AssertSqlSafe(sql), arguments)).await;
            match done {
                Ok(_) => {
                    *slot = Some(writer);
                    Ok(())
                }
                Err(error) => {
                    let error = classified(operation, error, true);
                    if rolled_back(&mut writer, &error).await {
                        *slot = Some(writer);
                    }
                    Err(error)
                }
            }
        })
        .await
    }

    /// Runs one statement on the writer, which is a transaction of its own: it cannot be left half-way.
    ///
    /// # Errors
    /// Those of [`commit`](Self::commit).
    ///
    /// # Cancel safety
    /// Once polled it runs to its end, whether the caller waits or not.
    pub async fn execute(&self, operation: &'static str, query: Query) -> StoreResult<()> {
        let shared = self.shared.clone();
        in_a_task(operation, async move {
            let mut slot = shared.writer.clone().lock_owned().await;
            let mut writer = shared.ready(slot.take()).await?;
            let Query { sql, arguments } = query;
            match writer.execute(sqlx::query_with(AssertSqlSafe(sql), arguments)).await {
                Ok(_) => {
                    *slot = Some(writer);
                    Ok(())
                }
                Err(error) => {
                    let error = classified(operation, error, true);
                    if error.kind() == StoreErrorKind::Conflict {
                        *slot = Some(writer);
                    }
                    Err(error)
                }
            }
        })
        .await
    }

    /// Reads the one row of a query, with the writer if that is free: its page cache is warm, while those of the readers
    /// are void after every commit. With a reader otherwise, and if the writer fails: then that is given up, and opened
    /// anew by the next commit.
    ///
    /// # Errors
    /// If the database cannot be read.
    ///
    /// # Cancel safety
    /// Reading holds no transaction; a dropped read is forgotten.
    pub async fn read_row(&self, operation: &'static str, query: Query) -> StoreResult<SqliteRow> {
        let Query { sql, arguments } = query;
        if let Ok(mut slot) = self.shared.writer.try_lock()
            && let Some(writer) = slot.as_mut()
        {
            let query = sqlx::query_with(AssertSqlSafe(sql.clone()), arguments.clone());
            match writer.fetch_one(query).await {
                Ok(row) => return Ok(row),
                Err(error @ sqlx::Error::RowNotFound) => return Err(classified(operation, error, false)),
                Err(_) => *slot = None,
            }
        }
        let query = sqlx::query_with(AssertSqlSafe(sql), arguments);
        self.shared.readers.fetch_one(query).await.map_err(|e| classified(operation, e, false))
    }

    /// Runs `work` inside one transaction on the writer, for what a [`Script`] cannot say; rolls back if it fails.
    ///
    /// # Errors
    /// Those of `work`, and those of [`commit`](Self::commit).
    ///
    /// # Cancel safety
    /// Once polled it runs to its end, whether the caller waits or not.
    pub async fn transaction<T, F>(&self, operation: &'static str, work: F) -> StoreResult<T>
    where
        T: Send + 'static,
        F: for<'c> FnOnce(&'c mut SqliteConnection) -> TransactionFuture<'c, T> + Send + 'static,
    {
        let shared = self.shared.clone();
        in_a_task(operation, async move {
            let mut slot = shared.writer.clone().lock_owned().await;
            let mut writer = shared.ready(slot.take()).await?;
            let done = async {
                exec(&mut writer, "BEGIN IMMEDIATE").await.map_err(|e| classified(operation, e, false))?;
                let outcome = work(&mut writer).await?;
                exec(&mut writer, "COMMIT").await.map_err(|e| classified(operation, e, true))?;
                Ok(outcome)
            }
            .await;
            match done {
                Ok(outcome) => {
                    *slot = Some(writer);
                    Ok(outcome)
                }
                Err(error) => {
                    if rolled_back(&mut writer, &error).await {
                        *slot = Some(writer);
                    }
                    Err(error)
                }
            }
        })
        .await
    }

    /// Reads with a reader: the rows of a query, or of several one after another, in one hop.
    ///
    /// # Errors
    /// If the database cannot be read.
    ///
    /// # Cancel safety
    /// Reading holds no transaction; a dropped read is forgotten.
    pub async fn read(&self, operation: &'static str, query: Query) -> StoreResult<Vec<SqliteRow>> {
        let Query { sql, arguments } = query;
        self.shared
            .readers
            .fetch_all(sqlx::query_with(AssertSqlSafe(sql), arguments))
            .await
            .map_err(|e| classified(operation, e, false))
    }

    /// The readers' pool, for what [`read`](Self::read) cannot say.
    pub fn readers(&self) -> &SqlitePool {
        &self.shared.readers
    }

    /// Whether the database can be read now.
    ///
    /// # Errors
    /// If it cannot.
    pub async fn ping(&self) -> StoreResult<()> {
        self.read("ping SQLite", Query::new("SELECT 1 FROM sqlite_schema LIMIT 1")).await.map(|_| ())
    }

    /// Closes all connections, once what runs has ended.
    pub async fn close(&self) {
        self.shared.readers.close().await;
        if let Some(writer) = self.shared.writer.lock().await.take() {
            // The log is folded into the database by the last connection that closes; its failure loses nothing.
            let _ = writer.close().await;
        }
    }
}

impl Shared {
    async fn ready(&self, writer: Option<SqliteConnection>) -> StoreResult<SqliteConnection> {
        match writer {
            Some(writer) => Ok(writer),
            None => {
                let mut writer =
                    self.options.connect().await.map_err(|e| classified("open the writer", e, false))?;
                prepare_writer(&mut writer).await?;
                begin_session(&mut writer, self.session).await?;
                Ok(writer)
            }
        }
    }
}

/// A task of its own: what was begun is ended, even if the caller goes away.
async fn in_a_task<T: Send + 'static>(
    operation: &'static str,
    work: impl Future<Output = StoreResult<T>> + Send + 'static,
) -> StoreResult<T> {
    tokio::spawn(work)
        .await
        .unwrap_or_else(|fault| Err(StoreError::new(StoreErrorKind::Unknown, operation).with_source(fault)))
}

/// Ends a failed transaction. `false` if the connection is better given up: closing it rolls back as well.
async fn rolled_back(writer: &mut SqliteConnection, error: &StoreError) -> bool {
    // SQLite has ended the transaction itself after some errors; that there is none is then no fault.
    let _ = exec(writer, "ROLLBACK").await;
    matches!(error.kind(), StoreErrorKind::Conflict)
}

async fn exec(writer: &mut SqliteConnection, sql: &'static str) -> Result<(), sqlx::Error> {
    writer.execute(sqlx::raw_sql(sql)).await.map(|_| ())
}

/// Opens the first connection. Switching a new file to WAL does not wait for a lock by itself.
async fn open_patiently(options: &SqliteConnectOptions, patience: Duration) -> StoreResult<SqliteConnection> {
    let mut waited = Duration::ZERO;
    let pause = Duration::from_millis(10);
    loop {
        let error = match options.connect().await {
            Ok(mut writer) => match prepare_writer(&mut writer).await {
                Ok(()) => return Ok(writer),
                Err(error) => error,
            },
            Err(error) => classified("open SQLite", error, false),
        };
        if error.kind() != StoreErrorKind::Unavailable || waited >= patience {
            return Err(error);
        }
        tokio::time::sleep(pause).await;
        waited += pause;
    }
}

async fn prepare_writer(writer: &mut SqliteConnection) -> StoreResult<()> {
    exec(writer, "CREATE TEMP TABLE expectation (held INTEGER CHECK (held)) STRICT")
        .await
        .map_err(|e| classified("prepare the writer", e, false))
}

async fn begin_session(writer: &mut SqliteConnection, session: &'static str) -> StoreResult<()> {
    if session.is_empty() {
        return Ok(());
    }
    exec(writer, session).await.map_err(|e| classified("prepare the writer", e, false))
}

async fn migrate(writer: &mut SqliteConnection, schema: Schema) -> StoreResult<()> {
    let failed = |e| classified("change the schema", e, false);
    exec(writer, "BEGIN IMMEDIATE").await.map_err(failed)?;
    let done = async {
        exec(
            writer,
            "CREATE TABLE IF NOT EXISTS schema_changes \
             (component TEXT NOT NULL, version INTEGER NOT NULL, PRIMARY KEY (component, version)) STRICT, WITHOUT ROWID",
        )
        .await
        .map_err(failed)?;
        let row = sqlx::query("SELECT coalesce(max(version), 0) FROM schema_changes WHERE component = ?")
            .bind(schema.component)
            .fetch_one(&mut *writer)
            .await
            .map_err(failed)?;
        let version = usize::try_from(row.get::<i64, _>(0)).unwrap_or(usize::MAX);
        let Some(missing) = schema.migrations.get(version..) else {
            return Err(StoreError::new(StoreErrorKind::Corrupt, "change the schema")
                .with_source("the database was written by a newer version of this program"));
        };
        for (n, change) in missing.iter().enumerate() {
            exec(writer, change).await.map_err(failed)?;
            sqlx::query("INSERT INTO schema_changes VALUES (?, ?)")
                .bind(schema.component)
                .bind(i64::try_from(version + n + 1).unwrap_or(i64::MAX))
                .execute(&mut *writer)
                .await
                .map_err(failed)?;
        }
        exec(writer, "COMMIT").await.map_err(failed)
    }
    .await;
    if done.is_err() {
        let _ = exec(writer, "ROLLBACK").await;
    }
    done
}

/// A value bound to a `?`.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// `NULL`.
    Null,
    /// `INTEGER`.
    Int(i64),
    /// `TEXT`.
    Text(String),
    /// `BLOB`.
    Blob(Vec<u8>),
}

impl From<i64> for Value {
    fn from(value: i64) -> Self {
        Self::Int(value)
    }
}

impl From<String> for Value {
    fn from(value: String) -> Self {
        Self::Text(value)
    }
}

impl From<&str> for Value {
    fn from(value: &str) -> Self {
        Self::Text(value.to_owned())
    }
}

impl From<uuid::Uuid> for Value {
    /// 16 bytes.
    fn from(value: uuid::Uuid) -> Self {
        Self::Blob(value.as_bytes().to_vec())
    }
}

impl<V: Into<Self>> From<Option<V>> for Value {
    fn from(value: Option<V>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}

fn bind(arguments: &mut SqliteArguments, value: Value) {
    let bound = match value {
        Value::Null => arguments.add(None::<i64>),
        Value::Int(value) => arguments.add(value),
        Value::Text(value) => arguments.add(value),
        Value::Blob(value) => arguments.add(value),
    };
    bound.expect("plain values can always be encoded");
}

/// One `SELECT`, or several, with their values. Only bare `?` are bound, in order.
#[derive(Debug, Default)]
pub struct Query {
    sql: String,
    arguments: SqliteArguments,
}

impl Query {
    /// A query of trusted SQL; what comes from outside is bound, never written into it.
    pub fn new(sql: impl Into<String>) -> Self {
        Self { sql: sql.into(), arguments: SqliteArguments::default() }
    }

    /// The same query with more trusted SQL at its end.
    pub fn push(&mut self, sql: &str) -> &mut Self {
        self.sql.push_str(sql);
        self
    }

    /// Whether there is nothing to run.
    pub fn is_empty(&self) -> bool {
        self.sql.is_empty()
    }

    /// Binds the next `?`.
    pub fn bind(&mut self, value: impl Into<Value>) -> &mut Self {
        bind(&mut self.arguments, value.into());
        self
    }
}

/// A transaction in one piece: statements, and how many rows each must have changed. Only bare `?` are bound, in order.
#[derive(Debug)]
pub struct Script {
    sql: String,
    arguments: SqliteArguments,
}

impl Default for Script {
    fn default() -> Self {
        Self::new()
    }
}

impl Script {
    /// A transaction that does nothing yet.
    pub fn new() -> Self {
        Self { sql: "BEGIN IMMEDIATE;".to_owned(), arguments: SqliteArguments::default() }
    }

    /// One statement.
    pub fn run(&mut self, sql: &'static str, values: impl IntoIterator<Item = Value>) -> &mut Self {
        self.sql.push_str(sql);
        self.sql.push(';');
        for value in values {
            bind(&mut self.arguments, value);
        }
        self
    }

    /// The statement before must have changed so many rows; otherwise nothing is written, and the commit is a
    /// [`StoreErrorKind::Conflict`].
    pub fn expect(&mut self, rows: usize) -> &mut Self {
        self.sql.push_str("INSERT INTO temp.expectation SELECT 0 WHERE changes() <> ?;");
        bind(&mut self.arguments, Value::Int(i64::try_from(rows).unwrap_or(i64::MAX)));
        self
    }
}

/// A driver's error as a [`StoreError`], by its result code (<https://www.sqlite.org/rescode.html>). `committing`: the
/// failure may have come after the point where the transaction is durable.
pub fn classified(operation: &'static str, error: sqlx::Error, committing: bool) -> StoreError {
    let unclear = if committing { StoreErrorKind::Unknown } else { StoreErrorKind::Unavailable };
    let kind = match &error {
        sqlx::Error::Database(fault) => {
            let code = fault.code().and_then(|code| code.parse::<u32>().ok()).unwrap_or_default();
            // The low byte is the primary code.
            match code & 0xff {
                5 | 6 | 7 | 8 | 14 => StoreErrorKind::Unavailable, // BUSY, LOCKED, NOMEM, READONLY, CANTOPEN
                10 => unclear,                                     // IOERR: a failed sync may yet be on disk
                11 | 26 => StoreErrorKind::Corrupt,                // CORRUPT, NOTADB
                13 => StoreErrorKind::Full,
                19 => StoreErrorKind::Conflict, // CONSTRAINT
                _ => StoreErrorKind::Internal,
            }
        }
        sqlx::Error::WorkerCrashed | sqlx::Error::Io(_) => unclear,
        sqlx::Error::PoolTimedOut | sqlx::Error::PoolClosed => StoreErrorKind::Unavailable,
        sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_) | sqlx::Error::ColumnNotFound(_) => {
            StoreErrorKind::Corrupt
        }
        _ => StoreErrorKind::Internal,
    };
    StoreError::new(kind, operation).with_source(error)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::task::{Context, Poll, Waker};

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
}
