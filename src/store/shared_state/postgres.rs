//! A document in `qbo.admission`, for all processes that share a database.

use std::pin::Pin;

use chrono::{DateTime, Utc};
use deadpool_postgres::{Object, Pool};
use tokio_postgres::types::{ToSql, Type};

use crate::error::Result;
use crate::port::{Change, SharedState};
use crate::postgres::{database_error, take};

/// A document in a row. Its clock is the server's.
#[derive(Debug)]
pub struct PostgresState {
    pool: Pool,
    key: String,
}

/// Changes are worth nothing after a crash: nobody waits for the disk.
const BEGIN: &str = "BEGIN; SET LOCAL synchronous_commit = off";

impl PostgresState {
    /// The document `key` in the database of `pool`, whose tables are there.
    pub fn new(pool: Pool, key: String) -> Self {
        Self { pool, key }
    }

    async fn change(&self, connection: &Object, change: Change<'_>) -> Result<()> {
        let key: (&(dyn ToSql + Sync), Type) = (&self.key, Type::TEXT);
        let take_row =
            "SELECT state::text, clock_timestamp() FROM qbo.admission WHERE key = $1 FOR UPDATE";
        // Sent together, answered in order.
        let (begun, rows) = tokio::join!(connection.batch_execute(BEGIN), async {
            connection
                .query_typed(take_row, std::slice::from_ref(&key))
                .await
        });
        begun.map_err(database_error)?;
        let mut rows = rows.map_err(database_error)?;
        if rows.is_empty() {
            let insert =
                "INSERT INTO qbo.admission (key, state) VALUES ($1, '{}') ON CONFLICT DO NOTHING";
            connection
                .query_typed(insert, std::slice::from_ref(&key))
                .await
                .map_err(database_error)?;
            rows = connection
                .query_typed(take_row, std::slice::from_ref(&key))
                .await
                .map_err(database_error)?;
        }
        let (text, now): (Option<String>, DateTime<Utc>) = match rows.first() {
            Some(row) => (row.get(0), row.get(1)),
            None => (None, Utc::now()),
        };
        let update = "UPDATE qbo.admission SET state = $2::text::jsonb, changed_at_utc = now() WHERE key = $1";
        if let Some(changed) = change(text.as_deref(), now) {
            connection
                .query_typed(update, &[key, (&changed, Type::TEXT)])
                .await
                .map_err(database_error)?;
        }
        connection
            .batch_execute("COMMIT")
            .await
            .map_err(database_error)
    }
}

impl SharedState for PostgresState {
    fn update<'s>(
        &'s self,
        change: Change<'s>,
    ) -> Pin<Box<dyn Future<Output = Result<()>> + Send + 's>> {
        Box::pin(async move {
            // Dropped in the middle, or after a failure, the connection must not go back to the
            // pool.
            let mut open = OpenTransaction(Some(take(&self.pool).await?));
            if let OpenTransaction(Some(connection)) = &open {
                self.change(connection, change).await?;
            }
            drop(open.0.take());
            Ok(())
        })
    }
}

struct OpenTransaction(Option<Object>);

impl Drop for OpenTransaction {
    fn drop(&mut self) {
        if let Some(connection) = self.0.take() {
            drop(Object::take(connection));
        }
    }
}
