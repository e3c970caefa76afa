use std::thread;

use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, Executor as _};
use uuid::Uuid;

/// The variable that names the server on which tests make their databases; its user may create databases.
pub const TEST_POSTGRES_URL: &str = "SHOP_TEST_POSTGRES_URL";

/// A database of its own for a test, dropped with this.
#[derive(Debug)]
pub struct TestDatabase {
    server: PgConnectOptions,
    name: String,
}

impl TestDatabase {
    /// A new, empty database on the server that [`TEST_POSTGRES_URL`] names.
    ///
    /// # Panics
    /// If the variable is not set or the database cannot be made: a missing server is a failure, not a reason to skip.
    pub async fn create() -> Self {
        let url = std::env::var(TEST_POSTGRES_URL).unwrap_or_else(|_| {
            panic!(
                "{TEST_POSTGRES_URL} is not set: run `cargo xtask test`, which starts a PostgreSQL, or set it to the \
                 URL of one whose user may create databases, such as postgres://shop:shop@127.0.0.1:5432/postgres"
            )
        });
        let server = url.parse::<PgConnectOptions>();
        let server =
            server.unwrap_or_else(|fault| panic!("{TEST_POSTGRES_URL} is no URL of PostgreSQL: {fault}"));
        let server = server.disable_statement_logging();
        let database = Self { server, name: format!("shop_test_{}", Uuid::now_v7().simple()) };
        // Not template1, which others may be connected to; and sorted by bytes, as ids are, whatever the server's locale.
        database.run(&format!("CREATE DATABASE {} TEMPLATE template0", database.name)).await;
        database
    }

    /// Its URL.
    pub fn url(&self) -> String {
        self.options().to_url_lossy().to_string()
    }

    /// Runs a script on the server itself, by the server's user: `ALTER DATABASE`, `pg_terminate_backend`…
    ///
    /// # Panics
    /// If it fails.
    pub async fn run(&self, sql: &str) {
        let mut server = connection(&self.server).await;
        let done = server.execute(sqlx::raw_sql(AssertSqlSafe(sql))).await;
        done.unwrap_or_else(|fault| panic!("{sql}: {fault}"));
        let _ = server.close().await;
    }

    /// Another connection to the database, beside those of the store.
    ///
    /// # Panics
    /// If it cannot be opened.
    pub async fn connect(&self) -> PgConnection {
        connection(&self.options()).await
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    fn options(&self) -> PgConnectOptions {
        self.server.clone().database(&self.name)
    }
}

async fn connection(options: &PgConnectOptions) -> PgConnection {
    options.connect().await.unwrap_or_else(|fault| panic!("no connection to PostgreSQL for a test: {fault}"))
}

impl Drop for TestDatabase {
    /// On a thread of its own: the runtime of the test may be ending. What a crashed test leaves is called `shop_test_…`.
    fn drop(&mut self) {
        let (server, sql) =
            (self.server.clone(), format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", self.name));
        let dropped = thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(async {
                let mut server = server.connect().await?;
                server.execute(sqlx::raw_sql(AssertSqlSafe(sql))).await?;
                server.close().await
            })
        });
        if !matches!(dropped.join(), Ok(Ok(()))) {
            tracing::warn!(database = self.name, "a test's database could not be dropped");
        }
    }
}

/// What tests ask a server about the sessions of a database.
pub mod watch {
    use sqlx::postgres::PgConnection;
    use sqlx::{AssertSqlSafe, Executor as _, Row as _};

    /// How many other sessions have a transaction open and do nothing.
    pub const OPEN_TRANSACTIONS: &str = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() \
                                         AND pid <> pg_backend_pid() AND state LIKE 'idle in transaction%'";
    /// A session that waits for a lock; 0 if there is none.
    pub const WAITING: &str = "SELECT coalesce(min(pid), 0)::bigint FROM pg_stat_activity \
                               WHERE datname = current_database() AND wait_event_type = 'Lock'";

    /// The one number that a query of trusted SQL gives.
    ///
    /// # Panics
    /// If it gives none.
    pub async fn number(connection: &mut PgConnection, sql: &str) -> i64 {
        connection.fetch_one(sqlx::query(AssertSqlSafe(sql))).await.expect("ask the server").get(0)
    }

    /// The session that waits for a lock, once there is one.
    ///
    /// # Panics
    /// If the server does not answer.
    pub async fn waiting(connection: &mut PgConnection) -> i64 {
        loop {
            match number(connection, WAITING).await {
                0 => tokio::task::yield_now().await,
                pid => return pid,
            }
        }
    }
}
