//! Syncing for ever, each company at its own time.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use chrono::Utc;
use log::warn;
use tokio::task::JoinSet;

use super::sync::{ACCOUNTS_AT_ONCE, Syncer};
use super::{App, SyncRequest};
use crate::domain::{AccountSync, SyncReport};
use crate::error::Result;

/// Between looks at the schedule.
const SHORTEST_WAIT: Duration = Duration::from_millis(200);
const LONGEST_WAIT: Duration = Duration::from_secs(10);

impl App {
    /// Syncs each company once in an interval, until it is stopped: new ones spread over the interval, overdue ones first,
    /// failing ones less and less often. None waits for another, and several processes share the work.
    ///
    /// # Errors
    /// What is found before the first request, and those of `show`. Later a database that is away is waited for.
    pub async fn sync_every(
        &self,
        request: &SyncRequest,
        interval: Duration,
        show: &(dyn Fn(&SyncReport) -> Result<()> + Sync),
    ) -> Result<()> {
        let syncer = Arc::new(Syncer::new(self, request).await?);
        syncer.realms().await?;
        let mut running: JoinSet<AccountSync> = JoinSet::new();
        let mut busy = HashSet::new();
        loop {
            let wait = match start_due(&syncer, interval, &mut running, &mut busy).await {
                Ok(wait) => wait,
                Err(error) => {
                    warn!(phase = "load", event = "sync_waits"; "{error}; trying again");
                    LONGEST_WAIT
                }
            };
            tokio::select! {
                Some(Ok(account)) = running.join_next() => {
                    busy.remove(&account.realm_id);
                    show(&SyncReport { accounts: vec![account] })?;
                }
                () = tokio::time::sleep(wait) => {}
            }
        }
    }
}

/// Starts the companies that are due, as many as have room; returns how long the next one has time.
async fn start_due(
    syncer: &Arc<Syncer>,
    interval: Duration,
    running: &mut JoinSet<AccountSync>,
    busy: &mut HashSet<String>,
) -> Result<Duration> {
    let mut realms = syncer.realms().await?;
    // One whose sync takes longer than the interval is not begun once more meanwhile.
    realms.retain(|realm_id| !busy.contains(realm_id));
    let room = ACCOUNTS_AT_ONCE.saturating_sub(running.len());
    for realm_id in syncer.sink().claim_due(&realms, interval, room).await? {
        let syncer = syncer.clone();
        busy.insert(realm_id.clone());
        running.spawn(async move {
            let account = syncer.account(&realm_id).await;
            let entities = account.entities.iter().find_map(|entity| entity.error.as_deref());
            let error = account.error.as_deref().or(entities);
            if let Err(error) = syncer.sink().account_synced(&realm_id, error, interval).await {
                warn!(phase = "load", event = "sync_not_recorded"; "{error}");
            }
            account
        });
    }
    let next = syncer.sink().next_due(&realms).await?;
    let wait = next.and_then(|next| (next - Utc::now()).to_std().ok()).unwrap_or(SHORTEST_WAIT);
    // Companies that are connected meanwhile are not made to wait for the others.
    Ok(wait.clamp(SHORTEST_WAIT, LONGEST_WAIT))
}
