//! Runs that go on: who does them, their pulse in `qbo.runs`, and the claim that keeps two runs from
//! reading the same time.

use std::collections::HashSet;
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::task::AbortHandle;

use super::ledger::{Claim, Ledger, bounds_of};
use crate::error::Result;
use crate::postgres::{Db, END_WHEN_IDLE, PIN_SETTINGS, Query, database_error, params};
use crate::store::{OtherRun, RUNNING, other_run, run_is_alive};

/// The time between two beats. A run counts as dead after four of them.
const BEAT: Duration = Duration::from_secs(15);

const LOCK: &str = "SELECT pg_advisory_xact_lock(hashtextextended('qbo.runs ' || $1, 0))";

/// A run of an earlier version has not said which times of its range it reads.
const OTHERS: &str = concat!(
    "
SELECT run_id, entity, host, pid, owner, started_at_utc
FROM qbo.runs AS run
WHERE schema_name = $1 AND realm_id = $2 AND status = 'running' AND EXISTS (
    SELECT FROM unnest($3::text[], $4::timestamptz[], $5::timestamptz[]) AS wanted(entity, first, last)
    JOIN unnest(coalesce(read_starts_utc, ARRAY[range_start_utc]), coalesce(read_ends_utc, ARRAY[range_end_utc]))
        AS reads(first, last) ON reads.first < wanted.last AND reads.last > wanted.first
    WHERE wanted.entity = run.entity
  ) AND ",
    run_is_alive!("run"),
    "
ORDER BY started_at_utc"
);

const BEAT_ALL: &str = "
UPDATE qbo.runs SET alive_at_utc = clock_timestamp()
WHERE run_id = ANY($1) AND status = 'running'";

const INTERRUPT: &str = "
UPDATE qbo.runs SET status = 'interrupted', finished_at_utc = now(),
    error = 'stopped before it was done; committed windows stay'
WHERE run_id = ANY($1) AND status = 'running'";

/// Enters the runs of a call into `qbo.runs`, all or none.
///
/// # Errors
/// [`Error::Database`](crate::error::Error::Database).
pub(super) async fn claim(
    ledger: &Ledger,
    realm_id: &str,
    runs: &[Claim],
) -> Result<Option<OtherRun>> {
    let mut connection = ledger.db.connection().await?;
    let transaction = connection.transaction().await.map_err(database_error)?;
    transaction.batch(PIN_SETTINGS).await?;
    transaction.batch(END_WHEN_IDLE).await?;
    transaction.rows(LOCK, params![ledger.schema]).await?;
    let times = runs
        .iter()
        .flat_map(|run| run.times.iter().map(|time| (run.entity.name, *time)));
    let (entities, times): (Vec<_>, Vec<_>) = times.unzip();
    let (starts, ends) = bounds_of(&times);
    let params = params![ledger.schema, realm_id, entities, starts, ends];
    for row in transaction.rows(OTHERS, params).await? {
        if let Some(other) = other_run(&row)? {
            return Ok(Some(other));
        }
    }
    for run in runs {
        ledger.begin_run_in(&*transaction, run, realm_id).await?;
    }
    transaction.commit().await.map_err(database_error)?;
    Ok(None)
}

/// The runs of one sink, each with a pulse until it has ended.
#[derive(Debug)]
pub(super) struct Pulses {
    db: Db,
    runs: Mutex<HashSet<String>>,
    task: Mutex<Option<AbortHandle>>,
}

impl Pulses {
    pub(super) fn new(db: Db) -> Arc<Self> {
        Arc::new(Self {
            db,
            runs: Mutex::default(),
            task: Mutex::default(),
        })
    }

    /// Keeps a run alive.
    pub(super) fn add(self: &Arc<Self>, run_id: &str) {
        RUNNING.lock().insert(run_id.to_owned());
        self.runs.lock().insert(run_id.to_owned());
        let mut task = self.task.lock();
        if task.is_none() {
            let beats = tokio::spawn(beat(Arc::downgrade(self)));
            *task = Some(beats.abort_handle());
        }
    }

    /// Forgets a run that has ended.
    pub(super) fn remove(&self, run_id: &str) {
        RUNNING.lock().remove(run_id);
        self.runs.lock().remove(run_id);
    }
}

async fn beat(pulses: Weak<Pulses>) {
    loop {
        tokio::time::sleep(BEAT).await;
        let Some((db, runs)) = pulses.upgrade().map(|pulses| {
            let runs: Vec<String> = pulses.runs.lock().iter().cloned().collect();
            (pulses.db.clone(), runs)
        }) else {
            return;
        };
        if !runs.is_empty() {
            db.beat(BEAT_ALL, params![runs]).await;
        }
    }
}

/// Records runs that are dropped before they have ended as interrupted, in the background, if the
/// process lives long enough.
impl Drop for Pulses {
    fn drop(&mut self) {
        if let Some(task) = self.task.get_mut().take() {
            task.abort();
        }
        let runs: Vec<String> = self.runs.get_mut().drain().collect();
        RUNNING.lock().retain(|run_id| !runs.contains(run_id));
        if runs.is_empty() {
            return;
        }
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            let db = self.db.clone();
            runtime.spawn(async move {
                let _ = db.execute(INTERRUPT, params![runs]).await;
            });
        }
    }
}
