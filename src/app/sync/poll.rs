//! An entity while it is synced, and the windows of a sync.

use chrono::{DateTime, Datelike, TimeZone, Utc};

use crate::app::changes::CHANGES_LOOK_BACK;
use crate::domain::{Chunk, EntitySpec, Plan, Window, chunk_range};
use crate::error::{Error, Result};
use crate::store::SyncState;

/// Before any QuickBooks Online record.
const EPOCH_YEAR: i32 = 2000;

/// One entity while it is synced.
pub(super) struct Poll {
    pub plan: Plan,
    /// End of the committed time; `None` if the entity is far behind or has gaps.
    pub since: Option<DateTime<Utc>>,
    pub state: SyncState,
    /// No row of this entity exists yet, from any source.
    pub is_new: bool,
    /// It lacks the end of one window, whose last attempt was committed.
    pub is_one_done: bool,
}

impl Poll {
    pub(super) fn entity(&self) -> &EntitySpec {
        &self.plan.entity
    }

    /// Returns true if its changes and deletions are within reach of change data capture.
    pub(super) fn is_near(&self, now: DateTime<Utc>) -> bool {
        let is_recent = |since| since > now - CHANGES_LOOK_BACK;
        !self.entity().is_read_whole
            && self.since.is_some_and(is_recent)
            && self.state.deletions_until.is_some()
    }
}

/// Returns the years up to the present one: the windows of a sync.
pub(super) fn years(now: DateTime<Utc>) -> Result<Vec<Window>> {
    let new_year = |year| {
        let instant = Utc.with_ymd_and_hms(year, 1, 1, 0, 0, 0).single();
        instant.ok_or_else(|| Error::Internal(format!("no year {year}")))
    };
    let range = Window {
        start: new_year(EPOCH_YEAR)?,
        end: new_year(now.year() + 1)?,
    };
    Ok(chunk_range(range, Chunk::Months(12)))
}
