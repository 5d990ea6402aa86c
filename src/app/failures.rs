//! The failures of companies now, for monitors: `/healthz?deep`.

use std::collections::HashSet;

use chrono::{DateTime, TimeDelta, Utc};

use super::Coverage;
use super::alerts::is_failure;
use super::health::{CompanyFinding, entity_findings};
use super::service::Service;
use crate::error::Result;
use crate::store::{OverviewReader, Suspect, suspects};

/// Failed syncs in a row after which a monitor hears of an entity, although it is tried again: as many as
/// the rule `SyncFails` of docs/alerts.md waits for.
const MAX_FAILED_SYNCS: i32 = 3;
/// The time within which a next attempt is soon.
const SOON: TimeDelta = TimeDelta::hours(1);

impl Service {
    /// Returns what is wrong with the companies now, one sentence each: what is stale, failed, or needs
    /// a person. A failure that the next sync is about to make good is left out.
    ///
    /// # Errors
    /// Returns errors of the database and of the token store.
    pub async fn failures(&self) -> Result<Vec<String>> {
        let alerts = self.alerts_now().await?.into_iter();
        let alerts = alerts.filter(|alert| is_failure(alert.kind));
        let mut failures: Vec<String> = alerts.map(|alert| alert.text).collect();
        let now = crate::clock::now();
        let coverage = self.suspect_coverage().await?;
        let accounts = self.accounts().await?;
        let found = entity_findings(&self.db, &coverage, &accounts, now).await?;
        let synced_soon = self.synced_soon(now).await?;
        let lasting = found
            .iter()
            .filter(|one| !self.is_passing(one, &synced_soon));
        failures.extend(lasting.filter_map(CompanyFinding::failure));
        Ok(failures)
    }

    /// Returns the committed time of the entities with which anything can be wrong.
    async fn suspect_coverage(&self) -> Result<Vec<Coverage>> {
        let suspects = suspects(&self.db).await?;
        if suspects.is_empty() {
            return Ok(Vec::new());
        }
        let realm_ids: HashSet<&String> = suspects.iter().map(|one| &one.realm_id).collect();
        let realm_ids: Vec<String> = realm_ids.into_iter().cloned().collect();
        let mut coverage = self
            .coverage(DateTime::UNIX_EPOCH, Some(&realm_ids))
            .await?;
        coverage.retain(|of| {
            suspects.contains(&Suspect {
                schema: of.schema.clone(),
                realm_id: of.realm_id.clone(),
                entity: of.entity.clone(),
            })
        });
        Ok(coverage)
    }

    /// Returns the companies that the schedule syncs soon.
    async fn synced_soon(&self, now: DateTime<Utc>) -> Result<HashSet<String>> {
        let schedule = OverviewReader::new(self.db.clone()).schedule().await?;
        let soon = schedule
            .into_iter()
            .filter(|next| next.next_at < now + SOON);
        Ok(soon.map(|next| next.realm_id).collect())
    }

    /// Returns true for a failure that the next sync is about to make good. If it does not, the company is
    /// stale after some time; without a limit for that, nobody would ever hear of it.
    fn is_passing(&self, found: &CompanyFinding, synced_soon: &HashSet<String>) -> bool {
        found
            .failed_syncs
            .is_some_and(|failed| failed < MAX_FAILED_SYNCS)
            && self.alerts.stale_limit().is_some()
            && self.entities.contains(&found.finding.about)
            && synced_soon.contains(&found.realm_id)
    }
}
