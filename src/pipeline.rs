//! Drives any source into any sink: windows side by side, pages of a window through a bounded channel, so that
//! memory stays flat and a window is committed whole or not at all.

use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Instant;

use futures_util::FutureExt;
use log::{error, info};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::domain::instant::format_instant;
use crate::domain::{EntitySpec, Page, Plan, RunReport, Window, WindowReport, WindowStatus};
use crate::error::{Error, Result};
use crate::port::{Committed, Meter, Progress, ReadSummary, Sink, Source, WindowOpening, WindowWriter};

/// Where the events of windows read, but not yet stored, go: people are told of each window once, when it is done.
pub const READ_EVENTS: &str = "qbo_rs::read";

/// Pages read ahead of the sink: one being stored, one waiting.
const PAGES_AHEAD: usize = 1;

/// Runs one entity's plan. Never fails as a whole: each window's outcome is in the report.
pub async fn run<S: Source, K: Sink>(
    source: Arc<S>,
    sink: Arc<K>,
    plan: Plan,
    run_id: &str,
    progress: Arc<dyn Progress>,
) -> RunReport {
    let begin = Instant::now();
    let entity = plan.entity.name;
    progress.run_started(entity, plan.windows.len());
    let mut reports: Vec<_> = plan.skipped.iter().copied().map(WindowReport::skipped).collect();
    let mut waiting = plan.windows.iter().copied();
    let mut running = JoinSet::new();
    let mut window_of = HashMap::new();
    let mut stopped_by: Option<String> = None;
    loop {
        while stopped_by.is_none() && running.len() < plan.concurrency.max(1) {
            let Some(window) = waiting.next() else { break };
            let task = WindowTask {
                source: source.clone(),
                sink: sink.clone(),
                opening: WindowOpening {
                    realm_id: source.realm_id().to_owned(),
                    entity: plan.entity.clone(),
                    window,
                    run_id: run_id.to_owned(),
                },
                page_size: plan.page_size.get(),
                progress: progress.clone(),
            };
            window_of.insert(running.spawn(task.run()).id(), window);
        }
        let Some(joined) = running.join_next_with_id().await else { break };
        let (report, ends_run) = match joined {
            Ok((_, outcome)) => outcome,
            // A task catches its panics; whatever else may end it must not make its window disappear.
            Err(error) => match window_of.get(&error.id()) {
                Some(window) => (failed(*window, Error::Cancelled.to_string()), true),
                None => continue,
            },
        };
        if ends_run && stopped_by.is_none() {
            stopped_by.clone_from(&report.error);
        }
        progress.window_finished(entity, &report);
        log_window(K::PHASE, entity, &report);
        reports.push(report);
    }
    let reason = format!("not attempted: {}", stopped_by.unwrap_or_default());
    reports.extend(waiting.map(|window| failed(window, reason.clone())));
    progress.run_finished(entity);
    let report = RunReport::new(entity, source.realm_id(), run_id, reports, millis(begin));
    log_run(K::PHASE, &report);
    report
}

struct WindowTask<S, K> {
    source: Arc<S>,
    sink: Arc<K>,
    opening: WindowOpening,
    page_size: u32,
    progress: Arc<dyn Progress>,
}

#[derive(Default)]
struct PagesSeen {
    count: u32,
    rows: u64,
    read_at: Option<chrono::DateTime<chrono::Utc>>,
}

impl<S: Source, K: Sink> WindowTask<S, K> {
    /// The window's report, and whether its error ends the run.
    async fn run(self) -> (WindowReport, bool) {
        let begin = Instant::now();
        let meter = Meter::default();
        let mut seen = PagesSeen::default();
        let outcome = AssertUnwindSafe(self.copy(&meter, &mut seen)).catch_unwind().await;
        let outcome = outcome.unwrap_or_else(|panic| Err(Error::from_panic(&*panic)));
        let window = self.opening.window;
        let (mut report, ends_run) = match outcome {
            Ok(Committed { counts, path }) => {
                (WindowReport { path, ..WindowReport::empty(window, WindowStatus::Done).with_counts(counts) }, false)
            }
            Err(error) => (failed(window, error.to_string()), error.ends_run()),
        };
        report.pages = seen.count;
        report.requests = meter.requests();
        report.retries = meter.retries();
        report.duration_ms = millis(begin);
        (report, ends_run)
    }

