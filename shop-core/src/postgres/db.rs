use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgConnection, PgRow};
use sqlx::{ConnectOptions as _, Connection as _, Executor as _};
use tokio::time::timeout;

use super::error::{classified, sound};
use super::pool::Pool;
use super::schema::migrate;
use super::server::refuse_lossy;
use super::{PgConfig, PgFeed, Query, Schema};
use crate::task::in_a_task;
use crate::{Clock, StoreError, StoreErrorKind, StoreResult};

/// A pool of connections to a database. Clones share it.
///
/// Where the result of a write is unknown ([`StoreErrorKind::Unknown`]), the server may be at work on it still. Before the
/// next statement of any kind the session of such a write is ended, and waited for: what is read afterwards is what there
/// is, and nothing comes later.
#[derive(Debug, Clone)]
pub struct PgDb {
    pub(super) pool: Arc<Pool>,
    options: PgConnectOptions,
    config: PgConfig,
}

/// A future that borrows the connection of its transaction.
pub type TransactionFuture<'c, T> = Pin<Box<dyn Future<Output = StoreResult<T>> + Send + 'c>>;

type StatementFuture<'c, T> = Pin<Box<dyn Future<Output = Result<T, sqlx::Error>> + Send + 'c>>;

impl PgDb {
    /// Connects to a database (`postgres://USER:PASSWORD@HOST:PORT/DATABASE`), makes sure that it keeps what it
    /// acknowledges, and brings its schema up to date. Safe when several instances do so at once.
    ///
    /// # Errors
    /// [`StoreErrorKind::Unavailable`] if it cannot be reached, [`StoreErrorKind::Corrupt`] if it is of a newer version
    /// than this program knows, [`StoreErrorKind::Internal`] if the URL is none, the server refuses the user, or a crash
    /// could lose what it acknowledged (`synchronous_commit`, `fsync`, `full_page_writes`).
    pub async fn connect(url: &str, schema: Schema, config: PgConfig) -> StoreResult<Self> {
        let failed = |e| classified("open PostgreSQL", e, false);
        let options = options(url, &config).map_err(failed)?;
        // A change of the schema may take its time, and waits for those of other instances.
        let patient = options.clone().options([("statement_timeout", "0"), ("lock_timeout", "0")]);
        let mut first = timeout(config.connect_timeout, patient.connect())
            .await
            .map_err(|_| too_late("open PostgreSQL", StoreErrorKind::Unavailable))?
            .map_err(failed)?;
        refuse_lossy(&mut first, config.trusted_storage).await.map_err(failed)?;
        migrate(&mut first, schema).await?;
        // What it leaves undone the server does.
        let _ = first.close().await;

        Ok(Self { pool: Arc::new(Pool::new(options.clone(), config.clone())), options, config })
    }

    /// Reads: the rows of one statement that writes nothing.
    ///
    /// # Errors
    /// [`StoreErrorKind::Unavailable`] if no connection is free in time, the server takes too long or the connection is
    /// lost.
    ///
    /// # Cancel safety
    /// Once polled it runs to its end, whether the caller waits or not.
    pub async fn read(&self, operation: &'static str, query: Query) -> StoreResult<Vec<PgRow>> {
        self.statement(operation, false, move |c| Box::pin(c.fetch_all(query.into_sqlx()))).await
    }

    /// Reads the one row of a query.
    ///
    /// # Errors
    /// Those of [`read`](Self::read), and [`StoreErrorKind::Internal`] if there is none.
    ///
    /// # Cancel safety
    /// Like [`read`](Self::read).
    pub async fn read_row(&self, operation: &'static str, query: Query) -> StoreResult<PgRow> {
        let rows = self.read(operation, query).await?;
        rows.into_iter().next().ok_or_else(|| classified(operation, sqlx::Error::RowNotFound, false))
    }

    /// Runs one statement, which is a transaction of its own; returns how many rows it changed.
    ///
    /// # Errors
    /// [`StoreErrorKind::Conflict`] if an expectation ([`UNMET`](super::UNMET)) or a constraint does not hold; then, and
    /// with `Unavailable` and `Full`, nothing is written. [`StoreErrorKind::Unknown`] if the connection was lost meanwhile.
    ///
    /// # Cancel safety
    /// Like [`read`](Self::read).
    pub async fn execute(&self, operation: &'static str, query: Query) -> StoreResult<u64> {
        self.statement(operation, true, move |c| {
            Box::pin(async move { Ok(c.execute(query.into_sqlx()).await?.rows_affected()) })
        })
        .await
    }

    /// [`execute`](Self::execute) for a statement that also returns rows.
    ///
    /// # Errors
    /// Those of [`execute`](Self::execute).
    ///
    /// # Cancel safety
    /// Like [`read`](Self::read).
    pub async fn execute_returning(&self, operation: &'static str, query: Query) -> StoreResult<Vec<PgRow>> {
        self.statement(operation, true, move |c| Box::pin(c.fetch_all(query.into_sqlx()))).await
    }

