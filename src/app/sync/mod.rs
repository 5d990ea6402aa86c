//! Sync: copies the changes and deletions of every entity of every company since its last sync.
//!
//! The checkpoint is the end of the time that the ledger has as committed without a gap. A sync
//! reads from there on and commits the window of the present year again, so that each entity of a
//! company has one ledger row per year, however often it is synced.

mod companies;
mod company;
mod comparison;
mod gone;
mod lacking;
mod opening;
mod outcome;
mod planned;
mod poll;
mod polling;
mod quiet;
mod schedule;
mod unqueryable;
mod whole;

use std::collections::HashMap;
use std::sync::Arc;

use futures_util::{StreamExt, stream};
use serde::{Deserialize, Serialize};
use tokio::sync::Mutex;
use tokio::time::Instant;
use tracing::{Instrument, info_span};

use self::company::{CompanySyncer, Loss, Synced};
use self::opening::OpenedCompany;
use self::outcome::{lacks_everything, log_sync, status_of, with_unavailable};
pub use self::planned::{PlannedCompany, SyncPlan, SyncPlanRequest};
use super::company_schema::give_back;
use super::request::{owned, setters};
use super::turn::take_sync_turn;
use super::{App, select_or_all};
use crate::config::PostgresConfig;
use crate::domain::{
    CompanyStatus, CompanySync, EntitySpec, FailureKind, PageSize, SyncReport, find_entity,
};
use crate::error::{Error, Result, without_panics};
use crate::port::Meter;
use crate::postgres::Db;
use crate::store::{Schemas, StateBackend, SyncSchedule, SyncStates, SyncTurns, Taken};

/// Companies at a time. Most of the time they wait for QuickBooks, so that many fit.
const MAX_CONCURRENT_COMPANIES: usize = 32;
/// Database connections of all companies together, beside the one that says that their syncs go on.
const CONNECTIONS: usize = 11;
/// Windows of all companies that are written at a time, each on a connection. The other connections are for turns,
/// states, comparisons and looks for changes.
const WINDOWS: usize = 8;
const TOKEN_CONNECTIONS: usize = 8;

const LACKS_EVERYTHING: &str = "QuickBooks answers that the company has none of the entities that were asked \
    for; perhaps the user who connected the company has lost the role that may read them: an administrator has \
    to give it back, or to connect the company again";

/// The entities and companies of a sync.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "cli", derive(clap::Args))]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct SyncScope {
    /// Entities, such as customers, invoices or items; default: all
    #[cfg_attr(feature = "cli", arg(value_name = "ENTITY"))]
    pub entities: Vec<String>,
    /// Sync only this company; repeatable
    #[cfg_attr(feature = "cli", arg(long = "account", value_name = "REALM_ID"))]
    pub accounts: Vec<String>,
}

/// When entities that a company was found not to have are looked at again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Recheck {
    /// A day after the last look.
    Daily,
    /// At once, if all entities of the sync are such: its user wants to know.
    IfOnlyThose,
}

/// A request to bring companies into step with QuickBooks.
#[derive(Debug, Clone, Default, Deserialize)]
#[cfg_attr(feature = "cli", derive(clap::Args))]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct SyncRequest {
    /// The entities and companies.
    #[cfg_attr(feature = "cli", command(flatten))]
    #[serde(flatten)]
    pub scope: SyncScope,
    /// Records per page, 1 to 1000
    #[cfg_attr(feature = "cli", arg(long, default_value = "1000", value_name = "N"))]
    #[serde(default)]
    pub page_size: PageSize,
    /// Report a company that another sync reads as held, instead of waiting for that sync
    #[cfg_attr(feature = "cli", arg(long))]
    #[serde(default)]
    pub no_wait: bool,
    /// The companies are those of a plan: one that was forgotten since then has failed, and the others go on
    #[cfg_attr(feature = "cli", arg(skip))]
    #[serde(default)]
    pub planned: bool,
}

impl SyncRequest {
    /// Returns a request for all entities of all known companies, with the defaults of the command
    /// line.
    pub fn new() -> Self {
        Self::default()
    }

    /// Limits the sync to these entities.
    #[must_use]
    pub fn entities(mut self, names: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.scope.entities = owned(names);
        self
    }

    /// Limits the sync to the companies with these realm ids.
    #[must_use]
    pub fn accounts(mut self, realm_ids: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.scope.accounts = owned(realm_ids);
        self
    }
}

setters!(SyncRequest {
    page_size: PageSize,
    no_wait: bool,
    planned: bool,
});

