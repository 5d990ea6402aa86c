//! The status of entities according to the ledger and the tables, and the checks of a table.

use std::collections::BTreeSet;

use chrono::{DateTime, NaiveDate, Utc};
use serde::Serialize;
use tokio_postgres::Row;

use super::archives::{Archive, archives};
use super::committed::CommittedTime;
use super::empty_days::empty_days;
use super::last_activity::{LastRun, LastSync, last_run, last_sync};
use super::unfinished::{last_run_is_open, unfinished};
use crate::domain::{EntitySpec, Finding, LedgerWindowStatus, Level, Window, find_entity, merged};
use crate::error::Result;
use crate::postgres::{Columns, Db, live_rows, params, table_name};

const VALIDATION: &str = include_str!("../../docs/validation.sql");

/// Status of one entity in one schema.
#[derive(Debug, Clone, Serialize)]
pub struct EntityStatus {
    /// Name of the entity.
    pub entity: String,
    /// The company.
    pub realm_id: String,
    /// Rows in the table.
    pub rows: i64,
    /// Committed time, adjacent windows merged.
    pub committed: Vec<Window>,
    /// Time that is not committed, between the first and the last committed instant, or within the
    /// requested range.
    pub gaps: Vec<Window>,
    /// Windows whose last attempt did not succeed.
    pub unfinished: Vec<UnfinishedWindow>,
    /// Committed days (UTC) in which no record was last changed.
    pub empty_days: Vec<Window>,
    /// Records that are set aside in `qbo.rejects`.
    pub rejects: i64,
    /// Files into which records were moved that are still there alone.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub archives: Vec<Archive>,
    /// The last run.
    pub last_run: Option<LastRun>,
    /// The last sync.
    pub last_sync: Option<LastSync>,
    /// Results of the checks of the table; empty unless requested.
    pub checks: Vec<Check>,
    /// The degree to which it needs somebody, once it is judged.
    pub level: Level,
    /// The reasons, the worst first.
    pub findings: Vec<Finding>,
}

/// An entity that a company does not have.
#[derive(Debug, Clone, Serialize)]
pub struct UnavailableEntity {
    /// Name of the entity.
    pub entity: String,
    /// The company.
    pub realm_id: String,
    /// The words of QuickBooks.
    pub reason: Option<String>,
    /// When QuickBooks was last asked. A sync asks again a day later.
    pub looked_at: Option<DateTime<Utc>>,
}

/// An entity that syncs have begun with, and never read.
#[derive(Debug, Clone, Serialize)]
pub struct UnreadEntity {
    /// Name of the entity.
    pub entity: String,
    /// The company.
    pub realm_id: String,
    /// When a sync last began with it.
    pub attempted_at: Option<DateTime<Utc>>,
    /// Reason of the last failure.
    pub error: Option<String>,
}

/// A window whose last attempt did not succeed.
#[derive(Debug, Clone, Serialize)]
pub struct UnfinishedWindow {
    /// First instant of the window.
    pub start: DateTime<Utc>,
    /// First instant after the window.
    pub end: DateTime<Utc>,
    /// `running` (now, or killed), `failed`, or `stuck`.
    pub status: LedgerWindowStatus,
    /// Attempts in a row that did not end.
    pub attempts: i32,
    /// Error of the last attempt.
    pub error: Option<String>,
    /// Whether an earlier attempt was committed.
    pub is_committed: bool,
    /// Whether a run or a sync is at it.
    pub is_under_way: bool,
    /// Whether the next sync reads it.
    #[serde(skip)]
    pub is_of_sync: bool,
}

/// Result of a check from `docs/validation.sql`.
#[derive(Debug, Clone, Serialize)]
pub struct Check {
    /// Name of the check.
    pub name: String,
    /// Number of violations; 0 if the table passes.
    pub wrong: i64,
}

