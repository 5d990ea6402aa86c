//! The use cases: each turns settings and a request into a source, a sink and a run. Only this
//! module names both sides.

mod advice;
mod alerts;
mod auth;
mod backfill;
mod books;
mod books_state;
mod changes;
mod check;
mod company;
mod company_schema;
mod confirmed;
mod conform;
mod database;
mod drift;
mod dry_run;
mod failures;
pub(crate) mod health;
mod landing;
mod new_tokens;
mod overview;
mod rejects;
mod reports;
mod request;
pub(crate) mod run;
mod scheduled_sync;
mod service;
mod show;
mod status;
mod sync;
mod table;
mod tables;
mod tie_out;
mod turn;
mod verify;
mod views;

use std::sync::Arc;

pub use self::auth::{AuthReport, CompanyReport, KeyChange};
pub use self::backfill::BackfillRequest;
pub use self::books::{LedgerReport, LedgerRequest, StartingValue};
pub use self::changes::{ChangesReport, ChangesRequest, FoundDeletion};
pub use self::check::{CheckLine, CheckReport, CheckRequest, CheckStatus};
pub use self::conform::{ConformReport, ConformRequest, ProbeResult, ProbeResults};
pub use self::database::DatabaseName;
pub use self::health::CompanyFinding;
pub use self::landing::{ExtractRequest, LoadRequest};
pub use self::overview::{Coverage, Overview, ShownCompanies};
pub use self::rejects::{RejectsRequest, SetAside, set_aside_in_landing};
pub use self::reports::{
    AnswerSummary, KnownReport, LandedReportSummary, ReportLine, ReportParameter, ReportStatus,
    ReportsReport, ReportsRequest, known_reports,
};
pub use self::service::{RecordPage, RecordRequest, Service, seconds_since};
pub use self::show::{ColumnHead, Condition, RecordRow, ShowReport, ShowRequest};
pub use self::status::{StatusReport, StatusRequest};
pub use self::sync::{PlannedCompany, SyncPlan, SyncPlanRequest, SyncRequest, SyncScope};
pub use self::table::TableRequest;
pub use self::tables::{ArchiveRequest, DdlRequest, MigrateRequest, PrepareRequest};
pub use self::tie_out::BooksRequest;
pub use self::verify::VerifyRequest;
pub use self::views::ViewsRequest;
use crate::clock;
use crate::config::Settings;
pub use crate::domain::BooksVerdict;
use crate::domain::{Calendar, ENTITIES, EntitySpec, Zone, select_entities};
#[cfg(feature = "cli")]
pub(crate) use crate::durable::Scratch;
use crate::error::Result;
use crate::port::{NoProgress, Progress};
pub use crate::quickbooks::oauth::{Callback, Consent};
pub use crate::quickbooks::{BreakerStatus, Limits, Traffic};
#[cfg(feature = "cli")]
pub(crate) use crate::sink::postgres::DEFAULT_LEDGER_SCHEMA;
pub use crate::sink::postgres::{ArchiveSummary, Upgrade};
pub use crate::store::{
    Archive, BoundSchema, Check, Different, EntityState, EntityStatus, Job, LastRun, LastSync,
    RecentRun, RowCount, ScheduledSync, SchemaDrift, StoredRecord, StoredReject, SyncUnderWay,
    TieOut, UnavailableEntity, UnfinishedWindow, UnreadEntity,
};
pub use crate::views::{ViewChanges, ViewStyle};

/// The settings and listeners that all use cases share.
#[derive(Clone)]
pub struct App {
    /// Settings as text; each use case checks those that it needs.
    pub settings: Settings,
    /// Receives progress events.
    pub progress: Arc<dyn Progress>,
}

impl App {
    /// Returns an app with these settings, whose progress nobody follows.
    pub fn new(settings: Settings) -> Self {
        Self {
            settings,
            progress: Arc::new(NoProgress),
        }
    }
}

impl std::fmt::Debug for App {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("App")
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}

/// Returns the calendar of a zone at the present, which says what relative dates mean.
pub fn calendar(zone: Zone) -> Calendar {
    Calendar::new(clock::now(), zone)
}

/// Returns the named entities, or all known ones if `names` is empty.
fn select_or_all(names: &[String]) -> Result<Vec<EntitySpec>> {
    match names {
        [] => Ok(ENTITIES.to_vec()),
        names => select_entities(names),
    }
}
