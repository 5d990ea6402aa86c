//! The report of a sync. Serialised, it is the `--json` object of `qbo-rs sync`.

use chrono::{DateTime, Utc};
use serde::Serialize;

use crate::domain::RunReport;

/// Outcome of a company's sync.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum CompanyStatus {
    /// All entities were synced.
    Ok,
    /// Some entities failed.
    Partial,
    /// All entities failed.
    Failed,
    /// A person must connect the company again; no request was sent.
    NeedsReauth,
}

/// Method by which an entity's changes were fetched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum SyncMethod {
    /// One change data capture request for the changes and deletions of many entities.
    Changes,
    /// Its first page was fetched in one batch with those of other entities, later pages by queries.
    Batch,
    /// Its own queries.
    Query,
}

/// Report of one entity's sync.
#[derive(Debug, Clone, Serialize)]
pub struct EntitySync {
    /// Name of the entity.
    pub entity: String,
    /// Reason of the failure, if it failed.
    pub error: Option<String>,
    /// Method by which changes were fetched.
    pub via: SyncMethod,
    /// True if ids were compared to find deletions.
    pub reconciled: bool,
    /// Instant before which all changes are in the table.
    pub checkpoint: Option<DateTime<Utc>>,
    /// Records received.
    pub rows: u64,
    /// New records.
    pub inserted: u64,
    /// Changed records.
    pub updated: u64,
    /// Records that the table already had.
    pub unchanged: u64,
    /// Records that could not be stored.
    pub rejected: u64,
    /// Records newly marked as deleted.
    pub deleted: u64,
}

impl EntitySync {
    /// Creates a report from the run that stored the changes.
    pub fn new(run: &RunReport, via: SyncMethod) -> Self {
        let last = run.windows.last();
        let totals = &run.totals;
        Self {
            entity: run.entity.clone(),
            error: run.windows.iter().find_map(|window| window.error.clone()),
            via,
            reconciled: false,
            checkpoint: last.map(|window| window.read_until.unwrap_or(window.end)),
            rows: totals.rows,
            inserted: totals.inserted,
            updated: totals.updated,
            unchanged: totals.unchanged,
            rejected: totals.rejected,
            deleted: 0,
        }
    }
}

/// Report of one company's sync.
#[derive(Debug, Clone, Serialize)]
pub struct CompanySync {
    /// Id of the company.
    pub realm_id: String,
    /// Schema of its records; empty if it has none yet.
    pub schema: String,
    /// Outcome.
    pub status: CompanyStatus,
    /// Reason of a failure that no entity reports.
    pub error: Option<String>,
    /// HTTP requests for data.
    pub requests: u64,
    /// Wall time, milliseconds.
    pub duration_ms: u64,
    /// Reports of its entities.
    pub entities: Vec<EntitySync>,
}

impl CompanySync {
    /// Returns the reason why the company is not fully synced: its own error, or that of the first
    /// entity that failed.
    pub fn first_error(&self) -> Option<&str> {
        let of_entities = || {
            self.entities
                .iter()
                .find_map(|entity| entity.error.as_deref())
        };
        self.error.as_deref().or_else(of_entities)
    }
}

/// Report of a sync.
#[derive(Debug, Clone, Default, Serialize)]
pub struct SyncReport {
    /// One entry per company.
    pub accounts: Vec<CompanySync>,
}

impl SyncReport {
    /// Returns true if all companies are synced and no record was set aside.
    pub fn is_ok(&self) -> bool {
        let has_no_rejects =
            |company: &CompanySync| company.entities.iter().all(|entity| entity.rejected == 0);
        self.accounts
            .iter()
            .all(|company| company.status == CompanyStatus::Ok && has_no_rejects(company))
    }
}
