//! The pipeline from any source to any sink. Adjacent windows are read together where the source
//! allows it. Each window is stored and committed by itself, completely or not at all. Pages pass
//! through a bounded channel, so that memory stays flat.

#[cfg(test)]
mod admission_tests;
mod log;
mod open_window;
mod part;
mod read;
mod span;
mod task;
mod unfinished;

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tracing::{Instrument, Span, info_span, warn};

use self::log::{level_of_run, log_run, log_start, log_unavailable, log_window};
use self::read::read_windows;
use self::task::SpanTask;
use crate::domain::{Plan, RunEnd, RunReport, Window, WindowReport, merged};
use crate::error::Error;
use crate::port::{Progress, RequestCounts, RunContext, RunName, Sink, Source};

/// Runs one entity's plan. Never fails as a whole: the report holds the outcome of each window.
///
/// Log lines of the run are inside a tracing span with the company and the entity.
pub(crate) async fn run<S: Source, K: Sink>(
    source: Arc<S>,
    sink: Arc<K>,
    plan: Plan,
    run_id: &str,
    progress: Arc<dyn Progress>,
) -> RunReport {
    let span = info_span!(
        "run",
        realm_id = source.realm_id(),
        entity = plan.entity.name
    );
    run_plan(source, sink, plan, run_id, progress)
        .instrument(span)
        .await
}

async fn run_plan<S: Source, K: Sink>(
    source: Arc<S>,
    sink: Arc<K>,
    plan: Plan,
    run_id: &str,
    progress: Arc<dyn Progress>,
) -> RunReport {
    let begin = Instant::now();
    let entity = plan.entity.name;
    let name = RunName {
        realm_id: source.realm_id(),
        entity,
    };
    progress.run_started(name, plan.windows.len());
    begin_run(&*source, &*sink, &plan, run_id).await;
    let mut reports: Vec<_> = plan.skipped.clone();
    let mut run = Run::new::<S>(&plan);
    let (event_sender, mut events) = mpsc::unbounded_channel();
    let task = SpanTask {
        source: source.clone(),
        sink: sink.clone(),
        entity: plan.entity,
        run_id: run_id.to_owned(),
        page_size: plan.page_size.get(),
        read_from: plan.read_from.clone().into(),
        progress: progress.clone(),
        events: event_sender,
        idle: run.idle.clone(),
    };
    loop {
        run.concurrency = source.enough_spans(plan.concurrency.max(1));
        while run.ended_by.is_none() && run.tasks.len() < run.max_tasks() {
            let Some(windows) = run.queued.pop_front() else {
                break;
            };
            let read = read_windows(task.clone(), windows).instrument(Span::current());
            run.tasks.spawn(read);
        }
        run.publish_idle();
        if run.tasks.is_empty() {
            break;
        }
        tokio::select! {
            // Events of a task are handled before its end.
            biased;
            Some(event) = events.recv() => run.on_event::<K>(event, name, &progress, &mut reports),
            Some(_) = run.tasks.join_next() => {}
        }
    }
    drop(task);
    while let Some(event) = events.recv().await {
        run.on_event::<K>(event, name, &progress, &mut reports);
    }
    // Tasks catch their panics. If one ends in another way, its windows must not disappear from the
    // report.
    let outstanding = run.outstanding.into_iter();
    reports.extend(outstanding.map(|window| match &run.ended_by {
        Some(end) => end.report(window),
        None => WindowReport::failed(window, &Error::Cancelled),
    }));
    progress.run_finished(name);
    let millis = u64::try_from(begin.elapsed().as_millis()).unwrap_or(u64::MAX);
    let report =
        RunReport::new(entity, source.realm_id(), run_id, reports, millis).ended_by(run.ended_by);
    log_run(
        K::PHASE,
        &report,
        level_of_run(plan.is_quiet, report.totals.rows),
    );
    if let Err(error) = sink.run_finished(&report).await {
        warn!(
            phase = K::PHASE,
            event = "run_not_recorded",
            entity,
            "{error}"
        );
    }
    report
}

/// Records the start of a run. The run goes on if that fails: the record is for users, and a sink that lacks more fails
/// at the first window.
async fn begin_run<S: Source, K: Sink>(source: &S, sink: &K, plan: &Plan, run_id: &str) {
    let all = || {
        plan.windows
            .iter()
            .copied()
            .chain(plan.skipped.iter().map(WindowReport::window))
    };
    let (Some(start), Some(end)) = (all().map(|w| w.start).min(), all().map(|w| w.end).max())
    else {
        return;
    };
    let context = RunContext {
        run_id: run_id.to_owned(),
        realm_id: source.realm_id().to_owned(),
        entity: plan.entity,
        range: Window { start, end },
        times: merged(&plan.windows),
    };
    log_start::<S, K>(plan, &context);
    if let Err(error) = sink.run_started(&context).await {
        warn!(phase = K::PHASE, event = "run_not_recorded", "{error}");
    }
}

