//! Committed time: which windows of an entity earlier runs have loaded.

use std::collections::HashMap;

use chrono::{DateTime, TimeDelta, Utc};
use tokio_postgres::Row;

use super::open_times::{OpenTime, open_times};
use crate::domain::{BegunWindow, EntitySpec, LOOK_BACK, LoadCounts, PartTotals, Resumed, Window};
use crate::error::Result;
use crate::postgres::{Columns, Db, params};

/// Committed windows, unsorted, by schema, company and entity.
pub(crate) type Coverage = HashMap<(String, String, String), Vec<Window>>;

const OF_ENTITY: &str = "
SELECT window_start_utc, window_end_utc, read_until_utc, is_part, committed_at_utc,
    incomplete_since_utc
FROM qbo.windows
WHERE schema_name = $1 AND realm_id = $2 AND entity = $3
  AND (committed_at_utc IS NOT NULL OR incomplete_since_utc IS NOT NULL)";

const SINCE: &str = "
SELECT schema_name, realm_id, entity, window_start_utc, window_end_utc, read_until_utc, is_part,
    committed_at_utc, incomplete_since_utc
FROM qbo.windows
WHERE (committed_at_utc IS NOT NULL OR incomplete_since_utc IS NOT NULL) AND window_end_utc > $1
  AND ($2::text[] IS NULL OR realm_id = ANY($2))";

/// Windows that are committed in parts, and not to their ends.
const BEGUN: &str = "
SELECT window_start_utc, window_end_utc, rows, inserted, updated, unchanged, rejected, requests,
    retries, bytes, extract_ms, load_ms
FROM qbo.windows
WHERE schema_name = $1 AND realm_id = $2 AND entity = $3 AND is_part
  AND committed_at_utc IS NOT NULL";

/// A row stays if it has committed anything, because that stays committed. A row that was attempted
/// again meanwhile is not touched.
const SETTLE: &str = "
WITH settled AS (
    SELECT * FROM unnest($4::timestamptz[], $5::timestamptz[], $6::timestamptz[])
        AS settled(first, last, started)
), superseded AS (
    DELETE FROM qbo.windows USING settled
    WHERE schema_name = $1 AND realm_id = $2 AND entity = $3 AND status = 'failed'
      AND window_start_utc = first AND window_end_utc = last AND started_at_utc = started
      AND committed_at_utc IS NULL
)
UPDATE qbo.windows SET status = 'done', error = NULL, records_failed = false FROM settled
WHERE schema_name = $1 AND realm_id = $2 AND entity = $3 AND status = 'failed'
  AND window_start_utc = first AND window_end_utc = last AND started_at_utc = started
  AND committed_at_utc IS NOT NULL";

/// A window whose last attempt failed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct FailedWindow {
    /// The window.
    pub window: Window,
    /// Begin of the attempt.
    pub started_at: DateTime<Utc>,
    /// Whether single records were the cause.
    pub is_of_records: bool,
}

/// Reads committed time from the ledger, `qbo.windows`. All errors are
/// [`Error::Database`](crate::error::Error).
#[derive(Debug, Clone)]
pub(crate) struct CommittedTime(Db);

impl CommittedTime {
    /// Returns the committed time of a database.
    pub(crate) fn new(db: Db) -> Self {
        Self(db)
    }

    /// Returns the committed windows of an entity, unsorted; none if there is no ledger yet.
    pub(crate) async fn of_entity(
        &self,
        schema: &str,
        realm_id: &str,
        entity: &EntitySpec,
    ) -> Result<Vec<Window>> {
        if !self.0.has_table("qbo", "windows").await? {
            return Ok(Vec::new());
        }
        let times = self.times(schema, realm_id, entity).await?;
        Ok(complete_parts(&times))
    }

