//! What the ledger and the tables say of an entity, and whether a table is what it says it is.

use std::collections::BTreeSet;

use chrono::{DateTime, Days, NaiveDate, NaiveTime, Utc};
use serde::Serialize;
use tokio_postgres::types::{ToSql, Type};

use super::PostgresSink;
use crate::domain::{EntitySpec, Window, merged};
use crate::error::Result;
use crate::postgres::{database_error, migrations, quote_identifier};

const VALIDATION: &str = include_str!("../../../docs/validation.sql");

/// How an entity stands in one schema.
#[derive(Debug, Clone, Serialize)]
pub struct EntityStatus {
    /// Our name.
    pub entity: String,
    /// The company.
    pub realm_id: String,
    /// Rows of the table.
    pub rows: i64,
    /// Time that is committed, in as few stretches as can be.
    pub committed: Vec<Window>,
    /// Time between its first and its last instant, or in the range asked about, that is not.
    pub gaps: Vec<Window>,
    /// Windows whose last attempt has not ended well.
    pub unfinished: Vec<UnfinishedWindow>,
    /// Days, UTC, that are committed and in which no record was last changed.
    pub empty_days: Vec<Window>,
    /// Records that were set aside and still are.
    pub rejects: i64,
    /// The last run.
    pub last_run: Option<LastRun>,
    /// Checks of the table by name, each with the count of what is wrong; empty unless asked for.
    pub checks: Vec<Check>,
}

/// A window whose last attempt has not ended well.
#[derive(Debug, Clone, Serialize)]
pub struct UnfinishedWindow {
    /// First instant inside.
    pub start: DateTime<Utc>,
    /// First instant after.
    pub end: DateTime<Utc>,
    /// `running` (now, or killed), `failed`, or `stuck`.
    pub status: String,
    /// Attempts in a row that did not end.
    pub attempts: i32,
    /// Why it failed.
    pub error: Option<String>,
    /// Whether an earlier attempt was committed.
    pub is_committed: bool,
}

/// A run.
#[derive(Debug, Clone, Serialize)]
pub struct LastRun {
    /// Its id.
    pub run_id: String,
    /// `running` (now, or killed), `ok`, `partial` or `failed`.
    pub status: String,
    /// When it began.
    pub started_at: DateTime<Utc>,
    /// When it ended.
    pub finished_at: Option<DateTime<Utc>>,
    /// Its first failure.
    pub error: Option<String>,
}

/// A check of `docs/validation.sql`.
#[derive(Debug, Clone, Serialize)]
pub struct Check {
    /// Its name.
    pub name: String,
    /// How much is wrong.
    pub wrong: i64,
}

type Parameter<'a> = (&'a (dyn ToSql + Sync), Type);

impl PostgresSink {
    /// How entities stand, those that the ledger knows; `range`: which time to look for gaps in.
    ///
    /// # Errors
    /// [`Error::Database`](crate::error::Error::Database).
    pub async fn status(
        &self,
        entities: &[EntitySpec],
        range: Option<Window>,
        validate: bool,
    ) -> Result<Vec<EntityStatus>> {
        let mut found = Vec::new();
        let has_ledger =
            migrations::table_exists(&**self.connection().await?, "qbo", "runs").await?;
        for entity in entities {
            let has_table = migrations::table_exists(
                &**self.connection().await?,
                &self.schema,
                &entity.table(),
            )
            .await?;
            if has_ledger && has_table {
                found.extend(self.entity_status(entity, range, validate).await?);
            }
        }
        Ok(found)
    }

