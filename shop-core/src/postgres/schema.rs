use sqlx::postgres::PgConnection;
use sqlx::{Executor as _, Row as _};

use super::error::classified;
use crate::StoreResult;
use crate::schema::{CHANGE, Schema};

/// One at a time, whatever the component: they share the table. Ends with the transaction.
const LOCK: &str = "SELECT pg_advisory_xact_lock(x'73686f70'::int, 1)";

const TABLE: &str = "CREATE TABLE shop_schema_changes (
    component text NOT NULL, version int NOT NULL, at timestamptz NOT NULL DEFAULT now(), PRIMARY KEY (component, version))";

/// Brings a schema up to date, in one transaction; instances that start together wait for each other. The connection is
/// no longer of use if it fails.
pub(super) async fn migrate(connection: &mut PgConnection, schema: Schema) -> StoreResult<()> {
    let failed = |e| classified(CHANGE, e, false);
    connection.execute(sqlx::raw_sql("BEGIN")).await.map_err(failed)?;
    connection.execute(sqlx::raw_sql(LOCK)).await.map_err(failed)?;
    // Not IF NOT EXISTS: that needs the right to create tables even where there is nothing to create.
    let there = sqlx::query("SELECT to_regclass('shop_schema_changes') IS NOT NULL");
    let there =
        connection.fetch_one(there).await.and_then(|row| row.try_get::<bool, _>(0)).map_err(failed)?;
    if !there {
        connection.execute(sqlx::raw_sql(TABLE)).await.map_err(failed)?;
    }
    let version =
        sqlx::query("SELECT coalesce(max(version), 0) FROM shop_schema_changes WHERE component = $1");
    let version = connection.fetch_one(version.bind(schema.component)).await.map_err(failed)?;
    let version: i32 = version.try_get(0).map_err(failed)?;
    for (version, change) in schema.missing(version.into())? {
        connection.execute(sqlx::raw_sql(change)).await.map_err(failed)?;
        let done =
            sqlx::query("INSERT INTO shop_schema_changes (component, version) VALUES ($1, $2::bigint::int)");
        connection.execute(done.bind(schema.component).bind(version)).await.map_err(failed)?;
    }
    connection.execute(sqlx::raw_sql("COMMIT")).await.map_err(failed)?;
    Ok(())
}
