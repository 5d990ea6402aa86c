//! The use cases of the HTTP service: jobs, companies, webhooks and records.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::Serialize;
use tracing::warn;

use super::alerts::Alerts;
use super::sync::Syncer;
use super::{App, CompanyReport, SyncRequest, SyncScope, select_or_all};
use crate::domain::{
    Alert, CompanySync, Delivery, JobStatus, Mask, SyncReport, find_entity, select_entities,
};
use crate::error::{Error, Result};
use crate::port::{Connection, Secret};
use crate::postgres::{Db, rights};
use crate::quickbooks::Limits;
use crate::store::token_store::ConnectionSummary;
use crate::store::{
    CommittedTime, EntityState, Job, JobOutcome, JobQueue, JobRules, PageQuery, Records, Schemas,
    Signal, StoredRecord, WebhookInbox,
};

/// Connections for requests of callers; jobs have their own.
const CONNECTIONS: usize = 4;
/// Connections for webhooks and for the look whether the database answers, so that slow requests of
/// callers delay neither.
const INBOX_CONNECTIONS: usize = 2;
/// Jobs and events are kept for people, and for replays, as long as change data capture looks back.
const RETENTION: Duration = Duration::from_secs(30 * 86_400);
/// The time between two heartbeats of a worker.
const HEARTBEAT_INTERVAL: Duration = Duration::from_secs(1);

/// A page of records.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
pub struct RecordPage {
    /// The records, in the order of their ids.
    pub records: Vec<StoredRecord>,
    /// Start of the next page; `None` on the last page.
    #[cfg_attr(test, schema(required = true))]
    pub next: Option<String>,
}

/// A request for a page of records.
#[derive(Debug, Clone)]
pub struct RecordRequest {
    /// Name of the entity.
    pub entity: String,
    /// The company.
    pub realm_id: String,
    /// The page begins after this id.
    pub after: String,
    /// Records in the page.
    pub limit: u16,
    /// Include deleted records.
    pub with_deleted: bool,
}

/// An app with its operational tables.
#[derive(Debug, Clone)]
pub struct Service {
    pub(super) app: App,
    syncer: Arc<Syncer>,
    pub(super) alerts: Arc<Alerts>,
    jobs: JobQueue,
    inbox: WebhookInbox,
    pub(super) records: Records,
    schemas: Schemas,
    pub(super) committed: CommittedTime,
    pub(super) mask: Arc<Mask>,
    pub(super) db: Db,
    /// Names of the entities to keep in step.
    pub(super) entities: Vec<String>,
}

impl Service {
    /// Connects, and creates or upgrades the operational tables. `entities` are the names of the
    /// entities to keep in step; if there are none, all are.
    ///
    /// # Errors
    /// Returns errors of the settings and of the database.
    pub async fn start(app: App, entities: &[String]) -> Result<Self> {
        let kept = select_or_all(entities)?;
        let mask = app.settings.mask()?;
        let alerts = Arc::new(Alerts::new(&app.settings.alerts()?)?);
        let syncer = Arc::new(Syncer::open(&app).await?);
        let postgres = app.settings.postgres()?;
        let db = Db::open(&postgres, CONNECTIONS).await?;
        let inbox = Db::open(&postgres, INBOX_CONNECTIONS).await?;
        Ok(Self {
            app: syncer.app().clone(),
            syncer,
            alerts,
            jobs: JobQueue::new(db.clone()),
            inbox: WebhookInbox::new(inbox),
            records: Records::new(db.clone()),
            schemas: Schemas::new(db.clone()),
            committed: CommittedTime::new(db.clone()),
            db,
            mask,
            entities: kept.iter().map(|entity| entity.name.to_owned()).collect(),
        })
    }

    /// Syncs each company once in an interval, until it is stopped ([`App::sync_every`]).
    ///
    /// # Errors
    /// The same as for [`App::sync_every`].
    pub async fn sync_every(
        &self,
        interval: Duration,
        show: &(dyn Fn(&SyncReport) -> Result<()> + Sync),
    ) -> Result<()> {
        let request = SyncRequest::new().entities(self.entities.clone());
        self.syncer.sync_every(&request, interval, show).await
    }

    /// Checks that the database answers.
    ///
    /// # Errors
    /// Returns the error of the database.
    pub async fn ready(&self) -> Result<()> {
        self.inbox.ping().await
    }

    /// Tells the configured places of alerts, until it is stopped.
    pub async fn watch_alerts(&self) -> Infallible {
        self.alerts.watch(&self.syncer).await
    }

    /// Returns the alerts of all companies, as of now, also if no place that is told of them is configured.
    pub(super) async fn alerts_now(&self) -> Result<Vec<Alert>> {
        self.alerts.now(&self.syncer).await
    }

