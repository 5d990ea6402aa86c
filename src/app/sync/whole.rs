//! The sync of entities that are read as a whole (qbo-facts 13.6): one request brings all of their
//! records, and what it does not bring is gone.

use std::collections::HashSet;

use chrono::{DateTime, Utc};

use super::company::{CompanySyncer, Poll, SWEEP_EVERY, Synced};
use super::comparison::with_deletions;
use crate::domain::{Deletion, EntityOutcome, EntitySpec, EntitySync, SyncMethod};
use crate::error::{Error, Result};

impl CompanySyncer<'_> {
    /// Reads an entity as a whole, once a day: QuickBooks does not say whether anything has changed.
    /// If a sync names nothing but such entities, its user wants to know now.
    pub(super) async fn sync_whole(&self, poll: Poll, now: DateTime<Utc>, synced: &mut Synced) {
        let entity = *poll.entity();
        let last_read = poll.state.reconciled_at;
        let is_due = last_read.is_none_or(|at| at < now - SWEEP_EVERY);
        if !is_due && !self.asks_for_wholes {
            let report = EntitySync::not_due(entity.name, poll.since);
            return self.end(report, &mut synced.entities).await;
        }
        self.begin(&[entity.name]).await;
        let report = match self.read_whole(&entity, poll).await {
            Ok(report) => report,
            Err(error) => self.report_of_whole(&entity, &error),
        };
        self.end(report, &mut synced.entities).await;
    }

    async fn read_whole(&self, entity: &EntitySpec, poll: Poll) -> Result<EntitySync> {
        // The table first, so that a record that is loaded meanwhile does not seem to be missing
        // from an older answer.
        let stored = self.sink.ids(entity).await?;
        let found = self.source.prefetch_whole(entity, self.meter).await?;
        let run = self.run_poll(self.source.clone(), poll.plan).await;
        let report = EntitySync::new(&run, SyncMethod::Read);
        let Some(found) = found.filter(|_| report.status == EntityOutcome::Ok) else {
            return Ok(report);
        };
        let found: HashSet<String> = found.into_iter().collect();
        let at = crate::clock::now();
        let gone = stored.into_iter().filter(|id| !found.contains(id));
        let gone: Vec<Deletion> = gone.map(|id| Deletion { id, at, stub: None }).collect();
        let marked = self.mark_deleted(entity, &gone, true).await;
        let report = EntitySync {
            reconciled: true,
            ..report
        };
        Ok(with_deletions(report, marked))
    }

    /// Returns the report of an entity that could not be read. Which answer a company gets that does
    /// not have it is not known (qbo-facts 13.7), so that any refusal says so, as long as others are
    /// answered.
    fn report_of_whole(&self, entity: &EntitySpec, error: &Error) -> EntitySync {
        let is_refused = matches!(
            error.last(),
            Error::Unavailable { .. }
                | Error::PermissionDenied { .. }
                | Error::Api {
                    status: 400..=499,
                    ..
                }
        );
        match is_refused && (!self.asks_for_wholes || error.is_unavailable()) {
            true => EntitySync::unavailable(entity.name, &error.to_string()),
            false => EntitySync::failed_with(entity.name, error.to_string()),
        }
    }
}
