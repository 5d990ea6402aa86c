//! Domain types: entities, windows, queries, records, reports.
//!
//! This module is pure: no input or output, no clock, nothing asynchronous.

mod alert;
mod amount;
mod asked;
pub mod books_report;
mod books_verdict;
pub(crate) mod calendar;
pub(crate) mod cause;
mod content;
mod cost;
mod distinct;
mod division;
pub(crate) mod drift;
pub mod entity;
mod entity_names;
mod excerpt;
mod failure;
pub mod fields;
mod guess;
mod head;
mod health;
mod held;
pub mod instant;
pub mod interval;
pub mod mask;
pub(crate) mod misread;
mod moment;
pub mod plan;
pub mod query;
mod realm_id;
pub mod record;
pub mod report;
pub(crate) mod reports;
pub(crate) mod scan;
pub(crate) mod shape;
pub mod status;
pub mod sync_report;
mod validator;
pub mod verification;
pub(crate) mod voided;
pub mod webhook;
pub mod window;
mod zone;

pub use alert::{
    Alert, AlertKind, ConnectionFacts, SyncedEntity, connection_alerts, is_near_quota, stale_alert,
};
pub(crate) use amount::parse_amount;
pub use asked::Asked;
pub use books_report::{
    AccountBooks, BooksReport, BooksStatus, CauseAmount, CompanyBooks, MonthBooks, PartyBooks,
    TransactionBooks, TransactionLine,
};
pub use books_verdict::BooksVerdict;
pub(crate) use books_verdict::{Compared, counts};
pub use content::Content;
pub use cost::{CallCost, RunCost};
pub(crate) use distinct::{DistinctIds, KnownIds};
pub(crate) use division::Divider;
pub use drift::DriftKind;
pub(crate) use drift::{DriftWatch, unknown_row};
pub use entity::{ENTITIES, EntityKind, EntitySpec, Identity, Ordering};
pub use entity_names::{find_entity, select_comparable, select_entities, select_readable};
pub(crate) use entity_names::{is_comparable, is_read_daily, select_stored};
pub(crate) use excerpt::{MAX_SHOWN, excerpt};
pub use failure::{FailureKind, NOT_ATTEMPTED};
pub use fields::{
    Column, ColumnType, Field, FieldTable, FieldType, column_name, columns, columns_below, fields,
};
pub(crate) use guess::closest;
pub(crate) use head::Head;
pub use health::{Finding, Level, Reason, level_of};
pub use held::Held;
pub use interval::Interval;
pub(crate) use mask::LEFT_OUT;
pub use mask::Mask;
pub use moment::Calendar;
pub use plan::{
    BegunWindow, Continuation, LOOK_BACK, PageSize, PartTotals, Plan, RangeBound, Resumed,
    VISIBLE_LATE, parse_range,
};
pub use realm_id::is_realm_id;
pub use record::{Deletion, Page, Payload, Record, Reject};
pub(crate) use record::{
    MAX_RECORD, MAX_REJECT_TEXT, MAX_REJECTS, Wrapped, bounded, too_many_rejects, unnamed,
};
pub use report::{
    ConnectionReport, LoadCounts, Report, RunEnd, RunReport, RunStatus, SkipReason, WindowReport,
    WindowStatus,
};
pub use reports::Basis;
pub use status::{
    ConnectionState, EntitySyncStatus, JobStatus, LedgerRunStatus, LedgerWindowStatus,
};
pub use sync_report::{
    CompanyStatus, CompanySync, EntityOutcome, EntitySync, SyncMethod, SyncReport,
};
pub(crate) use validator::Validator;
pub use verification::{
    KnownReject, RecordKey, Verification, VerificationReport, VerificationStatus, WindowDifference,
};
pub use webhook::{Delivery, WebhookEvent};
pub use window::{Chunk, Window, chunk_range, chunk_range_in, merged, split_committed};
pub use zone::Zone;
