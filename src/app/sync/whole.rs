//! The sync of entities that are read as a whole (qbo-facts 13.6): one request brings all of their
//! records, and what it does not bring, nor a second one, is gone.

use std::collections::HashSet;

use chrono::{DateTime, Utc};

use super::company::{CompanySyncer, SWEEP_EVERY, Synced};
use super::comparison::with_deletions;
use super::poll::Poll;
use crate::domain::{
    Deletion, EntityOutcome, EntitySpec, EntitySync, SyncMethod, WindowReport, WindowStatus,
};
use crate::error::{Error, Result};

impl CompanySyncer<'_> {
    /// Reads an entity as a whole, once a day: QuickBooks does not say whether anything has changed. After a
    /// sync that failed, the next one reads it: nothing else would end the failure that is recorded. If a sync
    /// names nothing but such entities, its user wants to know now.
    pub(super) async fn sync_whole(&self, poll: Poll, now: DateTime<Utc>, synced: &mut Synced) {
        let entity = *poll.entity();
        let last_read = poll.state.reconciled_at;
        let is_due = last_read.is_none_or(|at| at < now - SWEEP_EVERY) || poll.state.is_unread;
        if !is_due && !self.asks_for_wholes {
            // Nothing was read, so that the outcome of the last read stays recorded.
            self.progress.run_finished(self.run_name(entity.name));
            let report = EntitySync::not_due(entity.name, poll.since);
            return synced.entities.push(report);
        }
        self.begin(&[entity.name]).await;
        let report = match self.read_whole(&entity, poll).await {
            Ok(report) => report,
            Err(error) => {
                let is_answered = is_answered(&synced.entities);
                if ends_company(&error, is_answered) {
                    synced.lost = Some((&error).into());
                }
                self.report_of_whole(&entity, &error, is_answered)
            }
        };
        self.end(report, &mut synced.entities).await;
    }

    async fn read_whole(&self, entity: &EntitySpec, poll: Poll) -> Result<EntitySync> {
        // The table first, so that a record that is loaded meanwhile does not seem to be missing
        // from an older answer.
        let stored = self.sink.ids(entity).await?;
        let gone = self.missing(entity, stored).await?;
        let run = self.run_poll(self.source.clone(), poll.plan).await;
        let report = EntitySync::new(&run, SyncMethod::Read);
        // An answer that is older than the committed time reaches no window.
        let is_done = |window: &WindowReport| window.status == WindowStatus::Done;
        let mut done = run.windows.iter().filter(|window| is_done(window));
        let is_stored = done.any(|window| window.pages > 0);
        let Some(gone) = gone.filter(|_| report.status == EntityOutcome::Ok && is_stored) else {
            return Ok(report);
        };
        let at = crate::clock::now();
        let gone: Vec<Deletion> = gone
            .into_iter()
            .map(|id| Deletion { id, at, stub: None })
            .collect();
        let marked = self.mark_deleted(entity, &gone, true).await;
        let report = EntitySync {
            reconciled: true,
            ..report
        };
        Ok(with_deletions(report, marked))
    }

    /// Fetches an entity, and once more if any of the stored records is missing. Returns those that
    /// neither answer has, or `None` if a row does not say its id. The last answer is the one to store.
    ///
    /// # Errors
    /// Errors of the API; [`Error::Decode`] if an answer has no record although some are stored: more
    /// likely, QuickBooks did not find them.
    async fn missing(
        &self,
        entity: &EntitySpec,
        stored: Vec<String>,
    ) -> Result<Option<Vec<String>>> {
        let mut missing = stored;
        for _ in 0..2 {
            let Some(found) = self.source.prefetch_whole(entity, self.meter).await? else {
                return Ok(None);
            };
            if found.is_empty() && !missing.is_empty() {
                let reason = "QuickBooks answers that there are none, and the table has some; nothing \
                    is marked as deleted";
                return Err(Error::decode(entity.name, reason));
            }
            let found: HashSet<String> = found.into_iter().collect();
            missing.retain(|id| !found.contains(id));
            if missing.is_empty() {
                break;
            }
        }
        Ok(Some(missing))
    }

    /// Returns the report of an entity that could not be read. Which answer a company gets that does
    /// not have it is not known (qbo-facts 13.7), so that a bare 400 or 404 says so, too, as long as
    /// other entities are answered.
    fn report_of_whole(&self, entity: &EntitySpec, error: &Error, is_answered: bool) -> EntitySync {
        let is_bare = matches!(
            error.last(),
            Error::Api {
                status: 400 | 404,
                code: None,
                ..
            }
        );
        match error.is_unavailable() || is_bare && is_answered {
            true => EntitySync::unavailable(entity.name, &error.to_string()),
            false => EntitySync::failed_with(entity.name, error),
        }
    }
}

/// Returns true if an entity of another kind was synced just now.
fn is_answered(reports: &[EntitySync]) -> bool {
    let mut others = reports
        .iter()
        .filter(|report| report.via != SyncMethod::Read);
    others.any(|report| report.status == EntityOutcome::Ok)
}

/// Returns true if no further request to the company would succeed. A denial says nothing about other
/// entities that were answered: entitlements have a path of their own.
fn ends_company(error: &Error, is_answered: bool) -> bool {
    let is_denial = matches!(error.last(), Error::PermissionDenied { .. });
    error.ends_company() && !(is_denial && is_answered)
}
