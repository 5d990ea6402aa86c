//! The turn of a call: two runs that read the same time one after the other cost the quota once.

use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio::time::{Instant, sleep};
use tracing::warn;

use crate::domain::instant::format_instant;
use crate::domain::{
    Asked, Continuation, EntitySpec, Plan, Resumed, SkipReason, Window, WindowReport, merged,
};
use crate::error::{Error, Result};
use crate::sink::postgres::{Books, Claim, PostgresSink};
use crate::store::{OtherRun, SyncTurns, Taken};

/// The longest wait for another run.
const MAX_WAIT: Duration = Duration::from_secs(30 * 60);
/// The time between two looks at the other run.
const LOOK: Duration = Duration::from_secs(1);

/// A call, as its runs have it in the ledger.
#[derive(Debug, Clone, Copy)]
pub(super) struct Call {
    pub asked: Asked,
    /// Whether it reads again what is committed.
    pub reads_again: bool,
    /// Whether it waits for another run that reads the same time.
    pub may_wait: bool,
}

/// Waits until no other run reads the time of these plans, and enters their runs into the ledger. What
/// the other run has committed since it began is not read again.
///
/// # Errors
/// [`Error::Busy`] if another run reads this time and the call must not wait, or has waited long
/// enough; [`Error::Database`].
pub(super) async fn take_turn(
    sink: &PostgresSink,
    realm_id: &str,
    plans: &mut [Plan],
    call: Call,
) -> Result<()> {
    let runs = plans.iter_mut().filter_map(|plan| claim_of(plan, call));
    let runs: Vec<Claim> = runs.collect();
    if runs.is_empty() {
        return Ok(());
    }
    let mut wait = Wait::of(Waiting::Run { realm_id });
    let mut since: Option<DateTime<Utc>> = None;
    while let Some(other) = sink.claim(realm_id, &runs).await? {
        if !call.may_wait {
            return Err(Wait::not_allowed(&other));
        }
        wait.more(&other).await?;
        since.get_or_insert(other.since);
    }
    if since.is_some() {
        for plan in plans {
            let resumed = sink
                .resumed(realm_id, &plan.entity, &plan.windows, since)
                .await?;
            leave_out(plan, resumed);
        }
    }
    Ok(())
}

/// Gives the run of a plan its id, and returns what it claims: the time of its windows, and not what lies
/// between them. `None` if it reads nothing.
fn claim_of(plan: &mut Plan, call: Call) -> Option<Claim> {
    let times = merged(&plan.windows);
    let range = Window {
        start: times.first()?.start,
        end: times.last()?.end,
    };
    let run_id = crate::chance::unique_id().to_string();
    plan.run_id = Some(run_id.clone());
    Some(Claim {
        run_id,
        entity: plan.entity,
        range,
        times,
        asked: Some(call.asked),
        reads_again: call.reads_again,
        reads_since: plan.reads_since,
    })
}

/// Waits until no other sync reads one of these entities of a company. One that may not wait is told
/// of the other sync.
///
/// # Errors
/// [`Error::Busy`] if the other one goes on for too long; [`Error::Database`].
pub(super) async fn take_sync_turn(
    turns: &SyncTurns,
    entities: &[EntitySpec],
    may_wait: bool,
) -> Result<Taken> {
    let names: Vec<&str> = entities.iter().map(|entity| entity.name).collect();
    let mut wait = Wait::of(Waiting::Sync);
    loop {
        match turns.take(&names).await? {
            Taken::By(other) if may_wait => wait.more(&other).await?,
            taken => return Ok(taken),
        }
    }
}

/// Waits until nobody writes records of a ledger, so that a comparison sees records that belong together.
///
/// # Errors
/// [`Error::Busy`] if that goes on for too long; [`Error::Database`].
pub(super) async fn wait_for_writers(books: &Books<'_>) -> Result<()> {
    let mut wait = Wait::of(Waiting::Comparison);
    while let Some(other) = books.writer().await? {
        wait.more(&other).await?;
    }
    Ok(())
}

/// The one that waits; the other one is called by what both have in common.
#[derive(Debug, Clone, Copy)]
enum Waiting<'w> {
    /// A run, for another one that reads its windows.
    Run { realm_id: &'w str },
    /// A sync, for another one that reads its entities.
    Sync,
    /// A comparison of the books, for a sync or a run that writes their records.
    Comparison,
}

