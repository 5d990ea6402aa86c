//! The lines about a pause that QuickBooks has asked for.

use super::report::CheckLine;
use crate::app::company::admission;
use crate::app::health::is_long_pause;
use crate::config::QboConfig;
use crate::domain::instant::format_instant;
use crate::error::{Error, Trace};
use crate::postgres::Db;
use crate::store::{StateBackend, SyncSchedule};

/// Ends a pause that QuickBooks has asked for, and the wait of the schedule for its end.
pub(super) async fn lift_pause(
    database: Option<&Db>,
    backend: &StateBackend,
    config: &QboConfig,
) -> CheckLine {
    const NAME: &str = "pause";
    let realm_id = &config.realm_id;
    let control = admission(backend, config, realm_id);
    let lifted = control.lift_pause().await;
    if !control.is_shared() {
        let text = "the state that processes share cannot be changed, so no pause is lifted";
        return CheckLine::failed(NAME, text);
    }
    let Some(until) = lifted else {
        return CheckLine::ok(NAME, "there is none");
    };
    if let Some(db) = database
        && let Err(error) = SyncSchedule::new(db.clone()).hasten(realm_id).await
    {
        return CheckLine::failed(NAME, error.to_string());
    }
    let until = format_instant(until);
    CheckLine::ok(NAME, format!("lifted; it would have ended at {until}"))
}

/// Returns the line about a company that must not be asked, because QuickBooks has told a request of
/// any process to wait.
pub(super) fn paused(error: &Error, realm_id: &str) -> Option<CheckLine> {
    let Error::AskedToWait { wait, trace, .. } = error.last() else {
        return None;
    };
    let (now, was_asked) = (crate::clock::now(), trace != &Trace::default());
    let until = now + *wait;
    let until = match until.date_naive() == now.date_naive() {
        true => until.format("%H:%M:%S UTC").to_string(),
        false => format_instant(until),
    };
    let text = match was_asked {
        true => format!("QuickBooks asked to slow down, until {until}"),
        false => format!("not asked: QuickBooks asked to slow down, until {until}"),
    };
    let line = CheckLine::warning("company", text);
    // One that has just been asked for would come back, and short ones pass by themselves.
    match !was_asked && is_long_pause(*wait) {
        true => Some(line.fix(format!("qbo-rs check --lift-pause --realm-id {realm_id}"))),
        false => Some(line),
    }
}
