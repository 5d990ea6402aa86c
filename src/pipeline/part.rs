//! Parts of a large window: what a page proves complete is committed before the window has ended, so
//! that a run that is killed goes on from there.
//!
//! A part ends where a page says that nothing is missing before, which is how a span knows that one of
//! its windows is complete. So it ends between two seconds, never inside one. What has arrived is stored
//! with it, also the few records from that instant on, which are read again by whoever goes on: a
//! record that says a later time than QuickBooks finds it by would not be found again.

use chrono::{DateTime, SubsecRound, Utc};
use tracing::Instrument;

use super::log::log_span;
use super::open_window::PartEnd;
use super::span::SpanDivider;
use crate::domain::{Record, VISIBLE_LATE, Window};
use crate::error::Result;
use crate::port::{RunName, Sink, Source, WindowWriter};

/// The end of a part.
pub(super) struct PartBound {
    until: DateTime<Utc>,
    /// Number of records of the last page that say this instant or a later one.
    ahead: u64,
}

impl<S: Source, K: Sink> SpanDivider<'_, S, K> {
    /// Returns the end of a part of the open window that is worth a commit once these records of a page
    /// are stored, in order of time: most of a page's records are before it. Smaller windows are one commit.
    pub(super) fn part_end(
        &self,
        window: Window,
        arrived: &[Record],
        covered_until: DateTime<Utc>,
        horizon: Option<DateTime<Utc>>,
    ) -> Option<PartBound> {
        let until = covered_until.trunc_subsecs(0);
        let is_settled = horizon.is_some_and(|horizon| until <= horizon - VISIBLE_LATE);
        let is_new = until > self.read_start(window)
            && until < window.end
            && self.open.committed_until.is_none_or(|known| until > known);
        if !S::SHARES_REQUESTS || !is_settled || !is_new {
            return None;
        }
        let before = arrived.partition_point(|record| record.updated_at < until);
        let ahead = (arrived.len() - before) as u64;
        let rows = self.open.rows + before as u64 - self.open.part.map_or(0, |part| part.rows);
        (rows * 4 >= u64::from(self.task.page_size) * 3).then_some(PartBound { until, ahead })
    }

    /// Commits what was written of the open window as its time before the end of a part. A sink may keep
    /// windows whole instead. The limit of records that are set aside is that of the whole window, so one
    /// that has any is not divided.
    pub(super) async fn commit_part(&mut self, window: Window, part: PartBound) -> Result<()> {
        let PartBound { until, ahead } = part;
        let summary = self.open.summary(Some(until));
        let Some(writer) = self.open.writer.as_mut().filter(|_| self.open.rejects == 0) else {
            return Ok(());
        };
        let committed = writer.commit_part(summary, ahead);
        if let Some(counts) = committed.instrument(log_span(window)).await? {
            self.open.part = Some(PartEnd {
                until,
                rows: self.open.rows - ahead,
                pages: self.open.pages,
                bytes: self.open.bytes,
                counts,
            });
            self.open.committed_until = Some(until);
            let name = RunName {
                realm_id: self.task.source.realm_id(),
                entity: self.task.entity.name,
            };
            self.task.progress.part_committed(name, window, counts.rows);
        }
        Ok(())
    }

    /// Returns the instant from which the open window is read: behind its last part.
    fn read_start(&self, window: Window) -> DateTime<Utc> {
        let start = self.task.read_start(window);
        self.open.part.map_or(start, |part| part.until.max(start))
    }
}
