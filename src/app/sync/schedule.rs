//! Continuous syncing, each company at its own time.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::task::{Id, JoinError, JoinSet};
use tokio::time::Instant;
use tracing::warn;

use super::{CompanyScope, MAX_CONCURRENT_COMPANIES, Recheck, SyncRequest, Syncer};
use crate::app::select_or_all;
use crate::domain::{CompanySync, EntitySpec, PageSize, SyncReport};
use crate::error::Result;

/// The minimum and the maximum wait between two reads of the schedule.
const MIN_WAIT: Duration = Duration::from_millis(200);
const MAX_WAIT: Duration = Duration::from_secs(10);

/// The companies to sync, as of some instant. Thousands of them are not read again at the end of each sync.
#[derive(Debug, Default)]
struct Known {
    realm_ids: Vec<String>,
    read_at: Option<Instant>,
}

impl Known {
    fn now(realm_ids: Vec<String>) -> Self {
        let read_at = Some(Instant::now());
        Self { realm_ids, read_at }
    }

    fn is_old(&self) -> bool {
        self.read_at
            .is_none_or(|read_at| read_at.elapsed() >= MAX_WAIT)
    }
}

impl Syncer {
    /// Implements `App::sync_every`.
    pub(crate) async fn sync_every(
        self: &Arc<Self>,
        request: &SyncRequest,
        interval: Duration,
        show: &(dyn Fn(&SyncReport) -> Result<()> + Sync),
    ) -> Result<()> {
        let mut scheduled = Scheduled {
            syncer: self.clone(),
            request,
            entities: select_or_all(&request.scope.entities)?.into(),
            interval,
            known: Known::default(),
            running: JoinSet::new(),
            busy: HashMap::new(),
        };
        self.realms(request).await?;
        loop {
            let wait = scheduled.start_due().await.unwrap_or_else(|error| {
                warn!(
                    phase = "load",
                    event = "sync_waits",
                    "{error}; trying again"
                );
                MAX_WAIT
            });
            tokio::select! {
                Some(ended) = scheduled.running.join_next_with_id() => {
                    if let Some(account) = scheduled.ended(ended) {
                        show(&SyncReport { accounts: vec![account] })?;
                    }
                }
                () = tokio::time::sleep(wait) => {}
            }
        }
    }

    /// Syncs a company that is due, and records when it is due again.
    async fn sync_due(
        &self,
        realm_id: &str,
        entities: &[EntitySpec],
        page_size: PageSize,
        interval: Duration,
    ) -> CompanySync {
        let scope = CompanyScope {
            realm_id,
            entities,
            page_size,
            recheck: Recheck::Daily,
            may_wait: true,
        };
        let company = self.sync_company(scope).await;
        let error = company.first_error();
        let paused_until = match error {
            Some(_) => self.paused_until(realm_id).await,
            None => None,
        };
        let recorded = self
            .schedule
            .record_outcome(realm_id, error, interval, paused_until);
        if let Err(error) = recorded.await {
            warn!(phase = "load", event = "sync_not_recorded", "{error}");
        }
        company
    }
}

/// Syncs of many companies, each at its own time.
struct Scheduled<'r> {
    syncer: Arc<Syncer>,
    request: &'r SyncRequest,
    entities: Arc<[EntitySpec]>,
    interval: Duration,
    known: Known,
    running: JoinSet<CompanySync>,
    /// The companies that are being synced, by their tasks.
    busy: HashMap<Id, String>,
}

impl Scheduled<'_> {
    /// Starts the companies that are due, up to the maximum of concurrent ones. Returns how long to
    /// wait for the next one.
    async fn start_due(&mut self) -> Result<Duration> {
        self.know_companies().await?;
        let free = self.free();
        let room = MAX_CONCURRENT_COMPANIES.saturating_sub(self.running.len());
        let schedule = &self.syncer.schedule;
        for realm_id in schedule.claim_due(&free, self.interval, room).await? {
            self.start(realm_id);
        }
        let next = self.syncer.schedule.next_due(&free).await?;
        let wait = next
            .and_then(|next| (next - crate::clock::now()).to_std().ok())
            .unwrap_or(MIN_WAIT);
        // The maximum lets companies that are connected meanwhile start soon.
        Ok(wait.clamp(MIN_WAIT, MAX_WAIT))
    }

    /// Reads which companies there are, if that is long ago, and adds new ones to the schedule.
    async fn know_companies(&mut self) -> Result<()> {
        if self.known.is_old() {
            let realm_ids = self.syncer.realms(self.request).await?;
            self.syncer.schedule.add(&realm_ids, self.interval).await?;
            self.known = Known::now(realm_ids);
        }
        Ok(())
    }

    /// Returns the companies that are not being synced: one whose sync takes longer than the interval is
    /// not started a second time.
    fn free(&self) -> Vec<String> {
        let busy: HashSet<&String> = self.busy.values().collect();
        let known = self.known.realm_ids.iter();
        known
            .filter(|realm_id| !busy.contains(realm_id))
            .cloned()
            .collect()
    }

    fn start(&mut self, realm_id: String) {
        let (syncer, entities) = (self.syncer.clone(), self.entities.clone());
        let (page_size, interval) = (self.request.page_size, self.interval);
        let company = realm_id.clone();
        let task = self.running.spawn(async move {
            syncer
                .sync_due(&company, &entities, page_size, interval)
                .await
        });
        self.busy.insert(task.id(), realm_id);
    }

    /// Takes note that a sync has ended, also if it has panicked: its company is due again.
    fn ended(&mut self, ended: Result<(Id, CompanySync), JoinError>) -> Option<CompanySync> {
        let id = ended.as_ref().map_or_else(JoinError::id, |(id, _)| *id);
        let realm_id = self.busy.remove(&id).unwrap_or_default();
        match ended {
            Ok((_, company)) => Some(company),
            Err(error) => {
                warn!(
                    phase = "load",
                    event = "sync_not_recorded",
                    "company {realm_id}: {error}"
                );
                None
            }
        }
    }
}
