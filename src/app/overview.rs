//! The facts of the status page.

use std::collections::{BTreeSet, HashMap};

use chrono::{DateTime, Utc};
use serde::Serialize;

use super::advice::Companies;
use super::health::{CompanyFinding, entity_findings};
use super::service::Service;
use super::{CompanyReport, SyncScope};
use crate::domain::{Alert, ConnectionState, JobStatus, Window, merged};
use crate::error::Result;
use crate::store::{
    Archive, BoundSchema, CompanyState, EntityState, Job, OverviewReader, RecentRun, RowCount,
    ScheduledSync, archives,
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
    /// The companies among which a command has to choose.
    #[cfg_attr(not(feature = "cli"), expect(dead_code, reason = "the page reads it"))]
    pub(crate) companies_known: Companies,
    /// Approximate numbers of rows.
    pub row_counts: Vec<RowCount>,
    /// Findings about all entities: what needs a person, and what is under way.
    pub findings: Vec<CompanyFinding>,
    /// The latest runs that are under way, have failed or have changed rows.
    pub runs: Vec<RecentRun>,
    /// The next syncs by the schedule.
    pub schedule: Vec<ScheduledSync>,
    /// Files of archives that hold what the tables do not.
    pub archives: Vec<Archive>,
    /// The alerts of all companies, as of now.
    pub alerts: Vec<Alert>,
}

/// The companies that a page has room for.
#[derive(Debug, Default)]
pub struct ShownCompanies {
    /// Their ids, in the order in which they are shown.
    pub realm_ids: Vec<String>,
    /// The number of others, which are left out.
    pub others: usize,
}

impl ShownCompanies {
    /// Takes at most `most` of the companies: first those that need a person, then those whose records are
    /// oldest, last those that are not connected. If there is room for all, they stay in the order of
    /// their ids.
    fn of(
        realm_ids: BTreeSet<String>,
        accounts: &[CompanyReport],
        states: &[CompanyState],
        most: usize,
    ) -> Self {
        let mut realm_ids: Vec<String> = realm_ids.into_iter().collect();
        if realm_ids.len() > most {
            let connected: HashMap<&str, ConnectionState> = accounts
                .iter()
                .map(|company| (company.account.realm_id.as_str(), company.state))
                .collect();
            let is_held_up = |company: &&CompanyReport| {
                company.traffic.paused_until.is_some() || company.traffic.breaker.is_open()
            };
            let paused: BTreeSet<&str> = accounts
                .iter()
                .filter(is_held_up)
                .map(|company| company.account.realm_id.as_str())
                .collect();
            let states: HashMap<&str, &CompanyState> = states
                .iter()
                .map(|state| (state.realm_id.as_str(), state))
                .collect();
            realm_ids.sort_by_cached_key(|realm_id| {
                let state = states.get(realm_id.as_str());
                let urgency = match connected.get(realm_id.as_str()) {
                    Some(ConnectionState::NeedsReauth) => 0,
                    Some(_) if state.is_some_and(|state| state.has_failed) => 1,
                    Some(_) if paused.contains(realm_id.as_str()) => 2,
                    Some(ConnectionState::ExpiresSoon) => 2,
                    Some(ConnectionState::Active) => 3,
                    None => 4,
                };
                (urgency, state.and_then(|state| state.oldest))
            });
        }
        let others = realm_ids.len().saturating_sub(most);
        realm_ids.truncate(most);
        Self { realm_ids, others }
    }
}

