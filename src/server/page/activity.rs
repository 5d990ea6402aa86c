//! Work under way and work done: jobs of the queue, and runs of syncs, backfills and loads.

use maud::{Markup, html};

use super::view::View;
use crate::app::{EntityState, Job, RecentRun};
use crate::domain::{EntitySyncStatus, JobStatus, LedgerRunStatus};
use crate::language::say;

/// Renders the latest jobs.
pub(super) fn jobs(view: &View<'_>, jobs: &[Job]) -> Markup {
    let language = view.language;
    let headers = [
        say!(in language; "Job"),
        say!(in language; "Status"),
        say!(in language; "Queued"),
        say!(in language; "Duration"),
        say!(in language; "Outcome"),
    ];
    html! {
        h2 { (say!(in language; "Jobs")) }
        @if jobs.is_empty() { p { (say!(in language; "No jobs yet: requests and webhooks make them.")) } } @else {
            table.stack {
                caption { (say!(in language; "Latest jobs")) }
                thead { tr { @for header in &headers { th scope="col" { (header) } } } }
                tbody {
                    @for job in jobs {
                        tr {
                            th scope="row" { code { (short(&job.job_id)) } }
                            td data-label=(headers[1]) { span class=(format!("mark {}", job.status)) { (job_status(view, job.status)) } }
                            td data-label=(headers[2]) { (view.when(job.created_at)) }
                            td data-label=(headers[3]) {
                                @if let Some(begin) = job.started_at { (view.span(job.finished_at.unwrap_or(view.now) - begin)) }
                            }
                            td data-label=(headers[4]) { (outcome(view, job)) }
                        }
                    }
                }
            }
        }
    }
}

/// Returns the beginning of a job's id; all of it if it is none of ours and shorter.
fn short(job_id: &str) -> &str {
    job_id.get(..8).unwrap_or(job_id)
}

fn job_status(view: &View<'_>, status: JobStatus) -> String {
    let language = view.language;
    match status {
        JobStatus::Queued => say!(in language; "queued"),
        JobStatus::Running => say!(in language; "running"),
        JobStatus::Done => say!(in language; "done"),
        JobStatus::Failed => say!(in language; "failed"),
        JobStatus::Cancelled => say!(in language; "cancelled"),
    }
}

fn outcome(view: &View<'_>, job: &Job) -> Markup {
    html! {
        @match (job.status, &job.error) {
            // The entities of companies that are left out do not count here.
            (JobStatus::Running, _) if view.shown.others > 0 => { }
            (JobStatus::Running, _) => { (progress(view, job)) }
            (_, Some(error)) => { (view.translated(error)) }
            (JobStatus::Done, None) => { (say!(in view.language; "in sync")) }
            _ => { }
        }
    }
}

/// Renders how many of the entities that a running job has started are finished.
fn progress(view: &View<'_>, job: &Job) -> Markup {
    let states: Vec<&EntityState> = view
        .coverage
        .iter()
        .filter_map(|of| of.state.as_ref())
        .collect();
    let started = |state: &&&EntityState| state.last_attempt_at >= job.started_at;
    let total = states.iter().filter(started).count();
    let is_open = |state: &&&EntityState| {
        matches!(
            state.status,
            EntitySyncStatus::Pending | EntitySyncStatus::InProgress
        )
    };
    let ended = states
        .iter()
        .filter(started)
        .filter(|state| !is_open(state))
        .count();
    let language = view.language;
    html! {
        @if total == 0 { (say!(in language; "starting")) } @else {
            (say!(in language; "{ended} of {total} entities", ended, total)) " "
            progress max=(total) value=(ended) aria-label=(say!(in language; "Progress")) { }
        }
    }
}

/// Renders the latest runs; nothing before the first one.
pub(super) fn runs(view: &View<'_>) -> Markup {
    let language = view.language;
    let headers = [
        say!(in language; "Began"),
        say!(in language; "Entity"),
        say!(in language; "Status"),
        say!(in language; "Range"),
        say!(in language; "Rows"),
        say!(in language; "Duration"),
    ];
    html! {
        @if !view.overview.runs.is_empty() {
            h2 { (say!(in language; "Loads")) }
            table.stack {
                caption { (say!(in language; "Latest loads that are under way, failed or changed rows")) }
                thead { tr { @for header in &headers { th scope="col" { (header) } } } }
                tbody {
                    @for run in &view.overview.runs { (row(view, run, &headers)) }
                }
            }
        }
    }
}

fn row(view: &View<'_>, run: &RecentRun, headers: &[String; 6]) -> Markup {
    let language = view.language;
    let (class, status) = match run.status {
        LedgerRunStatus::Running if run.is_dead => {
            ("failed", say!(in language; "silent, probably dead"))
        }
        LedgerRunStatus::Running => ("running", say!(in language; "running")),
        LedgerRunStatus::Interrupted => ("cancelled", say!(in language; "interrupted")),
        LedgerRunStatus::Ok => ("done", say!(in language; "done")),
        LedgerRunStatus::Partial => ("failed", say!(in language; "partly failed")),
        LedgerRunStatus::Failed => ("failed", say!(in language; "failed")),
    };
    html! {
        tr {
            th scope="row" { (view.when(run.started_at)) }
            td data-label=(headers[1]) { (say!(in language; "{entity} of {company}", entity = run.entity, company = view.name(&run.realm_id))) }
            td data-label=(headers[2]) {
                span class=(format!("mark {class}")) { (status) }
                @if let Some(error) = &run.error { ": " (view.translated(error)) }
            }
            td data-label=(headers[3]) {
                (say!(in language; "{start} to {end}", start = run.start.format("%Y-%m-%d"), end = run.end.format("%Y-%m-%d")))
            }
            td data-label=(headers[4]) { (view.number(run.rows)) }
            td data-label=(headers[5]) { (view.span(run.finished_at.unwrap_or(view.now) - run.started_at)) }
        }
    }
}
