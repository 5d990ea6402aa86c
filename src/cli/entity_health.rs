//! The health of one entity: whether it needs somebody, why, and the command that helps.

use chrono::{DateTime, TimeDelta, Utc};

use super::local::{LocalTime, ago};
use super::words::{instant, number};
use crate::app::{EntityStatus, LastRun};
use crate::domain::{EntitySyncStatus, LedgerRunStatus, LedgerWindowStatus, Window};
use crate::language::say;

/// The age of a copy that is still in step. Entities that are read as a whole are synced once a day.
pub(super) const MAX_AGE: TimeDelta = TimeDelta::days(2);

/// The degree to which an entity needs somebody.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Level {
    /// It needs nobody.
    Good,
    /// It is being read: nobody knows yet.
    Busy,
    /// Something is missing that may be meant so.
    Odd,
    /// Something has failed.
    Bad,
}

/// The health of an entity.
#[derive(Debug, Clone)]
pub(super) struct Health {
    pub level: Level,
    /// One phrase for the table.
    pub text: String,
    /// The command that helps.
    pub command: Option<String>,
    /// When anything was last done.
    pub at: Option<DateTime<Utc>>,
}

/// The circumstances of a judgement.
#[derive(Debug, Clone, Copy)]
pub(super) struct Circumstances<'c> {
    pub zone: LocalTime,
    pub now: DateTime<Utc>,
    /// Names the schema in commands, if it is not the default.
    pub flag: &'c str,
    /// The command of a sync.
    pub sync: &'c str,
    /// Whether a sync of the entity goes on.
    pub is_syncing: bool,
}

/// Judges an entity.
pub(super) fn health(entity: &EntityStatus, circumstances: Circumstances<'_>) -> Health {
    let Circumstances {
        zone,
        now,
        flag,
        sync,
        is_syncing,
    } = circumstances;
    let at = last_instant(entity);
    let found = |level, text: String, command: String| Health {
        level,
        text,
        command: Some(command),
        at,
    };
    let busy = |text: String| Health {
        level: Level::Busy,
        text,
        command: None,
        at,
    };
    let name = &entity.entity;
    let details = format!("qbo-rs status {name}{flag}");
    let of_status = |status| {
        let of_status = entity
            .unfinished
            .iter()
            .filter(|window| window.status == status);
        of_status.count() as u64
    };
    if let stuck @ 1.. = of_status(LedgerWindowStatus::Stuck) {
        let text =
            say!(count stuck; "{n} window is stuck", "{n} windows are stuck", n = number(stuck));
        return found(Level::Bad, text, details);
    }
    if let Some(run) = entity
        .last_run
        .as_ref()
        .filter(|run| !is_superseded(entity, run))
    {
        let again = resume(name, run, flag);
        match run.status {
            LedgerRunStatus::Running if run.is_dead => {
                let since = run.alive_at.unwrap_or(run.started_at);
                let silent = (now - since).num_minutes();
                let text = match silent {
                    ..3 => say!("died"),
                    silent => say!("died (silent for {silent} min)", silent),
                };
                return found(Level::Bad, text, again);
            }
            LedgerRunStatus::Running => {
                let begin = zone.clock(run.started_at, now);
                return busy(say!("running since {begin}", begin));
            }
            LedgerRunStatus::Interrupted => {
                let text = say!(
                    "interrupted {end}",
                    end = zone.clock(run.finished_at.unwrap_or(now), now)
                );
                return found(Level::Bad, text, again);
            }
            LedgerRunStatus::Partial | LedgerRunStatus::Failed => {
                let failed = run.failed_windows.unsigned_abs();
                let text = failed_windows(failed);
                return found(Level::Bad, text, again);
            }
            LedgerRunStatus::Ok => {}
        }
    }
    if let failed @ 1.. = of_status(LedgerWindowStatus::Failed) {
        let text = failed_windows(failed);
        return found(Level::Bad, text, details);
    }
    match entity.last_sync.as_ref().map(|sync| sync.status) {
        Some(EntitySyncStatus::Failed) => {
            return found(Level::Bad, say!("the last sync failed"), details);
        }
        Some(EntitySyncStatus::Pending | EntitySyncStatus::InProgress) if is_syncing => {
            return busy(say!("being synced"));
        }
        Some(EntitySyncStatus::Pending | EntitySyncStatus::InProgress) => {
            let text = say!("the last sync ended before it");
            return found(Level::Bad, text, sync.to_owned());
        }
        Some(EntitySyncStatus::Success | EntitySyncStatus::Unavailable) | None => {}
    }
    let synced = entity.last_sync.as_ref().and_then(|sync| sync.succeeded_at);
    if let Some(at) = synced.filter(|at| *at < now - MAX_AGE) {
        let text = say!("last synced {ago}", ago = ago(at, now));
        return found(Level::Odd, text, sync.to_owned());
    }
    if entity.rejects > 0 {
        let text = say!("{n} set aside", n = number(entity.rejects.unsigned_abs()));
        return found(Level::Odd, text, format!("qbo-rs rejects {name}{flag}"));
    }
    if let Some(gap) = entity.gaps.first() {
        return found(Level::Odd, missing(&entity.gaps), fill(name, *gap, flag));
    }
    Health {
        level: Level::Good,
        text: last(entity, now),
        command: None,
        at,
    }
}

