//! Runs and syncs that go on, as they stand in tables: who does them, and whether that process has
//! ended.

use std::collections::HashSet;
use std::sync::LazyLock;

use chrono::{DateTime, Utc};
use parking_lot::Mutex;
use tokio_postgres::Row;

use crate::durable::{ME, Process, is_running};
use crate::error::Result;
use crate::postgres::Columns;

/// Ids of the runs and syncs of this process.
pub(crate) static RUNNING: LazyLock<Mutex<HashSet<String>>> = LazyLock::new(Mutex::default);

/// A run or a sync of another process, or of another call of this one.
#[derive(Debug, Clone)]
pub(crate) struct OtherRun {
    /// Entity of the run.
    pub entity: String,
    /// Machine and process, as far as they are known.
    pub place: String,
    /// Whether another call of this process does it.
    pub is_of_this_process: bool,
    /// When the run began.
    pub since: DateTime<Utc>,
}

/// Returns the run of a row, unless its process has ended.
pub(crate) fn other_run(row: &Row) -> Result<Option<OtherRun>> {
    let (pid, host): (Option<i64>, Option<String>) = (row.column("pid")?, row.column("host")?);
    if has_ended(row)? {
        return Ok(None);
    }
    let is_of_this_process = pid == Some(Process::pid()) && host.as_deref() == Some(&*ME.host);
    let place = match (pid, host) {
        (Some(pid), Some(host)) => format!("pid {pid} on {host}"),
        _ => "of an earlier version".to_owned(),
    };
    Ok(Some(OtherRun {
        entity: row.column("entity")?,
        place,
        is_of_this_process,
        since: row.column("started_at_utc")?,
    }))
}

/// Returns true if the process of a row is known to have ended: it was one of this machine. The rest
/// is told by its pulse.
pub(crate) fn has_ended(row: &Row) -> Result<bool> {
    let (run_id, host): (String, Option<String>) = (row.column("run_id")?, row.column("host")?);
    let (pid, owner): (Option<i64>, Option<String>) = (row.column("pid")?, row.column("owner")?);
    Ok(match (pid, host.as_deref() == Some(&*ME.host)) {
        (Some(pid), true) if pid == Process::pid() => {
            // Else an earlier process, as in a container, where each is number 1.
            owner.as_deref() != Some(&*ME.owner) || !RUNNING.lock().contains(&run_id)
        }
        (Some(pid), true) => !is_running(pid),
        _ => false,
    })
}