    async fn copy(&self, meter: &Meter, seen: &mut PagesSeen) -> Result<Committed> {
        let mut writer = self.sink.open_window(self.opening.clone()).await?;
        let (sender, receiver) = mpsc::channel(PAGES_AHEAD);
        let WindowOpening { entity, window, .. } = &self.opening;
        let read = self.source.read_window(entity, *window, self.page_size, meter, sender);
        let (read, stored) = tokio::join!(read, self.store(entity, &mut writer, receiver, seen));
        // A sink that failed also stops the reader; its error is the cause.
        stored?;
        read?;
        let summary = ReadSummary {
            pages: seen.count,
            requests: meter.requests(),
            retries: meter.retries(),
            read_at: seen.read_at,
        };
        log_read(&self.opening, &summary, seen.rows);
        writer.commit(summary).await
    }

    async fn store(
        &self,
        entity: &EntitySpec,
        writer: &mut K::Writer,
        mut pages: mpsc::Receiver<Page>,
        seen: &mut PagesSeen,
    ) -> Result<()> {
        while let Some(page) = pages.recv().await {
            seen.count += 1;
            seen.read_at = seen.read_at.or(page.read_at);
            let rows = page.records.len();
            seen.rows += rows as u64;
            writer.write(page).await?;
            self.progress.page_read(entity.name, rows);
        }
        Ok(())
    }
}

fn failed(window: Window, error: String) -> WindowReport {
    WindowReport { error: Some(error), ..WindowReport::empty(window, WindowStatus::Failed) }
}

fn millis(begin: Instant) -> u64 {
    u64::try_from(begin.elapsed().as_millis()).unwrap_or(u64::MAX)
}

fn log_read(opening: &WindowOpening, summary: &ReadSummary, rows: u64) {
    let (start, end) = (format_instant(opening.window.start), format_instant(opening.window.end));
    let entity = opening.entity.name;
    info!(target: READ_EVENTS, phase = "extract", event = "window_read", entity, window_start = start.as_str(), window_end = end.as_str(),
        pages = summary.pages, rows, requests = summary.requests, retries = summary.retries;
        "{entity} [{start}, {end}) read: {} pages, {rows} rows, {} requests", summary.pages, summary.requests);
}

fn log_window(phase: &str, entity: &str, window: &WindowReport) {
    let (start, end) = (format_instant(window.start), format_instant(window.end));
    if let Some(reason) = &window.error {
        error!(phase, event = "window_failed", entity, window_start = start.as_str(), window_end = end.as_str(),
            pages = window.pages, requests = window.requests, retries = window.retries,
            duration_ms = window.duration_ms;
            "{entity} [{start}, {end}) failed: {reason}");
    } else {
        info!(phase, event = "window_done", entity, window_start = start.as_str(), window_end = end.as_str(),
            pages = window.pages, rows = window.rows, inserted = window.inserted, updated = window.updated,
            unchanged = window.unchanged, rejected = window.rejected, requests = window.requests,
            retries = window.retries, duration_ms = window.duration_ms;
            "{entity} [{start}, {end}) done: {} rows, {} inserted, {} updated, {} unchanged",
            window.rows, window.inserted, window.updated, window.unchanged);
    }
}

fn log_run(phase: &str, run: &RunReport) {
    let (entity, totals) = (run.entity.as_str(), &run.totals);
    info!(phase, event = "run_finished", entity, run_id = run.run_id.as_str(), windows = totals.windows,
        pages = totals.pages, rows = totals.rows, inserted = totals.inserted, updated = totals.updated,
        unchanged = totals.unchanged, rejected = totals.rejected, requests = totals.requests,
        retries = totals.retries, duration_ms = totals.duration_ms;
        "{entity}: {} windows, {} rows, {} inserted, {} updated, {} unchanged, {} requests, {} ms", totals.windows,
        totals.rows, totals.inserted, totals.updated, totals.unchanged, totals.requests, totals.duration_ms);
}
