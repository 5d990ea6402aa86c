//! Running the plans of a request, one run per entity.

use std::sync::Arc;

use chrono::TimeDelta;

use super::App;
use crate::domain::plan::MAX_CONCURRENCY;
use crate::domain::{
    EntitySpec, PageSize, Plan, Report, RunEnd, RunReport, SkipReason, Window, WindowReport,
    WindowStatus,
};
use crate::pipeline;
use crate::port::{Progress, RunName, Sink, Source};

impl App {
    /// Runs the plans as [`run_plans`] does.
    pub(super) async fn run<S: Source, K: Sink>(
        &self,
        source: Arc<S>,
        sink: Arc<K>,
        plans: Vec<Plan>,
    ) -> Report {
        run_plans(source, sink, plans, &self.progress).await
    }
}

/// Runs the plans one after the other. Once no request to the company would succeed, the remaining
/// ones are only reported.
pub(crate) async fn run_plans<S: Source, K: Sink>(
    source: Arc<S>,
    sink: Arc<K>,
    plans: Vec<Plan>,
    progress: &Arc<dyn Progress>,
) -> Report {
    let planned: Vec<(&str, usize)> = plans
        .iter()
        .map(|plan| (plan.entity.name, plan.windows.len()))
        .collect();
    progress.call_started(source.realm_id(), &planned);
    let mut runs = Vec::with_capacity(plans.len());
    let mut lost: Option<RunEnd> = None;
    for plan in plans {
        let claimed = plan.run_id.clone();
        let run_id = claimed.unwrap_or_else(|| crate::chance::unique_id().to_string());
        if let Some(end) = &lost {
            runs.push(not_attempted(&plan, source.realm_id(), &run_id, end));
            continue;
        }
        let run = pipeline::run(
            source.clone(),
            sink.clone(),
            plan,
            &run_id,
            progress.clone(),
        )
        .await;
        if let Some(end @ RunEnd::CompanyLost(..)) = &run.ended_by {
            lost = Some(end.clone());
        }
        runs.push(run);
    }
    Report {
        runs,
        ..Report::default()
    }
}

/// Observes runs that are a part of what is shown already: a comparison reads windows or records again, and counts them by
/// itself. Only a failure is news.
pub(super) struct Inner(pub(super) Arc<dyn Progress>);

impl Progress for Inner {
    fn next(&self) -> Option<&dyn Progress> {
        Some(&*self.0)
    }

    fn call_started(&self, _realm_id: &str, _runs: &[(&str, usize)]) {}

    fn run_started(&self, _run: RunName<'_>, _windows: usize) {}

    fn run_finished(&self, _run: RunName<'_>) {}

    fn page_read(&self, _run: RunName<'_>, _rows: usize) {}

    fn part_committed(&self, _run: RunName<'_>, _window: Window, _rows: u64) {}

    fn window_finished(&self, run: RunName<'_>, window: &WindowReport) {
        if window.status == WindowStatus::Failed {
            self.0.window_finished(run, window);
        }
    }
}

/// A report of a run of which no window was tried.
fn not_attempted(plan: &Plan, realm_id: &str, run_id: &str, end: &RunEnd) -> RunReport {
    let failed = |window: &Window| end.report(*window);
    let mut windows: Vec<WindowReport> = plan.windows.iter().map(failed).collect();
    windows.extend(plan.skipped.iter().cloned());
    RunReport::new(plan.entity.name, realm_id, run_id, windows, 0).ended_by(Some(end.clone()))
}

/// Returns the plan of windows, none of which costs a request if all of them lie in the future. A day is
/// more than clocks differ.
pub(super) fn plan_of_past(
    entity: EntitySpec,
    windows: Vec<Window>,
    mut skipped: Vec<WindowReport>,
    page_size: PageSize,
) -> Plan {
    let future = crate::clock::now() + TimeDelta::days(1);
    if windows.iter().any(|window| window.start <= future) {
        return plan(entity, windows, skipped, page_size);
    }
    let future = windows.into_iter();
    skipped.extend(future.map(|window| WindowReport::skipped(window, SkipReason::Future)));
    plan(entity, Vec::new(), skipped, page_size)
}

pub(crate) fn plan(
    entity: EntitySpec,
    windows: Vec<Window>,
    skipped: Vec<WindowReport>,
    page_size: PageSize,
) -> Plan {
    // All records of such an entity come with one answer, for the last of its windows.
    let concurrency = match entity.is_read_whole {
        true => 1,
        false => MAX_CONCURRENCY,
    };
    Plan {
        entity,
        windows,
        skipped,
        read_from: Vec::new(),
        reads_since: None,
        page_size,
        concurrency,
        strict_windows: false,
        run_id: None,
        is_quiet: false,
    }
}
