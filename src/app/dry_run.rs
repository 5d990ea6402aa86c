//! Dry runs: the windows that would be read, and their cost.

use super::App;
use super::company::{Company, Source as CompanySource, company_config};
use crate::domain::{
    CallCost, ConnectionReport, EntitySpec, PageSize, Report, RunCost, RunReport, SkipReason,
    Window, WindowReport, merged,
};
use crate::error::Result;
use crate::port::{Meter, RecordIndex, Source};
use crate::quickbooks::MAX_ITEMS;

/// One entity that would be read.
pub(super) struct Intent {
    pub entity: EntitySpec,
    /// Number of windows that earlier runs have committed.
    pub committed: usize,
    /// The other windows.
    pub remaining: Vec<Window>,
}

/// The way in which a call reads.
#[derive(Clone, Copy)]
pub(super) struct Manner {
    pub page_size: PageSize,
    pub strict_windows: bool,
    /// The first pages of all entities come with one request.
    pub shares_first_pages: bool,
    /// QuickBooks is asked for the number of records.
    pub asks_for_counts: bool,
}

impl App {
    /// Returns the report of a dry run: the windows that would be read are skipped.
    ///
    /// # Errors
    /// Settings; if QuickBooks is asked, also its errors.
    pub(super) async fn cost_of(
        &self,
        realm_id: &str,
        intents: Vec<Intent>,
        manner: Manner,
    ) -> Result<Report> {
        let (limits, monthly_quota) = (self.settings.limits()?, self.settings.monthly_quota()?);
        let mut runs: Vec<RunReport> = intents
            .iter()
            .map(|intent| run_of(realm_id, intent))
            .collect();
        let connection = match manner.asks_for_counts {
            true => self.count_rows(&intents, &mut runs).await?,
            false => None,
        };
        let mut sharing = 0;
        for (intent, run) in intents.iter().zip(&mut runs) {
            if let Some(cost) = &mut run.plan {
                let reads = number_of_reads(&intent.entity, run.windows.as_slice(), manner);
                *cost = cost.with_requests(reads, manner.page_size.get());
                sharing += u64::from(intent.entity.has_query && cost.to_read > 0);
            }
        }
        let costs = runs.iter().filter_map(|run| run.plan);
        let mut requests = costs.map(|cost| cost.requests).sum::<u64>();
        if manner.shares_first_pages {
            // The first pages of many entities come with one request.
            requests -= sharing - sharing.div_ceil(MAX_ITEMS as u64);
        }
        let rates = (limits.per_second, limits.per_minute);
        Ok(Report {
            runs,
            connection,
            plan: Some(CallCost::new(
                requests,
                manner.asks_for_counts,
                rates,
                monthly_quota,
            )),
        })
    }

    /// Asks QuickBooks for the number of records in the windows that would be read.
    async fn count_rows(
        &self,
        intents: &[Intent],
        runs: &mut [RunReport],
    ) -> Result<Option<ConnectionReport>> {
        let config = company_config(&self.settings).await?;
        let (source, connection) = Company::open(&self.settings, &config, &self.progress)
            .await?
            .into_parts();
        source.prepare().await?;
        for (intent, run) in intents.iter().zip(runs) {
            run.realm_id.clone_from(&config.realm_id);
            let stretches = stretches(&run.windows);
            if let Some(cost) = &mut run.plan {
                cost.rows = rows_of(&source, &intent.entity, &stretches).await?;
            }
        }
        Ok(connection.report().await)
    }
}

/// Returns the number of records; `None` for an entity that cannot be counted.
async fn rows_of(
    source: &CompanySource,
    entity: &EntitySpec,
    stretches: &[Window],
) -> Result<Option<u64>> {
    if !entity.has_query {
        return Ok(None);
    }
    if stretches.is_empty() {
        return Ok(Some(0));
    }
    match source.counts(entity, stretches, &Meter::default()).await {
        Ok(counts) => Ok(Some(counts.iter().sum())),
        Err(error) if error.is_unavailable() => Ok(Some(0)),
        Err(error) => Err(error),
    }
}

fn run_of(realm_id: &str, intent: &Intent) -> RunReport {
    let now = crate::clock::now();
    let report = |window: &Window| {
        let reason = match window.start >= now {
            true => SkipReason::Future,
            false => SkipReason::Planned,
        };
        WindowReport::skipped(*window, reason)
    };
    let windows: Vec<WindowReport> = intent.remaining.iter().map(report).collect();
    let future = windows.iter().filter(|window| !is_planned(window)).count();
    let cost = RunCost {
        windows: (intent.committed + windows.len()) as u64,
        committed: intent.committed as u64,
        future: future as u64,
        to_read: (windows.len() - future) as u64,
        ..RunCost::default()
    };
    let run = RunReport::new(intent.entity.name, realm_id, "dry-run", windows, 0);
    RunReport {
        plan: Some(cost),
        ..run
    }
}

fn is_planned(window: &WindowReport) -> bool {
    window.skip_reason == Some(SkipReason::Planned)
}

/// Returns the time that would be read, adjacent windows merged.
fn stretches(windows: &[WindowReport]) -> Vec<Window> {
    let planned = windows.iter().filter(|window| is_planned(window));
    merged(&planned.map(WindowReport::window).collect::<Vec<_>>())
}

/// Returns the number of reads that begin with a request of their own.
fn number_of_reads(entity: &EntitySpec, windows: &[WindowReport], manner: Manner) -> u64 {
    let reads = match manner.strict_windows {
        _ if entity.is_read_whole => 1,
        true => windows.iter().filter(|window| is_planned(window)).count(),
        false => stretches(windows).len(),
    };
    reads as u64
}
