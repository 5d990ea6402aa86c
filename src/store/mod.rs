//! State that outlives a process, besides records: tokens, shared rate-limit state, and the tables
//! of the schema `qbo` that the service works with.

#[cfg(feature = "postgres")]
mod backend;
#[cfg(feature = "postgres")]
mod committed;
#[cfg(feature = "postgres")]
mod entity_status;
#[cfg(feature = "postgres")]
mod jobs;
#[cfg(feature = "postgres")]
mod records;
#[cfg(feature = "postgres")]
mod schemas;
pub mod shared_state;
#[cfg(feature = "postgres")]
mod sync_schedule;
#[cfg(feature = "postgres")]
mod sync_states;
pub mod token_store;
#[cfg(feature = "postgres")]
mod webhook_inbox;

#[cfg(feature = "postgres")]
pub use crate::postgres::Db;

#[cfg(feature = "postgres")]
pub use self::{
    backend::StateBackend,
    committed::{CommittedTime, Coverage},
    entity_status::{Check, EntityStatus, LastRun, StatusReader, UnfinishedWindow},
    jobs::{Job, JobOutcome, JobQueue, Signal},
    records::{EntityState, PageQuery, Records, StoredRecord},
    schemas::Schemas,
    sync_schedule::SyncSchedule,
    sync_states::{SyncOutcome, SyncState, SyncStates},
    webhook_inbox::{JobRules, WebhookInbox},
};
