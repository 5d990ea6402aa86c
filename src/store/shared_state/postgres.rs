//! A document in `qbo.admission`, for all processes that share a database.

use std::sync::LazyLock;

use chrono::{DateTime, Utc};
use deadpool_postgres::Object;
use futures_util::future::{BoxFuture, FutureExt};

use crate::error::Result;
use crate::port::{Change, SharedState};
use crate::postgres::{
    Columns, Db, END_WHEN_IDLE, OpenTransaction, PIN_SEARCH_PATH, Query, params,
};

/// A document in a row. Its clock is the server's.
#[derive(Debug)]
pub(crate) struct PostgresState {
    db: Db,
    key: String,
}

/// Commits are not awaited on disk: changes are worthless after a crash.
static BEGIN: LazyLock<String> = LazyLock::new(|| {
    format!("BEGIN; {PIN_SEARCH_PATH}; SET LOCAL synchronous_commit = off; {END_WHEN_IDLE}")
});
const SELECT: &str = "
SELECT state::text, clock_timestamp() FROM qbo.admission WHERE key = $1 FOR UPDATE";
const INSERT: &str = "
INSERT INTO qbo.admission (key, state) VALUES ($1, '{}') ON CONFLICT DO NOTHING";
const UPDATE: &str = "
UPDATE qbo.admission SET state = $2::text::jsonb, changed_at_utc = now() WHERE key = $1";

impl PostgresState {
    /// Returns the document `key` in a database whose tables exist.
    pub(crate) fn new(db: Db, key: String) -> Self {
        Self { db, key }
    }

    async fn change(&self, connection: &Object, change: Change<'_>) -> Result<()> {
        let key = params![self.key];
        // Sent together, answered in order.
        let (begun, rows) = tokio::join!(connection.batch(&BEGIN), connection.rows(SELECT, key));
        begun?;
        let mut rows = rows?;
        if rows.is_empty() {
            connection.change(INSERT, key).await?;
            rows = connection.rows(SELECT, key).await?;
        }
        let (text, now): (Option<String>, DateTime<Utc>) = match rows.first() {
            Some(row) => (row.column(0)?, row.column(1)?),
            None => (None, crate::clock::now()),
        };
        if let Some(changed) = change(text.as_deref(), now) {
            connection
                .change(UPDATE, params![self.key, changed])
                .await?;
        }
        connection.batch("COMMIT").await
    }
}

impl SharedState for PostgresState {
    fn update<'s>(&'s self, change: Change<'s>) -> BoxFuture<'s, Result<()>> {
        async move {
            let open = OpenTransaction::new(self.db.connection().await?);
            self.change(open.connection()?, change).await?;
            open.end();
            Ok(())
        }
        .boxed()
    }
}
