//! The sync of entities about which QuickBooks answers no queries (qbo-facts 13.6): change data capture
//! reports their changes of the last 30 days, and records that are known can be read by id.

use std::collections::HashSet;
use std::sync::Arc;

use chrono::{DateTime, SubsecRound, Utc};
use tracing::warn;

use super::company::{CompanySyncer, Synced};
use super::comparison::{SetAside, with_deletions};
use super::poll::{Poll, years};
use crate::app::changes::CHANGES_LOOK_BACK;
use crate::app::run::plan;
use crate::domain::{
    Deletion, EntityOutcome, EntitySpec, EntitySync, LOOK_BACK, Plan, SyncMethod, Window, merged,
};
use crate::error::{Error, Result};
use crate::port::RecordIndex;
use crate::quickbooks::{ChangesSource, EntityChanges};
use crate::store::{Standing, Standings};

impl CompanySyncer<'_> {
    /// Determines the time that an entity without queries lacks. Its first sync begins where change
    /// data capture ends: the ledger does not claim what cannot be read. That of an entity that is
    /// read as a whole begins with this year, because its records tell of no other time.
    pub(super) async fn poll_unqueryable(
        &self,
        entity: &EntitySpec,
        standing: Standing,
        standings: &Standings,
        now: DateTime<Utc>,
    ) -> Result<Poll> {
        let committed = merged(&standing.committed);
        let years = years(now)?;
        let this_year = years.last().map(|year| year.start);
        let first = this_year
            .filter(|_| entity.is_read_whole)
            .unwrap_or_else(|| look_back(now));
        let (start, since) = match committed.last() {
            Some(known) => (known.start, known.end),
            None => (first, first),
        };
        let lacking = years.into_iter().filter(|year| year.end > since);
        let windows = lacking.map(|year| Window {
            start: year.start.max(start),
            ..year
        });
        let plan = plan(*entity, windows.collect(), Vec::new(), self.page_size);
        Ok(Poll {
            is_one_done: matches!(&plan.windows[..], [only] if standing.is_done(*only)),
            plan: Plan {
                read_from: vec![standings.continued(since)],
                is_quiet: true,
                ..plan
            },
            since: (!committed.is_empty()).then_some(since),
            state: standing.state,
            is_new: committed.is_empty() && self.sink.is_empty(entity).await?,
        })
    }

    /// Syncs an entity without queries by a request for its changes alone.
    pub(super) async fn sync_unqueryable(
        &self,
        poll: Poll,
        now: DateTime<Utc>,
        synced: &mut Synced,
    ) {
        let entity = *poll.entity();
        self.begin(&[entity.name]).await;
        let is_behind = !poll.is_new && poll.since.is_none_or(|since| since < look_back(now));
        let report = match self.changes_of(&poll, is_behind, now).await {
            Ok((found, set_aside)) => {
                let report = EntitySync {
                    reconciled: is_behind,
                    ..self.store_changes(poll, found).await
                };
                set_aside.added_to(report)
            }
            Err(error) => {
                if error.ends_company() {
                    synced.lost = Some((&error).into());
                }
                report_of(&entity, &error)
            }
        };
        self.end(report, &mut synced.entities).await;
    }

    async fn store_changes(&self, poll: Poll, found: EntityChanges) -> EntitySync {
        let feed = ChangesSource::new(self.source.clone(), std::slice::from_ref(&found));
        let run = self.run_poll(Arc::new(feed), poll.plan).await;
        let report = EntitySync::new(&run, SyncMethod::Changes);
        if report.status != EntityOutcome::Ok {
            return report;
        }
        let marked = self
            .mark_deleted(&found.entity, &found.deletions, false)
            .await;
        with_deletions(report, marked)
    }

    /// Returns the changes of an entity. If it `is_behind` what change data capture reports, all
    /// known records are read again; those that cannot be read are set aside.
    ///
    /// # Errors
    /// Errors of either side; [`Error::Decode`] if the changes may be incomplete, because nothing
    /// else tells which records there are.
    async fn changes_of(
        &self,
        poll: &Poll,
        is_behind: bool,
        now: DateTime<Utc>,
    ) -> Result<(EntityChanges, SetAside)> {
        let entity = *poll.entity();
        let known_until = [poll.since, poll.state.deletions_until];
        let since = known_until.into_iter().flatten().min();
        let since = since.map_or(look_back(now), |since| since - LOOK_BACK);
        let since = since.max(look_back(now));
        let changes = self.source.changes_of_one(&entity, since, self.meter);
        let Some(mut found) = changes.await? else {
            return Err(Error::decode(
                format!("changes of {}", entity.name),
                "QuickBooks did not report all of them, and answers no queries about them",
            ));
        };
        let mut set_aside = SetAside::default();
        if is_behind {
            warn!(
                phase = "extract",
                event = "history_out_of_reach",
                entity = entity.name,
                "the last sync of {} is further back than QuickBooks reports changes; the known records are read \
                 again, and records that were created and not changed since are not found",
                entity.name
            );
            set_aside = self.read_known(&mut found, now).await?;
        }
        Ok((found, set_aside))
    }

    /// Reads the known records that are not among the changes, and adds them to the changes.
    async fn read_known(&self, found: &mut EntityChanges, now: DateTime<Utc>) -> Result<SetAside> {
        let all = years(now)?;
        let whole = Window {
            start: all[0].start,
            end: all[all.len() - 1].end,
        };
        let entity = found.entity;
        let stored = self.sink.keys(&entity, whole, &[], self.meter).await?;
        let changed = found.records.iter().map(|record| record.id.as_str());
        let deleted = found.deletions.iter().map(|deletion| deletion.id.as_str());
        let reported: HashSet<&str> = changed.chain(deleted).collect();
        let ids: Vec<String> = stored
            .iter()
            .map(|key| key.id.clone())
            .filter(|id| !reported.contains(id.as_str()))
            .collect();
        let living = self.source.look_up(&entity, &ids, self.meter).await?;
        let there = living.ids();
        let set_aside = self.set_aside(&entity, living.unreadable, &stored).await?;
        let gone = ids.iter().filter(|id| !there.contains(*id));
        let gone: Vec<Deletion> = gone
            .map(|id| Deletion {
                id: id.clone(),
                at: now,
                stub: None,
            })
            .collect();
        found.deletions.extend(gone);
        found.records.extend(living.records);
        Ok(set_aside)
    }
}

/// Returns the first instant since which changes can be asked for.
fn look_back(now: DateTime<Utc>) -> DateTime<Utc> {
    (now - CHANGES_LOOK_BACK).trunc_subsecs(0)
}

/// Returns the report of an entity whose changes could not be read.
fn report_of(entity: &EntitySpec, error: &Error) -> EntitySync {
    match error.last() {
        Error::Unavailable { .. } => EntitySync::unavailable(entity.name, &error.to_string()),
        _ => EntitySync::failed_with(entity.name, error),
    }
}
