//! Tokens in `qbo.accounts`, for machines that share a database.

use chrono::{DateTime, Utc};
use deadpool_postgres::{Object, Pool};
use tokio_postgres::Row;
use tokio_postgres::types::{ToSql, Type};

use super::{ConnectionSummary, Key, StoredConnection};
use crate::error::Result;
use crate::port::{Connection, TokenStore};
use crate::postgres::{database_error, migrations, take};

/// One connection in the table of them.
#[derive(Debug, Clone)]
pub struct PostgresTokenStore {
    pool: Pool,
    realm_id: String,
    key: Key,
}

/// An advisory lock for the length of a transaction, so that it also holds behind a pooler that
/// lends connections by transactions. Dropped, it closes its connection, which ends both.
#[derive(Debug)]
pub struct PostgresLease(Option<Object>);

impl Drop for PostgresLease {
    fn drop(&mut self) {
        if let Some(connection) = self.0.take() {
            drop(Object::take(connection));
        }
    }
}

const COLUMNS: &str = "sealed_tokens, reason, access_token_expires_at_utc, refresh_token_expires_at_utc, \
                       connection_expires_at_utc, refresh_begun_at_utc, realm_id";

type Parameter<'a> = (&'a (dyn ToSql + Sync), Type);

impl PostgresTokenStore {
    /// The connection of `realm_id` in the database of `pool`, which gets the table if it has none.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn open(pool: Pool, realm_id: &str, key: Key) -> Result<Self> {
        migrations::apply(&mut **take(&pool).await?).await?;
        Ok(Self {
            pool,
            realm_id: realm_id.to_owned(),
            key,
        })
    }

    /// Another connection in the same table.
    #[must_use]
    pub fn for_connection(&self, realm_id: &str, key: &Key) -> Self {
        Self {
            pool: self.pool.clone(),
            realm_id: realm_id.to_owned(),
            key: key.clone(),
        }
    }

    /// Every connection of the table.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn accounts(&self) -> Result<Vec<ConnectionSummary>> {
        let statement = format!("SELECT {COLUMNS} FROM qbo.accounts ORDER BY realm_id");
        let rows = take(&self.pool)
            .await?
            .query_typed(&statement, &[])
            .await
            .map_err(database_error)?;
        Ok(rows
            .iter()
            .map(|row| stored(row).account(row.get(6)))
            .collect())
    }

    /// In a transaction that is on disk when this returns, whatever the server's default is.
    async fn change(&self, statement: &str, parameters: &[Parameter<'_>]) -> Result<()> {
        let mut connection = take(&self.pool).await?;
        let transaction = connection.transaction().await.map_err(database_error)?;
        transaction
            .batch_execute("SET LOCAL synchronous_commit = on")
            .await
            .map_err(database_error)?;
        (*transaction)
            .query_typed(statement, parameters)
            .await
            .map_err(database_error)?;
        transaction.commit().await.map_err(database_error)
    }
}

fn stored(row: &Row) -> StoredConnection {
    StoredConnection {
        sealed_tokens: row.get(0),
        needs_reauth: row.get(1),
        access_token_expires_at: row.get(2),
        refresh_token_expires_at: row.get(3),
        connection_expires_at: row.get(4),
        refresh_begun_at: row.get(5),
    }
}

impl TokenStore for PostgresTokenStore {
    type Lease = PostgresLease;

