//! Log lines of runs and windows.

use tracing::{Level, Span as LogSpan, debug, error, info_span, warn};

use crate::domain::instant::format_instant;
use crate::domain::{
    FailureKind, MAX_SHOWN, Plan, Reject, RunEnd, RunReport, Window, WindowReport, WindowStatus,
    excerpt, unnamed,
};
use crate::event::event_at;
use crate::port::{ReadSummary, RunContext, Sink, Source};

/// Logs what a run is about to read or load, so that a reader of the log knows the range.
pub(super) fn log_start<S: Source, K: Sink>(plan: &Plan, context: &RunContext) {
    let (read, windows) = (plan.windows.len(), plan.windows.len() + plan.skipped.len());
    // Landing files are read by the phase that loads them.
    let (phase, begins) = match S::SHARES_REQUESTS {
        true => ("extract", "reading"),
        false => (K::PHASE, "loading"),
    };
    event_at!(
        if plan.is_quiet {
            Level::DEBUG
        } else {
            Level::INFO
        },
        phase,
        event = "run_started",
        run_id = context.run_id.as_str(),
        windows,
        "{begins} {read} of {} in {}",
        counted(windows as u64, "window"),
        context.range
    );
}

/// Returns the level of a run's closing line. A sync looks at the same time again and again, so a
/// run of a sync that finds nothing is of no interest.
pub(super) fn level_of_run(is_quiet: bool, rows: u64) -> Level {
    match is_quiet && rows == 0 {
        true => Level::DEBUG,
        false => Level::INFO,
    }
}

/// Returns the level of a finished window's line. A window that changed nothing is only counted in
/// the run's closing line, so that a second backfill does not repeat itself once per window.
fn level_of_window(window: &WindowReport) -> Level {
    let landed = if window.path.is_some() {
        window.rows
    } else {
        0
    };
    match window.inserted + window.updated + window.rejected + landed {
        0 => Level::DEBUG,
        _ => Level::INFO,
    }
}

/// Logs that the company does not have the entity of the run.
pub(super) fn log_unavailable(end: &RunEnd) {
    if let RunEnd::Unavailable(reason) = end {
        warn!(phase = "extract", event = "entity_unavailable", "{reason}");
    }
}

pub(super) fn log_window(phase: &str, window: &WindowReport) {
    let (start, end) = (format_instant(window.start), format_instant(window.end));
    if window.status == WindowStatus::Skipped && window.error.is_some() {
        // Its run has one line for all windows that it skips.
    } else if let Some(reason) = &window.error {
        error!(
            phase,
            event = "window_failed",
            failure = window.failure.map(FailureKind::as_str),
            window_start = start.as_str(),
            window_end = end.as_str(),
            pages = window.pages,
            requests = window.requests,
            retries = window.retries,
            duration_ms = window.duration_ms,
            "failed: {reason}"
        );
    } else {
        let outcome = match window.path {
            Some(_) => format!("landed: {}", counted(window.rows, "row")),
            None => format!(
                "done: {}, {} inserted, {} updated, {} unchanged",
                counted(window.rows, "row"),
                window.inserted,
                window.updated,
                window.unchanged
            ),
        };
        event_at!(
            level_of_window(window),
            phase,
            event = "window_done",
            window_start = start.as_str(),
            window_end = end.as_str(),
            pages = window.pages,
            rows = window.rows,
            inserted = window.inserted,
            updated = window.updated,
            unchanged = window.unchanged,
            rejected = window.rejected,
            requests = window.requests,
            retries = window.retries,
            duration_ms = window.duration_ms,
            "{outcome}"
        );
    }
}

pub(super) fn log_run(phase: &str, run: &RunReport, level: Level) {
    let totals = &run.totals;
    event_at!(
        level,
        phase,
        event = "run_finished",
        run_id = run.run_id.as_str(),
        windows = totals.windows,
        pages = totals.pages,
        rows = totals.rows,
        inserted = totals.inserted,
        updated = totals.updated,
        unchanged = totals.unchanged,
        rejected = totals.rejected,
        requests = totals.requests,
        retries = totals.retries,
        duration_ms = totals.duration_ms,
        "{}, {}, {} inserted, {} updated, {} unchanged, {}, {} ms",
        counted(totals.windows, "window"),
        counted(totals.rows, "row"),
        totals.inserted,
        totals.updated,
        totals.unchanged,
        counted(totals.requests, "request"),
        totals.duration_ms
    );
}

/// Names a number of things, for the log.
fn counted(count: u64, thing: &str) -> String {
    match count {
        1 => format!("1 {thing}"),
        count => format!("{count} {thing}s"),
    }
}

/// Returns a tracing span that adds the window to the log lines of a step.
pub(super) fn log_span(window: Window) -> LogSpan {
    let (start, end) = (format_instant(window.start), format_instant(window.end));
    info_span!(
        "window",
        window_start = start.as_str(),
        window_end = end.as_str()
    )
}

pub(super) fn log_read(summary: &ReadSummary, rows: u64) {
    debug!(
        phase = "extract",
        event = "window_read",
        pages = summary.pages,
        rows,
        requests = summary.requests,
        retries = summary.retries,
        "read: {}, {}, {}",
        counted(u64::from(summary.pages), "page"),
        counted(rows, "row"),
        counted(summary.requests, "request")
    );
}

/// Logs rejects of a window, one line each.
pub(super) fn log_rejects<'r>(
    phase: &str,
    window: Window,
    rejects: impl Iterator<Item = &'r Reject>,
) {
    let _in_window = log_span(window).entered();
    for reject in rejects {
        let id = reject.id.as_deref().map(|id| excerpt(id, MAX_SHOWN));
        let id = id.as_deref();
        warn!(
            phase,
            event = "record_rejected",
            id,
            "record {} is set aside: {}",
            id.unwrap_or("without an id"),
            unnamed(reject.id.as_deref(), &reject.error)
        );
    }
}
