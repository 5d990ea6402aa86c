//! The sync of one company: the time that each entity lacks, the method to fetch it, and deletions.

use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use tracing::warn;

use super::comparison::{Compared, with_comparison, with_deletions};
use super::poll::{Poll, years};
use crate::app::company::Source as CompanySource;
use crate::app::confirmed::confirmed;
use crate::domain::instant::format_instant;
use crate::domain::plan::DEFAULT_CONCURRENCY;
use crate::domain::{
    Deletion, EntityOutcome, EntitySpec, EntitySync, FailureKind, LOOK_BACK, PageSize, Plan,
    RunEnd, RunReport, SyncMethod,
};
use crate::error::{Error, Result};
use crate::pipeline;
use crate::port::{Meter, Progress, RunName, Sink, Source};
use crate::quickbooks::ChangesSource;
use crate::sink::postgres::PostgresSink;
use crate::store::{OtherRun, SyncOutcome, SyncStates};

/// The interval of the comparison of ids, for entities whose deletions QuickBooks does not report.
pub(super) const SWEEP_EVERY: TimeDelta = TimeDelta::hours(24);

/// Returns a plan of which fewer windows are written at the same time: the companies of a sync share the
/// number of those that are.
pub(super) fn of_sync(plan: Plan) -> Plan {
    Plan {
        concurrency: plan.concurrency.min(DEFAULT_CONCURRENCY),
        ..plan
    }
}

/// One company while it is synced.
pub(super) struct CompanySyncer<'a> {
    pub realm_id: &'a str,
    pub source: Arc<CompanySource>,
    pub sink: Arc<PostgresSink>,
    pub states: SyncStates,
    pub page_size: PageSize,
    pub meter: &'a Meter,
    pub progress: Arc<dyn Progress>,
    /// Whether nothing but entities that are read as a whole was asked for.
    pub asks_for_wholes: bool,
}

/// Result of the sync of one company.
#[derive(Debug, Default)]
pub(super) struct Synced {
    /// Reports of all its entities.
    pub entities: Vec<EntitySync>,
    /// Why no further request was sent, if an answer said that none would succeed.
    pub lost: Option<Loss>,
    /// The other sync, which reads the company, so that nothing was done.
    pub held: Option<String>,
}

impl Synced {
    /// Returns the result of a sync that does not wait for another one.
    pub(super) fn held(other: &OtherRun) -> Self {
        let OtherRun {
            entity,
            place,
            since,
            ..
        } = other;
        let since = format_instant(*since);
        Self {
            held: Some(format!(
                "another sync of {entity} ({place}, since {since}) reads this company"
            )),
            ..Self::default()
        }
    }
}

/// Why no further request to a company would succeed.
#[derive(Debug, Clone)]
pub(super) struct Loss {
    pub reason: String,
    pub kind: FailureKind,
}

impl From<&Error> for Loss {
    fn from(error: &Error) -> Self {
        Self {
            reason: error.to_string(),
            kind: FailureKind::of(error),
        }
    }
}

