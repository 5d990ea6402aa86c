//! Entities of which nothing is new, by an answer that is at hand: most of those of most syncs. They are
//! read as all others are, and committed together.

use std::sync::Arc;

use tracing::warn;

use super::company::CompanySyncer;
use super::poll::Poll;
use crate::domain::{EntityOutcome, EntitySync, SyncMethod};
use crate::port::Source;
use crate::sink::postgres::{QuietEntity, QuietSink};

impl CompanySyncer<'_> {
    /// Syncs entities whose answers are at hand and seem to hold nothing. Returns those that are left to
    /// the ordinary way, in which each window is committed by itself: a record came, the window is not at
    /// its last state any more, or Postgres refused.
    pub(super) async fn sync_quiet<S: Source>(
        &self,
        source: &Arc<S>,
        polls: Vec<Poll>,
        via: SyncMethod,
        reports: &mut Vec<EntitySync>,
    ) -> Vec<Poll> {
        let (mut quiet, mut done, mut left) = (Vec::new(), Vec::new(), Vec::new());
        for poll in polls {
            match self.read_quiet(source, &poll, via).await {
                Some((entity, report)) => {
                    quiet.push(entity);
                    done.push((poll, report));
                }
                None => left.push(poll),
            }
        }
        let committed = self.sink.commit_quiet(self.realm_id, &quiet).await;
        let committed = committed.unwrap_or_else(|error| {
            warn!(
                phase = "load",
                event = "quiet_not_committed",
                "{error}; committing the entities of which nothing is new one by one"
            );
            Default::default()
        });
        for (poll, report) in done {
            match committed.contains(&report.entity) {
                true => {
                    self.progress.run_finished(self.run_name(&report.entity));
                    reports.push(report);
                }
                false => left.push(poll),
            }
        }
        left
    }

    /// Reads an entity. Returns `None` if anything is new, or failed.
    async fn read_quiet<S: Source>(
        &self,
        source: &Arc<S>,
        poll: &Poll,
        via: SyncMethod,
    ) -> Option<(QuietEntity, EntitySync)> {
        let sink = Arc::new(QuietSink::new(self.sink.clone()));
        let run = self
            .run_poll_into(source.clone(), sink.clone(), poll.plan.clone())
            .await;
        let report = EntitySync::new(&run, via);
        let window = sink
            .quiet()
            .filter(|_| report.status == EntityOutcome::Ok)?;
        // As far as the changes that came without deletions reach.
        let deletions_until = match via {
            SyncMethod::Changes => self.horizon(poll.entity()).await.ok()?,
            SyncMethod::Batch | SyncMethod::Query | SyncMethod::Read => None,
        };
        let checkpoint = report.checkpoint;
        let entity = QuietEntity {
            window,
            checkpoint,
            deletions_until,
        };
        Some((entity, report))
    }
}
