use sqlx::postgres::PgConnection;
use sqlx::{Executor as _, Row as _};

/// What a server is asked before anything is kept in it.
const ASK: &str = "SELECT current_setting('synchronous_commit'), current_setting('fsync', true), \
                   current_setting('full_page_writes', true)";

/// Why a server does not keep what it acknowledged, and what to do about it.
#[derive(Debug, thiserror::Error)]
pub(super) enum Lossy {
    #[error(
        "synchronous_commit is {0} here: PostgreSQL would acknowledge orders and stock that a crash then loses; \
         set it to on (ALTER DATABASE … SET synchronous_commit = on, or in postgresql.conf or for the role)"
    )]
    SynchronousCommit(String),
    #[error(
        "{0} is off on this server: a crash may corrupt its data; set it to on in postgresql.conf \
         (or, where the storage keeps what it acknowledged by other means, set trusted_storage)"
    )]
    Storage(&'static str),
}

/// Refuses a session whose commits may be lost once they were acknowledged.
pub(super) async fn refuse_lossy(
    connection: &mut PgConnection,
    trusted_storage: bool,
) -> Result<(), sqlx::Error> {
    let row = connection.fetch_one(sqlx::query(ASK)).await?;
    let synchronous: String = row.try_get(0)?;
    // `local` does not wait for the standby that would take over.
    if !matches!(synchronous.as_str(), "on" | "remote_write" | "remote_apply") {
        return Err(sqlx::Error::Configuration(Lossy::SynchronousCommit(synchronous).into()));
    }
    for (place, name) in [(1, "fsync"), (2, "full_page_writes")] {
        let value: Option<String> = row.try_get(place)?;
        if !trusted_storage && value.as_deref() == Some("off") {
            return Err(sqlx::Error::Configuration(Lossy::Storage(name).into()));
        }
    }
    Ok(())
}