impl CompanySyncer<'_> {
    /// Obtains a token, if anything is to be asked for.
    async fn prepare(&self, entities: &[EntitySpec]) -> Result<()> {
        match entities.is_empty() {
            true => Ok(()),
            false => self.source.prepare().await,
        }
    }

    /// Syncs entities, and records a failure of all of them as one of each.
    ///
    /// # Errors
    /// The same as for [`sync`](Self::sync).
    pub(super) async fn sync_and_record(&self, entities: &[EntitySpec]) -> Result<Synced> {
        let outcome = self.sync(entities).await;
        if let Err(error) = &outcome {
            let failed = SyncOutcome::failed(error.to_string());
            for entity in entities {
                self.record_outcome(entity.name, &failed).await;
            }
        }
        outcome
    }

    /// Syncs entities, each with the cheapest method that finds every change. Ends at the first
    /// answer that says that no request to the company would succeed.
    ///
    /// # Errors
    /// Returns an error only if it would affect every entity.
    async fn sync(&self, entities: &[EntitySpec]) -> Result<Synced> {
        let now = crate::clock::now();
        let polls = self.polls(entities, now).await?;
        let (near, far): (Vec<_>, Vec<_>) = polls.into_iter().partition(|poll| poll.is_near(now));
        self.mark_begun(entities, &near, now).await?;
        self.prepare(entities).await?;
        // How much there is to read is not known yet.
        let names = entities.iter().map(|entity| (entity.name, 0));
        self.progress
            .call_started(self.realm_id, &names.collect::<Vec<_>>());
        let mut synced = Synced::default();
        match self.sync_by_changes(near, &mut synced.entities).await {
            Ok(remaining) => {
                let far = far.into_iter().chain(remaining).collect();
                self.sync_without_changes(far, now, &mut synced).await;
            }
            Err(error) if error.ends_company() => synced.lost = Some((&error).into()),
            Err(error) => return Err(error),
        }
        if let Some(loss) = synced.lost.clone() {
            self.report_not_attempted(entities, &loss.reason, &mut synced.entities)
                .await;
        }
        synced.entities.sort_by(|a, b| a.entity.cmp(&b.entity));
        Ok(synced)
    }

    /// Reports the entities that have no report, because the company cannot be read any more.
    async fn report_not_attempted(
        &self,
        entities: &[EntitySpec],
        reason: &str,
        reports: &mut Vec<EntitySync>,
    ) {
        for entity in entities {
            if reports.iter().all(|report| report.entity != entity.name) {
                let report = EntitySync::not_attempted(entity.name, reason);
                self.end(report, reports).await;
            }
        }
    }

    /// Syncs recently synced entities with one CDC request. Returns those that need another method.
    async fn sync_by_changes(
        &self,
        polls: Vec<Poll>,
        reports: &mut Vec<EntitySync>,
    ) -> Result<Vec<Poll>> {
        let deletions = polls
            .iter()
            .filter_map(|poll| Some(poll.state.deletions_until? - LOOK_BACK));
        let Some(since) = polls
            .iter()
            .filter_map(|poll| poll.since)
            .chain(deletions)
            .min()
        else {
            return Ok(Vec::new());
        };
        let entities: Vec<EntitySpec> = polls.iter().map(|poll| *poll.entity()).collect();
        let mut changes = self.source.changes(&entities, since, self.meter).await?;
        changes.complete = confirmed(&self.source, changes.complete, self.meter).await?;
        let feed = Arc::new(ChangesSource::new(self.source.clone(), &changes.complete));
        let (mut remaining, mut quiet) = (Vec::new(), Vec::new());
        for poll in polls {
            let mut complete = changes.complete.iter();
            match complete.find(|found| found.entity == *poll.entity()) {
                None => remaining.push(poll),
                Some(known) if poll.is_one_done && known.is_empty() => quiet.push(poll),
                Some(known) => {
                    let report = self.store_known(&feed, poll, &known.deletions).await;
                    self.end(report, reports).await;
                }
            }
        }
        for poll in self
            .sync_quiet(&feed, quiet, SyncMethod::Changes, reports)
            .await
        {
            let report = self.store_known(&feed, poll, &[]).await;
            self.end(report, reports).await;
        }
        Ok(remaining)
    }

    /// Stores the changes of an entity, and its deletions.
    async fn store_known(
        &self,
        feed: &Arc<ChangesSource>,
        poll: Poll,
        deletions: &[Deletion],
    ) -> EntitySync {
        let entity = *poll.entity();
        let run = self.run_poll(feed.clone(), poll.plan).await;
        let report = EntitySync::new(&run, SyncMethod::Changes);
        match report.status {
            EntityOutcome::Ok => {
                let marked = self.mark_deleted(&entity, deletions, false).await;
                with_deletions(report, marked)
            }
            EntityOutcome::Failed | EntityOutcome::Unavailable => report,
        }
    }

    /// Reads entities in other ways than by their common changes, until an answer says that no request
    /// would succeed. Those that are read as a whole come last, when it is known that the company
    /// answers.
    async fn sync_without_changes(
        &self,
        polls: Vec<Poll>,
        now: DateTime<Utc>,
        synced: &mut Synced,
    ) {
        let (wholes, polls): (Vec<_>, Vec<_>) = polls
            .into_iter()
            .partition(|poll| poll.entity().is_read_whole);
        self.sync_by_queries(polls, now, synced).await;
        for poll in wholes {
            if synced.lost.is_none() {
                self.sync_whole(poll, now, synced).await;
            }
        }
    }

    /// Reads entities by queries, until an answer says that no request would succeed. Entities without
    /// queries come first, each by its changes alone.
    async fn sync_by_queries(&self, polls: Vec<Poll>, now: DateTime<Utc>, synced: &mut Synced) {
        let (polls, unqueryable): (Vec<_>, Vec<_>) =
            polls.into_iter().partition(|poll| poll.entity().has_query);
        for poll in unqueryable {
            self.sync_unqueryable(poll, now, synced).await;
            if synced.lost.is_some() {
                return;
            }
        }
        let spans = polls
            .iter()
            .filter_map(|poll| Some((*poll.entity(), pipeline::first_span(&poll.plan)?)));
        let prefetched = self
            .source
            .prefetch(&spans.collect::<Vec<_>>(), self.page_size)
            .await;
        let is_quiet = |poll: &Poll| {
            poll.is_one_done
                && !self.needs_comparison(poll, now)
                && pipeline::first_span(&poll.plan)
                    .is_some_and(|span| self.source.has_empty_first_page(poll.entity(), span))
        };
        let (quiet, mut polls): (Vec<_>, Vec<_>) = polls.into_iter().partition(is_quiet);
        let reports = &mut synced.entities;
        polls.extend(
            self.sync_quiet(&self.source, quiet, SyncMethod::Batch, reports)
                .await,
        );
        for poll in polls {
            let needs_comparison = self.needs_comparison(&poll, now);
            let Poll { plan, is_new, .. } = poll;
            let entity = plan.entity;
            self.begin(&[entity.name]).await;
            let method = if prefetched.contains(&entity.name) {
                SyncMethod::Batch
            } else {
                SyncMethod::Query
            };
            let run = self.run_poll(self.source.clone(), plan).await;
            let mut report = EntitySync::new(&run, method);
            if report.status == EntityOutcome::Ok {
                let compared = match () {
                    // A new entity has no older rows that could be missing.
                    () if is_new => {
                        let marked = self.mark_deleted(&entity, &[], true).await;
                        marked.map(|_| Compared::default())
                    }
                    () if needs_comparison => {
                        report.reconciled = true;
                        self.reconcile(&entity).await
                    }
                    () => Ok(Compared::default()),
                };
                report = with_comparison(report, compared);
            }
            self.end(report, &mut synced.entities).await;
            if let Some(RunEnd::CompanyLost(reason, _, kind)) = run.ended_by {
                synced.lost = Some(Loss { reason, kind });
                return;
            }
        }
    }

    /// Returns true if the ids of an entity must be compared before its deletions are known.
    fn needs_comparison(&self, poll: &Poll, now: DateTime<Utc>) -> bool {
        // Rows of a backfill, or of a sync that was interrupted, may have been deleted at QuickBooks
        // since. If it never reports the changes of an entity, a comparison a day has to do.
        let (entity, state) = (poll.entity(), &poll.state);
        let is_reported = entity.supports_cdc() && !self.source.refuses_changes(entity);
        let is_unknown = state.deletions_until.is_none() || is_reported;
        let is_due = state.reconciled_at.is_none_or(|at| at < now - SWEEP_EVERY);
        poll.is_new || is_unknown || is_due
    }

    pub(super) async fn run_poll<S: Source>(&self, source: Arc<S>, plan: Plan) -> RunReport {
        self.run_poll_into(source, self.sink.clone(), plan).await
    }

    pub(super) async fn run_poll_into<S: Source, K: Sink>(
        &self,
        source: Arc<S>,
        sink: Arc<K>,
        plan: Plan,
    ) -> RunReport {
        let (run_id, plan) = (crate::chance::unique_id().to_string(), of_sync(plan));
        let run = pipeline::run(source, sink, plan, &run_id, self.progress.clone()).await;
        (0..run.totals.requests).for_each(|_| self.meter.count_request(false));
        run
    }

    /// Records that entities are being synced, for the status page.
    pub(super) async fn begin(&self, entities: &[&str]) {
        if let Err(error) = self.states.mark_in_progress(entities).await {
            warn!(phase = "load", event = "sync_not_recorded", "{error}");
        }
    }

    /// Returns how progress calls the run of an entity.
    pub(super) fn run_name<'n>(&'n self, entity: &'n str) -> RunName<'n> {
        RunName {
            realm_id: self.realm_id,
            entity,
        }
    }

    /// Records the outcome of an entity, for the status page.
    pub(super) async fn end(&self, report: EntitySync, reports: &mut Vec<EntitySync>) {
        let outcome = SyncOutcome::from(&report);
        self.record_outcome(&report.entity, &outcome).await;
        reports.push(report);
    }

    async fn record_outcome(&self, entity: &str, outcome: &SyncOutcome) {
        self.progress.run_finished(self.run_name(entity));
        if let Err(error) = self.states.record_outcome(entity, outcome).await {
            warn!(
                phase = "load",
                event = "sync_not_recorded",
                entity,
                "{error}"
            );
        }
    }

    /// Records that the entities are about to be synced, for the status page. Those that are read as a whole,
    /// and not yet again, stay as they are.
    async fn mark_begun(
        &self,
        entities: &[EntitySpec],
        near: &[Poll],
        now: DateTime<Utc>,
    ) -> Result<()> {
        let names: Vec<&str> = entities.iter().map(|entity| entity.name).collect();
        let near: Vec<&str> = near.iter().map(|poll| poll.entity().name).collect();
        let wholes = entities.iter().filter(|entity| entity.is_read_whole);
        let dailies = wholes.filter(|_| !self.asks_for_wholes);
        let dailies: Vec<&str> = dailies.map(|entity| entity.name).collect();
        self.states
            .mark_begun(&names, &near, &dailies, now - SWEEP_EVERY)
            .await
    }

    pub(super) async fn horizon(&self, entity: &EntitySpec) -> Result<Option<DateTime<Utc>>> {
        let whole = years(crate::clock::now())?;
        self.source
            .horizon(entity, whole[whole.len() - 1], self.meter)
            .await
    }
}
