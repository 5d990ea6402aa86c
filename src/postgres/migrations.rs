//! The schema `qbo`, as numbered steps. Each runs once, in order, in one transaction and under an
//! advisory lock, and is recorded in `qbo.migrations`. A released step is never edited; what
//! changes is the next number.

use tokio_postgres::types::Type;
use tokio_postgres::{Client, GenericClient, Row};

use super::database_error;
use crate::error::{Error, Result};

/// One step.
#[derive(Debug)]
pub(crate) struct Migration {
    number: i32,
    name: &'static str,
    sql: &'static str,
}

const MIGRATIONS: &[Migration] = &[
    Migration {
        number: 1,
        name: "ledger",
        sql: include_str!("migrations/0001_ledger.sql"),
    },
    Migration {
        number: 2,
        name: "accounts",
        sql: include_str!("migrations/0002_accounts.sql"),
    },
    Migration {
        number: 3,
        name: "runs",
        sql: include_str!("migrations/0003_runs.sql"),
    },
    Migration {
        number: 4,
        name: "sync",
        sql: include_str!("migrations/0004_sync.sql"),
    },
    Migration {
        number: 5,
        name: "jobs",
        sql: include_str!("migrations/0005_jobs.sql"),
    },
    Migration {
        number: 6,
        name: "webhooks",
        sql: include_str!("migrations/0006_webhooks.sql"),
    },
];

const CREATE: &str = "CREATE SCHEMA IF NOT EXISTS qbo;
CREATE TABLE IF NOT EXISTS qbo.migrations (
    number         int PRIMARY KEY,
    name           text NOT NULL,
    applied_at_utc timestamptz NOT NULL DEFAULT now()
);
";

/// Serialises everything that changes tables, among processes: `IF NOT EXISTS` alone races. Any
/// fixed number would do.
const ADVISORY_LOCK: i64 = 0x0071_626F_5F72_7301;

/// All steps as SQL, for people who run them by hand; the record of them included.
pub(crate) fn sql() -> String {
    let mut text = CREATE.to_owned();
    for Migration { number, name, sql } in MIGRATIONS {
        text.push_str(sql);
        text.push_str(&record(*number, name));
    }
    text
}

fn record(number: i32, name: &str) -> String {
    format!(
        "INSERT INTO qbo.migrations (number, name) VALUES ({number}, '{name}') ON CONFLICT DO NOTHING;\n"
    )
}

/// Takes the lock that table changes are made under, to the end of the transaction.
///
/// # Errors
/// [`Error::Database`].
pub(crate) async fn lock(client: &impl GenericClient) -> Result<()> {
    let parameters = [(
        &ADVISORY_LOCK as &(dyn tokio_postgres::types::ToSql + Sync),
        Type::INT8,
    )];
    client
        .query_typed("SELECT pg_advisory_xact_lock($1)", &parameters)
        .await
        .map(|_| ())
        .map_err(database_error)
}

/// Brings the schema `qbo` up to date. A role without the right to create needs none where nothing
/// is missing.
///
/// # Errors
/// [`Error::Database`]; [`Error::Config`] if the role may not create what is missing.
pub(crate) async fn apply(client: &mut Client) -> Result<()> {
    if pending(client).await?.is_empty() {
        return Ok(());
    }
    let transaction = client.transaction().await.map_err(database_error)?;
    lock(&transaction).await?;
    for Migration { number, name, sql } in pending(&transaction).await? {
        if *number == 1 {
            transaction
                .batch_execute(CREATE)
                .await
                .map_err(not_allowed)?;
        }
        transaction.batch_execute(sql).await.map_err(not_allowed)?;
        transaction
            .batch_execute(&record(*number, name))
            .await
            .map_err(not_allowed)?;
    }
    transaction.commit().await.map_err(database_error)
}

/// Steps that have not been taken.
async fn pending(client: &impl GenericClient) -> Result<Vec<&'static Migration>> {
    let applied: Vec<i32> = match table_exists(client, "qbo", "migrations").await? {
        true => {
            let rows = client
                .query_typed("SELECT number FROM qbo.migrations", &[])
                .await
                .map_err(database_error)?;
            rows.iter().map(|row: &Row| row.get(0)).collect()
        }
        false => Vec::new(),
    };
    Ok(MIGRATIONS
        .iter()
        .filter(|migration| !applied.contains(&migration.number))
        .collect())
}

fn not_allowed(error: tokio_postgres::Error) -> Error {
    match database_error(error) {
        Error::Database {
            reason,
            sqlstate: Some(state),
        } if state == "42501" => Error::config(
            "database",
            format!(
                "{reason}: this role may not create the tables of the schema qbo; let an owner run `qbo-rs db migrate`"
            ),
        ),
        other => other,
    }
}

/// Whether there is such a table.
///
/// # Errors
/// [`Error::Database`].
pub(crate) async fn table_exists(
    client: &impl GenericClient,
    schema: &str,
    table: &str,
) -> Result<bool> {
    let query = "SELECT 1 FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
                 WHERE n.nspname = $1 AND c.relname = $2";
    let parameters: [(&(dyn tokio_postgres::types::ToSql + Sync), Type); 2] =
        [(&schema, Type::TEXT), (&table, Type::TEXT)];
    client
        .query_typed(query, &parameters)
        .await
        .map(|rows| !rows.is_empty())
        .map_err(database_error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_follow_each_other() {
        let numbers: Vec<i32> = MIGRATIONS
            .iter()
            .map(|migration| migration.number)
            .collect();
        assert_eq!(numbers, (1..=MIGRATIONS.len() as i32).collect::<Vec<_>>());
    }
}
