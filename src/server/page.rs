//! The status page. It is rendered on the server and complete without JavaScript, which only
//! refreshes it every few seconds.

use std::collections::BTreeMap;

use axum::extract::State;
use axum::http::header::{self, HeaderName};
use axum::response::Html;
use chrono::{DateTime, Datelike, Duration, NaiveDate, Utc};
use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::reply::Reply;
use super::state::Shared;
use crate::app::{CompanyReport, Coverage, EntityState, Job, SchemaDrift, Service};
use crate::domain::{ConnectionState, EntitySyncStatus, JobStatus, Window};
use crate::error::Result;
use crate::quickbooks::Limits;

const STYLE: &str = include_str!("page.css");
/// Replaces the content with that of a fresh page every 5 s while the page is visible. Open
/// calendars stay open, and the keyboard focus stays where it was.
const SCRIPT: &str = "setInterval(async()=>{try{if(document.hidden)return;const a=await fetch(location.href);if(!a.ok)return;\
    const d=new DOMParser().parseFromString(await a.text(),'text/html');\
    for(const o of document.querySelectorAll('details')){const n=d.getElementById(o.id);if(n)n.open=o.open}\
    const f=document.activeElement.closest('details');\
    document.querySelector('main').replaceWith(d.querySelector('main'));\
    if(f)document.getElementById(f.id)?.querySelector('summary').focus()}catch{}},5000)";
/// Calendars start open if there are at most this many companies.
const OPEN_CALENDARS: usize = 3;
/// The months in a calendar.
const MONTHS: u32 = 24;

const CONTENT_POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; \
     script-src 'unsafe-inline'; connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; \
     form-action 'none'";

/// Renders the page for `GET /`.
pub(super) async fn show(
    State(state): Shared,
) -> Reply<([(HeaderName, &'static str); 1], Html<String>)> {
    let page = page(&state.service).await?;
    let policy = (header::CONTENT_SECURITY_POLICY, CONTENT_POLICY);
    Ok(([policy], Html(page.into_string())))
}

async fn page(service: &Service) -> Result<Markup> {
    let now = crate::clock::now();
    let accounts = service.accounts().await?;
    let coverage = service.coverage(months(now)[0].start).await?;
    let jobs = service.recent_jobs().await?;
    let drift = service.schema_drift().await?;
    let books = service.tie_outs().await?;
    let (limits, quota) = service.limits()?;
    Ok(html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { "qbo_rs" }
                style { (PreEscaped(STYLE)) }
            }
            body {
                a.skip href="#content" { "Skip to content" }
                header { h1 { "QuickBooks in Postgres" } }
                main #content {
                    p.time { "As of " (instant(now)) }
                    h2 { "Companies" }
                    (companies(&accounts, &coverage, now))
                    (traffic(&accounts, limits, quota))
                    (actions(&accounts, &coverage))
                    h2 { "Jobs" }
                    @if jobs.is_empty() { p { "No jobs yet." } } @else {
                        table {
                            caption { "Latest jobs" }
                            thead { tr { th scope="col" { "Job" } th scope="col" { "Status" } th scope="col" { "Queued" }
                                th scope="col" { "Duration" } th scope="col" { "Outcome" } } }
                            tbody {
                                @for job in &jobs {
                                    tr {
                                        th scope="row" { code { (short(&job.job_id)) } }
                                        td { span class=(format!("mark {}", job.status)) { (job.status.as_str()) } }
                                        td { (instant(job.created_at)) }
                                        td { @if let Some(begin) = job.started_at { (span(job.finished_at.unwrap_or(now) - begin)) } }
                                        td {
                                            @if job.status == JobStatus::Running { (progress(job, &coverage)) }
                                            @else { (job.error.as_deref().unwrap_or(if job.status == JobStatus::Done { "in sync" } else { "" })) }
                                        }
                                    }
                                }
                            }
                        }
                    }
                    h2 { "Coverage" }
                    @if coverage.is_empty() { p { "No entity has been synced yet." } } @else { (calendars(&coverage, now)) }
                    (super::books::tie_outs(&books, instant))
                    (differences(&drift))
                }
                script { (PreEscaped(SCRIPT)) }
            }
        }
    })
}

