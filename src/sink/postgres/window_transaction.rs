//! The transaction of one window, with the connection that it owns.

use std::pin::Pin;

use bytes::Bytes;
use deadpool_postgres::Object;
use futures_util::SinkExt;
use tokio_postgres::CopyInSink;

use super::copy_format;
use super::merge::{self, TableTraits};
use crate::config::TransactionLimits;
use crate::error::{Error, Result};
use crate::postgres::server::SETTINGS_OF_LATER_SERVERS;
use crate::postgres::{Db, END_WHEN_IDLE, PIN_SETTINGS, Query, database_error};

/// Runs deferred triggers after each statement. One that removes rows at the commit would do so
/// after the rows were counted.
const CHECK_AT_ONCE: &str = "SET CONSTRAINTS ALL IMMEDIATE";

/// A transaction that owns its connection, so that a writer can be moved between tasks. Dropped
/// before [`commit`](Self::commit), it closes the connection, and the server rolls back.
pub(super) struct Transaction {
    connection: Option<Object>,
    copy: Option<Pin<Box<CopyInSink<Bytes>>>>,
    pub(super) traits: TableTraits,
}

impl std::fmt::Debug for Transaction {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Transaction")
            .field("copying", &self.copy.is_some())
            .finish_non_exhaustive()
    }
}

impl Transaction {
    pub(super) async fn begin(
        db: &Db,
        limits: TransactionLimits,
        select_traits: &str,
    ) -> Result<Self> {
        let mut transaction = Self {
            connection: Some(db.connection().await?),
            copy: None,
            traits: TableTraits::default(),
        };
        let statements = [
            &begin(limits),
            CHECK_AT_ONCE,
            merge::PLANNER_SETTINGS,
            copy_format::CREATE_STAGING,
            select_traits,
        ];
        let answer = merge::simple_query(transaction.connection()?, &statements.join("; ")).await?;
        transaction.traits = TableTraits::of(&answer);
        let sink = transaction
            .connection()?
            .copy_in(copy_format::COPY_STAGING)
            .await
            .map_err(database_error)?;
        transaction.copy = Some(Box::pin(sink));
        transaction.copy(copy_format::header()).await?;
        Ok(transaction)
    }

    /// Begins a transaction that writes no records.
    pub(super) async fn begin_without_records(db: &Db, limits: TransactionLimits) -> Result<Self> {
        let transaction = Self {
            connection: Some(db.connection().await?),
            copy: None,
            traits: TableTraits::default(),
        };
        transaction.execute(&begin(limits)).await?;
        Ok(transaction)
    }

    pub(super) async fn copy(&mut self, data: Bytes) -> Result<()> {
        match &mut self.copy {
            Some(sink) => sink.send(data).await.map_err(database_error),
            None => Err(Error::Internal("COPY is not open".into())),
        }
    }

    pub(super) async fn finish_copy(&mut self) -> Result<()> {
        self.copy(copy_format::trailer()).await?;
        match self.copy.take() {
            Some(mut sink) => sink
                .as_mut()
                .finish()
                .await
                .map(|_| ())
                .map_err(database_error),
            None => Ok(()),
        }
    }

    pub(super) async fn execute(&self, statement: &str) -> Result<()> {
        self.connection()?.batch(statement).await
    }

    pub(super) async fn commit(mut self) -> Result<()> {
        self.execute("COMMIT").await?;
        // The connection may return to the pool only after the commit.
        drop(self.connection.take());
        Ok(())
    }

    pub(super) fn connection(&self) -> Result<&Object> {
        self.connection
            .as_ref()
            .ok_or_else(|| Error::Internal("the transaction is over".into()))
    }
}

/// Returns the first statements of a transaction. Its settings are those of the transaction, so that
/// nothing stays behind in a pooler that lends connections for single transactions.
fn begin(limits: TransactionLimits) -> String {
    let TransactionLimits {
        lock_timeout,
        statement_timeout,
    } = limits;
    let (lock, statement) = (lock_timeout.as_millis(), statement_timeout.as_millis());
    let set = format!("SET LOCAL lock_timeout = {lock}; SET LOCAL statement_timeout = {statement}");
    [
        "BEGIN",
        PIN_SETTINGS,
        &set,
        SETTINGS_OF_LATER_SERVERS,
        END_WHEN_IDLE,
    ]
    .join("; ")
}

impl Drop for Transaction {
    fn drop(&mut self) {
        if let Some(connection) = self.connection.take() {
            drop(Object::take(connection));
        }
    }
}