    async fn entity_status(
        &self,
        entity: &EntitySpec,
        range: Option<Window>,
        validate: bool,
    ) -> Result<Option<EntityStatus>> {
        let realm = "SELECT realm_id FROM qbo.schema_realms WHERE schema_name = $1 AND EXISTS (SELECT FROM qbo.windows \
                     WHERE schema_name = $1 AND entity = $2)";
        let parameters: [Parameter<'_>; 2] =
            [(&self.schema, Type::TEXT), (&entity.name, Type::TEXT)];
        let connection = self.connection().await?;
        let rows = connection
            .query_typed(realm, &parameters)
            .await
            .map_err(database_error)?;
        let Some(realm_id) = rows.first().map(|row| row.get::<_, String>(0)) else {
            return Ok(None);
        };
        let committed = merged(&self.committed(&realm_id, entity).await?);
        let whole = committed
            .first()
            .zip(committed.last())
            .map(|(first, last)| Window {
                start: first.start,
                end: last.end,
            });
        let gaps = range
            .or(whole)
            .map(|range| range.minus(&committed))
            .unwrap_or_default();
        let days = self.days_with_records(entity).await?;
        let one = "SELECT (SELECT count(*) FROM {table}), (SELECT count(*) FROM qbo.rejects WHERE schema_name = $1 AND entity = $2)";
        let counts = connection
            .query_typed(&self.of_table(one, entity), &parameters)
            .await
            .map_err(database_error)?;
        let (rows, rejects) = counts
            .first()
            .map_or((0, 0), |row| (row.get(0), row.get(1)));
        let unfinished = "SELECT window_start_utc, window_end_utc, status, attempts, error, committed_at_utc IS NOT NULL \
                          FROM qbo.windows WHERE schema_name = $1 AND entity = $2 AND status <> 'done' ORDER BY 1, 2";
        let unfinished = connection
            .query_typed(unfinished, &parameters)
            .await
            .map_err(database_error)?;
        let last_run = "SELECT run_id, status, started_at_utc, finished_at_utc, error FROM qbo.runs \
                        WHERE schema_name = $1 AND entity = $2 ORDER BY started_at_utc DESC LIMIT 1";
        let last_run = connection
            .query_typed(last_run, &parameters)
            .await
            .map_err(database_error)?;
        Ok(Some(EntityStatus {
            entity: entity.name.to_owned(),
            realm_id,
            rows,
            gaps,
            empty_days: empty_days(&committed, &days),
            committed,
            unfinished: unfinished
                .iter()
                .map(|row| UnfinishedWindow {
                    start: row.get(0),
                    end: row.get(1),
                    status: row.get(2),
                    attempts: row.get(3),
                    error: row.get(4),
                    is_committed: row.get(5),
                })
                .collect(),
            rejects,
            last_run: last_run.first().map(|row| LastRun {
                run_id: row.get(0),
                status: row.get(1),
                started_at: row.get(2),
                finished_at: row.get(3),
                error: row.get(4),
            }),
            checks: if validate {
                self.validate(entity).await?
            } else {
                Vec::new()
            },
        }))
    }

    async fn days_with_records(&self, entity: &EntitySpec) -> Result<BTreeSet<NaiveDate>> {
        let statement = format!(
            "SELECT DISTINCT (at AT TIME ZONE 'UTC')::date FROM ({}) AS held WHERE at IS NOT NULL",
            self.rows_of(entity)
        );
        let rows = self
            .connection()
            .await?
            .query_typed(&statement, &[])
            .await
            .map_err(database_error)?;
        Ok(rows.iter().map(|row| row.get(0)).collect())
    }

    async fn validate(&self, entity: &EntitySpec) -> Result<Vec<Check>> {
        let connection = self.connection().await?;
        let mut checks = Vec::new();
        for (name, statement) in checks_of(VALIDATION) {
            let statement = self.of_table(&statement.replace(":table", "{table}"), entity);
            let statement = statement
                .replace(":'schema'", &quote_literal(&self.schema))
                .replace(":'entity'", &quote_literal(entity.name));
            let rows = connection
                .query_typed(&statement, &[])
                .await
                .map_err(database_error)?;
            checks.push(Check {
                name: name.to_owned(),
                wrong: rows.first().map_or(0, |row| row.get(0)),
            });
        }
        Ok(checks)
    }

    fn of_table(&self, statement: &str, entity: &EntitySpec) -> String {
        let table = format!(
            "{}.{}",
            quote_identifier(&self.schema),
            quote_identifier(&entity.table())
        );
        statement.replace("{table}", &table)
    }
}

fn quote_literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// Name and statement of each check.
fn checks_of(file: &str) -> impl Iterator<Item = (&str, &str)> {
    let checks = file.split("\n-- show: ").next().unwrap_or_default();
    checks
        .split("\n-- check: ")
        .skip(1)
        .filter_map(|section| section.split_once('\n'))
}

/// Whole days of `committed` without a record, in stretches.
fn empty_days(committed: &[Window], days: &BTreeSet<NaiveDate>) -> Vec<Window> {
    let mut empty = Vec::new();
    for window in committed {
        let mut day = window.start.date_naive();
        if day.and_time(NaiveTime::MIN).and_utc() < window.start {
            day = day + Days::new(1);
        }
        while let Some(next) = day.checked_add_days(Days::new(1)) {
            let (start, end) = (
                day.and_time(NaiveTime::MIN).and_utc(),
                next.and_time(NaiveTime::MIN).and_utc(),
            );
            if end > window.end {
                break;
            }
            if !days.contains(&day) {
                empty.push(Window { start, end });
            }
            day = next;
        }
    }
    merged(&empty)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_check_is_found_and_counts() {
        let checks: Vec<_> = checks_of(VALIDATION).collect();
        assert_eq!(checks.len(), VALIDATION.matches("\n-- check: ").count());
        assert!(checks.len() >= 10);
        assert!(
            checks
                .iter()
                .all(|(_, statement)| statement.contains("SELECT count(*)")),
            "{checks:?}"
        );
    }

    #[test]
    fn only_whole_committed_days_are_empty() {
        let at = |text: &str| text.parse::<DateTime<Utc>>().unwrap();
        let committed = [
            Window {
                start: at("2025-01-01T12:00:00Z"),
                end: at("2025-01-05T00:00:00Z"),
            },
            Window {
                start: at("2025-02-01T00:00:00Z"),
                end: at("2025-02-02T23:00:00Z"),
            },
        ];
        let days = BTreeSet::from([NaiveDate::from_ymd_opt(2025, 1, 3).unwrap()]);
        let found: Vec<String> = empty_days(&committed, &days)
            .iter()
            .map(ToString::to_string)
            .collect();
        assert_eq!(
            found,
            [
                "[2025-01-02T00:00:00Z, 2025-01-03T00:00:00Z)",
                "[2025-01-04T00:00:00Z, 2025-01-05T00:00:00Z)",
                "[2025-02-01T00:00:00Z, 2025-02-02T00:00:00Z)"
            ]
        );
    }
}