fn failed_windows(count: u64) -> String {
    say!(count count; "{n} window failed", "{n} windows failed", n = number(count))
}

/// Returns true if a sync has succeeded since a run began: it has read what the run left.
fn is_superseded(entity: &EntityStatus, run: &LastRun) -> bool {
    let synced = entity.last_sync.as_ref().and_then(|sync| sync.succeeded_at);
    synced.is_some_and(|at| at > run.finished_at.unwrap_or(run.started_at))
}

/// Returns up to when an entity was read.
pub(super) fn read_until(entity: &EntityStatus) -> Option<DateTime<Utc>> {
    entity.committed.last().map(|window| window.end)
}

fn last_instant(entity: &EntityStatus) -> Option<DateTime<Utc>> {
    let run = entity.last_run.as_ref();
    let run = run.map(|run| run.finished_at.unwrap_or(run.started_at));
    let sync = entity.last_sync.as_ref().and_then(|sync| sync.succeeded_at);
    run.max(sync)
}

/// Says when anything was last done, and how many records were new.
fn last(entity: &EntityStatus, now: DateTime<Utc>) -> String {
    let Some(at) = last_instant(entity) else {
        return String::new();
    };
    let run = entity
        .last_run
        .as_ref()
        .filter(|run| run.finished_at == Some(at));
    match run.map(|run| run.inserted.unsigned_abs()) {
        Some(inserted @ 1..) => format!("{}, +{}", ago(at, now), number(inserted)),
        _ => ago(at, now),
    }
}

fn missing(gaps: &[Window]) -> String {
    // Rounded once: gaps of hours may be days together.
    let gone: TimeDelta = gaps.iter().map(|gap| gap.end - gap.start).sum();
    let days = gone.num_days();
    let first = gaps
        .first()
        .map(|gap| gap.start.format("%Y-%m-%d").to_string());
    let first = first.unwrap_or_default();
    match days {
        0 => say!("missing less than a day, at {first}", first),
        days => say!(count days; "missing {days} day, {first}", "missing {days} days from {first}",
            days = number(days.unsigned_abs()), first),
    }
}

fn resume(entity: &str, run: &LastRun, flag: &str) -> String {
    let range = Window {
        start: run.range_start,
        end: run.range_end,
    };
    fill(entity, range, flag)
}

/// Returns the command that reads what is missing of a range.
fn fill(entity: &str, range: Window, flag: &str) -> String {
    let bound = |at: DateTime<Utc>| match instant(at) {
        day if day.len() == 10 => day,
        _ => crate::domain::instant::format_instant(at),
    };
    let (start, end) = (bound(range.start), bound(range.end));
    format!("qbo-rs backfill {entity} --start {start} --end {end} --resume{flag}")
}
