//! Migrations of the schema `qbo`, as numbered steps. Each runs once, in order, in one transaction
//! and under an advisory lock, and is recorded in `qbo.migrations`. A released step is never
//! edited; a change gets the next number.
//!
//! Written by hand because migration libraries use session locks and prepared statements, which a
//! transaction pooler breaks; this file is all that is needed.

use tokio_postgres::{Client, GenericClient};

use super::{
    Columns, Db, END_WHEN_IDLE, PIN_SETTINGS, Query, database_error, params, rights, server,
    table_exists,
};
use crate::error::{Error, Result};

/// One numbered step.
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
    Migration {
        number: 7,
        name: "unavailable",
        sql: include_str!("migrations/0007_unavailable.sql"),
    },
    Migration {
        number: 8,
        name: "webhook_rejects",
        sql: include_str!("migrations/0008_webhook_rejects.sql"),
    },
    Migration {
        number: 9,
        name: "previous_attempts",
        sql: include_str!("migrations/0009_previous_attempts.sql"),
    },
    Migration {
        number: 10,
        name: "failed_records",
        sql: include_str!("migrations/0010_failed_records.sql"),
    },
    Migration {
        number: 11,
        name: "failed_jobs",
        sql: include_str!("migrations/0011_failed_jobs.sql"),
    },
    Migration {
        number: 12,
        name: "schema_drift",
        sql: include_str!("migrations/0012_schema_drift.sql"),
    },
    Migration {
        number: 13,
        name: "report_rows",
        sql: include_str!("migrations/0013_report_rows.sql"),
    },
    Migration {
        number: 14,
        name: "tie_outs",
        sql: include_str!("migrations/0014_tie_outs.sql"),
    },
    Migration {
        number: 15,
        name: "pulse",
        sql: include_str!("migrations/0015_pulse.sql"),
    },
    Migration {
        number: 16,
        name: "alerts",
        sql: include_str!("migrations/0016_alerts.sql"),
    },
    Migration {
        number: 17,
        name: "sync_turns",
        sql: include_str!("migrations/0017_sync_turns.sql"),
    },
    Migration {
        number: 18,
        name: "sync_runs",
        sql: include_str!("migrations/0018_sync_runs.sql"),
    },
    Migration {
        number: 19,
        name: "alert_ranges",
        sql: include_str!("migrations/0019_alert_ranges.sql"),
    },
    Migration {
        number: 20,
        name: "deep_differences",
        sql: include_str!("migrations/0020_deep_differences.sql"),
    },
    Migration {
        number: 21,
        name: "archives",
        sql: include_str!("migrations/0021_archives.sql"),
    },
    Migration {
        number: 22,
        name: "unknown_depth",
        sql: include_str!("migrations/0022_unknown_depth.sql"),
    },
    Migration {
        number: 23,
        name: "parts_of_windows",
        sql: include_str!("migrations/0023_parts_of_windows.sql"),
    },
    Migration {
        number: 24,
        name: "asked_of_runs",
        sql: include_str!("migrations/0024_asked_of_runs.sql"),
    },
    Migration {
        number: 25,
        name: "known_differences",
        sql: include_str!("migrations/0025_known_differences.sql"),
    },
    Migration {
        number: 26,
        name: "times_of_runs",
        sql: include_str!("migrations/0026_times_of_runs.sql"),
    },
];

const CREATE: &str = "CREATE SCHEMA IF NOT EXISTS qbo;
CREATE TABLE IF NOT EXISTS qbo.migrations (
    number         int PRIMARY KEY,
    name           text NOT NULL,
    applied_at_utc timestamptz NOT NULL DEFAULT now()
);
";

/// Key of the advisory lock that serialises table changes of all processes, because `IF NOT EXISTS`
/// alone races. The number is arbitrary.
const ADVISORY_LOCK: i64 = 0x0071_626F_5F72_7301;

/// Returns all steps as SQL, including the rows of `qbo.migrations`, for people who run them by
/// hand.
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

/// Takes the lock of table changes until the end of the transaction, which ends by itself if its client
/// stops.
///
/// # Errors
/// [`Error::Database`].
pub(crate) async fn lock(client: &(impl GenericClient + Sync)) -> Result<()> {
    client.batch(END_WHEN_IDLE).await?;
    let lock = "SELECT pg_advisory_xact_lock($1)";
    client.rows(lock, params![ADVISORY_LOCK]).await.map(drop)
}

/// Brings the schema `qbo` up to date. If nothing is missing, the role needs no right to create.
///
/// # Errors
/// [`Error::Database`]; [`Error::Config`] if the role may not create what is missing.
pub(crate) async fn apply(client: &mut Client) -> Result<()> {
    let transaction = client.transaction().await.map_err(database_error)?;
    transaction.batch(PIN_SETTINGS).await?;
    if pending(&transaction).await?.is_empty() {
        return transaction.commit().await.map_err(database_error);
    }
    // Rows of `qbo.migrations` that are hidden look like steps that are missing.
    server::check_guards(&transaction).await?;
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

/// The steps of a database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Steps {
    /// There is no table of steps: nothing was ever loaded.
    None,
    /// Every step is applied.
    Complete,
    /// Some steps are missing: an earlier version has made the tables.
    Missing(Vec<&'static str>),
    /// A later version has applied further steps.
    Later(i32),
}

/// Returns which steps are applied. Changes nothing.
///
/// # Errors
/// [`Error::Database`].
pub(crate) async fn steps(db: &Db) -> Result<Steps> {
    if !db.has_table("qbo", "migrations").await? {
        return Ok(Steps::None);
    }
    let rows = db
        .rows("SELECT number FROM qbo.migrations", params![])
        .await?;
    let applied: Vec<i32> = rows
        .iter()
        .map(|row| row.column("number"))
        .collect::<Result<_>>()?;
    let is_missing = |step: &&Migration| !applied.contains(&step.number);
    let missing: Vec<_> = MIGRATIONS
        .iter()
        .filter(is_missing)
        .map(|step| step.name)
        .collect();
    let known = MIGRATIONS.iter().map(|step| step.number).max();
    let later = applied.into_iter().max().filter(|last| Some(*last) > known);
    Ok(match (missing.is_empty(), later) {
        (false, _) => Steps::Missing(missing),
        (true, Some(last)) => Steps::Later(last),
        (true, None) => Steps::Complete,
    })
}

/// Returns the steps that have not been applied.
async fn pending(client: &(impl GenericClient + Sync)) -> Result<Vec<&'static Migration>> {
    let applied: Vec<i32> = match table_exists(client, "qbo", "migrations").await? {
        true => {
            let select = "SELECT number FROM qbo.migrations";
            let rows = client.rows(select, params![]).await?;
            let numbers = rows.iter().map(|row| row.column("number"));
            numbers.collect::<Result<_>>()?
        }
        false => Vec::new(),
    };
    Ok(MIGRATIONS
        .iter()
        .filter(|migration| !applied.contains(&migration.number))
        .collect())
}

fn not_allowed(error: tokio_postgres::Error) -> Error {
    rights::explained(database_error(error), "database", |reason| {
        format!(
            "{reason}: this role may not create the tables of the schema qbo; let an owner run `qbo-rs db migrate`"
        )
    })
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
