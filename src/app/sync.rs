//! Staying in step: every entity of every company, from where it stands to the present, deletions included.
//!
//! The checkpoint is the ledger's: what it has as committed, in one piece up to the present window. A sync reads on from there
//! and commits that window again, so that a company costs one ledger row a year and entity, however often it is synced.

use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::{DateTime, Datelike, TimeDelta, TimeZone, Utc};
use futures_util::{StreamExt, stream};
use log::warn;
use tokio::sync::Mutex;

use super::company::{Company, Home, Source as CompanySource};
use super::{App, plan, what_is_left};
use crate::config::{QboConfig, TokenHome};
use crate::domain::{
    AccountStatus, AccountSync, Chunk, Deletion, EntityKind, EntitySpec, EntitySync, PageSize, Plan, SyncReport, Way,
    Window, chunk_range, merged,
};
use crate::error::{Error, Result, Trace};
use crate::oauth::remedy;
use crate::pipeline;
use crate::port::{Census, Meter, Source};
use crate::sink::postgres::{Burial, DEFAULT_SCHEMA, PostgresSink, SyncOutcome, SyncState};
use crate::source::qbo::{ChangesSource, EntityChanges};

/// Before any QuickBooks Online record.
const EPOCH_YEAR: i32 = 2000;
/// Change data capture looks back 30 days (qbo-facts 4).
const CHANGES_LOOK_BACK: TimeDelta = TimeDelta::days(29);
/// A deletion may become known late, too (qbo-facts 3.9).
const DELETIONS_LOOK_BACK: TimeDelta = TimeDelta::minutes(5);
/// Entities whose deletions nobody tells are compared so often.
const SWEEP_EVERY: TimeDelta = TimeDelta::hours(24);
/// Companies at a time. They wait for QuickBooks most of the time, one that does not answer all of it.
pub(super) const ACCOUNTS_AT_ONCE: usize = 32;
/// Of all of them together.
const CONNECTIONS: usize = 12;
const TOKEN_CONNECTIONS: usize = 8;
/// How long a company that does not answer is waited for.
const PATIENCE: Duration = Duration::from_secs(30);

/// What is to be brought into step.
#[derive(Debug, Clone)]
pub struct SyncRequest {
    /// Names of entities; empty: all.
    pub entities: Vec<String>,
    /// Companies; empty: every one that is known.
    pub realms: Vec<String>,
    /// Records in a page.
    pub page_size: PageSize,
}

/// One company while it is synced.
struct Account<'a> {
    realm_id: &'a str,
    source: Arc<CompanySource>,
    sink: Arc<PostgresSink>,
    request: &'a SyncRequest,
    meter: Meter,
}

/// One entity while it is synced.
struct Poll {
    plan: Plan,
    /// Where it stands; none: far behind, or with gaps.
    since: Option<DateTime<Utc>>,
    state: SyncState,
    /// Nothing of it was ever committed, by whomever.
    is_new: bool,
}

impl Poll {
    fn entity(&self) -> &EntitySpec {
        &self.plan.entity
    }
}

/// What syncs share: the database and the token store, opened once.
pub(super) struct Syncer {
    app: App,
    sink: PostgresSink,
    home: Home,
    entities: Vec<EntitySpec>,
    request: SyncRequest,
    /// Held while a company is given its schema: two new ones must not be given the same.
    schemas: Mutex<()>,
}

impl App {
    /// Brings companies into step with QuickBooks: first everything, later what has changed, and deletions. What one entity or
    /// company meets touches no other.
    ///
    /// # Errors
    /// What is found before any request: settings, the database, no company.
    pub async fn sync(&self, request: &SyncRequest) -> Result<SyncReport> {
        let syncer = &Syncer::new(self, request).await?;
        let realms = syncer.realms().await?;
        let syncs = stream::iter(realms).map(|realm_id| async move { syncer.account(&realm_id).await });
        let mut accounts: Vec<AccountSync> = syncs.buffer_unordered(ACCOUNTS_AT_ONCE).collect().await;
        accounts.sort_by(|a, b| a.realm_id.cmp(&b.realm_id));
        Ok(SyncReport { accounts })
    }

