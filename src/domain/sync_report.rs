//! What a sync did. Serialised, it is the `--json` object of `qbo-rs sync`.

use chrono::{DateTime, Utc};
use serde::Serialize;

use crate::domain::RunReport;

/// How the sync of a company ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum CompanyStatus {
    /// Everything is in step.
    Ok,
    /// Some entities failed.
    Partial,
    /// All of them did.
    Failed,
    /// A person must connect the company again; nothing was asked.
    NeedsReauth,
}

/// How an entity's changes were had.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum SyncMethod {
    /// One request for the changes and deletions of many entities.
    Changes,
    /// Its first page came in one request with those of other entities; what is behind that, in
    /// queries.
    Batch,
    /// Queries of its own.
    Query,
}

/// One entity's sync.
#[derive(Debug, Clone, Serialize)]
pub struct EntitySync {
    /// Our name of the entity.
    pub entity: String,
    /// Why it failed; none: it did not.
    pub error: Option<String>,
    /// How changes were had.
    pub via: SyncMethod,
    /// Whether ids were compared to find deletions.
    pub reconciled: bool,
    /// Everything changed before it is in the table.
    pub checkpoint: Option<DateTime<Utc>>,
    /// Records received.
    pub rows: u64,
    /// New records.
    pub inserted: u64,
    /// Changed records.
    pub updated: u64,
    /// Records already there.
    pub unchanged: u64,
    /// Records that could not be stored.
    pub rejected: u64,
    /// Records newly found to be deleted.
    pub deleted: u64,
}

impl EntitySync {
    /// From the run that stored the changes.
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

/// One company's sync.
#[derive(Debug, Clone, Serialize)]
pub struct CompanySync {
    /// The company.
    pub realm_id: String,
    /// Where its records are; empty: nowhere yet.
    pub schema: String,
    /// How it ended.
    pub status: CompanyStatus,
    /// Why, where no entity says it.
    pub error: Option<String>,
    /// HTTP requests for data.
    pub requests: u64,
    /// Wall time, milliseconds.
    pub duration_ms: u64,
    /// Its entities.
    pub entities: Vec<EntitySync>,
}

impl CompanySync {
    /// Why the company is not in step: its own reason, else that of its first entity which failed.
    pub fn first_error(&self) -> Option<&str> {
        let of_entities = || {
            self.entities
                .iter()
                .find_map(|entity| entity.error.as_deref())
        };
        self.error.as_deref().or_else(of_entities)
    }
}

/// Everything a sync did.
#[derive(Debug, Clone, Default, Serialize)]
pub struct SyncReport {
    /// One entry a company.
    pub accounts: Vec<CompanySync>,
}

impl SyncReport {
    /// Whether every company is in step and no record was set aside.
    pub fn is_ok(&self) -> bool {
        let is_whole =
            |account: &CompanySync| account.entities.iter().all(|entity| entity.rejected == 0);
        self.accounts
            .iter()
            .all(|account| account.status == CompanyStatus::Ok && is_whole(account))
    }
}