const COMPANY: &str = concat!(
    "
SELECT realm_id FROM qbo.schema_realms AS bound
WHERE schema_name = $1
  AND (EXISTS (SELECT FROM qbo.windows WHERE schema_name = $1 AND entity = $2) OR ",
    last_run_is_open!("$1", "bound.realm_id", "$2"),
    ")"
);

const OTHER_SCHEMAS: &str = "
SELECT schema_name FROM qbo.schema_realms WHERE schema_name <> $1 ORDER BY schema_name";

const COUNTS: &str = "
SELECT (SELECT count(*) FROM {table}) AS rows,
    (SELECT count(*) FROM qbo.rejects WHERE schema_name = $1 AND entity = $2) AS rejects";

const UNFINISHED: &str = concat!(
    "
SELECT window_start_utc, window_end_utc, status, attempts, error,
    committed_at_utc IS NOT NULL AND NOT is_part AS is_committed, is_under_way, is_of_sync
FROM (",
    unfinished!(),
    ") AS odd
WHERE schema_name = $1 AND entity = $2 ORDER BY window_start_utc, window_end_utc"
);

const UNAVAILABLE: &str = "
SELECT entity, realm_id, message, last_attempt_at_utc FROM qbo.sync_state
WHERE schema_name = $1 AND entity = ANY($2) AND status = 'unavailable'
ORDER BY realm_id, entity";

const UNREAD: &str = concat!(
    "
SELECT entity, realm_id, message, last_attempt_at_utc FROM qbo.sync_state AS state
WHERE schema_name = $1 AND entity = ANY($2) AND status <> 'unavailable' AND last_success_at_utc IS NULL
  AND NOT EXISTS (
    SELECT FROM qbo.windows AS known WHERE known.schema_name = $1
      AND known.realm_id = state.realm_id AND known.entity = state.entity)
  AND NOT ",
    last_run_is_open!("$1", "state.realm_id", "state.entity"),
    "
ORDER BY realm_id, entity"
);

/// Reads the status of the entities of one schema. All errors are
/// [`Error::Database`](crate::error::Error).
#[derive(Debug, Clone)]
pub(crate) struct StatusReader {
    db: Db,
    schema: String,
}

impl StatusReader {
    /// Returns a reader for a schema.
    pub(crate) fn new(db: Db, schema: &str) -> Self {
        Self {
            db,
            schema: schema.to_owned(),
        }
    }

    /// Returns the status of those of `entities` that have ledger rows, or a run that did not end well.
    ///
    /// `range` is the time in which gaps are looked for; by default, all committed time. With
    /// `validate`, the checks of `docs/validation.sql` are run, too.
    pub(crate) async fn status(
        &self,
        entities: &[EntitySpec],
        range: Option<Window>,
        validate: bool,
    ) -> Result<Vec<EntityStatus>> {
        let mut found = Vec::new();
        if !self.has_table("qbo", "runs").await? {
            return Ok(found);
        }
        for entity in entities {
            let has_table = self.has_table(&self.schema, &entity.table()).await?;
            let status = match has_table {
                true => self.entity_status(entity, range, validate).await?,
                false => self.status_without_table(entity, range, validate).await?,
            };
            found.extend(status);
        }
        for archive in archives(&self.db, Some(&self.schema)).await? {
            let mut of = found.iter_mut();
            if let Some(entity) = of.find(|status| status.entity == archive.entity) {
                entity.take(archive);
            }
        }
        Ok(found)
    }

    /// Returns those of `entities` that syncs have found the company not to have.
    pub(crate) async fn unavailable(
        &self,
        entities: &[EntitySpec],
    ) -> Result<Vec<UnavailableEntity>> {
        if !self.has_table("qbo", "sync_state").await? {
            return Ok(Vec::new());
        }
        let names: Vec<&str> = entities.iter().map(|entity| entity.name).collect();
        let rows = self
            .db
            .rows(UNAVAILABLE, params![self.schema, names])
            .await?;
        rows.iter().map(unavailable_entity).collect()
    }

    /// Returns those of `entities` that syncs have begun with, and never read.
    pub(crate) async fn unread(&self, entities: &[EntitySpec]) -> Result<Vec<UnreadEntity>> {
        if !self.has_table("qbo", "sync_state").await? {
            return Ok(Vec::new());
        }
        let names: Vec<&str> = entities.iter().map(|entity| entity.name).collect();
        let rows = self.db.rows(UNREAD, params![self.schema, names]).await?;
        rows.iter().map(unread_entity).collect()
    }

    /// Returns the name of the company, if its records say it.
    pub(crate) async fn company_name(&self) -> Result<Option<String>> {
        let info = find_entity("company_info")?;
        if !self.has_table(&self.schema, &info.table()).await? {
            return Ok(None);
        }
        let table = table_name(&self.schema, info);
        let select = format!("SELECT payload->>'CompanyName' AS name FROM {table} LIMIT 1");
        let row = self.db.optional(&select, params![]).await?;
        row.map_or(Ok(None), |row| row.column("name"))
    }

    /// Returns the other schemas of raw tables.
    pub(crate) async fn other_schemas(&self) -> Result<Vec<String>> {
        if !self.has_table("qbo", "schema_realms").await? {
            return Ok(Vec::new());
        }
        let rows = self.db.rows(OTHER_SCHEMAS, params![self.schema]).await?;
        rows.iter().map(|row| row.column("schema_name")).collect()
    }

    async fn has_table(&self, schema: &str, table: &str) -> Result<bool> {
        self.db.has_table(schema, table).await
    }

    async fn entity_status(
        &self,
        entity: &EntitySpec,
        range: Option<Window>,
        validate: bool,
    ) -> Result<Option<EntityStatus>> {
        let key = params![self.schema, entity.name];
        let Some((realm_id, committed)) = self.committed(entity).await? else {
            return Ok(None);
        };
        let days = self.days_with_records(entity).await?;
        let counts = COUNTS.replace("{table}", &table_name(&self.schema, entity));
        let counts = self.db.one(&counts, key).await?;
        let unfinished = self.db.rows(UNFINISHED, key).await?;
        let last_run = last_run(&self.db, &self.schema, entity.name).await?;
        let last_sync = last_sync(&self.db, &self.schema, entity.name).await?;
        Ok(Some(EntityStatus {
            entity: entity.name.to_owned(),
            realm_id,
            rows: counts.column("rows")?,
            gaps: gaps(&committed, range),
            // Records without times of change say nothing about days.
            empty_days: match entity.is_read_whole {
                true => Vec::new(),
                false => empty_days(&committed, &days),
            },
            committed,
            unfinished: unfinished
                .iter()
                .map(unfinished_window)
                .collect::<Result<_>>()?,
            rejects: counts.column("rejects")?,
            archives: Vec::new(),
            last_run,
            last_sync,
            checks: match validate {
                true => self.validate(entity).await?,
                false => Vec::new(),
            },
            level: Level::default(),
            findings: Vec::new(),
        }))
    }

    /// Returns the status of an entity that is in the ledger and whose table is gone. Without it,
    /// nothing would say that its records are missing.
    async fn status_without_table(
        &self,
        entity: &EntitySpec,
        range: Option<Window>,
        validate: bool,
    ) -> Result<Option<EntityStatus>> {
        let Some((realm_id, committed)) = self.committed(entity).await? else {
            return Ok(None);
        };
        let last_run = last_run(&self.db, &self.schema, entity.name).await?;
        let last_sync = last_sync(&self.db, &self.schema, entity.name).await?;
        Ok(Some(EntityStatus {
            entity: entity.name.to_owned(),
            realm_id,
            rows: 0,
            gaps: gaps(&committed, range),
            empty_days: Vec::new(),
            committed,
            unfinished: Vec::new(),
            rejects: 0,
            archives: Vec::new(),
            last_run,
            last_sync,
            checks: validate
                .then(|| Check {
                    name: "missing_table".to_owned(),
                    wrong: 1,
                })
                .into_iter()
                .collect(),
            level: Level::default(),
            findings: Vec::new(),
        }))
    }

    /// Returns the company and the committed time of an entity that is in the ledger.
    async fn committed(&self, entity: &EntitySpec) -> Result<Option<(String, Vec<Window>)>> {
        let key = params![self.schema, entity.name];
        let Some(company) = self.db.optional(COMPANY, key).await? else {
            return Ok(None);
        };
        let realm_id: String = company.column("realm_id")?;
        let committed = CommittedTime::new(self.db.clone())
            .of_entity(&self.schema, &realm_id, entity)
            .await?;
        Ok(Some((realm_id, merged(&committed))))
    }

    async fn days_with_records(&self, entity: &EntitySpec) -> Result<BTreeSet<NaiveDate>> {
        let select = format!(
            "SELECT DISTINCT (at AT TIME ZONE 'UTC')::date AS day FROM ({}) AS live
             WHERE at IS NOT NULL",
            live_rows(&self.schema, entity)
        );
        let rows = self.db.rows(&select, params![]).await?;
        rows.iter().map(|row| row.column("day")).collect()
    }

    async fn validate(&self, entity: &EntitySpec) -> Result<Vec<Check>> {
        let mut checks = Vec::new();
        for (name, statement) in checks_of(VALIDATION) {
            let statement = statement
                .replace(":table", &table_name(&self.schema, entity))
                .replace(":'schema'", &quote_literal(&self.schema))
                .replace(":'entity'", &quote_literal(entity.name));
            let row = self.db.optional(&statement, params![]).await?;
            checks.push(Check {
                name: name.to_owned(),
                wrong: row.map_or(Ok(0), |row| row.column(0))?,
            });
        }
        Ok(checks)
    }
}

impl EntityStatus {
    /// Adds an archive. A table whose last row was moved into a file is empty on purpose.
    fn take(&mut self, archive: Archive) {
        let mut checks = self.checks.iter_mut();
        let check = checks.find(|check| check.name == "empty_table");
        if let Some(check) = check.filter(|_| archive.has_emptied) {
            check.wrong = 0;
        }
        self.archives.push(archive);
    }
}

fn unavailable_entity(row: &Row) -> Result<UnavailableEntity> {
    Ok(UnavailableEntity {
        entity: row.column("entity")?,
        realm_id: row.column("realm_id")?,
        reason: row.column("message")?,
        looked_at: row.column("last_attempt_at_utc")?,
    })
}

fn unread_entity(row: &Row) -> Result<UnreadEntity> {
    Ok(UnreadEntity {
        entity: row.column("entity")?,
        realm_id: row.column("realm_id")?,
        attempted_at: row.column("last_attempt_at_utc")?,
        error: row.column("message")?,
    })
}

fn unfinished_window(row: &Row) -> Result<UnfinishedWindow> {
    Ok(UnfinishedWindow {
        start: row.column("window_start_utc")?,
        end: row.column("window_end_utc")?,
        status: row.column("status")?,
        attempts: row.column("attempts")?,
        error: row.column("error")?,
        is_committed: row.column("is_committed")?,
        is_under_way: row.column("is_under_way")?,
        is_of_sync: row.column("is_of_sync")?,
    })
}

/// Returns the time that is not committed within `range`, or else between the first and the last
/// committed instant.
pub(crate) fn gaps(committed: &[Window], range: Option<Window>) -> Vec<Window> {
    let whole = committed
        .first()
        .zip(committed.last())
        .map(|(first, last)| Window {
            start: first.start,
            end: last.end,
        });
    range
        .or(whole)
        .map(|range| range.minus(committed))
        .unwrap_or_default()
}

fn quote_literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// Returns name and statement of each check.
fn checks_of(file: &str) -> impl Iterator<Item = (&str, &str)> {
    let checks = file.split("\n-- show: ").next().unwrap_or_default();
    checks
        .split("\n-- check: ")
        .skip(1)
        .filter_map(|section| section.split_once('\n'))
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
}
