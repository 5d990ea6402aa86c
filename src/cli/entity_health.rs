//! The health of one entity as the table of `qbo-rs status` has it.

use chrono::{DateTime, Utc};

use super::local::{LocalTime, ago};
use super::words::number;
use crate::app::EntityStatus;
use crate::app::health::phrase;
use crate::domain::Level;
use crate::language::current;

/// Returns the mark of a level.
pub(super) fn mark(level: Level) -> &'static str {
    match level {
        Level::InStep => "✔",
        Level::UnderWay => "…",
        Level::Attention => "!",
        Level::Failed => "✖",
    }
}

/// Says in one phrase what an entity needs, or else when anything was last done.
pub(super) fn state(entity: &EntityStatus, zone: LocalTime, now: DateTime<Utc>) -> String {
    let clock = |at: DateTime<Utc>| zone.clock(at, now);
    match entity.findings.first() {
        Some(finding) => phrase(&finding.reason, current(), now, &clock),
        None => last(entity, now),
    }
}

/// Returns up to when an entity was read.
pub(super) fn read_until(entity: &EntityStatus) -> Option<DateTime<Utc>> {
    entity.committed.last().map(|window| window.end)
}

/// Returns when anything was last done.
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
