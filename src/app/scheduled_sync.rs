//! Syncing on a schedule, and alerts while it goes on.

use std::sync::Arc;
use std::time::Duration;

use tracing::warn;

use super::alerts::Alerts;
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

/// Warns of an interval that does not go with other settings.
///
/// # Errors
/// Settings.
pub(super) fn warn_of_interval(settings: &Settings, interval: Duration) -> Result<()> {
    if let Some(text) = over_quota(interval, settings.monthly_quota()?) {
        warn!(phase = "sync", event = "interval_over_quota", "{text}");
    }
    let config = settings.alerts()?;
    if let Some(text) = always_stale(interval, config.stale_after) {
        warn!(phase = "sync", event = "interval_always_stale", "{text}");
    }
    Ok(())
}

/// Says how soon syncs alone would use up the reads of a month (0: not metered). A sync in which nothing has
/// changed is one request at least.
fn over_quota(interval: Duration, quota: u64) -> Option<String> {
    let (seconds, granted) = (interval.as_secs_f64(), quota as f64);
    let reads_a_day = DAY_S / seconds;
    if quota == 0 || reads_a_day * DAYS_OF_MONTH <= granted {
        return None;
    }
    let days = granted / reads_a_day;
    let least = (DAYS_OF_MONTH * DAY_S / granted).ceil();
    Some(format!(
        "a sync every {seconds} s is at least {reads_a_day:.0} reads a day for each company: the {quota} of a month \
         (QBO_MONTHLY_QUOTA) are used up in {days:.1} days; they last with {least:.0} s or more"
    ))
}

/// Says that companies are stale before their next sync.
fn always_stale(interval: Duration, stale_after: Option<Duration>) -> Option<String> {
    let stale_after = stale_after.filter(|limit| *limit <= interval)?;
    Some(format!(
        "QBO_ALERT_STALE_S is {} s, and a sync comes every {} s: each company is stale before its next sync; set it to \
         more than the interval",
        stale_after.as_secs_f64(),
        interval.as_secs_f64()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn an_interval_that_uses_up_the_quota_is_told_with_its_figures() {
        let text = over_quota(2 * SECOND, 500_000).unwrap();
        for figure in [
            "43200 reads a day",
            "the 500000 of a month",
            "in 11.6 days",
            "with 6 s",
        ] {
            assert!(text.contains(figure), "{text}");
        }
        assert_eq!(over_quota(6 * SECOND, 500_000), None);
        assert_eq!(over_quota(2 * SECOND, 0), None, "not metered");
    }

    #[test]
    fn a_limit_of_staleness_below_the_interval_is_told() {
        let text = always_stale(300 * SECOND, Some(60 * SECOND)).unwrap();
        assert!(text.starts_with("QBO_ALERT_STALE_S is 60 s, and a sync comes every 300 s"));
        assert_eq!(always_stale(300 * SECOND, Some(301 * SECOND)), None);
        assert_eq!(always_stale(300 * SECOND, None), None);
    }
}
