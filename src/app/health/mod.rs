//! The judgement about entities and companies: the one rule by which `qbo-rs status`, the status page,
//! Python and `/healthz?deep` say what needs somebody.

mod company;
mod everywhere;
mod phrase;

use chrono::{DateTime, NaiveTime, TimeDelta, Utc};

#[cfg(feature = "cli")]
pub(crate) use self::company::books_reason;
pub(crate) use self::company::{books_findings, connection_findings, is_held_up, is_long_pause};
pub use self::everywhere::CompanyFinding;
pub(crate) use self::everywhere::entity_findings;
#[cfg(feature = "cli")]
pub(crate) use self::phrase::ago;
pub(crate) use self::phrase::phrase;
pub(crate) use self::phrase::{books_word, unexplained};
use crate::domain::instant::format_instant;
use crate::domain::{
    Asked, Chunk, EntitySyncStatus, Finding, LedgerRunStatus, Reason, Window, Zone,
};
use crate::language::Language;
use crate::sink::postgres::DEFAULT_SCHEMA;
use crate::store::{Different, LastRun};
use crate::terminal::shell_quote;

/// The age of a copy that is still in step. Entities that are read as a whole are synced once a day.
pub(crate) const MAX_AGE: TimeDelta = TimeDelta::days(2);

/// The command that brings everything into step.
const SYNC: &str = "qbo-rs sync";

/// The facts about an entity of a schema.
#[derive(Debug, Clone, Default)]
pub(crate) struct EntityFacts<'f> {
    pub schema: &'f str,
    pub entity: &'f str,
    /// Windows whose last attempt did not succeed.
    pub stuck: u64,
    pub failed: u64,
    /// Windows that were begun, and that no run is at.
    pub abandoned: u64,
    /// The time of those that failed or were begun, unless the next sync reads them.
    pub left: Option<Left>,
    pub last_run: Option<&'f LastRun>,
    /// Outcome of the last sync, and when one last succeeded.
    pub last_sync: Option<(EntitySyncStatus, Option<DateTime<Utc>>)>,
    /// Whether a sync of the entity goes on.
    pub is_syncing: bool,
    /// Whether no sync can succeed, as the findings about the connection say: those name the remedy.
    pub is_held_up: bool,
    pub rejects: u64,
    pub gaps: &'f [Window],
    pub different: Option<&'f Different>,
    /// Checks of the table that have found something, but for that of unfinished windows.
    pub wrong_checks: u64,
    /// Whether the check of unfinished windows has found some.
    pub has_unfinished: bool,
}

impl EntityFacts<'_> {
    /// Returns the last run, unless it ended well or all of its range was read since.
    fn open_run(&self) -> Option<&LastRun> {
        self.last_run
            .filter(|run| !run.is_superseded && run.status != LedgerRunStatus::Ok)
    }

    /// Returns the range that a run reads, or that the command for what is unfinished reads: who reads it fills
    /// the gaps in it.
    fn read_by_command(&self) -> Option<Window> {
        match self.open_run() {
            Some(run) => Some(run.asked.map_or(range_of(run), |asked| asked.range)),
            None => self.left.map(|left| left.range),
        }
    }
}

fn range_of(run: &LastRun) -> Window {
    Window {
        start: run.range_start,
        end: run.range_end,
    }
}

/// The time of windows that were left unfinished.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Left {
    /// From the first one to the last.
    pub range: Window,
    /// The length of the longest.
    pub longest: TimeDelta,
}

impl Left {
    /// Returns the time of windows of both.
    pub(crate) fn and(self, other: Self) -> Self {
        Self {
            range: Window {
                start: self.range.start.min(other.range.start),
                end: self.range.end.max(other.range.end),
            },
            longest: self.longest.max(other.longest),
        }
    }
}

/// Returns the flag that names a schema, if it is not the default.
pub(crate) fn schema_flag(schema: &str) -> String {
    match schema {
        DEFAULT_SCHEMA => String::new(),
        other => format!(" --schema {}", shell_quote(other)),
    }
}