    /// Puts a sync into the queue. If `key` was used before, returns the job of that time, or
    /// `None` if that job had another scope.
    ///
    /// # Errors
    /// [`Error::Config`] if an entity is unknown; those of the database.
    pub async fn enqueue_sync(&self, scope: &SyncScope, key: Option<&str>) -> Result<Option<Job>> {
        if !scope.entities.is_empty() {
            select_entities(&scope.entities)?;
        }
        let request = serde_json::to_value(scope).map_err(|e| Error::Internal(e.to_string()))?;
        let job = self.jobs.enqueue(&request, key).await?;
        Ok(job.filter(|job| job.request == request))
    }

    /// Returns a job.
    ///
    /// # Errors
    /// Returns errors of the database.
    pub async fn job(&self, id: &str) -> Result<Option<Job>> {
        self.jobs.get(id).await
    }

    /// Asks for the end of a job. What it has committed stays.
    ///
    /// # Errors
    /// Returns errors of the database.
    pub async fn cancel_job(&self, id: &str) -> Result<Option<Job>> {
        self.jobs.cancel(id).await
    }

    /// Returns the number of jobs by status.
    ///
    /// # Errors
    /// Returns errors of the database.
    pub async fn job_counts(&self) -> Result<Vec<(JobStatus, u64)>> {
        self.jobs.counts().await
    }

    /// Stores a webhook delivery: its events, and as text what is no event. Returns how many events
    /// are new.
    ///
    /// # Errors
    /// Returns errors of the database; nothing is stored then.
    pub async fn store_delivery(&self, delivery: &Delivery) -> Result<u64> {
        self.inbox.store(delivery).await
    }

    /// Queues syncs of the companies that have new webhook events, delayed until a read can see the
    /// changes.
    ///
    /// # Errors
    /// Returns errors of the database and of the token store.
    pub async fn dispatch_events(&self) -> Result<u64> {
        let config = self.app.settings.qbo_app()?;
        let (needs_reauth, connected): (Vec<_>, Vec<_>) = self
            .syncer
            .connections()
            .await?
            .into_iter()
            .partition(|connection| connection.needs_reauth.is_some());
        let names = |connections: Vec<ConnectionSummary>| {
            connections
                .into_iter()
                .map(|connection| connection.realm_id)
                .collect::<Vec<_>>()
        };
        let (needs_reauth, mut connected) = (names(needs_reauth), names(connected));
        connected.extend(self.app.settings.realm_id()?);
        let delay = config.lag.to_std().unwrap_or_default() + Duration::from_secs(1);
        self.inbox
            .create_jobs(&JobRules {
                connected: &connected,
                needs_reauth: &needs_reauth,
                entities: &self.entities,
                delay,
            })
            .await
    }

    /// Marks events as unprocessed, so that they become jobs again: those received since an
    /// instant, of the given companies, or of all if none is given. Returns how many.
    ///
    /// # Errors
    /// Returns errors of the database.
    pub async fn replay_events(&self, since: DateTime<Utc>, realms: &[String]) -> Result<u64> {
        self.inbox.replay(since, realms).await
    }

    /// Deletes ended jobs and processed events that are older than 30 days.
    ///
    /// # Errors
    /// Returns errors of the database.
    pub async fn delete_expired(&self) -> Result<()> {
        self.jobs.delete_older_than(RETENTION).await?;
        self.inbox.delete_older_than(RETENTION).await
    }

    /// Returns the connections.
    ///
    /// # Errors
    /// Returns errors of the token store.
    pub async fn accounts(&self) -> Result<Vec<CompanyReport>> {
        self.syncer.company_reports().await
    }

    /// Returns the first of some companies that is not connected and that the settings do not name.
    ///
    /// # Errors
    /// Returns errors of the token store.
    pub async fn unknown_company(&self, realm_ids: &[String]) -> Result<Option<String>> {
        self.syncer.unknown_company(realm_ids).await
    }

    /// Returns the state of every entity of every company.
    ///
    /// # Errors
    /// Returns errors of the database.
    pub async fn entity_states(&self) -> Result<Vec<EntityState>> {
        self.records.entity_states(None).await
    }

    /// Returns the latest jobs, newest first.
    ///
    /// # Errors
    /// Returns errors of the database.
    pub async fn recent_jobs(&self) -> Result<Vec<Job>> {
        self.jobs.recent(20).await
    }

    /// Returns the rate limits of each company, and the monthly quota of reads; 0 means that there
    /// is no warning about it.
    ///
    /// # Errors
    /// Settings.
    pub fn limits(&self) -> Result<(Limits, u64)> {
        let config = self.app.settings.qbo_app()?;
        Ok((config.limits, config.monthly_quota))
    }

