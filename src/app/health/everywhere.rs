//! The judgement about the entities of all schemas, from facts that are read for all of them at once.

use std::collections::{BTreeSet, HashMap, HashSet};

use chrono::{DateTime, TimeDelta, Utc};

use super::{EntityFacts, Left, is_held_up, judge, never_read};
use crate::app::{CompanyReport, Coverage};
use crate::domain::{
    EntitySyncStatus, Finding, LedgerRunStatus, LedgerWindowStatus, Level, Reason,
};
use crate::error::Result;
use crate::postgres::Db;
use crate::store::{
    Different, EntityRun, LastRun, OverviewReader, SetAsideCount, Suspect, SyncUnderWay,
    WindowTrouble, different_entities, gaps, last_runs, syncs_under_way, with_open_runs,
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
    /// Failures in a row of the sync that left it, and that the next sync makes good; `None` for what no
    /// sync left, and for what none makes good.
    pub failed_syncs: Option<i32>,
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

/// The rows that are read for all schemas at once.
struct Rows {
    troubles: Vec<WindowTrouble>,
    set_aside: Vec<SetAsideCount>,
    different: Vec<Different>,
    syncs: Vec<SyncUnderWay>,
    open_runs: HashSet<Suspect>,
}

/// An entity of a schema.
type Key<'r> = (&'r str, &'r str);

/// The facts about the entities of all schemas.
struct Everything<'r> {
    troubles: HashMap<Key<'r>, Vec<&'r WindowTrouble>>,
    set_aside: HashMap<Key<'r>, u64>,
    different: HashMap<Key<'r>, &'r Different>,
    syncing: HashSet<Key<'r>>,
    runs: HashMap<Key<'r>, &'r LastRun>,
}

/// Judges entities. `coverage` is all committed time of those about which there may be something to say.
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
    let rows = Rows {
        troubles: reader.troubles().await?,
        set_aside: reader.set_aside().await?,
        different: different_entities(db, None).await?,
        syncs: syncs_under_way(db, None).await?,
        open_runs: with_open_runs(db).await?,
    };
    let others = rows.beside(coverage);
    let all = || coverage.iter().chain(&others);
    let keys: BTreeSet<Key<'_>> = all().map(|of| (&*of.schema, &*of.entity)).collect();
    let keys: Vec<Key<'_>> = keys.into_iter().collect();
    let runs = last_runs(db, &keys).await?;
    let everything = Everything::of(&rows, &runs);
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

impl Rows {
    /// Returns the entities that were never synced and have committed nothing, of which there is something
    /// to say all the same.
    fn beside(&self, coverage: &[Coverage]) -> Vec<Coverage> {
        let troubles = self.troubles.iter();
        let troubles = troubles.map(|one| (&one.schema, &one.realm_id, &one.entity));
        let set_aside = self.set_aside.iter();
        let set_aside = set_aside.map(|one| (&one.schema, &one.realm_id, &one.entity));
        let different = self.different.iter();
        let different = different.map(|one| (&one.schema, &one.realm_id, &one.entity));
        let open_runs = self.open_runs.iter();
        let open_runs = open_runs.map(|one| (&one.schema, &one.realm_id, &one.entity));
        let named = troubles.chain(set_aside).chain(different);
        let named: BTreeSet<_> = named.chain(open_runs).collect();
        let known = coverage.iter().map(|of| (&*of.schema, &*of.entity));
        let known: HashSet<Key<'_>> = known.collect();
        let others = named.into_iter();
        others
            .filter(|(schema, _, entity)| !known.contains(&(&***schema, &***entity)))
            .map(|(schema, realm_id, entity)| Coverage {
                schema: schema.clone(),
                realm_id: realm_id.clone(),
                entity: entity.clone(),
                state: None,
                committed: Vec::new(),
            })
            .collect()
    }
}

impl<'r> Everything<'r> {
    fn of(rows: &'r Rows, runs: &'r [EntityRun]) -> Self {
        let mut troubles: HashMap<Key<'r>, Vec<&'r WindowTrouble>> = HashMap::new();
        for one in &rows.troubles {
            let same = troubles.entry((&one.schema, &one.entity)).or_default();
            same.push(one);
        }
        let mut set_aside = HashMap::new();
        for one in &rows.set_aside {
            let key: Key<'r> = (&one.schema, &one.entity);
            set_aside.entry(key).or_insert(one.records);
        }
        let mut different = HashMap::new();
        for one in &rows.different {
            let key: Key<'r> = (&one.schema, &one.entity);
            different.entry(key).or_insert(one);
        }
        let alive = rows.syncs.iter().filter(|sync| !sync.is_dead);
        let syncing = alive.flat_map(|sync| {
            let entities = sync.entities.iter();
            entities.map(|entity| (&*sync.schema, &**entity))
        });
        let runs = runs.iter();
        Self {
            troubles,
            set_aside,
            different,
            syncing: syncing.collect(),
            runs: runs
                .map(|last| ((&*last.schema, &*last.entity), &last.run))
                .collect(),
        }
    }

    fn judge(
        &self,
        of: &Coverage,
        is_held_up: bool,
        now: DateTime<Utc>,
        found: &mut Vec<CompanyFinding>,
    ) {
        let key: Key<'_> = (&of.schema, &of.entity);
        let state = of.state.as_ref();
        let is_syncing = self.syncing.contains(&key);
        let troubles = self.troubles.get(&key).map_or(&[][..], Vec::as_slice);
        let trouble = |status| troubles.iter().find(|one| one.status == status);
        let windows = |status| trouble(status).map_or(0, |one| one.windows);
        let run = self.runs.get(&key).copied();
        let is_in_ledger = run.is_some() || !of.committed.is_empty() || !troubles.is_empty();
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
                    left: left(troubles),
                    last_run: run,
                    last_sync: state.map(|state| (state.status, state.last_success_at)),
                    is_syncing,
                    is_held_up,
                    rejects: self.set_aside.get(&key).copied().unwrap_or_default(),
                    gaps: &gaps(&of.committed, None),
                    different: self.different.get(&key).copied(),
                    wrong_checks: 0,
                    has_unfinished: false,
                },
                now,
            ),
        };
        let is_of_run = run.is_some_and(is_open);
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
            let failed_syncs = state
                .filter(|_| is_of_sync(&finding.reason) && !is_of_run && !is_held_up)
                .map(|state| state.consecutive_failures);
            CompanyFinding {
                realm_id: of.realm_id.clone(),
                schema: of.schema.clone(),
                error,
                first: trouble.map(|one| one.first),
                failed_syncs,
                finding,
            }
        }));
    }
}

/// Returns the time of the windows that the next sync does not read, without those that are stuck.
fn left(troubles: &[&WindowTrouble]) -> Option<Left> {
    let open = troubles
        .iter()
        .filter(|one| one.status != LedgerWindowStatus::Stuck);
    let left = open
        .filter_map(|one| one.left)
        .map(|(range, longest_s)| Left {
            range,
            longest: TimeDelta::seconds(longest_s),
        });
    left.reduce(Left::and)
}

/// Returns true for a run that did not end well, and whose range nothing has read since.
fn is_open(run: &LastRun) -> bool {
    run.status != LedgerRunStatus::Ok && !run.is_superseded
}

/// Returns true for what a sync leaves that fails or ends, and the next one makes good.
fn is_of_sync(reason: &Reason) -> bool {
    matches!(
        reason,
        Reason::SyncFailed
            | Reason::SyncEnded
            | Reason::NeverRead
            | Reason::WindowsFailed { .. }
            | Reason::WindowsAbandoned { .. }
    )
}
