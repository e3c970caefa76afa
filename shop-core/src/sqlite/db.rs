use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqlitePool, SqlitePoolOptions, SqliteRow};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, Executor as _, Row as _};
use tokio::sync::Mutex;

use super::place::Place;
use super::schema::migrate;
use super::writer::{begin_session, exec, open_patiently, prepare_writer, rolled_back};
use super::{Query, Schema, Script, SqliteConfig, classified, path_of};
use crate::task::in_a_task;
use crate::{StoreError, StoreErrorKind, StoreResult};

/// An open database: a writer and some readers. Clones share them.
#[derive(Debug, Clone)]
pub struct SqliteDb {
    pub(super) shared: Arc<Shared>,
}

#[derive(Debug)]
pub(super) struct Shared {
    place: Place,
    options: SqliteConnectOptions,
    session: &'static str,
    /// `None` until first used, while in use, and after a failure that may have left it in a bad way.
    pub(super) writer: Arc<Mutex<Option<SqliteConnection>>>,
    /// How often the writer was opened.
    opened: AtomicU64,
    readers: SqlitePool,
}

/// What [`SqliteDb::others`] tells, to be compared with what it told before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OthersWrites {
    /// Of which connection the version is: those of two are not to be compared.
    opened: u64,
    version: i64,
}

/// A future that borrows the connection of its transaction.
pub type TransactionFuture<'c, T> = Pin<Box<dyn Future<Output = StoreResult<T>> + Send + 'c>>;

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
        let options = config.options(&path);
        if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            std::fs::create_dir_all(folder).map_err(|e| {
                StoreError::new(StoreErrorKind::Unavailable, "make the folder of the database").with_source(e)
            })?;
        }
        let mut writer = open_patiently(&options, config.busy_timeout).await?;
        // A file that is gone later is a fault, not a new database.
        let options = options.create_if_missing(false);
        let place = Place::of(path)?;
        migrate(&mut writer, schema).await?;
        begin_session(&mut writer, session).await?;
        let readers = SqlitePoolOptions::new()
            .max_connections(config.readers.max(1))
            .acquire_timeout(Duration::from_secs(10))
            // With more callers than readers all wait: a warning for each would bury the log.
            .acquire_slow_threshold(Duration::MAX)
            .idle_timeout(None)
            .max_lifetime(None)
            .test_before_acquire(false)
            .connect_lazy_with(
                options
                    .clone()
                    .pragma("query_only", "ON")
                    .pragma("cache_size", format!("-{}", config.reader_cache)),
            );
        let writer = Arc::new(Mutex::new(Some(writer)));
        let shared = Shared { place, options, session, writer, opened: AtomicU64::new(1), readers };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// Runs a script as one transaction: all of it or nothing.
    ///
    /// # Errors
    /// [`StoreErrorKind::Conflict`] if an expectation or a constraint does not hold, [`StoreErrorKind::Unavailable`] if the
    /// database cannot be written, or its file is not where it was; then, and with `Full`, nothing is written.
    /// [`StoreErrorKind::Unknown`] if the disk failed or the runtime shut down meanwhile.
    ///
    /// # Cancel safety
    /// Once polled it runs to its end, whether the caller waits or not.
    pub async fn commit(&self, operation: &'static str, script: Script) -> StoreResult<()> {
        let shared = self.shared.clone();
        in_a_task(operation, async move {
            let mut slot = shared.writer.clone().lock_owned().await;
            // Out of its place while it works: if this task is dropped half-way, so is the connection, and SQLite rolls back.
            let mut writer = shared.ready(slot.take()).await?;
            let (sql, arguments) = script.into_parts();
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
            let (sql, arguments) = query.into_parts();
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
        let (sql, arguments) = query.into_parts();
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

    /// A state that changes when somebody else commits: another process, or another [`SqliteDb`] of the same file. It may
    /// change without that. This database's own commits do not change it.
    ///
    /// # Errors
    /// If the database cannot be read, or is closed.
    ///
    /// # Cancel safety
    /// Reading holds no transaction; a dropped read is forgotten.
    pub async fn others(&self, operation: &'static str) -> StoreResult<OthersWrites> {
        let shared = self.shared.clone();
        in_a_task(operation, async move {
            let mut slot = shared.writer.clone().lock_owned().await;
            if shared.readers.is_closed() {
                return Err(StoreError::new(StoreErrorKind::Unavailable, operation).with_source("closed"));
            }
            let mut writer = shared.ready(slot.take()).await?;
            let read = writer.fetch_one("PRAGMA data_version").await.and_then(|row| row.try_get(0));
            let version = read.map_err(|e| classified(operation, e, false))?;
            *slot = Some(writer);
            Ok(OthersWrites { opened: shared.opened.load(Ordering::Relaxed), version })
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
        let (sql, arguments) = query.into_parts();
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

    /// Whether the database can be read now, and is where it was opened.
    ///
    /// # Errors
    /// If it cannot.
    pub async fn ping(&self) -> StoreResult<()> {
        self.shared.place.check("ping SQLite")?;
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
    /// The writer, opened anew if need be.
    async fn ready(&self, writer: Option<SqliteConnection>) -> StoreResult<SqliteConnection> {
        self.place.check("open the writer")?;
        match writer {
            Some(writer) => Ok(writer),
            None => {
                let mut writer =
                    self.options.connect().await.map_err(|e| classified("open the writer", e, false))?;
                prepare_writer(&mut writer).await?;
                begin_session(&mut writer, self.session).await?;
                self.opened.fetch_add(1, Ordering::Relaxed);
                Ok(writer)
            }
        }
    }
}
