//! State that outlives a process, besides records: tokens, shared rate-limit state, and the tables
//! of the schema `qbo` that the service works with.

mod alerts;
mod backend;
mod committed;
mod entity_status;
mod jobs;
mod last_activity;
mod other_run;
mod overview;
mod records;
mod rejects;
mod schema_drift;
mod schemas;
pub(crate) mod shared_state;
mod sync_schedule;
mod sync_states;
mod sync_turns;
mod tie_outs;
pub(crate) mod token_store;
mod webhook_inbox;

#[cfg(test)]
pub(crate) use self::committed::{LedgerTime, complete_parts};
pub(crate) use self::{
    alerts::{Judged, Message, alerts_told, claim_alerts, different_entities, record_verification},
    backend::{StateBackend, rescue_stores},
    committed::{CommittedTime, FailedWindow},
    entity_status::StatusReader,
    jobs::{JobOutcome, JobQueue, Signal},
    other_run::{OtherRun, RUNNING, other_run},
    overview::OverviewReader,
    records::{PageQuery, Records},
    rejects::{RejectFilter, rejects},
    schema_drift::schema_drift,
    sync_states::{HowFar, SyncOutcome, SyncState, SyncStates, how_far},
    sync_turns::{SyncTurns, Taken, syncs_under_way},
    tie_outs::{
        KnownDifference, keep_differences, known_differences, latest_tie_outs, record_tie_out,
    },
    webhook_inbox::{JobRules, WebhookInbox},
};
pub use self::{
    entity_status::{Check, EntityStatus, UnavailableEntity, UnfinishedWindow, UnreadEntity},
    jobs::Job,
    last_activity::{LastRun, LastSync},
    overview::{BoundSchema, RecentRun, RowCount, ScheduledSync, SetAsideCount, WindowTrouble},
    records::{EntityState, StoredRecord},
    rejects::StoredReject,
    schema_drift::SchemaDrift,
    schemas::Schemas,
    sync_schedule::SyncSchedule,
    sync_turns::SyncUnderWay,
    tie_outs::TieOut,
};