/// The most differences that are shown.
const MAX_DIFFERENCES: usize = 50;

/// Renders what records have and the table of fields does not say; nothing if they agree.
fn differences(drift: &[SchemaDrift]) -> Markup {
    html! {
        @if !drift.is_empty() {
            h2 { "New in QuickBooks" }
            table {
                caption { "Properties and values that this version does not know" }
                thead { tr { th scope="col" { "Entity" } th scope="col" { "Property" } th scope="col" { "What" }
                    th scope="col" { "Records" } th scope="col" { "For example" } th scope="col" { "Last seen" } } }
                tbody {
                    @for one in drift.iter().take(MAX_DIFFERENCES) {
                        tr {
                            td { (one.entity) " of " (one.realm_id) }
                            th scope="row" { code { (one.path) } }
                            td { (one.kind) ", " (one.found) @if let Some(expected) = &one.expected { " for " (expected) } }
                            td { (one.records) }
                            td { code { (one.example_id) } }
                            td { (instant(one.last_seen)) }
                        }
                    }
                }
            }
            @if drift.len() > MAX_DIFFERENCES { p { (drift.len() - MAX_DIFFERENCES) " more in qbo.schema_drift." } }
        }
    }
}

/// Returns the beginning of a job's id; all of it if it is none of ours and shorter.
fn short(job_id: &str) -> &str {
    job_id.get(..8).unwrap_or(job_id)
}

/// Renders how many of the entities that a running job has started are finished.
fn progress(job: &Job, coverage: &[Coverage]) -> Markup {
    let states: Vec<&EntityState> = coverage.iter().map(|of| &of.state).collect();
    let started = |state: &&&EntityState| state.last_attempt_at >= job.started_at;
    let total = states.iter().filter(started).count();
    let ended = states
        .iter()
        .filter(started)
        .filter(|state| {
            !matches!(
                state.status,
                EntitySyncStatus::Pending | EntitySyncStatus::InProgress
            )
        })
        .count();
    html! {
        @if total == 0 { "starting" } @else {
            (ended) " of " (total) " entities " progress max=(total) value=(ended) aria-label="Progress" { }
        }
    }
}

fn companies(accounts: &[CompanyReport], coverage: &[Coverage], now: DateTime<Utc>) -> Markup {
    html! {
        @if accounts.is_empty() {
            p { "No company is connected yet. Connect one with " code { "qbo-rs auth login" } " or " code { "POST /api/qbo/authorize/" } "." }
        } @else {
            table {
                caption { "Connections" }
                thead { tr { th scope="col" { "Company" } th scope="col" { "State" } th scope="col" { "Oldest checkpoint" }
                    th scope="col" { "Days left" } } }
                tbody {
                    @for account in accounts {
                        @let realm_id = &account.account.realm_id;
                        @let oldest = coverage.iter().filter(|of| of.state.realm_id == *realm_id && of.state.status != EntitySyncStatus::Unavailable).filter_map(|of| of.state.checkpoint).min();
                        tr {
                            th scope="row" { (realm_id) }
                            td { span class=(format!("mark {}", account.state)) { (account.state.as_str().replace('_', " ")) } }
                            td { @if let Some(oldest) = oldest { (span(now - oldest)) " ago" } @else { "none" } }
                            td { @if let Some(days) = account.days_left { (days) } @else { "unknown" } }
                        }
                    }
                }
            }
        }
    }
}

