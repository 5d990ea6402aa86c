//! The background tasks of the service: jobs, webhook events, the schedule, expired rows.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;
use tracing::{error, info, warn};

use super::state::AppState;
use crate::app::Job;
use crate::domain::SyncReport;
use crate::error::Result;

/// The pause between two looks into an empty queue.
const POLL_INTERVAL: Duration = Duration::from_millis(500);
/// The pause before a retry while the database cannot be reached.
const DATABASE_RETRY_DELAY: Duration = Duration::from_secs(5);
/// The pause between two deletions of expired rows.
const CLEANUP_INTERVAL: Duration = Duration::from_secs(3600);

/// The signal to stop: true once the service is stopping.
pub(super) type Stopped = watch::Receiver<bool>;

/// Runs up to `workers` jobs at a time. Once stopped, it returns unfinished jobs to the queue.
pub(super) async fn run_jobs(state: Arc<AppState>, workers: usize, mut stopped: Stopped) {
    let mut running = JoinSet::new();
    while !*stopped.borrow() {
        let mut pause = DATABASE_RETRY_DELAY;
        while running.len() < workers {
            match state.service.claim_job().await {
                Ok(Some(job)) => _ = running.spawn(run_job(state.clone(), job, stopped.clone())),
                Ok(None) => {
                    pause = POLL_INTERVAL;
                    break;
                }
                Err(error) => {
                    warn!(phase = "sync", event = "queue_away", "{error}");
                    break;
                }
            }
        }
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            Some(_) = running.join_next() => {}
            _ = stopped.changed() => {}
        }
    }
    while running.join_next().await.is_some() {}
}

async fn run_job(state: Arc<AppState>, job: Job, mut stopped: Stopped) {
    let stop = async move {
        // An error means that the sender is gone, which is a stop, too.
        let _ = stopped.wait_for(|is_stopped| *is_stopped).await;
    };
    let job_id = job.job_id.as_str();
    match state.service.run_job(&job, stop).await {
        Ok(report) => {
            info!(
                phase = "sync",
                event = "job_ended",
                job_id,
                "job {job_id} has ended"
            );
            if let Some(report) = report {
                state.counters.count_sync(&report);
            }
        }
        Err(error) => warn!(
            phase = "sync",
            event = "job_not_recorded",
            job_id,
            "{error}"
        ),
    }
}

/// Turns stored webhook events into jobs until stopped.
pub(super) async fn dispatch_events(state: Arc<AppState>, mut stopped: Stopped) {
    loop {
        let pause = match state.service.dispatch_events().await {
            Ok(_) => POLL_INTERVAL,
            Err(error) => {
                warn!(phase = "sync", event = "events_wait", "{error}");
                DATABASE_RETRY_DELAY
            }
        };
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            _ = stopped.changed() => return,
        }
    }
}

/// Deletes expired jobs and events every hour until stopped.
pub(super) async fn delete_expired(state: Arc<AppState>, mut stopped: Stopped) {
    loop {
        if let Err(error) = state.service.delete_expired().await {
            warn!(phase = "sync", event = "old_rows_stay", "{error}");
        }
        tokio::select! {
            () = tokio::time::sleep(CLEANUP_INTERVAL) => {}
            _ = stopped.changed() => return,
        }
    }
}

/// Tells people of alerts until stopped.
pub(super) async fn watch_alerts(state: Arc<AppState>, mut stopped: Stopped) {
    tokio::select! {
        never = state.service.watch_alerts() => match never {},
        _ = stopped.changed() => {}
    }
}

/// Syncs every company once per `interval` until stopped.
pub(super) async fn run_schedule(state: Arc<AppState>, interval: Duration, mut stopped: Stopped) {
    let count = |report: &SyncReport| -> Result<()> {
        state.counters.count_sync(report);
        Ok(())
    };
    if let Err(error) = state.service.warn_of_interval(interval) {
        error!(phase = "sync", event = "schedule_stopped", "{error}");
    }
    loop {
        let ended = tokio::select! {
            ended = state.service.sync_every(interval, &count) => ended,
            _ = stopped.changed() => return,
        };
        if let Err(error) = ended {
            error!(phase = "sync", event = "schedule_stopped", "{error}");
        }
        // The schedule also ends if no company is connected; one may be connected later.
        tokio::select! {
            () = tokio::time::sleep(DATABASE_RETRY_DELAY) => {}
            _ = stopped.changed() => return,
        }
    }
}