    /// The companies asked for: else those of the token store, and the one that the settings name.
    pub(super) async fn realms(&self, request: &SyncRequest, config: &QboConfig) -> Result<Vec<String>> {
        let mut realms = request.realms.clone();
        if realms.is_empty() {
            if config.oauth.token_home != TokenHome::Memory {
                realms.extend(self.auth_status().await?.accounts.into_iter().map(|account| account.account.realm_id));
            }
            realms.extend(self.settings.realm_id()?);
        }
        realms.sort();
        realms.dedup();
        match realms.is_empty() {
            true => Err(Error::config("QBO_REALM_ID", "not set, and the token store has no company")),
            false => Ok(realms),
        }
    }
}

impl Syncer {
    pub async fn new(app: &App, request: &SyncRequest) -> Result<Self> {
        let entities = match &request.entities[..] {
            [] => app.registry.all().to_vec(),
            names => app.registry.select(names)?,
        };
        let config = app.settings.qbo_of("any")?;
        let sink = PostgresSink::connect(&app.settings.postgres()?, DEFAULT_SCHEMA, CONNECTIONS).await?;
        sink.prepare_operations().await?;
        let home = Home::open(&app.settings, &config.oauth, TOKEN_CONNECTIONS).await?;
        let schemas = Mutex::default();
        Ok(Self { app: app.clone(), sink, home, entities, request: request.clone(), schemas })
    }

    /// The companies, as of now.
    pub async fn realms(&self) -> Result<Vec<String>> {
        self.app.realms(&self.request, &self.app.settings.qbo_of("any")?).await
    }

    pub fn sink(&self) -> &PostgresSink {
        &self.sink
    }

    /// One company, whatever it meets.
    pub async fn account(&self, realm_id: &str) -> AccountSync {
        let begin = Instant::now();
        let mut schema = String::new();
        let outcome = self.try_account(realm_id, &mut schema).await;
        let (status, error, requests, entities) = match outcome {
            Ok((requests, entities)) => (status_of(&entities), None, requests, entities),
            Err(error @ Error::Unauthenticated { .. }) => {
                (AccountStatus::NeedsReauth, Some(error.to_string()), 0, Vec::new())
            }
            Err(error) => (AccountStatus::Failed, Some(error.to_string()), 0, Vec::new()),
        };
        let duration_ms = u64::try_from(begin.elapsed().as_millis()).unwrap_or(u64::MAX);
        AccountSync { realm_id: realm_id.to_owned(), schema, status, error, requests, duration_ms, entities }
    }

    async fn prepared_sink(&self, realm_id: &str, schema: &mut String) -> Result<PostgresSink> {
        let _one_at_a_time = self.schemas.lock().await;
        *schema = self.sink.schema_for(realm_id).await?;
        let sink = self.sink.for_sync(schema)?;
        sink.prepare(realm_id, &self.entities).await?;
        Ok(sink)
    }

    async fn try_account(&self, realm_id: &str, schema: &mut String) -> Result<(u64, Vec<EntitySync>)> {
        let sink = Arc::new(self.prepared_sink(realm_id, schema).await?);
        let mut settings = self.app.settings.clone();
        if settings.realm_id()?.as_deref() != Some(realm_id) {
            // That token is another company's.
            settings.set("QBO_REFRESH_TOKEN", "")?;
        }
        let mut config = settings.qbo_of(realm_id)?;
        // There will be a next sync soon: a company that does not answer is not waited for as long as in a backfill.
        config.oauth.retry.most_elapsed = config.oauth.retry.most_elapsed.min(PATIENCE);
        let (source, watch) = Company::open_at(&self.home, &config).await?.into_parts();
        source.prepare().await?;
        sink.sync_started(realm_id, &self.entities).await?;
        let account = Account { realm_id, source, sink, request: &self.request, meter: Meter::default() };
        let outcome = self.app.sync_entities(&account, &self.entities).await;
        if let Err(error) = &outcome {
            let outcome = SyncOutcome { checkpoint: None, error: Some(error.to_string()) };
            for entity in &self.entities {
                account.note(entity.name, &outcome).await;
            }
        }
        // It may have come out with the first request only, for which an old access token was still thought to be good.
        match watch.needs_reauth().await {
            Some(reason) if outcome.as_ref().map_or(true, |entities| status_of(entities) == AccountStatus::Failed) => {
                let reason = format!("{reason}; {}", remedy(realm_id));
                Err(Error::Unauthenticated { reason, trace: Trace::default() })
            }
            _ => outcome.map(|entities| (account.meter.requests(), entities)),
        }
    }
}

