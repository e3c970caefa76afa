//! Schema changes.

use sqlx::Row as _;
use sqlx::sqlite::SqliteConnection;

use super::classified;
use super::writer::exec;
use crate::{StoreError, StoreErrorKind, StoreResult};

/// The schema of one component, as the list of its changes.
#[derive(Debug, Clone, Copy)]
pub struct Schema {
    /// Whose tables these are. Components may share a file.
    pub component: &'static str,
    /// Every change since the first, in order, each a script of SQL. What was released is never edited, only added to.
    pub migrations: &'static [&'static str],
}

/// Brings a component's tables up to date, in one transaction: of several that open a file at once, one does it.
pub(super) async fn migrate(writer: &mut SqliteConnection, schema: Schema) -> StoreResult<()> {
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