impl Service {
    /// Chooses the companies that a page with room for `most` shows: of those in whose id or name `wanted`
    /// occurs, whatever its case.
    ///
    /// # Errors
    /// Returns errors of the database.
    pub async fn shown_companies(
        &self,
        accounts: &[CompanyReport],
        wanted: &str,
        most: usize,
    ) -> Result<ShownCompanies> {
        let reader = OverviewReader::new(self.db.clone());
        let mut bound = reader.schemas().await?;
        if !wanted.is_empty() {
            bound = reader.named(bound).await?;
        }
        let wanted = wanted.to_lowercase();
        let is_wanted = |text: &str| text.to_lowercase().contains(&wanted);
        let has_name = |one: &BoundSchema| one.name.as_deref().is_some_and(is_wanted);
        let named: BTreeSet<&str> = bound
            .iter()
            .filter(|one| has_name(one))
            .map(|one| one.realm_id.as_str())
            .collect();
        let connected = accounts
            .iter()
            .map(|company| company.account.realm_id.as_str());
        let known = connected.chain(bound.iter().map(|one| one.realm_id.as_str()));
        let realm_ids = known
            .filter(|realm_id| is_wanted(realm_id) || named.contains(realm_id))
            .map(str::to_owned)
            .collect();
        let states = reader.company_states().await?;
        Ok(ShownCompanies::of(realm_ids, accounts, &states, most))
    }

    /// Returns the committed time since an instant of every entity of some companies, or of all.
    ///
    /// # Errors
    /// Returns errors of the database.
    pub async fn coverage(
        &self,
        since: DateTime<Utc>,
        realm_ids: Option<&[String]>,
    ) -> Result<Vec<Coverage>> {
        let mut committed = self.committed.since(since, realm_ids).await?;
        let states = self.records.entity_states(realm_ids).await?;
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

    /// Returns facts of the schemas of the shown companies beside sync states, and the alerts of all.
    /// `coverage` is all committed time of the shown companies.
    ///
    /// # Errors
    /// Returns errors of the database and of the token store.
    pub async fn overview(
        &self,
        shown: &ShownCompanies,
        coverage: &[Coverage],
        accounts: &[CompanyReport],
    ) -> Result<Overview> {
        let reader = OverviewReader::new(self.db.clone());
        let mut bound = reader.schemas().await?;
        bound.retain(|one| shown.realm_ids.contains(&one.realm_id));
        let schemas: Vec<String> = bound.iter().map(|one| one.schema.clone()).collect();
        let now = crate::clock::now();
        let companies = Companies::known(&self.app.settings, accounts, &self.db).await?;
        let mut findings = entity_findings(&self.db, coverage, accounts, now).await?;
        for found in &mut findings {
            companies.name_in(&mut found.finding, &found.realm_id);
        }
        Ok(Overview {
            companies: reader.named(bound).await?,
            row_counts: reader.row_counts(&schemas).await?,
            findings,
            companies_known: companies,
            runs: reader.runs(&schemas).await?,
            schedule: reader.schedule().await?,
            archives: archives(&self.db, None).await?,
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn companies_that_need_somebody_and_old_ones_are_shown_first() {
        let accounts = [
            CompanyReport::of_test("1", ConnectionState::Active),
            CompanyReport::of_test("2", ConnectionState::Active),
            CompanyReport::of_test("3", ConnectionState::Active),
            CompanyReport::of_test("4", ConnectionState::ExpiresSoon),
            CompanyReport::of_test("5", ConnectionState::NeedsReauth),
        ];
        let state = |realm_id: &str, has_failed, day: i64| CompanyState {
            realm_id: realm_id.to_owned(),
            has_failed,
            oldest: Some(DateTime::UNIX_EPOCH + chrono::TimeDelta::days(day)),
        };
        let states = [
            state("1", false, 9),
            state("2", true, 9),
            state("3", false, 1),
            state("6", false, 0),
        ];
        let realm_ids = || ["1", "2", "3", "4", "5", "6"].map(str::to_owned).into();
        let shown = ShownCompanies::of(realm_ids(), &accounts, &states, 5);
        assert_eq!(
            (shown.realm_ids.join(" "), shown.others),
            ("5 2 4 3 1".to_owned(), 1)
        );
        let all = ShownCompanies::of(realm_ids(), &accounts, &states, 6);
        assert_eq!(
            (all.realm_ids.join(" "), all.others),
            ("1 2 3 4 5 6".to_owned(), 0)
        );
    }
}