impl App {
    async fn sync_entities(&self, account: &Account<'_>, entities: &[EntitySpec]) -> Result<Vec<EntitySync>> {
        let now = Utc::now();
        let mut polls = Vec::with_capacity(entities.len());
        for entity in entities {
            polls.push(account.poll(entity, now).await?);
        }
        let is_near = |poll: &Poll| poll.since.is_some_and(|since| since > now - CHANGES_LOOK_BACK);
        let (near, far): (Vec<_>, Vec<_>) =
            polls.into_iter().partition(|poll| is_near(poll) && poll.state.deletions_until.is_some());
        let mut reports = Vec::with_capacity(entities.len());
        let left = self.sync_by_changes(account, near, &mut reports).await?;
        let far = far.into_iter().chain(left).collect();
        self.sync_by_queries(account, far, now, &mut reports).await;
        reports.sort_by(|a, b| a.entity.cmp(&b.entity));
        Ok(reports)
    }

    /// One request for all, where they are near enough. Returns what has to be had otherwise.
    async fn sync_by_changes(
        &self,
        account: &Account<'_>,
        polls: Vec<Poll>,
        reports: &mut Vec<EntitySync>,
    ) -> Result<Vec<Poll>> {
        let deletions = polls.iter().filter_map(|poll| Some(poll.state.deletions_until? - DELETIONS_LOOK_BACK));
        let Some(since) = polls.iter().filter_map(|poll| poll.since).chain(deletions).min() else {
            return Ok(Vec::new());
        };
        let entities: Vec<EntitySpec> = polls.iter().map(|poll| poll.entity().clone()).collect();
        let mut changes = account.source.changes(&entities, since, &account.meter).await?;
        for of in &mut changes.complete {
            account.confirm(of).await?;
        }
        let feed = Arc::new(ChangesSource::new(account.source.clone(), &changes.complete));
        let mut left = Vec::new();
        for poll in polls {
            let Some(known) = changes.complete.iter().find(|of| of.entity == *poll.entity()) else {
                left.push(poll);
                continue;
            };
            let entity = poll.entity().clone();
            let mut report = self.run_poll(feed.clone(), account, poll.plan, Way::Changes).await;
            if report.error.is_none() {
                let buried = account.bury(&entity, &known.deletions, false).await;
                note_deletions(&mut report, buried);
            }
            account.end(report, reports).await;
        }
        Ok(left)
    }

    async fn sync_by_queries(
        &self,
        account: &Account<'_>,
        polls: Vec<Poll>,
        now: DateTime<Utc>,
        reports: &mut Vec<EntitySync>,
    ) {
        let spans = polls.iter().filter_map(|poll| Some((poll.entity().clone(), pipeline::first_span(&poll.plan)?)));
        account.source.prefetch(&spans.collect::<Vec<_>>(), account.request.page_size).await;
        for Poll { plan, state, is_new, .. } in polls {
            let entity = plan.entity.clone();
            let mut report = self.run_poll(account.source.clone(), account, plan, Way::Query).await;
            if report.error.is_none() {
                // What a backfill, or a sync that was cut off, left behind may have been deleted since.
                let is_unknown = state.deletions_until.is_none() || entity.is_captured();
                let is_due = state.reconciled_at.is_none_or(|at| at < now - SWEEP_EVERY);
                let buried = match () {
                    // Nothing that was there before can be missing.
                    () if is_new => account.bury(&entity, &[], true).await,
                    () if is_unknown || is_due => {
                        report.reconciled = true;
                        account.reconcile(&entity).await
                    }
                    () => Ok(0),
                };
                note_deletions(&mut report, buried);
            }
            account.end(report, reports).await;
        }
    }

    async fn run_poll<S: Source>(&self, source: Arc<S>, account: &Account<'_>, plan: Plan, way: Way) -> EntitySync {
        let run_id = uuid::Uuid::new_v4().to_string();
        let run = pipeline::run(source, account.sink.clone(), plan, &run_id, self.progress.clone()).await;
        (0..run.totals.requests).for_each(|_| account.meter.count_request(false));
        EntitySync::new(&run, way)
    }
}

