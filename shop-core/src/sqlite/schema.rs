//! Schema changes.

use sqlx::Row as _;
use sqlx::sqlite::SqliteConnection;

use super::classified;
use super::writer::exec;
use crate::StoreResult;
use crate::schema::{CHANGE, Schema};

/// Brings a component's tables up to date, in one transaction: of several that open a file at once, one does it.
pub(super) async fn migrate(writer: &mut SqliteConnection, schema: Schema) -> StoreResult<()> {
    let failed = |e| classified(CHANGE, e, false);
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
        for (version, change) in schema.missing(row.get(0))? {
            exec(writer, change).await.map_err(failed)?;
            sqlx::query("INSERT INTO schema_changes VALUES (?, ?)")
                .bind(schema.component)
                .bind(version)
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
