//! The plan of a sync that many machines share: its companies, and how far each is behind.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use tokio_postgres::Row;

use super::{SyncRequest, SyncScope, Syncer};
use crate::app::company::company_config;
use crate::app::{App, select_or_all};
use crate::error::Result;
use crate::postgres::{Columns, params};

/// How far companies are, by one statement for all of them.
const HOW_FAR: &str = "
SELECT realm_id, count(checkpoint_utc) AS synced, min(checkpoint_utc) AS synced_until
FROM unnest($1::text[]) AS asked (realm_id)
LEFT JOIN (SELECT * FROM qbo.sync_state WHERE entity = ANY($2)) AS known USING (realm_id)
GROUP BY realm_id ORDER BY realm_id";

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
        let rows = syncer.db.rows(HOW_FAR, params![realm_ids, names]).await?;
        let planned = |row: &Row| {
            let synced = usize::try_from(row.count("synced")?).unwrap_or_default();
            Ok(PlannedCompany {
                realm_id: row.column("realm_id")?,
                new_entities: names.len().saturating_sub(synced),
                synced_until: row.column("synced_until")?,
            })
        };
        Ok(SyncPlan {
            accounts: rows.iter().map(planned).collect::<Result<_>>()?,
            entities: names,
        })
    }
}
