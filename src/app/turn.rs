//! The turn of a call: two runs that read the same time one after the other cost the quota once.

use std::time::Duration;

use tokio::time::{Instant, sleep};
use tracing::warn;

use crate::domain::instant::format_instant;
use crate::domain::{
    Asked, Continuation, EntitySpec, Plan, Resumed, SkipReason, Window, WindowReport,
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
    let busy: Vec<&mut Plan> = plans.iter_mut().filter(|p| !p.windows.is_empty()).collect();
    let Some(range) = range_of(&busy) else {
        return Ok(());
    };
    let mut runs: Vec<Claim> = Vec::with_capacity(busy.len());
    for plan in busy {
        let run_id = crate::chance::unique_id().to_string();
        runs.push(Claim {
            run_id: run_id.clone(),
            entity: plan.entity,
            asked: Some(call.asked),
            reads_again: call.reads_again,
            reads_since: plan.reads_since,
        });
        plan.run_id = Some(run_id);
    }
    let begin = Instant::now();
    let mut waited_for: Option<OtherRun> = None;
    while let Some(other) = sink.claim(realm_id, &runs, range).await? {
        if !call.may_wait || begin.elapsed() >= MAX_WAIT {
            return Err(is_busy(&other, call.may_wait));
        }
        if waited_for.is_none() {
            warn!(
                phase = "load",
                event = "run_waits",
                realm_id,
                entity = other.entity.as_str(),
                "another run ({}, since {}) reads these windows; waiting for it",
                other.place,
                format_instant(other.since)
            );
            waited_for = Some(other);
        }
        sleep(LOOK).await;
    }
    if let Some(other) = waited_for {
        for plan in plans {
            let since = Some(other.since);
            let resumed = sink
                .resumed(realm_id, &plan.entity, &plan.windows, since)
                .await?;
            leave_out(plan, resumed);
        }
    }
    Ok(())
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
    let mut wait = Wait::begin();
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
    let mut wait = Wait::begin();
    while let Some(other) = books.writer().await? {
        wait.more(&other).await?;
    }
    Ok(())
}

/// A wait for another sync, which is told once.
struct Wait {
    begin: Instant,
    is_told: bool,
}

impl Wait {
    fn begin() -> Self {
        Self {
            begin: Instant::now(),
            is_told: false,
        }
    }

    /// Waits until the next look at the other one.
    async fn more(&mut self, other: &OtherRun) -> Result<()> {
        let OtherRun {
            entity,
            place,
            since,
        } = other;
        let since = format_instant(*since);
        if self.begin.elapsed() >= MAX_WAIT {
            let reason = format!(
                "another sync of {entity} ({place}, since {since}) still goes on after half an hour; run this again later"
            );
            return Err(Error::Busy { reason });
        }
        if !std::mem::replace(&mut self.is_told, true) {
            warn!(
                phase = "sync",
                event = "run_waits",
                entity,
                "another sync ({place}, since {since}) reads these entities; waiting for it"
            );
        }
        sleep(LOOK).await;
        Ok(())
    }
}

fn range_of(plans: &[&mut Plan]) -> Option<Window> {
    let windows = || plans.iter().flat_map(|plan| &plan.windows);
    Some(Window {
        start: windows().map(|window| window.start).min()?,
        end: windows().map(|window| window.end).max()?,
    })
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

fn is_busy(other: &OtherRun, has_waited: bool) -> Error {
    let OtherRun {
        entity,
        place,
        since,
        ..
    } = other;
    let since = format_instant(*since);
    let reason = match has_waited {
        true => format!(
            "another run of {entity} ({place}, since {since}) still reads these windows after half an hour; run this again later with --resume"
        ),
        false => format!(
            "another run of {entity} ({place}, since {since}) reads these windows; without --no-wait this command waits for it"
        ),
    };
    Error::Busy { reason }
}
