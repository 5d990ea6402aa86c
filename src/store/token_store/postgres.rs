//! Tokens in `qbo.accounts`, for machines that share a database.

use std::sync::LazyLock;

use chrono::{DateTime, Utc};
use deadpool_postgres::Object;
use futures_util::future::{BoxFuture, FutureExt};
use tokio_postgres::Row;

use super::{ConnectionSummary, Key, StoredConnection};
use crate::domain::ConnectionState;
use crate::error::Result;
use crate::port::{Connection, TokenLease, TokenStore};
use crate::postgres::{
    Columns, Db, END_WHEN_IDLE, PIN_SETTINGS, Param, Query, database_error, migrations, params,
    server,
};

/// The tokens of one connection in the table.
#[derive(Debug, Clone)]
pub(crate) struct PostgresTokenStore {
    db: Db,
    realm_id: String,
    key: Key,
}

/// An advisory lock until the end of a transaction, so that it also holds behind a pooler that
/// lends connections for single transactions. A drop closes the connection, which ends both.
struct PostgresLease {
    store: PostgresTokenStore,
    connection: Option<Object>,
}

impl Drop for PostgresLease {
    fn drop(&mut self) {
        if let Some(connection) = self.connection.take() {
            drop(Object::take(connection));
        }
    }
}

/// The place of the tokens, for messages.
pub(crate) const PLACE: &str = "the table qbo.accounts";

const LOAD: &str = "SELECT * FROM qbo.accounts WHERE realm_id = $1";
const LOAD_ALL: &str = "SELECT * FROM qbo.accounts ORDER BY realm_id";

/// Switches timeouts off: a refresh may take minutes, and so may those that wait for it.
static BEGIN_LOCK: LazyLock<String> = LazyLock::new(|| {
    format!(
        "BEGIN; {PIN_SETTINGS}; SET LOCAL idle_in_transaction_session_timeout = 0; \
         SET LOCAL statement_timeout = 0; SET LOCAL lock_timeout = 0"
    )
});
static BEGIN_CHANGE: LazyLock<String> =
    LazyLock::new(|| format!("{PIN_SETTINGS}; SET LOCAL synchronous_commit = on; {END_WHEN_IDLE}"));
const LOCK: &str = "
SELECT pg_advisory_xact_lock(hashtextextended('qbo_rs tokens of ' || $1, 0::bigint))";

const SAVE: &str = include_str!("../sql/save_tokens.sql");

const ANNOTATE: &str = "
UPDATE qbo.accounts SET state = $2, reason = $3, refresh_begun_at_utc = $4, changed_at_utc = now()
WHERE realm_id = $1";

/// Returns what is known of every connection in the table. Needs no key, and creates no table.
///
/// # Errors
/// Those of the database.
pub(in crate::store) async fn summaries(db: &Db) -> Result<Vec<ConnectionSummary>> {
    if !db.has_table("qbo", "accounts").await? {
        return Ok(Vec::new());
    }
    migrations::apply(&mut *db.connection().await?).await?;
    let rows = db.rows(LOAD_ALL, params![]).await?;
    rows.iter()
        .map(|row| Ok(stored(row)?.summary(row.column("realm_id")?)))
        .collect()
}

fn stored(row: &Row) -> Result<StoredConnection> {
    Ok(StoredConnection {
        sealed_tokens: row.column("sealed_tokens")?,
        needs_reauth: row.column("reason")?,
        access_token_expires_at: row.column("access_token_expires_at_utc")?,
        refresh_token_expires_at: row.column("refresh_token_expires_at_utc")?,
        connection_expires_at: row.column("connection_expires_at_utc")?,
        refresh_begun_at: row.column("refresh_begun_at_utc")?,
    })
}

/// The state that a stored connection is given in the table.
fn state_of(needs_reauth: Option<&str>) -> &'static str {
    match needs_reauth {
        Some(_) => ConnectionState::NeedsReauth.as_str(),
        None => ConnectionState::Active.as_str(),
    }
}

impl PostgresTokenStore {
    /// Returns the store of the company `realm_id` in a database, and creates its table if it is
    /// missing.
    ///
    /// # Errors
    /// Those of the database.
    pub(crate) async fn open(db: Db, realm_id: &str, key: Key) -> Result<Self> {
        migrations::apply(&mut *db.connection().await?).await?;
        Ok(Self {
            db,
            realm_id: realm_id.to_owned(),
            key,
        })
    }