/// Renders the requests to QuickBooks next to their limits.
fn traffic(accounts: &[CompanyReport], limits: Limits, quota: u64) -> Markup {
    html! {
        @if !accounts.is_empty() {
            table {
                caption { "Requests to QuickBooks by all processes" }
                thead { tr { th scope="col" { "Company" } th scope="col" { "Last minute" } th scope="col" { "In flight" }
                    th scope="col" { "Reads this month" } th scope="col" { "Paused" } } }
                tbody {
                    @for account in accounts {
                        @let traffic = &account.traffic;
                        tr {
                            th scope="row" { (account.account.realm_id) }
                            td { (usage(traffic.requests_last_minute.into(), limits.per_minute.into(), "Requests of the last minute and their limit")) }
                            td { (usage(traffic.in_flight as u64, limits.in_flight.into(), "Requests in flight and their limit")) }
                            td { (usage(traffic.monthly_reads, quota, "Reads of this month and the quota")) }
                            td {
                                @if traffic.breaker.is_open() { span class="mark failed" { "the API does not answer" } }
                                @else if let Some(until) = traffic.paused_until { span class="mark running" { "throttled until " (instant(until)) } }
                                @else { "no" }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// Renders `used of max`; a `max` of 0 means unlimited.
fn usage(used: u64, max: u64, label: &str) -> Markup {
    html! {
        (used)
        @if max > 0 {
            " of " (max) " "
            meter aria-label=(label) min="0" max=(max) value=(used) high=(max.saturating_mul(8) / 10) { }
        }
    }
}

/// Renders the problems that a person must solve, each with its remedy.
fn actions(accounts: &[CompanyReport], coverage: &[Coverage]) -> Markup {
    let dead: Vec<&CompanyReport> = accounts
        .iter()
        .filter(|account| account.state == ConnectionState::NeedsReauth)
        .collect();
    // Entities that failed with the same message share one line.
    let mut failed: BTreeMap<(&str, &str), Vec<&EntityState>> = BTreeMap::new();
    let is_dead = |realm_id: &str| {
        dead.iter()
            .any(|account| account.account.realm_id == realm_id)
    };
    let states = coverage.iter().map(|of| &of.state);
    for state in
        states.filter(|state| state.status == EntitySyncStatus::Failed && !is_dead(&state.realm_id))
    {
        let message = state.message.as_deref().unwrap_or("failed");
        failed
            .entry((&state.realm_id, message))
            .or_default()
            .push(state);
    }
    html! {
        @if !failed.is_empty() || !dead.is_empty() {
            section aria-labelledby="actions" {
                h2 #actions { "Action required" }
                ul {
                    @for account in dead {
                        li { strong { "Company " (account.account.realm_id) } " must be connected again: "
                            code { "qbo-rs auth login" } ", or " code { "qbo-rs auth import" } ". "
                            (account.account.needs_reauth.as_deref().unwrap_or_default()) }
                    }
                    @for ((realm_id, message), states) in failed {
                        li { strong { (names(&states)) " of " (realm_id) } ": " (message) ". Consecutive failures: "
                            (states.iter().map(|state| state.consecutive_failures).max().unwrap_or_default())
                            ". The next sync tries again; " code { "qbo-rs verify" } " compares QuickBooks with Postgres." }
                    }
                }
            }
        }
    }
}

/// Lists the names of the entities, shortened beyond four.
fn names(states: &[&EntityState]) -> String {
    match states {
        [first, .., _] if states.len() > 4 => {
            format!("{} and {} more", first.entity, states.len() - 1)
        }
        _ => states
            .iter()
            .map(|state| state.entity.as_str())
            .collect::<Vec<_>>()
            .join(", "),
    }
}

/// Renders one calendar per company, closed if there are many.
fn calendars(coverage: &[Coverage], now: DateTime<Utc>) -> Markup {
    let mut companies: BTreeMap<&str, Vec<&Coverage>> = BTreeMap::new();
    let mut absent: BTreeMap<&str, Vec<&EntityState>> = BTreeMap::new();
    for of in coverage {
        let state = &of.state;
        let covered = companies.entry(&state.realm_id).or_default();
        match state.status {
            EntitySyncStatus::Unavailable => absent.entry(&state.realm_id).or_default().push(state),
            _ => covered.push(of),
        }
    }
    let is_open = companies.len() <= OPEN_CALENDARS;
    html! {
        p { "The last " (MONTHS) " months. A filled square is a month whose records are all in Postgres." }
        @for (realm_id, coverage) in companies {
            details id=(format!("calendar-{realm_id}")) open[is_open] {
                summary { "Company " (realm_id) }
                (calendar(realm_id, &coverage, now))
                @if let Some(states) = absent.get(realm_id) {
                    p { "Not available in this company: "
                        @for (number, state) in states.iter().enumerate() {
                            @if number > 0 { ", " }
                            span title=(state.message.as_deref().unwrap_or_default()) { (state.entity) }
                        }
                        ". QuickBooks is asked again once a day." }
                }
            }
        }
    }
}

fn calendar(realm_id: &str, coverage: &[&Coverage], now: DateTime<Utc>) -> Markup {
    let months = months(now);
    html! {
        table.calendar {
            caption.hidden { "Coverage of company " (realm_id) }
            thead { tr { th scope="col" { "Entity" }
                @for month in &months { th scope="col" { span.month { (month.start.format("%Y-%m")) } } } } }
            tbody {
                @for of in coverage {
                    tr {
                        th scope="row" { (of.state.entity) }
                        @for month in &months {
                            @let (class, word) = extent(*month, &of.committed, now);
                            td { span class=(format!("cell {class}")) title=(format!("{}: {word}", month.start.format("%Y-%m"))) {
                                span.hidden { (word) } } }
                        }
                    }
                }
            }
        }
    }
}

/// Returns the last [`MONTHS`] months, oldest first.
fn months(now: DateTime<Utc>) -> Vec<Window> {
    let number = now.year() * 12 + now.month0() as i32;
    let first = |number: i32| {
        let date =
            NaiveDate::from_ymd_opt(number.div_euclid(12), number.rem_euclid(12) as u32 + 1, 1);
        date.unwrap_or_default()
            .and_time(chrono::NaiveTime::MIN)
            .and_utc()
    };
    (number - MONTHS as i32 + 1..=number)
        .map(|number| Window {
            start: first(number),
            end: first(number + 1),
        })
        .collect()
}

/// Returns how much of the elapsed part of a month is committed, as CSS class and word.
fn extent(month: Window, committed: &[Window], now: DateTime<Utc>) -> (&'static str, &'static str) {
    // Syncs stay up to an hour behind the present.
    let end = month
        .end
        .min(now - Duration::hours(1))
        .max(month.start + Duration::seconds(1));
    let missing = Window {
        start: month.start,
        end,
    }
    .minus(committed);
    match &missing[..] {
        [] => ("whole", "complete"),
        [one]
            if *one
                == (Window {
                    start: month.start,
                    end,
                }) =>
        {
            ("none", "nothing")
        }
        _ => ("partial", "partly"),
    }
}

fn instant(instant: DateTime<Utc>) -> String {
    instant.format("%Y-%m-%d %H:%M:%S UTC").to_string()
}

fn span(span: Duration) -> String {
    match span.num_seconds().max(0) {
        seconds @ 0..120 => format!("{seconds} s"),
        seconds @ 120..7200 => format!("{} min", seconds / 60),
        seconds @ 7200..172_800 => format!("{} h", seconds / 3600),
        seconds => format!("{} days", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_month_is_whole_partly_or_not_covered() {
        let at = |text: &str| text.parse::<DateTime<Utc>>().unwrap();
        let now = at("2026-03-10T12:00:00Z");
        let all = months(now);
        assert_eq!(
            (all.len(), all[0].start, all[23].end),
            (24, at("2024-04-01T00:00:00Z"), at("2026-04-01T00:00:00Z"))
        );
        let committed = [
            Window {
                start: at("2026-01-01T00:00:00Z"),
                end: at("2026-01-20T00:00:00Z"),
            },
            Window {
                start: at("2026-02-01T00:00:00Z"),
                end: at("2026-03-10T11:30:00Z"),
            },
        ];
        let words: Vec<&str> = all[20..]
            .iter()
            .map(|month| extent(*month, &committed, now).0)
            .collect();
        assert_eq!(words, ["none", "partial", "whole", "whole"]);
    }
}
