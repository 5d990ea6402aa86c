//! The report of a sync. Serialised, it is the `--json` object of `qbo-rs sync`.

use chrono::{DateTime, Utc};
use serde::Serialize;

use crate::domain::{FailureKind, NOT_ATTEMPTED, RunReport, WindowStatus};
use crate::error::Error;

/// Outcome of a company's sync.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum CompanyStatus {
    /// All entities that the company has were synced.
    Ok,
    /// Some entities failed.
    Partial,
    /// All entities failed.
    Failed,
    /// A person must connect the company again; no request was sent.
    NeedsReauth,
    /// Another sync reads it; no request was sent.
    Held,
}

/// Outcome of an entity's sync.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum EntityOutcome {
    /// It is in step.
    Ok,
    /// It is not in step.
    Failed,
    /// The company's plan or country does not have it. That is not a failure.
    Unavailable,
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
    /// One request for all of its records.
    Read,
}

/// Report of one entity's sync.
#[derive(Debug, Clone, Serialize)]
pub struct EntitySync {
    /// Name of the entity.
    pub entity: String,
    /// Outcome.
    pub status: EntityOutcome,
    /// Reason of the failure, if it failed.
    pub error: Option<String>,
    /// Kind of the failure.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure: Option<FailureKind>,
    /// Why the company does not have it, if it is unavailable.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unavailable: Option<String>,
    /// Method by which changes were fetched.
    pub via: SyncMethod,
    /// True if ids were compared to find deletions.
    pub reconciled: bool,
    /// Instant before which all changes are in the table; `None` unless the sync succeeded.
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
        let mut failed = run
            .windows
            .iter()
            .filter(|window| window.status == WindowStatus::Failed);
        let last = run.windows.last();
        let totals = &run.totals;
        let synced = Self {
            via,
            checkpoint: last.map(|window| window.read_until.unwrap_or(window.end)),
            rows: totals.rows,
            inserted: totals.inserted,
            updated: totals.updated,
            unchanged: totals.unchanged,
            rejected: totals.rejected,
            ..Self::empty(&run.entity)
        };
        let failure = failed.find_map(|window| Some((window.error.clone()?, window.failure)));
        match (run.unavailable(), failure) {
            (Some(reason), _) => Self::unavailable(&run.entity, reason),
            (None, Some((error, kind))) => synced.failed(error, kind.unwrap_or(FailureKind::Other)),
            (None, None) => synced,
        }
    }

    fn empty(entity: &str) -> Self {
        Self {
            entity: entity.to_owned(),
            status: EntityOutcome::Ok,
            error: None,
            failure: None,
            unavailable: None,
            via: SyncMethod::Query,
            reconciled: false,
            checkpoint: None,
            rows: 0,
            inserted: 0,
            updated: 0,
            unchanged: 0,
            rejected: 0,
            deleted: 0,
        }
    }

    /// Creates the report of an entity that is read as a whole once a day, and was so within the last
    /// one.
    pub fn not_due(entity: &str, checkpoint: Option<DateTime<Utc>>) -> Self {
        Self {
            via: SyncMethod::Read,
            checkpoint,
            ..Self::empty(entity)
        }
    }

    /// Creates the report of an entity that the company does not have.
    pub fn unavailable(entity: &str, reason: &str) -> Self {
        Self {
            status: EntityOutcome::Unavailable,
            unavailable: Some(reason.to_owned()),
            ..Self::empty(entity)
        }
    }

    /// Creates the report of an entity that was not tried, because no request to the company would
    /// succeed.
    pub fn not_attempted(entity: &str, reason: &str) -> Self {
        let error = format!("{NOT_ATTEMPTED}{reason}");
        Self::empty(entity).failed(error, FailureKind::NotAttempted)
    }

    /// Creates the report of an entity whose changes could not be read at all.
    pub fn failed_with(entity: &str, error: &Error) -> Self {
        Self::empty(entity).failed(error.to_string(), FailureKind::of(error))
    }

    /// Returns the report with a failure. Changes are missing then, so it has no checkpoint.
    #[must_use]
    pub fn failed(self, error: String, kind: FailureKind) -> Self {
        Self {
            status: EntityOutcome::Failed,
            error: Some(error),
            failure: Some(kind),
            checkpoint: None,
            ..self
        }
    }

    /// Returns true if nothing was tried because no request to the company would succeed.
    pub fn is_not_attempted(&self) -> bool {
        self.failure == Some(FailureKind::NotAttempted)
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
    /// Reason of a failure that ended the sync of the whole company.
    pub error: Option<String>,
    /// Kind of that failure.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure: Option<FailureKind>,
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

    /// Returns true if QuickBooks has asked for a longer wait than a sync waits.
    pub fn is_asked_to_wait(&self) -> bool {
        self.failure == Some(FailureKind::AskedToWait)
    }

    /// Returns true if QuickBooks denies the company.
    pub fn is_denied(&self) -> bool {
        self.failure == Some(FailureKind::AccessDenied)
    }

    /// Returns the names of the entities that failed; `None` if the company failed as a whole.
    fn failed_entities(&self) -> Option<Vec<&str>> {
        let is_failed = |entity: &&EntitySync| entity.status == EntityOutcome::Failed;
        let failed = self.entities.iter().filter(is_failed);
        let names: Vec<&str> = failed.map(|entity| entity.entity.as_str()).collect();
        (self.status == CompanyStatus::Ok || !names.is_empty()).then_some(names)
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

    /// Returns the names of the entities that failed; `None` if a company failed as a whole.
    pub fn failed_entities(&self) -> Option<Vec<&str>> {
        let of_companies = self.accounts.iter().map(CompanySync::failed_entities);
        of_companies
            .collect::<Option<Vec<_>>>()
            .map(|names| names.concat())
    }
}