/// A wait for another run or sync, which is told once.
struct Wait<'w> {
    who: Waiting<'w>,
    begin: Instant,
    is_told: bool,
}

impl<'w> Wait<'w> {
    fn of(who: Waiting<'w>) -> Self {
        Self {
            who,
            begin: Instant::now(),
            is_told: false,
        }
    }

    /// Waits until the next look at the other one.
    async fn more(&mut self, other: &OtherRun) -> Result<()> {
        if self.begin.elapsed() >= MAX_WAIT {
            return Err(self.too_long(other));
        }
        if !std::mem::replace(&mut self.is_told, true) {
            self.tell(other);
        }
        sleep(LOOK).await;
        Ok(())
    }

    fn tell(&self, other: &OtherRun) {
        let OtherRun { entity, place, .. } = other;
        let since = format_instant(other.since);
        match self.who {
            Waiting::Run { realm_id } => warn!(
                phase = "load",
                event = "run_waits",
                realm_id,
                entity,
                "another run ({place}, since {since}) reads these windows; waiting for it"
            ),
            Waiting::Sync => warn!(
                phase = "sync",
                event = "run_waits",
                entity,
                "another sync ({place}, since {since}) reads these entities; waiting for it"
            ),
            Waiting::Comparison => warn!(
                phase = "verify",
                event = "run_waits",
                entity,
                "a sync or run ({place}, since {since}) writes records of these books; waiting for it"
            ),
        }
    }

    fn too_long(&self, other: &OtherRun) -> Error {
        let OtherRun { entity, place, .. } = other;
        let since = format_instant(other.since);
        let reason = match self.who {
            Waiting::Run { .. } => format!(
                "another run of {entity} ({place}, since {since}) still reads these windows after half an hour; run this again later with --resume"
            ),
            Waiting::Sync => format!(
                "another sync of {entity} ({place}, since {since}) still goes on after half an hour; run this again later"
            ),
            Waiting::Comparison => format!(
                "a sync or run of {entity} ({place}, since {since}) still writes records of these books after half an hour; run this again later"
            ),
        };
        Error::Busy { reason }
    }

    /// Returns the error of a run that must not wait.
    fn not_allowed(other: &OtherRun) -> Error {
        let OtherRun { entity, place, .. } = other;
        let since = format_instant(other.since);
        let reason = format!(
            "another run of {entity} ({place}, since {since}) reads these windows; without --no-wait this command waits for it"
        );
        Error::Busy { reason }
    }
}

/// Takes committed time out of a plan. A window of which the other run has committed parts, and not the
/// end, is read from there.
fn leave_out(plan: &mut Plan, resumed: Resumed) {
    let Resumed {
        remaining,
        skipped,
        read_from,
        ..
    } = resumed;
    plan.windows = remaining;
    let is_replaced = |old: &Continuation| {
        let mut later = read_from.iter().filter_map(|new| new.begun);
        old.begun
            .is_some_and(|old| later.any(|new| new.window == old.window))
    };
    plan.read_from.retain(|old| !is_replaced(old));
    plan.read_from.extend(read_from);
    let done = skipped.into_iter();
    plan.skipped
        .extend(done.map(|window| WindowReport::skipped(window, SkipReason::Committed)));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_wait_ends_after_half_an_hour_and_calls_the_other_one_by_what_it_does() {
        let other = OtherRun {
            entity: "items".to_owned(),
            place: "pid 7 on elsewhere".to_owned(),
            is_of_this_process: false,
            since: DateTime::UNIX_EPOCH,
        };
        let run = Waiting::Run { realm_id: "9" };
        let known = [
            (run, "another run of items (pid 7 on elsewhere"),
            (Waiting::Sync, "another sync of items (pid 7"),
            // It waits for backfills and loads, too.
            (Waiting::Comparison, "a sync or run of items (pid 7"),
        ];
        for (who, words) in known {
            let (mut wait, begin) = (Wait::of(who), Instant::now());
            let error = loop {
                if let Err(error) = wait.more(&other).await {
                    break error;
                }
            };
            assert!(error.to_string().starts_with(words), "{error}");
            assert_eq!(begin.elapsed(), MAX_WAIT);
        }
    }
}