    /// Runs `work` inside one transaction, for what one statement cannot say; rolls back if it fails. `work` says what its
    /// own errors mean by [`classified`]; nothing it does is committed before it ends.
    ///
    /// # Errors
    /// Those of `work`, and those of [`execute`](Self::execute).
    ///
    /// # Cancel safety
    /// Like [`read`](Self::read).
    pub async fn transaction<T, F>(&self, operation: &'static str, work: F) -> StoreResult<T>
    where
        T: Send + 'static,
        F: for<'c> FnOnce(&'c mut PgConnection) -> TransactionFuture<'c, T> + Send + 'static,
    {
        let db = self.clone();
        in_a_task(operation, async move {
            let mut lease = db.pool.lease(operation).await?;
            let worked = timeout(db.config.work_timeout, async {
                simply(&mut lease, "BEGIN").await.map_err(|e| classified(operation, e, false))?;
                work(&mut lease).await
            });
            match worked.await {
                Err(_) => Err(too_late(operation, StoreErrorKind::Unavailable)),
                Ok(Err(error)) => {
                    let rolled_back = timeout(db.config.work_timeout, simply(&mut lease, "ROLLBACK")).await;
                    if error.kind() == StoreErrorKind::Conflict && matches!(rolled_back, Ok(Ok(()))) {
                        lease.keep();
                    }
                    Err(error)
                }
                Ok(Ok(outcome)) => {
                    lease.committing();
                    // A COMMIT of a transaction that has failed says ROLLBACK, not that it failed; a SELECT fails.
                    match timeout(db.config.work_timeout, simply(&mut lease, "SELECT 1; COMMIT")).await {
                        Err(_) => Err(too_late(operation, StoreErrorKind::Unknown)),
                        Ok(Err(error)) => Err(classified(operation, error, true)),
                        Ok(Ok(())) => {
                            lease.keep();
                            Ok(outcome)
                        }
                    }
                }
            }
        })
        .await
    }

    /// Whether the database can be read now.
    ///
    /// # Errors
    /// If it cannot.
    pub async fn ping(&self) -> StoreResult<()> {
        self.read("ping PostgreSQL", Query::new("SELECT 1")).await.map(|_| ())
    }

    /// Closes all connections, once what runs has ended. Then there are no more.
    pub async fn close(&self) {
        self.pool.close().await;
    }

    /// What is told on a channel by `NOTIFY`, and by `clock` up to when. Connects nothing yet: the feed does, when it is
    /// first asked.
    pub fn feed(&self, channel: &'static str, clock: Arc<dyn Clock>) -> PgFeed {
        PgFeed::new(self.options.clone(), &self.config, channel, clock)
    }

    async fn statement<T, F>(&self, operation: &'static str, writes: bool, run: F) -> StoreResult<T>
    where
        T: Send + 'static,
        F: for<'c> FnOnce(&'c mut PgConnection) -> StatementFuture<'c, T> + Send + 'static,
    {
        let db = self.clone();
        in_a_task(operation, async move {
            let mut lease = db.pool.lease(operation).await?;
            if writes {
                lease.committing();
            }
            match timeout(db.config.work_timeout, run(&mut lease)).await {
                Ok(Ok(done)) => {
                    lease.keep();
                    Ok(done)
                }
                Ok(Err(error)) => {
                    if sound(&error) {
                        lease.keep();
                    }
                    Err(classified(operation, error, writes))
                }
                Err(_) if writes => Err(too_late(operation, StoreErrorKind::Unknown)),
                Err(_) => Err(too_late(operation, StoreErrorKind::Unavailable)),
            }
        })
        .await
    }
}

fn options(url: &str, config: &PgConfig) -> Result<PgConnectOptions, sqlx::Error> {
    let options: PgConnectOptions = url.parse()?;
    let named = options.get_application_name().is_some();
    let options = if named { options } else { options.application_name(&config.application_name) };
    let millis = |limit: Duration| format!("{}ms", limit.as_millis());
    Ok(options
        .options([
            ("statement_timeout", millis(config.statement_timeout)),
            ("lock_timeout", millis(config.lock_timeout)),
            // A transaction that nobody goes on with must not keep its locks.
            ("idle_in_transaction_session_timeout", millis(config.work_timeout)),
        ])
        .disable_statement_logging())
}

async fn simply(connection: &mut PgConnection, sql: &'static str) -> Result<(), sqlx::Error> {
    connection.execute(sqlx::raw_sql(sql)).await.map(|_| ())
}

fn too_late(operation: &'static str, kind: StoreErrorKind) -> StoreError {
    StoreError::new(kind, operation).with_source("the server did not answer in time")
}