    /// Returns windows of an entity as a resumed run reads them: without what is committed, or without what
    /// was committed at an instant or after it. A run that was to read committed time again, and has not
    /// ended, is finished: of its time, what was committed before is left to read.
    pub(crate) async fn resumed(
        &self,
        schema: &str,
        realm_id: &str,
        entity: &EntitySpec,
        windows: &[Window],
        since: Option<DateTime<Utc>>,
    ) -> Result<Resumed> {
        // Before anything is looked up.
        let row = self.0.optional("SELECT now()", params![]).await?;
        let known_at = row.map_or(Ok(DateTime::UNIX_EPOCH), |row| row.column(0))?;
        if !self.0.has_table("qbo", "windows").await? {
            return Ok(LedgerTime::resumed(windows, &[], &[], &[], known_at));
        }
        let mut times = self.times(schema, realm_id, entity).await?;
        let open = match since {
            Some(since) => {
                times = late(times, since);
                Vec::new()
            }
            None => open_times(&self.0, (schema, realm_id, entity.name)).await?,
        };
        let rows = self
            .0
            .rows(BEGUN, params![schema, realm_id, entity.name])
            .await?;
        let begun: Vec<BegunWindow> = rows.iter().map(begun).collect::<Result<_>>()?;
        Ok(LedgerTime::resumed(
            windows, &times, &open, &begun, known_at,
        ))
    }

    /// Returns the windows of an entity that were committed at an instant or after it, unsorted.
    pub(crate) async fn of_entity_since(
        &self,
        schema: &str,
        realm_id: &str,
        entity: &EntitySpec,
        since: DateTime<Utc>,
    ) -> Result<Vec<Window>> {
        let times = self.times(schema, realm_id, entity).await?;
        Ok(complete_parts(&late(times, since)))
    }

    /// Returns true if all of a range, as far as it had passed by then, was committed since an instant.
    pub(crate) async fn covers_since(
        &self,
        schema: &str,
        realm_id: &str,
        entity: &EntitySpec,
        range: Window,
        since: DateTime<Utc>,
    ) -> Result<bool> {
        let committed = self
            .of_entity_since(schema, realm_id, entity, since)
            .await?;
        Ok(needed(range, since).minus(&committed).is_empty())
    }

    async fn times(
        &self,
        schema: &str,
        realm_id: &str,
        entity: &EntitySpec,
    ) -> Result<Vec<LedgerTime>> {
        let params = params![schema, realm_id, entity.name];
        let rows = self.0.rows(OF_ENTITY, params).await?;
        ledger_times(&rows)
    }

    /// Ends the failure of windows whose time other windows have committed since.
    pub(crate) async fn settle(
        &self,
        schema: &str,
        realm_id: &str,
        entity: &EntitySpec,
        failed: &[FailedWindow],
    ) -> Result<()> {
        let (mut starts, mut ends, mut begins) = (Vec::new(), Vec::new(), Vec::new());
        for FailedWindow {
            window, started_at, ..
        } in failed
        {
            starts.push(window.start);
            ends.push(window.end);
            begins.push(*started_at);
        }
        let params = params![schema, realm_id, entity.name, starts, ends, begins];
        self.0.execute(SETTLE, params).await.map(drop)
    }

    /// Returns the committed windows that end after an instant, of every entity of some companies, or
    /// of all.
    pub(crate) async fn since(
        &self,
        instant: DateTime<Utc>,
        realm_ids: Option<&[String]>,
    ) -> Result<Coverage> {
        let mut by_entity: HashMap<_, Vec<Row>> = HashMap::new();
        for row in self.0.rows(SINCE, params![instant, realm_ids]).await? {
            let key = (
                row.column("schema_name")?,
                row.column("realm_id")?,
                row.column("entity")?,
            );
            by_entity.entry(key).or_default().push(row);
        }
        let complete = by_entity.into_iter();
        complete
            .map(|(key, rows)| Ok((key, complete_parts(&ledger_times(&rows)?))))
            .collect()
    }
}

/// What a row of the ledger says about the time that it covers.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LedgerTime {
    /// The window.
    pub window: Window,
    /// The instant up to which the window was read, if the read stopped before its end.
    pub read_until: Option<DateTime<Utc>>,
    /// The read had not stopped there: the window is committed in parts.
    pub is_part: bool,
    /// When the window was committed.
    pub committed_at: Option<DateTime<Utc>>,
    /// When the window was found to lack records.
    pub incomplete_since: Option<DateTime<Utc>>,
}

/// Leaves of a ledger what was committed at an instant or after it, and what lacks records.
fn late(mut times: Vec<LedgerTime>, since: DateTime<Utc>) -> Vec<LedgerTime> {
    for time in &mut times {
        time.committed_at = time.committed_at.filter(|at| *at >= since);
    }
    times.retain(|time| time.committed_at.is_some() || time.incomplete_since.is_some());
    times
}

/// Returns the complete parts of committed windows. Where a window was read later and found to lack
/// records, a larger window that holds it is not complete.
pub(crate) fn complete_parts(times: &[LedgerTime]) -> Vec<Window> {
    complete_parts_but(times, &[])
}