/// The work of a sync in one company.
#[derive(Debug, Clone, Copy)]
pub(super) struct CompanyScope<'a> {
    pub realm_id: &'a str,
    pub entities: &'a [EntitySpec],
    pub page_size: PageSize,
    pub recheck: Recheck,
    /// Whether it waits for another sync of the company.
    pub may_wait: bool,
}

/// The database and the token store that all syncs share, opened once.
#[derive(Debug)]
pub(super) struct Syncer {
    app: App,
    db: Db,
    postgres: PostgresConfig,
    backend: StateBackend,
    schemas: Schemas,
    schedule: SyncSchedule,
    /// Held while a company that has no schema is given one, so that the first one has `raw`.
    schema_choice: Mutex<()>,
}

impl App {
    /// Brings companies into step with QuickBooks. The first sync copies everything, later ones
    /// copy changes and deletions. A failure of one entity or company does not affect the others.
    ///
    /// # Errors
    /// Returns problems found before any request: settings, the database, no company.
    pub async fn sync(&self, request: &SyncRequest) -> Result<SyncReport> {
        select_or_all(&request.scope.entities)?;
        let syncer = Syncer::open(self).await?;
        if request.planned {
            return syncer.sync_planned(request).await;
        }
        syncer.check_companies(&request.scope.accounts).await?;
        syncer.sync(request).await
    }
}

impl Syncer {
    /// Opens the database and the token store.
    pub(super) async fn open(app: &App) -> Result<Self> {
        let app = app.clone();
        let postgres = app.settings.postgres()?;
        let config = app.settings.qbo_app()?;
        let db = Db::open(&postgres, CONNECTIONS).await?;
        let db = db.with_windows(WINDOWS);
        let schemas = Schemas::new(db.clone());
        schemas.prepare_operations().await?;
        let location = &config.oauth.token_store;
        let backend = StateBackend::open(&app.settings, location, TOKEN_CONNECTIONS).await?;
        Ok(Self {
            app,
            schedule: SyncSchedule::new(db.clone()),
            db,
            postgres,
            backend,
            schemas,
            schema_choice: Mutex::default(),
        })
    }

    pub(super) async fn sync(&self, request: &SyncRequest) -> Result<SyncReport> {
        let entities = &select_or_all(&request.scope.entities)?;
        let realm_ids = self.realms(request).await?;
        let syncs = stream::iter(realm_ids).map(|realm_id| async move {
            let scope = CompanyScope {
                realm_id: &realm_id,
                entities,
                page_size: request.page_size,
                recheck: Recheck::IfOnlyThose,
                may_wait: !request.no_wait,
            };
            self.sync_company(scope).await
        });
        let mut accounts: Vec<CompanySync> = syncs
            .buffer_unordered(MAX_CONCURRENT_COMPANIES)
            .collect()
            .await;
        accounts.sort_by(|a, b| a.realm_id.cmp(&b.realm_id));
        Ok(SyncReport { accounts })
    }

    /// Returns the database.
    pub(super) fn db(&self) -> &Db {
        &self.db
    }

    /// Returns the app.
    pub(super) fn app(&self) -> &App {
        &self.app
    }

    /// Syncs one company and reports any failure.
    pub(super) async fn sync_company(&self, scope: CompanyScope<'_>) -> CompanySync {
        let realm_id = scope.realm_id;
        let (begin, meter) = (Instant::now(), Meter::default());
        let mut schema = String::new();
        let tried = self
            .try_company(scope, &meter, &mut schema)
            .instrument(info_span!("company", realm_id));
        // A defect fails this company alone.
        let outcome = without_panics(Box::pin(tried)).await;
        let (status, loss, entities) = match outcome {
            Ok(Synced {
                held: Some(reason), ..
            }) => {
                let kind = FailureKind::NotAttempted;
                (CompanyStatus::Held, Some(Loss { reason, kind }), Vec::new())
            }
            Ok(Synced { entities, lost, .. }) if lacks_everything(&entities) => {
                let loss = lost.unwrap_or_else(|| Loss {
                    reason: LACKS_EVERYTHING.to_owned(),
                    kind: FailureKind::Other,
                });
                (CompanyStatus::Failed, Some(loss), entities)
            }
            Ok(Synced { entities, lost, .. }) => (status_of(&entities), lost, entities),
            Err(error) => {
                let needs_login = matches!(&error, Error::Unauthenticated { trace, .. } if trace.is_refused_grant());
                let status = match needs_login {
                    true => CompanyStatus::NeedsReauth,
                    false => CompanyStatus::Failed,
                };
                (status, Some(Loss::from(&error)), Vec::new())
            }
        };
        let duration_ms = u64::try_from(begin.elapsed().as_millis()).unwrap_or(u64::MAX);
        let (error, failure) = loss.map(|loss| (loss.reason, loss.kind)).unzip();
        let company = CompanySync {
            realm_id: realm_id.to_owned(),
            schema,
            status,
            error,
            failure,
            requests: meter.requests(),
            duration_ms,
            entities,
        };
        if company.is_denied() && !company.schema.is_empty() {
            give_back(Ok(self.schemas.clone()), realm_id, &company.schema).await;
        }
        log_sync(&company);
        company
    }

