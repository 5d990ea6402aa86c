//! A document in `qbo.admission`, for all processes that share a database.

use std::collections::HashMap;
use std::sync::LazyLock;

use chrono::{DateTime, Utc};
use deadpool_postgres::Object;
use futures_util::future::{BoxFuture, FutureExt};

use super::Documents;
use crate::error::Result;
use crate::port::{Change, SharedState};
use crate::postgres::{Columns, Db, END_WHEN_IDLE, OpenTransaction, PIN_SETTINGS, Query, params};

/// A document in a row. Its clock is the server's.
#[derive(Debug)]
pub(crate) struct PostgresState {
    db: Db,
    key: String,
}

/// Commits are not awaited on disk: changes are worthless after a crash.
static BEGIN: LazyLock<String> = LazyLock::new(|| {
    format!("BEGIN; {PIN_SETTINGS}; SET LOCAL synchronous_commit = off; {END_WHEN_IDLE}")
});
const SELECT: &str = "
SELECT state::text, clock_timestamp() FROM qbo.admission WHERE key = $1 FOR UPDATE";
const INSERT: &str = "
INSERT INTO qbo.admission (key, state) VALUES ($1, '{}') ON CONFLICT DO NOTHING";
const UPDATE: &str = "
UPDATE qbo.admission SET state = $2::text::jsonb, changed_at_utc = now() WHERE key = $1";

const READ: &str = "
SELECT wanted.key, state::text AS state, clock_timestamp() AS read_at
FROM unnest($1::text[]) AS wanted(key) LEFT JOIN qbo.admission USING (key)";

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

/// Reads the documents of many keys in one statement.
///
/// # Errors
/// Those of the database.
pub(crate) async fn read_rows(db: &Db, keys: Vec<String>) -> Result<Documents> {
    let mut texts = HashMap::new();
    let mut read_at = None;
    for row in db.rows(READ, params![keys]).await? {
        read_at = Some(row.column("read_at")?);
        if let Some(text) = row.column("state")? {
            texts.insert(row.column("key")?, text);
        }
    }
    let read_at = read_at.unwrap_or_else(crate::clock::now);
    Ok(Documents { texts, read_at })
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