    async fn load_stored(&self) -> Result<Option<Connection>> {
        let row = self.db.optional(LOAD, params![self.realm_id]).await?;
        let stored = row.as_ref().map(stored).transpose()?;
        Ok(
            stored
                .and_then(|stored| stored.open_or_warn(&self.key, &self.realm_id, "qbo.accounts")),
        )
    }

    async fn lease(&self) -> Result<PostgresLease> {
        let lease = PostgresLease {
            store: self.clone(),
            connection: Some(self.db.connection().await?),
        };
        if let Some(connection) = &lease.connection {
            connection.batch(&BEGIN_LOCK).await?;
            connection.batch(server::SETTINGS_OF_LATER_SERVERS).await?;
            connection.rows(LOCK, params![self.realm_id]).await?;
        }
        Ok(lease)
    }

    /// Seals the stored tokens with another key. Returns false if this store's key does not open
    /// them; they stay as they are then.
    ///
    /// # Errors
    /// Those of the database.
    pub(crate) async fn change_key(&self, new: &Key) -> Result<bool> {
        // Locked, because a refresh in another process would write with the old key.
        let lease = self.lease().await?;
        let connection = self.load_stored().await?;
        let saved = match &connection {
            Some(connection) => lease.save_sealed(connection, new).await,
            None => Ok(()),
        };
        Box::new(lease).release().await;
        saved.map(|()| connection.is_some())
    }

    /// Changes the table in a transaction that is on disk when this returns, whatever the server's
    /// default is.
    async fn change(&self, statement: &str, params: &[Param<'_>]) -> Result<()> {
        let mut connection = self.db.connection().await?;
        let transaction = connection.transaction().await.map_err(database_error)?;
        transaction.batch(&BEGIN_CHANGE).await?;
        transaction.change(statement, params).await?;
        transaction.commit().await.map_err(database_error)
    }
}

impl TokenStore for PostgresTokenStore {
    fn load(&self) -> BoxFuture<'_, Result<Option<Connection>>> {
        self.load_stored().boxed()
    }

    fn holds_any(&self) -> BoxFuture<'_, Result<bool>> {
        async {
            let row = self.db.optional(LOAD, params![self.realm_id]).await?;
            Ok(row.is_some())
        }
        .boxed()
    }

    fn lock(&self) -> BoxFuture<'_, Result<Box<dyn TokenLease>>> {
        async { Ok(Box::new(self.lease().await?) as Box<dyn TokenLease>) }.boxed()
    }

    fn place(&self) -> String {
        PLACE.to_owned()
    }
}

impl PostgresLease {
    async fn save_sealed(&self, connection: &Connection, key: &Key) -> Result<()> {
        let realm_id = &self.store.realm_id;
        let stored = StoredConnection::seal(connection, key, realm_id)?;
        let refreshed_at = connection.access.as_ref().map(|grant| grant.issued_at);
        let state = state_of(stored.needs_reauth.as_deref());
        let params = params![
            realm_id,
            state,
            stored.needs_reauth,
            stored.sealed_tokens,
            stored.access_token_expires_at,
            stored.refresh_token_expires_at,
            stored.connection_expires_at,
            refreshed_at,
            stored.refresh_begun_at,
        ];
        self.store.change(SAVE, params).await
    }
}

impl TokenLease for PostgresLease {
    fn load(&self) -> BoxFuture<'_, Result<Option<Connection>>> {
        self.store.load_stored().boxed()
    }

    fn save<'a>(&'a self, connection: &'a Connection) -> BoxFuture<'a, Result<()>> {
        self.save_sealed(connection, &self.store.key).boxed()
    }

    fn annotate<'a>(
        &'a self,
        refresh_begun_at: Option<DateTime<Utc>>,
        needs_reauth: Option<&'a str>,
    ) -> BoxFuture<'a, Result<()>> {
        async move {
            let state = state_of(needs_reauth);
            let params = params![self.store.realm_id, state, needs_reauth, refresh_begun_at];
            self.store.change(ANNOTATE, params).await
        }
        .boxed()
    }

    fn remove(&self) -> BoxFuture<'_, Result<()>> {
        async {
            let delete = "DELETE FROM qbo.accounts WHERE realm_id = $1";
            self.store
                .change(delete, params![self.store.realm_id])
                .await
        }
        .boxed()
    }

    fn release(mut self: Box<Self>) -> BoxFuture<'static, ()> {
        async move {
            if let Some(connection) = self.connection.take() {
                // Only a connection without a transaction may return to the pool.
                if connection.batch_execute("COMMIT").await.is_err() {
                    drop(Object::take(connection));
                }
            }
        }
        .boxed()
    }
}