    async fn try_company(
        &self,
        scope: CompanyScope<'_>,
        meter: &Meter,
        schema: &mut String,
    ) -> Result<Synced> {
        let opened = self.open_company(scope.realm_id, scope.entities, schema);
        let (opened, binding) = opened.await?;
        let synced = self.sync_opened(scope, meter, opened).await;
        // Whether a company that failed keeps its schema is told by its report.
        binding.end(false).await;
        synced
    }

    async fn sync_opened(
        &self,
        scope: CompanyScope<'_>,
        meter: &Meter,
        (source, connection, sink): OpenedCompany,
    ) -> Result<Synced> {
        let CompanyScope {
            realm_id,
            entities,
            page_size,
            recheck,
            may_wait,
        } = scope;
        if let Some(error) = connection.needs_reauth().await? {
            // QuickBooks would refuse the token again.
            return Err(error);
        }
        let turns = SyncTurns::new(self.db.clone(), sink.schema(), realm_id);
        let turn = match take_sync_turn(&turns, entities, may_wait).await? {
            Taken::Turn(turn) => turn,
            Taken::By(other) => return Ok(Synced::held(&other)),
        };
        let sink = sink.in_turn(turn.id());
        sink.keep_schema(realm_id, entities).await?;
        let states = SyncStates::new(self.db.clone(), sink.schema(), realm_id, turn.id());
        let lacking = Lacking::of(&states, entities, recheck).await?;
        let company = CompanySyncer {
            realm_id,
            source,
            states,
            sink: Arc::new(sink),
            page_size,
            meter,
            progress: self.app.progress.clone(),
            asks_for_wholes: recheck == Recheck::IfOnlyThose
                && entities.iter().all(|entity| entity.is_read_whole),
        };
        let outcome = company.sync_and_record(&lacking.others).await;
        turn.end().await;
        // The need may show only at the first request, if the stored access token had seemed valid
        // until then.
        let has_failed = match &outcome {
            Ok(synced) => status_of(&synced.entities) == CompanyStatus::Failed,
            Err(_) => true,
        };
        match connection.needs_reauth().await? {
            Some(error) if has_failed => Err(error),
            _ => outcome
                .map(|synced| with_unavailable(synced, &lacking.absent, &lacking.unavailable)),
        }
    }
}

/// Entities of a sync, by whether the company is known to lack them.
struct Lacking {
    /// Entities that it lacks, and that are not asked for now.
    absent: Vec<EntitySpec>,
    /// Reasons by the names of these entities.
    unavailable: HashMap<String, String>,
    others: Vec<EntitySpec>,
}

impl Lacking {
    async fn of(states: &SyncStates, entities: &[EntitySpec], recheck: Recheck) -> Result<Self> {
        let mut unavailable = states.unavailable(entities).await?;
        // An older version may have taken these for unavailable.
        unavailable.retain(|name, _| !find_entity(name).is_ok_and(EntitySpec::is_in_every_plan));
        if recheck == Recheck::IfOnlyThose && unavailable.len() == entities.len() {
            unavailable.clear();
        }
        let (absent, others) = entities
            .iter()
            .partition(|entity| unavailable.contains_key(entity.name));
        Ok(Self {
            absent,
            unavailable,
            others,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::company::of_sync;
    use super::*;
    use crate::app::run::plan;
    use crate::domain::ENTITIES;

    #[test]
    fn large_companies_leave_windows_and_connections_to_others() {
        const { assert!(WINDOWS + 2 < CONNECTIONS) };
        for entity in ENTITIES {
            let usual = plan(*entity, Vec::new(), Vec::new(), PageSize::default());
            let writers = of_sync(usual.clone()).concurrency;
            assert!((1..=usual.concurrency).contains(&writers));
            assert!(writers * 2 <= WINDOWS, "{writers}");
        }
    }
}