/// An event that a task reports to its run.
enum Event {
    /// A task received its first page.
    Answered,
    /// A window ended.
    WindowEnded(WindowReport),
    /// Requests of a window that has ended.
    RequestsAdded(Window, RequestCounts),
    /// A window failed with an error that ends the whole run.
    RunStopped(WindowReport, RunEnd),
    /// Remaining windows that another task may read.
    WindowsShared(VecDeque<Window>),
}

/// State of a run.
struct Run {
    /// Runs of adjacent windows that no task has started.
    queued: VecDeque<VecDeque<Window>>,
    tasks: JoinSet<()>,
    concurrency: usize,
    /// Number of idle workers, for which reading tasks give away windows.
    idle: Arc<AtomicUsize>,
    /// Windows without a report.
    outstanding: BTreeSet<Window>,
    /// The source has delivered something. Until then one task reads, so that an error that ends
    /// the run costs one request, not one per task.
    is_answered: bool,
    ended_by: Option<RunEnd>,
}

impl Run {
    fn new<S: Source>(plan: &Plan) -> Self {
        let shares = S::SHARES_REQUESTS && !plan.strict_windows;
        Self {
            queued: if shares {
                adjacent(plan)
            } else {
                plan.windows.iter().map(|w| [*w].into()).collect()
            },
            tasks: JoinSet::new(),
            concurrency: plan.concurrency.max(1),
            idle: Arc::default(),
            outstanding: plan.windows.iter().copied().collect(),
            is_answered: false,
            ended_by: None,
        }
    }

    /// Returns the number of tasks that may read at the same time.
    fn max_tasks(&self) -> usize {
        match self.is_answered {
            true => self.concurrency,
            false => 1,
        }
    }

    /// Publishes the number of idle workers to the reading tasks.
    fn publish_idle(&self) {
        let is_sharing_pointless = self.ended_by.is_some() || !self.queued.is_empty();
        let idle = if is_sharing_pointless {
            0
        } else {
            self.concurrency.saturating_sub(self.tasks.len())
        };
        self.idle.store(idle, Ordering::Relaxed);
    }

    fn on_event<K: Sink>(
        &mut self,
        event: Event,
        name: RunName<'_>,
        progress: &Arc<dyn Progress>,
        reports: &mut Vec<WindowReport>,
    ) {
        match event {
            Event::Answered => self.is_answered = true,
            Event::WindowsShared(windows) => self.queued.push_back(windows),
            Event::RequestsAdded(window, counts) => {
                let ended = reports.iter_mut().find(|report| report.window() == window);
                if let Some(report) = ended {
                    report.requests += counts.requests;
                    report.retries += counts.retries;
                }
            }
            Event::RunStopped(report, end) => {
                if self.ended_by.is_none() {
                    log_unavailable(&end);
                    self.ended_by = Some(end);
                }
                self.end_window::<K>(report, name, progress, reports);
            }
            Event::WindowEnded(report) => {
                self.is_answered = true;
                self.end_window::<K>(report, name, progress, reports);
            }
        }
    }

    fn end_window<K: Sink>(
        &mut self,
        report: WindowReport,
        name: RunName<'_>,
        progress: &Arc<dyn Progress>,
        reports: &mut Vec<WindowReport>,
    ) {
        self.outstanding.remove(&report.window());
        progress.window_finished(name, &report);
        log_window(K::PHASE, &report);
        reports.push(report);
    }
}

/// Returns the time of the windows that a plan reads first, as one span; `None` for an empty plan.
pub(crate) fn first_span(plan: &Plan) -> Option<Window> {
    let windows = adjacent(plan).pop_front()?;
    let first = *windows.front()?;
    let known = plan.read_from.iter().find(|known| known.is_within(first));
    Some(Window {
        start: known.map_or(first.start, |known| known.from),
        end: windows.back()?.end,
    })
}

/// Groups the windows of a plan into runs that are read without a gap.
fn adjacent(plan: &Plan) -> VecDeque<VecDeque<Window>> {
    // The beginning of such a window is not read.
    let begins_later =
        |window: &Window| plan.read_from.iter().any(|known| known.is_within(*window));
    let mut runs: VecDeque<VecDeque<Window>> = VecDeque::new();
    for window in &plan.windows {
        match runs.back_mut() {
            Some(run)
                if run.back().is_some_and(|last| last.end == window.start)
                    && !begins_later(window) =>
            {
                run.push_back(*window)
            }
            _ => runs.push_back([*window].into()),
        }
    }
    runs
}