/// Makes a finding.
fn finding(about: &str, reason: Reason, command: Option<String>, now: DateTime<Utc>) -> Finding {
    let clock = |at: DateTime<Utc>| format_instant(at);
    Finding {
        about: about.to_owned(),
        level: reason.level(),
        text: phrase(&reason, Language::En, now, &clock),
        reason,
        command,
    }
}

/// Returns the reasons for which an entity is not in step, the worst first.
pub(crate) fn judge(facts: &EntityFacts<'_>, now: DateTime<Utc>) -> Vec<Finding> {
    let name = facts.entity;
    let flag = schema_flag(facts.schema);
    let details = || Some(format!("qbo-rs status {name}{flag}"));
    let mut found: Vec<(Reason, Option<String>)> = Vec::new();
    if let windows @ 1.. = facts.stuck {
        found.push((Reason::Stuck { windows }, details()));
    }
    found.extend(unfinished(facts, now));
    // Said already, with what helps.
    let is_unsaid = facts.has_unfinished && found.is_empty();
    found.extend(facts.different.map(|different| differs(different, &flag)));
    if let checks @ 1.. = facts.wrong_checks + u64::from(is_unsaid) {
        let command = format!("qbo-rs status {name} --validate{flag}");
        found.push((Reason::ChecksFailed { checks }, Some(command)));
    }
    found.extend(of_sync(facts, now));
    if let records @ 1.. = facts.rejects {
        let command = format!("qbo-rs rejects {name}{flag}");
        found.push((Reason::SetAside { records }, Some(command)));
    }
    let read = facts.read_by_command();
    let lies_in =
        |gap: &&Window| read.is_some_and(|range| range.start <= gap.start && gap.end <= range.end);
    let gaps = || facts.gaps.iter().filter(|gap| !lies_in(gap));
    if let Some(first) = gaps().next() {
        // Rounded once: gaps of hours may be days together.
        let gone: TimeDelta = gaps().map(|gap| gap.end - gap.start).sum();
        let reason = Reason::Missing {
            days: gone.num_days().unsigned_abs(),
            first: first.start,
        };
        let asked = by_days(*first, Chunk::default());
        found.push((reason, Some(fill(name, asked, &flag))));
    }
    // Stable: what comes first among equals was pushed first.
    found.sort_by_key(|(reason, _)| std::cmp::Reverse(reason.level()));
    let findings = found.into_iter();
    findings
        .map(|(reason, command)| finding(name, reason, command, now))
        .collect()
}

/// Returns what is unfinished: of the last run, or else of earlier ones. What somebody is at needs nobody.
fn unfinished(facts: &EntityFacts<'_>, now: DateTime<Utc>) -> Option<(Reason, Option<String>)> {
    let flag = schema_flag(facts.schema);
    if let Some(run) = facts.open_run() {
        let asked = run.asked;
        let asked = asked.unwrap_or(by_days(range_of(run), Chunk::default()));
        let again = Some(fill(facts.entity, asked, &flag));
        match run.status {
            LedgerRunStatus::Running if run.is_dead => {
                let since = run.alive_at.unwrap_or(run.started_at);
                let silent_min = (now - since).num_minutes();
                return Some((Reason::Died { silent_min }, again));
            }
            LedgerRunStatus::Running => {
                let since = run.started_at;
                return Some((Reason::Running { since }, None));
            }
            LedgerRunStatus::Interrupted => {
                let at = run.finished_at.unwrap_or(now);
                return Some((Reason::Interrupted { at }, again));
            }
            LedgerRunStatus::Partial | LedgerRunStatus::Failed => {
                let windows = run.failed_windows.unsigned_abs();
                return Some((Reason::WindowsFailed { windows }, again));
            }
            LedgerRunStatus::Ok => {}
        }
    }
    let again = match facts.left {
        // The windows are not cut where they were not before.
        Some(left) => {
            let asked = by_days(left.range, Chunk::of_days(left.longest));
            Some(fill(facts.entity, asked, &flag))
        }
        None => (!facts.is_held_up).then(|| SYNC.to_owned()),
    };
    let sync = facts.last_sync.map(|(status, _)| status);
    // What a sync has left the next one reads, which is said of the sync.
    let abandoned = match sync {
        _ if facts.is_syncing => 0,
        Some(EntitySyncStatus::Pending | EntitySyncStatus::InProgress) => 0,
        _ => facts.abandoned,
    };
    match (facts.failed, abandoned) {
        (0, 0) => None,
        (0, windows) => Some((Reason::WindowsAbandoned { windows }, again)),
        (windows, _) => Some((Reason::WindowsFailed { windows }, again)),
    }
}

