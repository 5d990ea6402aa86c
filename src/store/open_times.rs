//! Time that is open: an attempt to read it again has not ended, so that a resumed run reads what was
//! committed before that attempt.

use chrono::{DateTime, Utc};

use super::alive::turn_is_alive;
use super::unfinished::unfinished;
use crate::domain::Window;
use crate::error::Result;
use crate::postgres::{Columns, Db, params};

/// Time of which only what was committed since an instant counts.
#[derive(Debug, Clone, Copy)]
pub(crate) struct OpenTime {
    /// The time.
    pub window: Window,
    /// The instant.
    pub since: DateTime<Utc>,
    /// Whether it is the time of the last run, and not of a window.
    pub is_of_run: bool,
}

impl OpenTime {
    /// Returns true for the time of a run, if that has some of these windows.
    pub(super) fn is_of_run_of(&self, windows: &[Window]) -> bool {
        self.is_of_run && windows.iter().any(|window| self.window.overlaps(*window))
    }

    /// Returns true for the row of the open window itself, if it is committed in parts: they stay.
    pub(super) fn has_part(&self, window: Window, is_part: bool) -> bool {
        !self.is_of_run && is_part && window == self.window
    }
}

/// The time of the last run, if that has not ended well and reads again what was committed before it began;
/// and windows that are told as unfinished. A run that goes on is waited for. What a sync is at, or has
/// left, is the next one's.
const OPEN_TIMES: &str = concat!(
    "
SELECT window_start_utc, window_end_utc, started_at_utc AS since, false AS is_of_run FROM (",
    unfinished!(),
    ") AS odd
WHERE schema_name = $1 AND realm_id = $2 AND entity = $3 AND started_at_utc IS NOT NULL
  AND NOT is_of_sync AND NOT EXISTS (
    SELECT FROM qbo.sync_turns AS turn
    WHERE turn.schema_name = odd.schema_name AND turn.realm_id = odd.realm_id AND turn.entity = odd.entity AND ",
    turn_is_alive!(),
    ")
UNION ALL
SELECT * FROM (
    SELECT range_start_utc, range_end_utc, CASE WHEN status <> 'ok'
        THEN (to_jsonb(run) ->> 'reads_since_utc')::timestamptz END, true
    FROM qbo.runs AS run WHERE schema_name = $1 AND realm_id = $2 AND entity = $3 AND NOT is_sync
    ORDER BY started_at_utc DESC LIMIT 1
) AS last(range_start_utc, range_end_utc, since, is_of_run)
WHERE since IS NOT NULL"
);

/// Returns the open time of an entity, by its schema, company and name.
pub(super) async fn open_times(
    db: &Db,
    (schema, realm_id, entity): (&str, &str, &str),
) -> Result<Vec<OpenTime>> {
    let rows = db
        .rows(OPEN_TIMES, params![schema, realm_id, entity])
        .await?;
    let times = rows.iter().map(|row| {
        Ok(OpenTime {
            window: Window {
                start: row.column("window_start_utc")?,
                end: row.column("window_end_utc")?,
            },
            since: row.column("since")?,
            is_of_run: row.column("is_of_run")?,
        })
    });
    times.collect()
}
