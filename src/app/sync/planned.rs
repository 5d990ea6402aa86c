//! The plan of a sync that many machines share: its companies, and how far each is behind.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::{SyncRequest, SyncScope, Syncer};
use crate::app::company::company_config;
use crate::app::{App, select_or_all};
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
}

/// The companies of a sync.
#[derive(Debug, Clone, Serialize)]
pub struct SyncPlan {
    /// The companies, by id.
    pub accounts: Vec<PlannedCompany>,
    /// The entities, by the names of this package.
    pub entities: Vec<&'static str>,
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
    /// Settings, no company, and errors of the database.
    pub async fn plan_sync(&self, request: &SyncPlanRequest) -> Result<SyncPlan> {
        let entities = select_or_all(&request.scope.entities)?;
        let names: Vec<&'static str> = entities.iter().map(|entity| entity.name).collect();
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
            });
        }
        let syncer = Syncer::open(self).await?;
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
        })
    }
}
