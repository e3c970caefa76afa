use std::time::Duration;

/// How a database is used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PgConfig {
    /// The most connections at the same time.
    pub connections: u32,
    /// How long to wait for a free connection, opening one included.
    pub acquire_timeout: Duration,
    /// How long opening the first connection may take.
    pub connect_timeout: Duration,
    /// The longest that the server works on one statement.
    pub statement_timeout: Duration,
    /// The longest that a statement waits for a lock.
    pub lock_timeout: Duration,
    /// The longest that work waits for the server's answers in all. Then its connection is given up: for a server or a
    /// network that no longer says anything.
    pub work_timeout: Duration,
    /// How this program is called in `pg_stat_activity`, if the URL does not say.
    pub application_name: String,
    /// Accept a server with `fsync` or `full_page_writes` off: for storage that keeps what it acknowledged by other means.
    /// `synchronous_commit` is asked for all the same.
    pub trusted_storage: bool,
}

impl Default for PgConfig {
    fn default() -> Self {
        Self {
            connections: 16,
            acquire_timeout: Duration::from_secs(2),
            connect_timeout: Duration::from_secs(5),
            statement_timeout: Duration::from_secs(10),
            lock_timeout: Duration::from_secs(5),
            work_timeout: Duration::from_secs(20),
            application_name: "shop".to_owned(),
            trusted_storage: false,
        }
    }
}
