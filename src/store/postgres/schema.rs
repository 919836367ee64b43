//! Makes and migrates the tables.

use tokio_postgres::Client;

use super::error::failed;
use crate::store::{Error, sql};

/// How the schema came to be, step by step: its version is how many of them were taken.
const STEPS: [&str; 1] = [include_str!("schema_1.sql")];

/// Makes the tables, or brings them to this version, in one transaction. Who comes at the same time waits.
pub(super) async fn migrate(mut client: Client, prefix: &str) -> Result<(), Error> {
    let transaction = client.transaction().await.map_err(failed)?;
    let lock = "SELECT pg_advisory_xact_lock(hashtextextended('tower-sse-resume ' || $1, 0))";
    transaction.execute(lock, &[&prefix]).await.map_err(failed)?;
    let create = "CREATE TABLE IF NOT EXISTS @schema (version bigint NOT NULL)";
    transaction.batch_execute(&sql::with_prefix(create, prefix)).await.map_err(failed)?;
    let select = sql::with_prefix("SELECT version FROM @schema", prefix);
    let version = transaction.query_opt(&select, &[]).await.map_err(failed)?;
    let version = version.map_or(Ok(0), |row| row.try_get(0)).map_err(failed)?;
    let newest = STEPS.len() as i64;
    for step in sql::missing_steps(&STEPS, version)? {
        transaction.batch_execute(&sql::with_prefix(step, prefix)).await.map_err(failed)?;
    }
    if version < newest {
        let set = sql::with_prefix("DELETE FROM @schema", prefix);
        transaction.batch_execute(&set).await.map_err(failed)?;
        let set = sql::with_prefix("INSERT INTO @schema VALUES ($1)", prefix);
        transaction.execute(&set, &[&newest]).await.map_err(failed)?;
    }
    transaction.commit().await.map_err(failed)
}
