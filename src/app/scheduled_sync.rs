//! Syncing on a schedule, and alerts while it goes on.

use std::sync::Arc;
use std::time::Duration;

use tracing::warn;

use super::alerts::Alerts;
use super::service::Service;
use super::sync::{SyncRequest, Syncer};
use super::{App, select_or_all};
use crate::config::Settings;
use crate::domain::SyncReport;
use crate::error::Result;

const DAY_S: f64 = 86_400.0;
const DAYS_OF_MONTH: f64 = 30.0;

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
        warn_of_interval(&self.settings, interval)?;
        let syncer = Arc::new(Syncer::open(self).await?);
        syncer.check_companies(&request.scope.accounts).await?;
        tokio::select! {
            ended = syncer.sync_every(request, interval, show) => ended,
            never = alerts.watch(&syncer) => match never {},
        }
    }
}

impl Service {
    /// Warns of an interval of syncs that does not go with other settings.
    ///
    /// # Errors
    /// Settings.
    pub fn warn_of_interval(&self, interval: Duration) -> Result<()> {
        warn_of_interval(&self.app.settings, interval)
    }
}

/// Warns of an interval that does not go with other settings.
///
/// # Errors
/// Settings.
fn warn_of_interval(settings: &Settings, interval: Duration) -> Result<()> {
    let (quota, seconds) = (settings.monthly_quota()?, interval.as_secs_f64());
    if let Some(Overuse {
        reads_a_day,
        days,
        least_s,
    }) = overuse(interval, quota)
    {
        warn!(
            phase = "sync",
            event = "interval_over_quota",
            "a sync every {seconds} s is at least {reads_a_day} reads a day for each company: the {quota} of a month \
             (QBO_MONTHLY_QUOTA) are used up in {days} days; they last with {least_s} s or more"
        );
    }
    let stale_after = settings.alerts()?.stale_after;
    if let Some(limit) = stale_after.filter(|limit| *limit <= interval) {
        warn!(
            phase = "sync",
            event = "interval_always_stale",
            "QBO_ALERT_STALE_S is {} s, and a sync comes every {seconds} s: each company is stale before its next sync; \
             set it to more than the interval",
            limit.as_secs_f64()
        );
    }
    Ok(())
}

/// Why an interval is too short for the reads of a month.
#[derive(Debug, PartialEq, Eq)]
struct Overuse {
    reads_a_day: u64,
    days: u64,
    /// The shortest interval that is not, in seconds.
    least_s: u64,
}

/// Returns how soon syncs alone use up the reads of a month (0: not metered). A sync in which nothing has changed
/// is one request at least.
fn overuse(interval: Duration, quota: u64) -> Option<Overuse> {
    let granted = quota as f64;
    let reads_a_day = DAY_S / interval.as_secs_f64();
    (quota > 0 && reads_a_day * DAYS_OF_MONTH > granted).then(|| Overuse {
        reads_a_day: reads_a_day as u64,
        days: (granted / reads_a_day) as u64,
        least_s: (DAYS_OF_MONTH * DAY_S / granted).ceil() as u64,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interval_that_uses_up_the_quota_is_told_with_its_figures() {
        let seconds = Duration::from_secs;
        let expected = Overuse {
            reads_a_day: 43_200,
            days: 11,
            least_s: 6,
        };
        assert_eq!(overuse(seconds(2), 500_000), Some(expected));
        assert_eq!(overuse(seconds(6), 500_000), None);
        assert_eq!(overuse(seconds(2), 0), None, "not metered");
    }
}