    async fn load(&self) -> Result<Option<Connection>> {
        let statement = format!("SELECT {COLUMNS} FROM qbo.accounts WHERE realm_id = $1");
        let connection = take(&self.pool).await?;
        let parameters: [Parameter<'_>; 1] = [(&self.realm_id, Type::TEXT)];
        let rows = connection
            .query_typed(&statement, &parameters)
            .await
            .map_err(database_error)?;
        let found = rows.first().map(stored);
        Ok(found.and_then(|stored| stored.open_or_warn(&self.key, &self.realm_id, "qbo.accounts")))
    }

    async fn lock(&self) -> Result<PostgresLease> {
        let lease = PostgresLease(Some(take(&self.pool).await?));
        if let PostgresLease(Some(connection)) = &lease {
            // A refresh may wait for minutes, and so may those behind it.
            let begin = "BEGIN; SET LOCAL idle_in_transaction_session_timeout = 0; SET LOCAL statement_timeout = 0; \
                         SET LOCAL lock_timeout = 0";
            connection
                .batch_execute(begin)
                .await
                .map_err(database_error)?;
            let statement =
                "SELECT pg_advisory_xact_lock(hashtextextended('qbo_rs tokens of ' || $1, 0))";
            let parameters: [Parameter<'_>; 1] = [(&self.realm_id, Type::TEXT)];
            connection
                .query_typed(statement, &parameters)
                .await
                .map_err(database_error)?;
        }
        Ok(lease)
    }

    async fn save(&self, _lease: &PostgresLease, connection: &Connection) -> Result<()> {
        let stored = StoredConnection::seal(connection, &self.key, &self.realm_id)?;
        let state = if stored.needs_reauth.is_some() {
            "needs_reauth"
        } else {
            "active"
        };
        let refreshed_at = connection.access.as_ref().map(|grant| grant.issued_at);
        let statement = "INSERT INTO qbo.accounts AS account (realm_id, state, reason, sealed_tokens, \
             access_token_expires_at_utc, refresh_token_expires_at_utc, connection_expires_at_utc, refreshed_at_utc, \
             refresh_begun_at_utc) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT (realm_id) DO UPDATE SET \
             state = EXCLUDED.state, reason = EXCLUDED.reason, sealed_tokens = EXCLUDED.sealed_tokens, \
             access_token_expires_at_utc = EXCLUDED.access_token_expires_at_utc, \
             refresh_token_expires_at_utc = EXCLUDED.refresh_token_expires_at_utc, \
             connection_expires_at_utc = EXCLUDED.connection_expires_at_utc, \
             refreshed_at_utc = EXCLUDED.refreshed_at_utc, refresh_begun_at_utc = EXCLUDED.refresh_begun_at_utc, \
             changed_at_utc = now()";
        let parameters: [Parameter<'_>; 9] = [
            (&self.realm_id, Type::TEXT),
            (&state, Type::TEXT),
            (&stored.needs_reauth, Type::TEXT),
            (&stored.sealed_tokens, Type::TEXT),
            (&stored.access_token_expires_at, Type::TIMESTAMPTZ),
            (&stored.refresh_token_expires_at, Type::TIMESTAMPTZ),
            (&stored.connection_expires_at, Type::TIMESTAMPTZ),
            (&refreshed_at, Type::TIMESTAMPTZ),
            (&stored.refresh_begun_at, Type::TIMESTAMPTZ),
        ];
        self.change(statement, &parameters).await
    }

    async fn annotate(
        &self,
        _lease: &PostgresLease,
        refresh_begun_at: Option<DateTime<Utc>>,
        needs_reauth: Option<&str>,
    ) -> Result<()> {
        let state = if needs_reauth.is_some() {
            "needs_reauth"
        } else {
            "active"
        };
        let statement = "UPDATE qbo.accounts SET state = $2, reason = $3, refresh_begun_at_utc = $4, \
                         changed_at_utc = now() WHERE realm_id = $1";
        let parameters: [Parameter<'_>; 4] = [
            (&self.realm_id, Type::TEXT),
            (&state, Type::TEXT),
            (&needs_reauth, Type::TEXT),
            (&refresh_begun_at, Type::TIMESTAMPTZ),
        ];
        self.change(statement, &parameters).await
    }

    async fn remove(&self, _lease: &PostgresLease) -> Result<()> {
        let parameters: [Parameter<'_>; 1] = [(&self.realm_id, Type::TEXT)];
        self.change("DELETE FROM qbo.accounts WHERE realm_id = $1", &parameters)
            .await
    }

    async fn release(&self, mut lease: PostgresLease) {
        if let Some(connection) = lease.0.take() {
            // Back to the pool only out of its transaction.
            if connection.batch_execute("COMMIT").await.is_err() {
                drop(Object::take(connection));
            }
        }
    }

    fn place(&self) -> Option<String> {
        Some("the table qbo.accounts".to_owned())
    }
}