    /// Returns a page of the records of a company.
    ///
    /// # Errors
    /// [`Error::Config`] if the entity is unknown or the company has no records here.
    pub async fn records(&self, request: &RecordRequest) -> Result<RecordPage> {
        let entity = find_entity(&request.entity)?;
        let missing = || {
            Error::config(
                "realm_id",
                format!("company '{}' has no records here", request.realm_id),
            )
        };
        let schema = self
            .schemas
            .bound_schema(&request.realm_id)
            .await?
            .ok_or_else(missing)?;
        let limit = i64::from(request.limit);
        let page = PageQuery {
            after: &request.after,
            max_records: limit,
            with_deleted: request.with_deleted,
        };
        let records = match self.records.page(&schema, entity, page).await {
            // No record of the entity was ever loaded.
            Err(error) if rights::is_missing_table(&error) => Vec::new(),
            records => records?,
        };
        let is_full = records.len() as i64 == limit;
        let next = records
            .last()
            .filter(|_| is_full)
            .map(|record| record.id.clone());
        Ok(RecordPage { records, next })
    }

    /// Connects a company with the code that QuickBooks sent its user back with.
    ///
    /// # Errors
    /// Settings; a refused code; those of the store.
    pub async fn authorise(
        &self,
        realm_id: &str,
        code: &str,
        redirect_uri: &str,
    ) -> Result<Connection> {
        let mut app = self.app.clone();
        app.settings.set("QBO_REALM_ID", realm_id)?;
        app.settings.realm_id()?;
        app.exchange(realm_id, &Secret::new(code), redirect_uri)
            .await
    }

    /// Claims the next job, if there is one that may be started.
    ///
    /// # Errors
    /// Returns errors of the database.
    pub async fn claim_job(&self) -> Result<Option<Job>> {
        self.jobs.claim().await
    }

    /// Runs a claimed job; returns its report if its sync was done. If `stop` ends first, the job
    /// returns to the queue.
    ///
    /// # Errors
    /// Returns errors of the database.
    pub async fn run_job(
        &self,
        job: &Job,
        stop: impl Future<Output = ()>,
    ) -> Result<Option<SyncReport>> {
        let outcome = tokio::select! {
            outcome = self.run(job) => Some(outcome),
            signal = self.watch(job) => {
                // The sync is dropped: windows that are not committed roll back.
                if signal == Signal::Cancel {
                    let outcome = JobOutcome {
                        status: JobStatus::Cancelled,
                        report: None,
                        error: None,
                        failed_entities: None,
                    };
                    self.jobs.finish(job, outcome).await?;
                }
                None
            }
            // The sync is dropped here, too.
            () = stop => {
                self.jobs.release(job).await?;
                None
            }
        };
        match outcome {
            Some(Ok(report)) => {
                let value =
                    serde_json::to_value(&report).map_err(|e| Error::Internal(e.to_string()))?;
                let outcome = JobOutcome {
                    status: match report.is_ok() {
                        true => JobStatus::Done,
                        false => JobStatus::Failed,
                    },
                    report: Some(&value),
                    error: report.accounts.iter().find_map(CompanySync::first_error),
                    failed_entities: report.failed_entities(),
                };
                self.jobs.finish(job, outcome).await?;
                Ok(Some(report))
            }
            Some(Err(error)) => {
                let outcome = JobOutcome {
                    status: JobStatus::Failed,
                    report: None,
                    error: Some(&error.to_string()),
                    failed_entities: None,
                };
                self.jobs.finish(job, outcome).await?;
                Ok(None)
            }
            None => Ok(None),
        }
    }

    async fn run(&self, job: &Job) -> Result<SyncReport> {
        let mut scope: SyncScope = serde_json::from_value(job.request.clone())
            .map_err(|e| Error::config("job", e.to_string()))?;
        if scope.entities.is_empty() {
            scope.entities.clone_from(&self.entities);
        }
        let request = SyncRequest {
            scope,
            ..SyncRequest::default()
        };
        self.syncer.sync(&request).await
    }

    /// Sends heartbeats for the job until the job must stop.
    async fn watch(&self, job: &Job) -> Signal {
        loop {
            tokio::time::sleep(HEARTBEAT_INTERVAL).await;
            match self.jobs.heartbeat(job).await {
                Ok(Signal::Continue) => {}
                Ok(signal) => return signal,
                Err(error) => warn!(phase = "load", event = "job_not_kept", "{error}"),
            }
        }
    }
}

/// Returns the seconds since an instant, for metrics.
pub fn seconds_since(instant: DateTime<Utc>) -> f64 {
    (crate::clock::now() - instant).as_seconds_f64()
}
