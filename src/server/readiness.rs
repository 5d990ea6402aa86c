//! Whether the database answers. Everybody may ask for it, so the database is asked once a second
//! at most, and strangers do not get to read what it says.

use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::Instant;
use tracing::{info, warn};

use crate::app::Service;

/// The time for which an answer is used again.
const MAX_AGE: Duration = Duration::from_secs(1);
/// The time within which the database must answer.
const TIMEOUT: Duration = Duration::from_secs(5);

/// The last answer of the database.
#[derive(Debug, Default)]
pub(super) struct Readiness(Mutex<Option<(Instant, Result<(), String>)>>);

impl Readiness {
    /// Asks the database, unless it was asked a moment ago. The error is for the log and for callers
    /// with the key.
    pub(super) async fn check(&self, service: &Service) -> Result<(), String> {
        // Those who wait for the lock use the answer of the one who asked.
        let mut last = self.0.lock().await;
        if let Some((at, answer)) = &*last
            && at.elapsed() < MAX_AGE
        {
            return answer.clone();
        }
        let answer = match tokio::time::timeout(TIMEOUT, service.ready()).await {
            Ok(answer) => answer.map_err(|error| error.to_string()),
            Err(_) => Err(format!("no answer within {} s", TIMEOUT.as_secs())),
        };
        let was_ready = last.as_ref().is_none_or(|(_, answer)| answer.is_ok());
        match &answer {
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
        *last = Some((Instant::now(), answer.clone()));
        answer
    }
}
