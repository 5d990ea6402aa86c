//! The judgement about the entities of all schemas, from facts that are read for all of them at once.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use chrono::{DateTime, Utc};

use super::{EntityFacts, is_held_up, judge, never_read};
use crate::app::{CompanyReport, Coverage};
use crate::domain::{EntitySyncStatus, Finding, LedgerWindowStatus, Level, Reason};
use crate::error::Result;
use crate::postgres::Db;
use crate::store::{
    Different, LastRun, OverviewReader, SetAsideCount, SyncUnderWay, WindowTrouble,
    different_entities, gaps, last_runs, syncs_under_way,
};

/// A finding about an entity of a company, with what the tables say about it.
#[derive(Debug, Clone)]
pub struct CompanyFinding {
    /// The company.
    pub realm_id: String,
    /// The schema.
    pub schema: String,
    /// The finding.
    pub finding: Finding,
    /// The failure behind it.
    pub error: Option<String>,
    /// First instant of the first window that it is about.
    pub first: Option<DateTime<Utc>>,
}

impl CompanyFinding {
    /// Says in a sentence what has failed; differences have an alert of their own.
    pub(crate) fn failure(&self) -> Option<String> {
        let Finding {
            about,
            level,
            reason,
            text,
            ..
        } = &self.finding;
        let is_told = matches!(reason, Reason::Differs { .. });
        let realm_id = &self.realm_id;
        (*level == Level::Failed && !is_told)
            .then(|| format!("{about} of company {realm_id}: {text}."))
    }
}

/// The facts about the entities of all schemas.
struct Everything {
    troubles: Vec<WindowTrouble>,
    set_aside: Vec<SetAsideCount>,
    different: Vec<Different>,
    syncs: Vec<SyncUnderWay>,
    runs: BTreeMap<(String, String), LastRun>,
}

/// Judges all entities. `coverage` is all committed time.
///
/// # Errors
/// [`Error::Database`](crate::error::Error::Database).
pub(crate) async fn entity_findings(
    db: &Db,
    coverage: &[Coverage],
    accounts: &[CompanyReport],
    now: DateTime<Utc>,
) -> Result<Vec<CompanyFinding>> {
    let reader = OverviewReader::new(db.clone());
    let mut everything = Everything {
        troubles: reader.troubles().await?,
        set_aside: reader.set_aside().await?,
        different: different_entities(db, None).await?,
        syncs: syncs_under_way(db, None).await?,
        runs: BTreeMap::new(),
    };
    let others = everything.beside(coverage);
    let all = || coverage.iter().chain(&others);
    let keys: BTreeSet<(&str, &str)> = all().map(|of| (&*of.schema, &*of.entity)).collect();
    let keys: Vec<(&str, &str)> = keys.into_iter().collect();
    let runs = last_runs(db, &keys).await?.into_iter();
    let runs = runs.map(|last| ((last.schema, last.entity), last.run));
    everything.runs = runs.collect();
    let mut found = Vec::new();
    let mut companies: HashMap<&str, Vec<&CompanyReport>> = HashMap::new();
    for account in accounts {
        let same = companies.entry(&account.account.realm_id).or_default();
        same.push(account);
    }
    for of in all() {
        let of_company = companies.get(&*of.realm_id).map_or(&[][..], Vec::as_slice);
        let is_held_up = is_held_up(&mut of_company.iter().copied(), now);
        everything.judge(of, is_held_up, now, &mut found);
    }
    Ok(found)
}

impl Everything {
    /// Returns the entities that were never synced and have committed nothing, of which there is something
    /// to say all the same.
    fn beside(&self, coverage: &[Coverage]) -> Vec<Coverage> {
        let troubles = self.troubles.iter();
        let troubles = troubles.map(|one| (&one.schema, &one.realm_id, &one.entity));
        let set_aside = self.set_aside.iter();
        let set_aside = set_aside.map(|one| (&one.schema, &one.realm_id, &one.entity));
        let different = self.different.iter();
        let different = different.map(|one| (&one.schema, &one.realm_id, &one.entity));
        let named: BTreeSet<_> = troubles.chain(set_aside).chain(different).collect();
        let is_known = |schema: &str, entity: &str| {
            let mut known = coverage.iter();
            known.any(|of| of.schema == schema && of.entity == entity)
        };
        let others = named.into_iter();
        others
            .filter(|(schema, _, entity)| !is_known(schema, entity))
            .map(|(schema, realm_id, entity)| Coverage {
                schema: schema.clone(),
                realm_id: realm_id.clone(),
                entity: entity.clone(),
                state: None,
                committed: Vec::new(),
            })
            .collect()
    }

    fn judge(
        &self,
        of: &Coverage,
        is_held_up: bool,
        now: DateTime<Utc>,
        found: &mut Vec<CompanyFinding>,
    ) {
        let is_same = |schema: &str, entity: &str| schema == of.schema && entity == of.entity;
        let state = of.state.as_ref();
        let is_syncing = self
            .syncs
            .iter()
            .any(|sync| sync.reads(&of.schema, &of.entity));
        let trouble = |status| {
            let mut troubles = self.troubles.iter();
            troubles.find(|one| is_same(&one.schema, &one.entity) && one.status == status)
        };
        let windows = |status| trouble(status).map_or(0, |one| one.windows);
        let key = (of.schema.clone(), of.entity.clone());
        let run = self.runs.get(&key);
        let mut set_aside = self.set_aside.iter();
        let mut different = self.different.iter();
        let mut troubles = self.troubles.iter();
        let is_in_ledger = run.is_some()
            || !of.committed.is_empty()
            || troubles.any(|one| is_same(&one.schema, &one.entity));
        let is_unread = !is_in_ledger
            && state.is_some_and(|state| {
                state.status != EntitySyncStatus::Unavailable && state.last_success_at.is_none()
            });
        let findings = match is_unread {
            true if is_syncing => Vec::new(),
            true => vec![never_read(&of.entity, is_held_up, now)],
            false => judge(
                &EntityFacts {
                    schema: &of.schema,
                    entity: &of.entity,
                    stuck: windows(LedgerWindowStatus::Stuck),
                    failed: windows(LedgerWindowStatus::Failed),
                    abandoned: windows(LedgerWindowStatus::Running),
                    last_run: run,
                    last_sync: state.map(|state| (state.status, state.last_success_at)),
                    is_syncing,
                    is_held_up,
                    rejects: set_aside
                        .find(|one| is_same(&one.schema, &one.entity))
                        .map_or(0, |one| one.records),
                    gaps: &gaps(&of.committed, None),
                    different: different.find(|one| is_same(&one.schema, &one.entity)),
                    wrong_checks: 0,
                },
                now,
            ),
        };
        found.extend(findings.into_iter().map(|finding| {
            let status = match finding.reason {
                Reason::Stuck { .. } => Some(LedgerWindowStatus::Stuck),
                Reason::WindowsFailed { .. } => Some(LedgerWindowStatus::Failed),
                Reason::WindowsAbandoned { .. } => Some(LedgerWindowStatus::Running),
                _ => None,
            };
            let trouble = status.and_then(trouble);
            let error = match finding.reason {
                Reason::SyncFailed | Reason::NeverRead => {
                    state.and_then(|state| state.message.clone())
                }
                _ => trouble.and_then(|one| one.error.clone()),
            };
            CompanyFinding {
                realm_id: of.realm_id.clone(),
                schema: of.schema.clone(),
                error,
                first: trouble.map(|one| one.first),
                finding,
            }
        }));
    }
}
