//! Syncing on a schedule, and alerts while it goes on.

use std::sync::Arc;
use std::time::Duration;

use super::alerts::Alerts;
use super::sync::{SyncRequest, Syncer};
use super::{App, select_or_all};
use crate::domain::SyncReport;
use crate::error::Result;

impl App {
    /// Syncs each company once per interval, until it is stopped. New companies are spread over the
    /// interval, overdue ones come first, and failing ones are synced less and less often. No
    /// company waits for another, and several processes can share the work.
    ///
    /// # Errors
    /// Returns problems found before the first request, and errors of `show`. After that, it waits
    /// for a database that cannot be reached.
    pub async fn sync_every(
        &self,
        request: &SyncRequest,
        interval: Duration,
        show: &(dyn Fn(&SyncReport) -> Result<()> + Sync),
    ) -> Result<()> {
        select_or_all(&request.scope.entities)?;
        let alerts = Alerts::new(&self.settings.alerts()?)?;
        let syncer = Arc::new(Syncer::open(self).await?);
        tokio::select! {
            ended = syncer.sync_every(request, interval, show) => ended,
            never = alerts.watch(&syncer) => match never {},
        }
    }
}
