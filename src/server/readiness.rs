//! Whether the database answers. Everybody may ask for it, so the database is asked once a second
//! at most, and strangers do not get to read what it says.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::Instant;
use tracing::{info, warn};

use crate::app::Service;

/// The time for which an answer is used again.
const MAX_AGE: Duration = Duration::from_secs(1);
const MAX_HEALTH_AGE: Duration = Duration::from_secs(10);
/// The time within which the database must answer.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Whether the database answers; if not, the reason.
type Answer = Result<(), String>;

/// The last answer of the database.
#[derive(Debug, Default)]
pub(super) struct Readiness(Arc<Mutex<Option<(Instant, Answer)>>>);

impl Readiness {
    /// Asks the database, unless it was asked a moment ago. The error is for the log and for callers
    /// with the key.
    pub(super) async fn check(&self, service: &Service) -> Answer {
        // Those who wait for the lock use the answer of the one who asked.
        let mut last = self.0.clone().lock_owned().await;
        if let Some((at, answer)) = &*last
            && at.elapsed() < MAX_AGE
        {
            return answer.clone();
        }
        let service = service.clone();
        // Callers may go away sooner than the database answers (Kubernetes waits for a second), and
        // what it answers is for the log and for the next caller.
        let asked = tokio::spawn(async move {
            let answer = ask(&service).await;
            let was_ready = last.as_ref().is_none_or(|(_, answer)| answer.is_ok());
            log_change(was_ready, &answer);
            *last = Some((Instant::now(), answer.clone()));
            answer
        });
        asked.await.unwrap_or_else(|error| Err(error.to_string()))
    }
}

/// The last look at all companies. It asks more of the database, so it is taken less often.
#[derive(Debug, Default)]
pub(super) struct Health(Arc<Mutex<Option<(Instant, Answer)>>>);

impl Health {
    /// Looks whether anything is stale, failed or needs a person, unless that was done a moment ago. The
    /// reasons are for callers with the key.
    pub(super) async fn check(&self, service: &Service) -> Answer {
        let mut last = self.0.clone().lock_owned().await;
        if let Some((at, answer)) = &*last
            && at.elapsed() < MAX_HEALTH_AGE
        {
            return answer.clone();
        }
        let service = service.clone();
        let asked = tokio::spawn(async move {
            let answer = look(&service).await;
            *last = Some((Instant::now(), answer.clone()));
            answer
        });
        asked.await.unwrap_or_else(|error| Err(error.to_string()))
    }
}

async fn look(service: &Service) -> Answer {
    let failures = match tokio::time::timeout(TIMEOUT, service.failures()).await {
        Ok(failures) => failures.map_err(|error| error.to_string())?,
        Err(_) => return Err(format!("no answer within {} s", TIMEOUT.as_secs())),
    };
    match failures.is_empty() {
        true => Ok(()),
        false => Err(failures.join(" ")),
    }
}

async fn ask(service: &Service) -> Answer {
    match tokio::time::timeout(TIMEOUT, service.ready()).await {
        Ok(answer) => answer.map_err(|error| error.to_string()),
        Err(_) => Err(format!("no answer within {} s", TIMEOUT.as_secs())),
    }
}

fn log_change(was_ready: bool, answer: &Answer) {
    match answer {
        Err(reason) if was_ready => warn!(
            phase = "serve",
            event = "not_ready",
            "the database does not answer: {reason}"
        ),
        Ok(()) if !was_ready => info!(
            phase = "serve",
            event = "ready_again",
            "the database answers again"
        ),
        _ => {}
    }
}
