//! Records that no query finds, such as old adjustments of stock (qbo-facts 13.6): they are read by the ids
//! that reports show, and stored.

use std::collections::HashSet;
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use futures_util::{FutureExt, StreamExt, TryStreamExt, stream};
use tracing::warn;

use super::fetch::Reports;
use crate::app::company::Source;
use crate::app::run::{Inner, plan, run_plans};
use crate::domain::{Continuation, EntitySpec, PageSize, Plan, Record, Window};
use crate::error::Result;
use crate::port::{Meter, Progress, Source as _};
use crate::quickbooks::{ChangesSource, EntityChanges};
use crate::sink::postgres::PostgresSink;

/// Records that are read one after the other, and how many such groups are read side by side.
const GROUP: usize = 25;
const AT_A_TIME: usize = 8;

/// Reads and stores such records.
pub(super) struct Unqueried<'s> {
    source: Arc<Source>,
    sink: &'s Arc<PostgresSink>,
    /// A comparison shows its own steps alone.
    progress: Arc<dyn Progress>,
    /// The most records that are read: each takes a request of its own, because a batch holds queries only
    /// (qbo-facts 6.3).
    most: usize,
    /// The records that were asked for so far.
    asked: HashSet<(&'static str, String)>,
}

impl<'s> Unqueried<'s> {
    pub(super) fn new(
        source: Arc<Source>,
        sink: &'s Arc<PostgresSink>,
        progress: &Arc<dyn Progress>,
        most: usize,
    ) -> Self {
        Self {
            source,
            sink,
            progress: Arc::new(Inner(progress.clone())),
            most,
            asked: HashSet::new(),
        }
    }

    /// Reads and stores records by their ids. Returns those that are stored now.
    ///
    /// # Errors
    /// Failures that would affect any request. A record that cannot be read is left out: the reports show what
    /// it posts.
    pub(super) async fn land(
        &mut self,
        missing: &[(&'static EntitySpec, String)],
        reports: &Reports,
    ) -> Result<Vec<(&'static str, Record)>> {
        let mut landed = Vec::new();
        for of_entity in missing.chunk_by(|(one, _), (other, _)| one.name == other.name) {
            let Some((entity, _)) = of_entity.first() else {
                continue;
            };
            let committed = self.sink.committed(self.source.realm_id(), entity).await?;
            // Records are stored in time that a sync has committed, so that the ledger claims no more.
            let Some(end) = committed.iter().map(|window| window.end).max() else {
                continue;
            };
            let ids = self.within_bounds(entity, of_entity);
            let records = self.read(entity, &ids, reports).await?;
            if self.store(entity, &records, end).await? {
                landed.extend(records.into_iter().map(|record| (entity.qbo_name, record)));
            }
        }
        Ok(landed)
    }

    /// Returns the ids that may be asked for: each once, and the oldest first, because the cost of stock follows
    /// from what was before.
    fn within_bounds(
        &mut self,
        entity: &EntitySpec,
        missing: &[(&'static EntitySpec, String)],
    ) -> Vec<String> {
        let is_new = |id: &&String| !self.asked.contains(&(entity.name, (*id).clone()));
        let mut ids: Vec<String> = missing
            .iter()
            .map(|(_, id)| id)
            .filter(is_new)
            .cloned()
            .collect();
        let count = self.most.saturating_sub(self.asked.len());
        if let Some(left) = ids.len().checked_sub(count).filter(|left| *left > 0) {
            warn!(
                phase = "extract",
                event = "records_left",
                entity = entity.name,
                "{left} records of {} are left for the next comparison: QuickBooks answers no queries about them, \
                 so that each takes a request",
                entity.name
            );
            ids.truncate(count);
        }
        self.asked
            .extend(ids.iter().map(|id| (entity.name, id.clone())));
        ids
    }

    /// Returns how many of these records were not asked for, because others were.
    pub(super) fn left(&self, missing: &[(&'static EntitySpec, String)]) -> usize {
        let is_left = |(entity, id): &&(&EntitySpec, String)| {
            !self.asked.contains(&(entity.name, id.clone()))
        };
        missing.iter().filter(is_left).count()
    }

    async fn read(
        &self,
        entity: &EntitySpec,
        ids: &[String],
        reports: &Reports,
    ) -> Result<Vec<Record>> {
        let meter = Meter::default();
        let reads: Vec<_> = ids
            .chunks(GROUP)
            .map(|ids| self.read_group(entity, ids, &meter).boxed())
            .collect();
        let reads = stream::iter(reads).buffer_unordered(AT_A_TIME);
        let groups: Vec<Vec<Record>> = reads.try_collect().await?;
        reports.count(meter.requests());
        Ok(groups.into_iter().flatten().collect())
    }

    async fn read_group(
        &self,
        entity: &EntitySpec,
        ids: &[String],
        meter: &Meter,
    ) -> Result<Vec<Record>> {
        let unread = |reason: &dyn std::fmt::Display| {
            warn!(
                phase = "extract",
                event = "records_unread",
                entity = entity.name,
                "records of {} cannot be read, so that reports have to show what they post: {reason}",
                entity.name
            );
        };
        match self.source.look_up(entity, ids, meter).await {
            Ok(found) => {
                for row in &found.unreadable {
                    unread(&row.error);
                }
                Ok(found.records)
            }
            Err(error) if error.ends_run() => Err(error),
            Err(error) => {
                unread(&error);
                Ok(Vec::new())
            }
        }
    }

    /// Stores records as changes of the last second that is committed. Returns whether they are stored.
    async fn store(
        &self,
        entity: &EntitySpec,
        records: &[Record],
        end: DateTime<Utc>,
    ) -> Result<bool> {
        if records.is_empty() {
            return Ok(false);
        }
        let changes = EntityChanges {
            entity: *entity,
            records: records.to_vec(),
            deletions: Vec::new(),
        };
        let window = Window {
            start: end - TimeDelta::seconds(1),
            end,
        };
        let plan = Plan {
            // Times have whole seconds, so that what is set aside of this one stays. When the rest of it was
            // read, the ledger knows.
            read_from: vec![Continuation {
                from: end - TimeDelta::microseconds(1),
                known_at: DateTime::UNIX_EPOCH,
                begun: None,
            }],
            is_quiet: true,
            ..plan(*entity, vec![window], Vec::new(), PageSize::default())
        };
        let feed = ChangesSource::new(self.source.clone(), &[changes]);
        let (feed, sink) = (Arc::new(feed), self.sink.clone());
        let report = run_plans(feed, sink, vec![plan], &self.progress).await;
        Ok(!report.has_failures())
    }
}
