//! Where a database is and how it is opened.

use std::path::Path;
use std::time::Duration;

use sqlx::ConnectOptions as _;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};

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

impl SqliteConfig {
    /// How every connection to the file at `path` is set up.
    pub(super) fn options(&self, path: &Path) -> SqliteConnectOptions {
        SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .busy_timeout(self.busy_timeout)
            .foreign_keys(false)
            .pragma("temp_store", "MEMORY")
            .pragma("cache_size", format!("-{}", self.writer_cache))
            // A checkpoint syncs twice; every 16 MiB of log is often enough, and keeps the log's file small.
            .pragma("wal_autocheckpoint", "4000")
            .pragma("journal_size_limit", "67108864")
            .disable_statement_logging()
    }
}

/// The path of `sqlite:PATH`, `sqlite://PATH` or a bare path.
pub fn path_of(url: &str) -> &Path {
    let path = url.strip_prefix("sqlite:").unwrap_or(url);
    Path::new(path.strip_prefix("//").unwrap_or(path))
}
