//! Continuous syncing, each company at its own time.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::task::{Id, JoinError, JoinSet};
use tokio::time::Instant;
use tracing::warn;

use super::{CompanyScope, MAX_CONCURRENT_COMPANIES, Recheck, SyncRequest, Syncer};
use crate::app::select_or_all;
use crate::domain::{CompanySync, EntitySpec, SyncReport};
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
        let entities: Arc<[EntitySpec]> = select_or_all(&request.scope.entities)?.into();
        self.realms(request).await?;
        let mut running: JoinSet<CompanySync> = JoinSet::new();
        let mut busy = HashMap::new();
        let mut known = Known::default();
        loop {
            let wait = match self
                .start_due(
                    request,
                    &entities,
                    interval,
                    &mut known,
                    &mut running,
                    &mut busy,
                )
                .await
            {
                Ok(wait) => wait,
                Err(error) => {
                    warn!(
                        phase = "load",
                        event = "sync_waits",
                        "{error}; trying again"
                    );
                    MAX_WAIT
                }
            };
            tokio::select! {
                Some(ended) = running.join_next_with_id() => {
                    // Also one that has panicked is due again.
                    let id = ended.as_ref().map_or_else(JoinError::id, |(id, _)| *id);
                    let realm_id = busy.remove(&id).unwrap_or_default();
                    match ended {
                        Ok((_, account)) => show(&SyncReport { accounts: vec![account] })?,
                        Err(error) => {
                            warn!(
                                phase = "load",
                                event = "sync_not_recorded",
                                "company {realm_id}: {error}"
                            );
                        }
                    }
                }
                () = tokio::time::sleep(wait) => {}
            }
        }
    }

    /// Starts the companies that are due, up to the maximum of concurrent ones. Returns how long to
    /// wait for the next one.
    async fn start_due(
        self: &Arc<Self>,
        request: &SyncRequest,
        entities: &Arc<[EntitySpec]>,
        interval: Duration,
        known: &mut Known,
        running: &mut JoinSet<CompanySync>,
        busy: &mut HashMap<Id, String>,
    ) -> Result<Duration> {
        if known.is_old() {
            let realm_ids = self.realms(request).await?;
            self.schedule.add(&realm_ids, interval).await?;
            *known = Known::now(realm_ids);
        }
        // A company whose sync takes longer than the interval is not started a second time.
        let taken: HashSet<&String> = busy.values().collect();
        let is_free = |realm_id: &&String| !taken.contains(*realm_id);
        let realms: Vec<String> = known.realm_ids.iter().filter(is_free).cloned().collect();
        let room = MAX_CONCURRENT_COMPANIES.saturating_sub(running.len());
        for realm_id in self.schedule.claim_due(&realms, interval, room).await? {
            let (syncer, entities, page_size) = (self.clone(), entities.clone(), request.page_size);
            let company = realm_id.clone();
            let started = running.spawn(async move {
                let scope = CompanyScope {
                    realm_id: &realm_id,
                    entities: &entities,
                    page_size,
                    recheck: Recheck::Daily,
                    may_wait: true,
                };
                let company = syncer.sync_company(scope).await;
                let error = company.first_error();
                let paused_until = match error {
                    Some(_) => syncer.paused_until(&realm_id).await,
                    None => None,
                };
                if let Err(error) = syncer
                    .schedule
                    .record_outcome(&realm_id, error, interval, paused_until)
                    .await
                {
                    warn!(phase = "load", event = "sync_not_recorded", "{error}");
                }
                company
            });
            busy.insert(started.id(), company);
        }
        let next = self.schedule.next_due(&realms).await?;
        let wait = next
            .and_then(|next| (next - crate::clock::now()).to_std().ok())
            .unwrap_or(MIN_WAIT);
        // The maximum lets companies that are connected meanwhile start soon.
        Ok(wait.clamp(MIN_WAIT, MAX_WAIT))
    }
}
