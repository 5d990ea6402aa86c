//! The facts of the status page.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use serde::Serialize;

use super::health::{CompanyFinding, entity_findings};
use super::service::Service;
use super::{CompanyReport, SyncScope};
use crate::domain::{Alert, JobStatus, Window, merged};
use crate::error::Result;
use crate::store::{
    BoundSchema, EntityState, Job, OverviewReader, RecentRun, RowCount, ScheduledSync,
};

/// The committed time of an entity of a company, by syncs and by backfills.
#[derive(Debug, Serialize)]
pub struct Coverage {
    /// The schema that holds its records.
    pub schema: String,
    /// The company.
    pub realm_id: String,
    /// Name of the entity.
    pub entity: String,
    /// The state of its sync; `None` if it was never synced.
    pub state: Option<EntityState>,
    /// The committed time.
    pub committed: Vec<Window>,
}

/// Facts of all schemas beside sync states.
#[derive(Debug, Default)]
pub struct Overview {
    /// The schemas and their companies.
    pub companies: Vec<BoundSchema>,
    /// Approximate numbers of rows.
    pub row_counts: Vec<RowCount>,
    /// Findings about all entities: what needs a person, and what is under way.
    pub findings: Vec<CompanyFinding>,
    /// The latest runs that are under way, have failed or have changed rows.
    pub runs: Vec<RecentRun>,
    /// The next syncs by the schedule.
    pub schedule: Vec<ScheduledSync>,
    /// The alerts of all companies, as of now.
    pub alerts: Vec<Alert>,
}

impl Service {
    /// Returns the committed time of every entity since an instant.
    ///
    /// # Errors
    /// Returns errors of the database.
    pub async fn coverage(&self, since: DateTime<Utc>) -> Result<Vec<Coverage>> {
        let mut committed = self.committed.since(since).await?;
        let states = self.entity_states().await?;
        let key = |state: &EntityState| {
            (
                state.realm_id.clone(),
                state.schema.clone(),
                state.entity.clone(),
            )
        };
        let mut keys: BTreeSet<_> = states.iter().map(key).collect();
        let backfilled = committed.keys().cloned();
        keys.extend(backfilled.map(|(schema, realm_id, entity)| (realm_id, schema, entity)));
        let mut states: std::collections::BTreeMap<_, _> = states
            .into_iter()
            .map(|state| (key(&state), state))
            .collect();
        let coverage = keys.into_iter().map(|key| {
            let state = states.remove(&key);
            let (realm_id, schema, entity) = key;
            let windows = committed.remove(&(schema.clone(), realm_id.clone(), entity.clone()));
            Coverage {
                schema,
                realm_id,
                entity,
                state,
                committed: merged(&windows.unwrap_or_default()),
            }
        });
        Ok(coverage.collect())
    }

    /// Returns facts of all schemas beside sync states. `coverage` is all committed time.
    ///
    /// # Errors
    /// Returns errors of the database and of the token store.
    pub async fn overview(
        &self,
        coverage: &[Coverage],
        accounts: &[CompanyReport],
    ) -> Result<Overview> {
        let reader = OverviewReader::new(self.db.clone());
        let now = crate::clock::now();
        Ok(Overview {
            companies: reader.companies().await?,
            row_counts: reader.row_counts().await?,
            findings: entity_findings(&self.db, coverage, accounts, now).await?,
            runs: reader.runs().await?,
            schedule: reader.schedule().await?,
            alerts: self.alerts_now().await?,
        })
    }

    /// Puts a sync of a company into the queue, unless one waits or runs already. Returns the job.
    ///
    /// # Errors
    /// Returns errors of the database.
    pub async fn sync_now(&self, realm_id: &str) -> Result<Option<Job>> {
        let scope = SyncScope {
            entities: Vec::new(),
            accounts: vec![realm_id.to_owned()],
        };
        let request = serde_json::to_value(&scope)
            .map_err(|e| crate::error::Error::Internal(e.to_string()))?;
        let is_open = |job: &Job| {
            matches!(job.status, JobStatus::Queued | JobStatus::Running) && job.request == request
        };
        if let Some(job) = self.recent_jobs().await?.into_iter().find(is_open) {
            return Ok(Some(job));
        }
        self.enqueue_sync(&scope, None).await
    }
}