/// Returns the complete parts of committed windows without the time that is open.
fn complete_parts_but(times: &[LedgerTime], open: &[OpenTime]) -> Vec<Window> {
    let mut parts = Vec::new();
    for time in times {
        let Some((at, part)) = time.committed_at.zip(complete_part(time)) else {
            continue;
        };
        let is_later = |other: &&LedgerTime| other.incomplete_since.is_some_and(|since| since > at);
        let later = times.iter().filter(is_later);
        let mut lacking: Vec<Window> = later.map(|other| other.window).collect();
        let is_open =
            |open: &&OpenTime| open.since > at && !open.has_part(time.window, time.is_part);
        lacking.extend(open.iter().filter(is_open).map(|open| open.window));
        parts.extend(part.minus(&lacking));
    }
    parts
}

impl LedgerTime {
    /// Returns windows as a resumed run reads them, from what the ledger says of their entity: committed time,
    /// open time, and windows that are committed in part. It is the rule alone, for any store.
    pub(crate) fn resumed(
        windows: &[Window],
        times: &[Self],
        open: &[OpenTime],
        begun: &[BegunWindow],
        known_at: DateTime<Utc>,
    ) -> Resumed {
        let run = open.iter().find(|open| open.is_of_run_of(windows));
        Resumed {
            reads_since: run.map(|run| run.since),
            ..Resumed::new(windows, &complete_parts_but(times, open), begun, known_at)
        }
    }

    /// Reads a row of the ledger.
    pub(super) fn of(row: &Row) -> Result<Self> {
        Ok(Self {
            window: window(row)?,
            read_until: row.column("read_until_utc")?,
            is_part: row.column("is_part")?,
            committed_at: row.column("committed_at_utc")?,
            incomplete_since: row.column("incomplete_since_utc")?,
        })
    }
}

fn ledger_times(rows: &[Row]) -> Result<Vec<LedgerTime>> {
    rows.iter().map(LedgerTime::of).collect()
}

fn begun(row: &Row) -> Result<BegunWindow> {
    let counts = LoadCounts {
        rows: row.count("rows")?,
        inserted: row.count("inserted")?,
        updated: row.count("updated")?,
        unchanged: row.count("unchanged")?,
        rejected: row.count("rejected")?,
    };
    let parts = PartTotals {
        counts,
        requests: row.count("requests")?,
        retries: row.count("retries")?,
        bytes: row.count("bytes")?,
        extract_ms: row.count("extract_ms")?,
        load_ms: row.count("load_ms")?,
    };
    let window = window(row)?;
    Ok(BegunWindow { window, parts })
}

fn window(row: &Row) -> Result<Window> {
    Ok(Window {
        start: row.column("window_start_utc")?,
        end: row.column("window_end_utc")?,
    })
}

/// Returns the part of a range that must be committed before its run, begun at `since`, is made good.
/// The last minutes before the run are read again by whoever reads next. A range that lies in these minutes
/// is needed whole: nothing of it would be left, which anything covers.
fn needed(range: Window, since: DateTime<Utc>) -> Window {
    let settled = since - LOOK_BACK * 2;
    match settled > range.start {
        true => Window {
            end: range.end.min(settled),
            ..range
        },
        false => range,
    }
}

/// Returns the part of a committed window that is complete. If the read stopped before the window's
/// end, the part ends a little before that instant, unless that lay in the past.
fn complete_part(time: &LedgerTime) -> Option<Window> {
    let Window { start, end } = time.window;
    let look_back = match time.is_part {
        true => TimeDelta::zero(),
        false => LOOK_BACK,
    };
    let stop = time.read_until;
    let complete_to = stop.map_or(end, |read_until| end.min(read_until - look_back));
    Window::new(start, complete_to).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_range_before_its_run_is_needed_whole() {
        let at = |minute| DateTime::UNIX_EPOCH + chrono::TimeDelta::minutes(minute);
        let range = |start, end| Window {
            start: at(start),
            end: at(end),
        };
        assert_eq!(needed(range(0, 100), at(60)), range(0, 50));
        assert_eq!(needed(range(0, 30), at(60)), range(0, 30));
        for recent in [range(50, 60), range(55, 60), range(70, 80)] {
            assert_eq!(needed(recent, at(60)), recent);
            assert!(!needed(recent, at(60)).minus(&[range(0, 40)]).is_empty());
        }
    }
}