fn of_sync(facts: &EntityFacts<'_>, now: DateTime<Utc>) -> Option<(Reason, Option<String>)> {
    let again = (!facts.is_held_up).then(|| SYNC.to_owned());
    let (status, succeeded_at) = facts.last_sync?;
    match status {
        EntitySyncStatus::Pending | EntitySyncStatus::InProgress if facts.is_syncing => {
            Some((Reason::Syncing, None))
        }
        EntitySyncStatus::Failed => Some((Reason::SyncFailed, again)),
        EntitySyncStatus::Pending | EntitySyncStatus::InProgress => {
            Some((Reason::SyncEnded, again))
        }
        EntitySyncStatus::Success | EntitySyncStatus::Unavailable => {
            let synced_at = succeeded_at.filter(|at| *at < now - MAX_AGE)?;
            Some((Reason::Old { synced_at }, again))
        }
    }
}

/// Returns what a comparison has found, and the command that repairs it.
fn differs(different: &Different, flag: &str) -> (Reason, Option<String>) {
    let Different {
        entity,
        ranges,
        range,
        found_at,
        is_deep,
        ..
    } = different;
    let reason = Reason::Differs {
        ranges: *ranges,
        start: range.start,
        end: range.end,
        found_at: *found_at,
    };
    let deep = if *is_deep { " --deep" } else { "" };
    let range = range.in_whole_seconds();
    let (start, end) = (bound(range.start), bound(range.end));
    let command =
        format!("qbo-rs verify {entity} --start {start} --end {end}{deep} --repair{flag}");
    (reason, Some(command))
}

/// Returns the finding of an entity that differs and is in no ledger.
pub(crate) fn only_different(different: &Different, now: DateTime<Utc>) -> Finding {
    let (reason, command) = differs(different, &schema_flag(&different.schema));
    finding(&different.entity, reason, command, now)
}

/// Returns the finding of an entity that no sync has read although one began with it.
pub(crate) fn never_read(entity: &str, is_held_up: bool, now: DateTime<Utc>) -> Finding {
    let command = (!is_held_up).then(|| SYNC.to_owned());
    finding(entity, Reason::NeverRead, command, now)
}

/// Returns the finding of a schema without any entity. A sync loads each company into the schema of its own.
pub(crate) fn nothing_loaded(schema: &str, now: DateTime<Utc>) -> Finding {
    let command = match schema {
        DEFAULT_SCHEMA => SYNC.to_owned(),
        other => format!("qbo-rs backfill invoices --last 90d{}", schema_flag(other)),
    };
    finding(schema, Reason::NothingLoaded, Some(command), now)
}

/// Returns a range in windows of UTC.
fn by_days(range: Window, chunk: Chunk) -> Asked {
    Asked {
        range,
        chunk,
        tz: Zone::default(),
        all: false,
    }
}

/// Returns the command that reads what is missing of a range, in the same windows.
pub(crate) fn fill(entity: &str, asked: Asked, flag: &str) -> String {
    let Asked {
        range, chunk, tz, ..
    } = asked;
    let range = range.in_whole_seconds();
    let is_utc = tz == Zone::default();
    // A day alone would be one of the zone.
    let bound = if is_utc { bound } else { format_instant };
    let (start, end) = (bound(range.start), bound(range.end));
    let mut command = format!("qbo-rs backfill {entity} --start {start} --end {end}");
    if chunk != Chunk::default() {
        command.push_str(&format!(" --chunk {chunk}"));
    }
    if !is_utc {
        command.push_str(&format!(" --tz {tz}"));
    }
    format!("{command} --resume{flag}")
}

/// Writes a bound as its flag takes it: a day, if it is midnight.
fn bound(at: DateTime<Utc>) -> String {
    match at.time() == NaiveTime::MIN {
        true => at.format("%Y-%m-%d").to_string(),
        false => format_instant(at),
    }
}
