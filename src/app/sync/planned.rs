//! The plan of a sync or a read that many machines share: its companies, and how far each is behind.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::outcome::log_sync;
use super::{SyncRequest, SyncScope, Syncer};
use crate::app::company::company_config;
use crate::app::{App, select_or_all};
use crate::domain::{CompanyStatus, CompanySync, FailureKind, SyncReport, select_readable};
use crate::error::Result;
use crate::store::{HowFar, how_far};

/// A request for the companies of a sync. It sends nothing to QuickBooks.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct SyncPlanRequest {
    /// The entities and companies.
    #[serde(flatten)]
    pub scope: SyncScope,
    /// Whether the plan is for reading records of a range and not for a sync: all entities are those of which a range
    /// can be read, and another one that is named is refused.
    #[serde(default)]
    pub reads_records: bool,
}

/// The companies of a sync.
#[derive(Debug, Clone, Serialize)]
pub struct SyncPlan {
    /// The companies, by id.
    pub accounts: Vec<PlannedCompany>,
    /// The entities, by the names of this package.
    pub entities: Vec<&'static str>,
    /// The entities whose deletions QuickBooks reports of no company.
    pub deletions_unreported: Vec<&'static str>,
}

/// One company of a sync.
#[derive(Debug, Clone, Serialize)]
pub struct PlannedCompany {
    /// Id of the company.
    pub realm_id: String,
    /// Entities of the request that were never synced: all of their records have to be read.
    pub new_entities: usize,
    /// The earliest instant at which the other ones end.
    pub synced_until: Option<DateTime<Utc>>,
}

impl App {
    /// Returns the companies of a sync and how far each is, from the database alone. Without a database,
    /// it is the company of the settings.
    ///
    /// # Errors
    /// Settings, no company, a company that is not known, and errors of the database.
    pub async fn plan_sync(&self, request: &SyncPlanRequest) -> Result<SyncPlan> {
        let entities = match (&request.scope.entities[..], request.reads_records) {
            ([], true) => select_readable(&["all"])?,
            (names, true) => select_readable(names)?,
            (_, false) => select_or_all(&request.scope.entities)?,
        };
        let names: Vec<&'static str> = entities.iter().map(|entity| entity.name).collect();
        let unreported = entities.iter().filter(|entity| !entity.supports_cdc());
        let deletions_unreported = unreported.map(|entity| entity.name).collect();
        if !self.settings.has_database() {
            let new = |realm_id| PlannedCompany {
                realm_id,
                new_entities: names.len(),
                synced_until: None,
            };
            let realm_ids = match request.scope.accounts.is_empty() {
                true => vec![company_config(&self.settings).await?.realm_id],
                false => request.scope.accounts.clone(),
            };
            return Ok(SyncPlan {
                accounts: realm_ids.into_iter().map(new).collect(),
                entities: names,
                deletions_unreported,
            });
        }
        let syncer = Syncer::open(self).await?;
        syncer.check_companies(&request.scope.accounts).await?;
        let scope = request.scope.clone();
        let scope = SyncRequest {
            scope,
            ..SyncRequest::default()
        };
        let realm_ids = syncer.realms(&scope).await?;
        let known = how_far(&syncer.db, &realm_ids, &names).await?.into_iter();
        let planned = |company: HowFar| PlannedCompany {
            realm_id: company.realm_id,
            new_entities: names.len().saturating_sub(company.synced),
            synced_until: company.synced_until,
        };
        Ok(SyncPlan {
            accounts: known.map(planned).collect(),
            entities: names,
            deletions_unreported,
        })
    }
}

impl Syncer {
    /// Syncs the companies of a plan. One that was forgotten since then has failed, and the others go on.
    ///
    /// # Errors
    /// Those of [`Self::sync`].
    pub(super) async fn sync_planned(&self, request: &SyncRequest) -> Result<SyncReport> {
        let mut known = request.clone();
        let mut failed = Vec::new();
        // As many as were forgotten in the meantime: hardly ever one.
        while let Some(unknown) = self.unknown_company(&known.scope.accounts).await? {
            known.scope.accounts.retain(|realm_id| *realm_id != unknown);
            let error = self.no_such_company(&unknown).await?;
            let company = CompanySync {
                realm_id: unknown,
                schema: String::new(),
                status: CompanyStatus::Failed,
                error: Some(error.to_string()),
                failure: Some(FailureKind::UnknownCompany),
                requests: 0,
                duration_ms: 0,
                entities: Vec::new(),
            };
            log_sync(&company);
            failed.push(company);
        }
        let is_nobody_left = known.scope.accounts.is_empty() && !failed.is_empty();
        let mut accounts = match is_nobody_left {
            // A request without companies is one for all of them.
            true => Vec::new(),
            false => self.sync(&known).await?.accounts,
        };
        accounts.extend(failed);
        accounts.sort_by(|a, b| a.realm_id.cmp(&b.realm_id));
        Ok(SyncReport { accounts })
    }
}
