//! State that outlives a process, besides records: tokens, shared rate-limit state, and the tables
//! of the schema `qbo` that the service works with.

mod alerts;
mod alive;
mod archives;
mod backend;
mod committed;
mod company_names;
mod empty_days;
mod entity_status;
mod jobs;
mod last_activity;
mod open_times;
mod other_run;
mod overview;
mod records;
mod rejects;
mod schema_drift;
mod schemas;
pub(crate) mod shared_state;
mod standing;
mod suspects;
mod sync_schedule;
mod sync_states;
mod sync_turns;
mod tie_outs;
pub(crate) mod token_store;
mod unfinished;
mod webhook_inbox;
mod writers;

pub use self::{
    alerts::Different,
    archives::Archive,
    entity_status::{Check, EntityStatus, UnavailableEntity, UnfinishedWindow, UnreadEntity},
    jobs::Job,
    last_activity::{LastRun, LastSync},
    overview::{BoundSchema, RecentRun, RowCount, ScheduledSync},
    records::{EntityState, StoredRecord},
    rejects::StoredReject,
    schema_drift::SchemaDrift,
    schemas::Schemas,
    sync_schedule::SyncSchedule,
    sync_turns::SyncUnderWay,
    tie_outs::TieOut,
};
pub(crate) use self::{
    alerts::{Judged, Message, alerts_told, claim_alerts, different_entities, record_verification},
    alive::run_is_alive,
    archives::{ArchivedRecord, ArchivedRecords, archived_records, archived_rows, archives},
    backend::{StateBackend, rescue_stores},
    committed::{CommittedTime, FailedWindow, LedgerTime, complete_parts},
    entity_status::{StatusReader, gaps},
    jobs::{JobOutcome, JobQueue, Signal},
    last_activity::{EntityRun, end_open_run, last_runs},
    other_run::{OtherRun, RUNNING, other_run},
    overview::{CompanyState, OverviewReader, SetAsideCount, WindowTrouble},
    records::{PageQuery, Records},
    rejects::{RejectFilter, rejects},
    schema_drift::schema_drift,
    schemas::{FORGET_UNBOUND, HOLD_BINDING, is_left},
    standing::{Standing, Standings, standings},
    suspects::{Suspect, suspects, with_open_runs},
    sync_states::{HowFar, SyncOutcome, SyncState, SyncStates, how_far},
    sync_turns::{HOLD_TURNS, SyncTurns, Taken, syncs_under_way},
    tie_outs::{KeptTieOut, KnownDifference, KnownRecord, known_differences, latest_tie_outs},
    webhook_inbox::{JobRules, WebhookInbox},
    writers::writer_of,
};