impl Account<'_> {
    /// Takes note of what became of an entity, for people.
    async fn end(&self, report: EntitySync, reports: &mut Vec<EntitySync>) {
        let outcome = SyncOutcome { checkpoint: report.checkpoint, error: report.error.clone() };
        self.note(&report.entity, &outcome).await;
        reports.push(report);
    }

    async fn note(&self, entity: &str, outcome: &SyncOutcome) {
        if let Err(error) = self.sink.sync_ended(self.realm_id, entity, outcome).await {
            warn!(phase = "load", event = "sync_not_recorded", entity; "{error}");
        }
    }

    /// What an entity lacks. One that lacks nothing but the latest is read on from where it stands, and the windows of that
    /// time are committed as a whole.
    async fn poll(&self, entity: &EntitySpec, now: DateTime<Utc>) -> Result<Poll> {
        let windows = years(now)?;
        let committed = self.sink.committed(self.realm_id, entity).await?;
        let (left, _) = what_is_left(&windows, &committed);
        let state = self.sink.sync_state(self.realm_id, entity).await?;
        let since = match (&merged(&left)[..], windows.last()) {
            ([lacking], Some(present)) if lacking.end == present.end => Some(lacking.start),
            _ => None,
        };
        let windows = match since {
            Some(since) => windows.into_iter().filter(|window| window.end > since).collect(),
            None => left,
        };
        let plan = plan(entity.clone(), windows, Vec::new(), self.request.page_size);
        Ok(Poll { plan: Plan { read_from: since, ..plan }, since, state, is_new: committed.is_empty() })
    }

    /// Of a list, what is called deleted may only have been changed (qbo-facts 4): what is still there is a change.
    async fn confirm(&self, changes: &mut EntityChanges) -> Result<()> {
        if changes.entity.kind == EntityKind::Transaction || changes.deletions.is_empty() {
            return Ok(());
        }
        let ids: Vec<String> = changes.deletions.iter().map(|deletion| deletion.id.clone()).collect();
        let living = self.source.records(&changes.entity, &ids, &self.meter).await?;
        changes.deletions.retain(|deletion| living.iter().all(|record| record.id != deletion.id));
        changes.records.extend(living);
        Ok(())
    }

    async fn horizon(&self, entity: &EntitySpec) -> Result<Option<DateTime<Utc>>> {
        let whole = years(Utc::now())?;
        self.source.horizon(entity, whole[whole.len() - 1], &self.meter).await
    }

    async fn bury(&self, entity: &EntitySpec, deletions: &[Deletion], is_reconciled: bool) -> Result<u64> {
        let until = self.horizon(entity).await?;
        let request = r#"{"method": "GET", "path": "cdc"}"#;
        let burial = Burial { realm_id: self.realm_id, entity, deletions, until, is_reconciled, request };
        self.sink.bury(&burial).await
    }

    /// Compares the ids of the table with those of QuickBooks. What is only in the table is looked for once more by its id
    /// before it is called deleted.
    async fn reconcile(&self, entity: &EntitySpec) -> Result<u64> {
        let now = Utc::now();
        let windows = years(now)?;
        let whole = Window { start: windows[0].start, end: windows[windows.len() - 1].end };
        // The table first: what is loaded meanwhile is not missing from an older answer.
        let held = self.sink.keys(entity, whole, &[], &self.meter).await?;
        let there = self.source.keys(entity, whole, &[], &self.meter).await?;
        let there: std::collections::HashSet<&str> = there.iter().map(|key| key.id.as_str()).collect();
        let missing: Vec<String> =
            held.into_iter().map(|key| key.id).filter(|id| !there.contains(id.as_str())).collect();
        let living = self.source.records(entity, &missing, &self.meter).await?;
        let is_gone = |id: &String| living.iter().all(|record| record.id != *id);
        let gone = missing.into_iter().filter(is_gone).map(|id| Deletion { id, at: now, stub: None });
        self.bury(entity, &gone.collect::<Vec<_>>(), true).await
    }
}

fn note_deletions(report: &mut EntitySync, buried: Result<u64>) {
    match buried {
        Ok(deleted) => report.deleted = deleted,
        Err(error) => report.error = Some(format!("deletions: {error}")),
    }
}

fn status_of(entities: &[EntitySync]) -> AccountStatus {
    match entities.iter().filter(|entity| entity.error.is_some()).count() {
        0 => AccountStatus::Ok,
        failed if failed == entities.len() => AccountStatus::Failed,
        _ => AccountStatus::Partial,
    }
}

/// The years up to the present one: the windows of a sync.
fn years(now: DateTime<Utc>) -> Result<Vec<Window>> {
    let new_year = |year| {
        let instant = Utc.with_ymd_and_hms(year, 1, 1, 0, 0, 0).single();
        instant.ok_or_else(|| Error::Internal(format!("no year {year}")))
    };
    let range = Window { start: new_year(EPOCH_YEAR)?, end: new_year(now.year() + 1)? };
    Ok(chunk_range(range, Chunk::Months(12)))
}
