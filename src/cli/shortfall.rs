//! The last lines on stderr of a command that ends with exit code 1: each window that failed and each
//! record that was set aside, and the command that shows the rest.

use std::collections::{BTreeSet, HashSet};

use tracing::error;

use super::command_line::with_env_file;
use super::error_text;
use super::failures::{Failure, failed_for, failures_of_runs};
use super::hint::told;
use super::logging::{ADVICE, LAST_LINES, is_json, language};
use super::repeats::fault_of;
use super::signals::block_on;
use super::untold;
use super::withheld::{self, MAX_REASONS};
use super::words::number_in;
use crate::app::health::schema_flag;
use crate::app::{App, SetAside, set_aside_in_landing};
use crate::domain::instant::format_instant;
use crate::domain::{CompanySync, Report, RunEnd, SyncReport, Window, unnamed};
use crate::error::{Recovery, Result};
use crate::language::{say, translated_into};
use crate::sink::postgres::DEFAULT_SCHEMA;

/// The most windows, and the most records, that are named. A failure beyond that is named only if its reason is another
/// one than those of all before it.
pub(super) const MAX_NAMED: usize = 10;

/// After a run that the connection ended, where no record was set aside.
const NOT_CONNECTED: &str = "what is committed stays; once the cause is mended, the same command with --resume reads the rest; `qbo-rs auth status` shows the connections";
/// The same after a sync.
const NOT_CONNECTED_IN_SYNC: &str = "what is committed stays; once the cause is mended, the next sync reads the rest; `qbo-rs auth status` shows the connections";
/// After a run that ended because QuickBooks asks to wait, or because it may send no more requests.
const LATER: &str = "what is committed stays; the same command with --resume reads the rest";
/// The same after a sync.
const LATER_IN_SYNC: &str = "what is committed stays; the next sync reads the rest";
const WINDOWS_IN_LANDING: &str = "the same command with --resume reads what is missing";
const NOT_ON_STDOUT: &str =
    "nothing was written to stdout; the same command reads everything again";
const IN_LANDING: &str = "records that are set aside are the lines with `rejected` in the landing files; after `qbo-rs load`, `qbo-rs rejects` lists them";

/// The place of the records that a run has set aside.
#[derive(Clone, Copy)]
pub(super) enum Place<'p> {
    /// The database; a schema of it.
    Schema(&'p str),
    /// The landing files.
    Landing,
    /// The standard output alone.
    Stdout,
}

/// The failures and rejects of a command, for its last lines.
pub(super) struct Shortfall {
    /// The `phase` of the lines.
    pub(super) phase: &'static str,
    pub(super) failures: Vec<Failure>,
    /// The first records that were set aside.
    pub(super) set_aside: Vec<SetAside>,
    /// Number of all of them.
    pub(super) rejected: u64,
    /// The command that shows all of them, or removes the cause.
    pub(super) rest: String,
}

/// Explains the exit code of a backfill, an extract or a load.
pub(super) fn explain_runs(app: &App, report: &Report, place: Place<'_>) {
    let rejected = report.runs.iter().map(|run| run.totals.rejected).sum();
    let phase = match place {
        Place::Schema(_) => "load",
        Place::Landing | Place::Stdout => "extract",
    };
    let set_aside = look_up(rejected, || match place {
        Place::Schema(schema) => ask(app.set_aside_by_runs(report, schema, MAX_NAMED as u64)),
        Place::Landing | Place::Stdout => set_aside_in_landing(report, MAX_NAMED),
    });
    let lost = report.runs.iter().find_map(|run| match run.ended_by {
        Some(RunEnd::CompanyLost(_, recovery, _)) => Some(recovery),
        _ => None,
    });
    let (windows, records) = match place {
        Place::Schema(schema) => (windows_in(schema), records_in(schema)),
        Place::Landing | Place::Stdout => Default::default(),
    };
    let rest = match (place, rejected, lost) {
        (Place::Stdout, 0, _) => NOT_ON_STDOUT,
        (_, 0, Some(Recovery::Retry)) => LATER,
        (_, 0, Some(Recovery::Reauthorise | Recovery::Abort)) => NOT_CONNECTED,
        (Place::Schema(_), 0, None) => &windows,
        (Place::Landing, 0, None) => WINDOWS_IN_LANDING,
        (Place::Schema(_), ..) => &records,
        (Place::Landing | Place::Stdout, ..) => IN_LANDING,
    };
    let shortfall = Shortfall {
        phase,
        failures: failures_of_runs(report),
        set_aside,
        rejected,
        rest: rest.to_owned(),
    };
    shortfall.print();
}

/// Explains the exit code of a sync.
pub(super) fn explain_sync(app: &App, report: &SyncReport) {
    let entities = report.accounts.iter().flat_map(|account| &account.entities);
    let rejected = entities.map(|entity| entity.rejected).sum();
    let failures = report.accounts.iter().flat_map(|account| {
        let of_company = account.error.as_ref().map(|error| (None, error));
        let of_entities = account
            .entities
            .iter()
            // The line of the company says why these were not tried.
            .filter(|entity| !(account.error.is_some() && entity.is_not_attempted()))
            .filter(|entity| !(account.is_denied() && entity.error == account.error))
            .filter_map(|entity| Some((Some(entity.entity.clone()), entity.error.as_ref()?)));
        of_company
            .into_iter()
            .chain(of_entities)
            .map(|(entity, error)| Failure {
                realm_id: account.realm_id.clone(),
                entity,
                window: None,
                reason: match account.is_denied() {
                    true => error.clone(),
                    false => failed_for(error),
                },
                cause: Some(error.clone()),
            })
    });
    let shortfall = Shortfall {
        phase: "sync",
        failures: failures.collect(),
        set_aside: look_up(rejected, || {
            ask(app.set_aside_by_sync(report, MAX_NAMED as u64))
        }),
        rejected,
        rest: rest_of_sync(report, rejected),
    };
    shortfall.print();
}

/// Returns the last line after windows failed and no record was set aside.
fn windows_in(schema: &str) -> String {
    let flag = schema_flag(schema);
    say!(in language(); "`qbo-rs status{flag}` lists all windows that are not committed", flag)
}

/// Returns the last line after records were set aside.
fn records_in(schema: &str) -> String {
    let flag = schema_flag(schema);
    say!(in language();
        "`qbo-rs rejects{flag}` lists all records that are set aside, `qbo-rs status{flag}` all windows that are not committed", flag)
}

/// Returns the last line of a sync. A company that QuickBooks denies may be one that only a wrong
/// `QBO_REALM_ID` has put into the token store, where every sync finds it.
fn rest_of_sync(report: &SyncReport, rejected: u64) -> String {
    let denied = report.accounts.iter().find(|account| account.is_denied());
    let is_connection_lost = |account: &CompanySync| {
        account.error.is_some() || account.entities.iter().all(|entity| entity.error.is_none())
    };
    let is_lost = report.accounts.iter().all(is_connection_lost);
    // Those of the companies that have failed: each has one of its own.
    let is_different = |account: &&CompanySync| {
        let mut entities = account.entities.iter();
        account.error.is_some() || entities.any(|it| it.error.is_some() || it.rejected > 0)
    };
    let different = report.accounts.iter().filter(is_different);
    // A company that was not begun with has none.
    let schemas = different.map(|account| account.schema.as_str());
    let schemas: BTreeSet<&str> = schemas.filter(|schema| !schema.is_empty()).collect();
    let mut schemas: Vec<&str> = schemas.into_iter().collect();
    // It needs no flag.
    schemas.sort_by_key(|schema| *schema != DEFAULT_SCHEMA);
    let mut schemas = schemas.into_iter();
    let schema = schemas.next().unwrap_or(DEFAULT_SCHEMA);
    let others: Vec<String> = schemas
        .map(schema_flag)
        .map(|flag| flag.trim().to_owned())
        .collect();
    let others = match others.is_empty() {
        true => String::new(),
        false => {
            let flags = others.join(", ");
            format!(
                "; {}",
                say!(in language(); "the same for other companies with {flags}", flags)
            )
        }
    };
    let [windows, records] = [windows_in(schema), records_in(schema)].map(|text| text + &others);
    let rest = match rejected {
        0 if is_lost && report.accounts.iter().all(CompanySync::is_asked_to_wait) => LATER_IN_SYNC,
        0 if is_lost => NOT_CONNECTED_IN_SYNC,
        0 => &windows,
        _ => &records,
    };
    match denied {
        Some(account) => format!(
            "{rest}; if company {id} is not yours, as after a wrong QBO_REALM_ID, `QBO_REALM_ID={id} qbo-rs auth forget` \
             removes its connection here",
            id = account.realm_id
        ),
        None => rest.to_owned(),
    }
}

/// Waits for the database. A signal ends the wait, and the lines are printed without its answer.
fn ask<T>(call: impl Future<Output = Result<Vec<T>>>) -> Result<Vec<T>> {
    match block_on(call) {
        Ok(found) => Ok(found),
        Err(super::exit::Failure::Error(error)) => Err(error),
        Err(super::exit::Failure::Stopped(_) | super::exit::Failure::Ended(_)) => Ok(Vec::new()),
    }
}

/// Looks records up if there are any. Their number is known without that, so an error is only told.
fn look_up(rejected: u64, find: impl FnOnce() -> Result<Vec<SetAside>>) -> Vec<SetAside> {
    if rejected == 0 {
        return Vec::new();
    }
    find().unwrap_or_else(|error| {
        error!(
            target: LAST_LINES,
            phase = "load",
            event = "rejects_not_listed",
            "{}",
            told(language(), &format!("the records that are set aside cannot be listed: {error}"))
        );
        Vec::new()
    })
}

impl Shortfall {
    pub(super) fn print(&self) {
        let named = self.named();
        self.settle(&named);
        for failure in &named {
            if failure.is_of_company() && !is_json() {
                error_text::print(&format!("{}: {}", failure.realm_id, failure.reason));
                continue;
            }
            let window = failure.window.map(bounds);
            let (start, end) = window.unzip();
            error!(
                target: LAST_LINES,
                phase = self.phase,
                event = "failure_named",
                realm_id = failure.realm_id.as_str(),
                entity = failure.entity.as_deref(),
                window_start = start.as_deref(),
                window_end = end.as_deref(),
                "{}",
                with_env_file(&translated_into(language(), &failure.reason))
            );
        }
        let others = untold::tell_reasons();
        let unnamed = (self.failures.len() - named.len()) as u64;
        untold::tell_more(self.phase, unnamed + others);
        for record in &self.set_aside {
            let (start, end) = bounds(record.window);
            let has_window = record.window.start < record.window.end;
            let tid = record.intuit_tid.as_deref();
            let added_tid = unnamed_tid(&record.error, tid);
            error!(
                target: LAST_LINES,
                phase = self.phase,
                event = "reject_named",
                realm_id = record.realm_id.as_str(),
                entity = record.entity.as_str(),
                window_start = has_window.then_some(start.as_str()),
                window_end = has_window.then_some(end.as_str()),
                id = record.id.as_deref(),
                intuit_tid = tid,
                "{}{added_tid}",
                set_aside_line(record)
            );
        }
        let unnamed = self.rejected.saturating_sub(self.set_aside.len() as u64);
        let text = say!(in language(); count unnamed; "and {count} more record that is set aside",
            "and {count} more records that are set aside", count = number_in(language(), unnamed));
        if unnamed > 0 {
            error!(
                target: LAST_LINES,
                phase = self.phase,
                event = "more_unnamed",
                count = unnamed,
                "{text}"
            );
        }
        error!(
            target: ADVICE,
            phase = self.phase,
            event = "rest_shown_by",
            "{}",
            with_env_file(&translated_into(language(), &self.rest))
        );
    }

    /// Says what of the withheld lines these lines tell: the reasons that are named, and of each company that it has failed,
    /// because whatever is not named is counted.
    fn settle(&self, named: &[&Failure]) {
        for failure in named {
            let cause = failure.cause.as_deref().unwrap_or(&failure.reason);
            withheld::named(Some(&failure.realm_id), cause);
        }
        for failure in &self.failures {
            withheld::counted(&failure.realm_id);
        }
    }

    /// Returns the failures that get a line: the first ones, and each that has another reason than all before it.
    fn named(&self) -> Vec<&Failure> {
        let mut told: HashSet<String> = HashSet::new();
        let failures = self.failures.iter().enumerate();
        let named = failures.filter(|(at, failure)| {
            let fault = failure.cause.as_deref().map(fault_of);
            let is_new = fault.is_some_and(|fault| told.len() < MAX_REASONS && told.insert(fault));
            *at < MAX_NAMED || is_new
        });
        named.map(|(_, failure)| failure).collect()
    }
}

/// Says that a record is set aside, and why.
fn set_aside_line(record: &SetAside) -> String {
    let language = language();
    let error = unnamed(record.id.as_deref(), &record.error);
    let error = told(language, error);
    match &record.id {
        Some(id) => say!(in language; "record {id} is set aside: {error}", id, error),
        None => say!(in language; "record of unknown id is set aside: {error}", error),
    }
}

/// Returns the clause with Intuit's id of an answer; empty if the error names it.
pub(super) fn unnamed_tid(error: &str, tid: Option<&str>) -> String {
    tid.filter(|tid| !error.contains(tid))
        .map(|tid| format!(" (intuit_tid={tid})"))
        .unwrap_or_default()
}

fn bounds(window: Window) -> (String, String) {
    (format_instant(window.start), format_instant(window.end))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failed(realm_id: &str, cause: &str) -> Failure {
        Failure {
            realm_id: realm_id.to_owned(),
            entity: None,
            window: None,
            reason: format!("failed: {cause}"),
            cause: Some(cause.to_owned()),
        }
    }

    fn of(failures: Vec<Failure>) -> Shortfall {
        Shortfall {
            phase: "load",
            failures,
            set_aside: Vec::new(),
            rejected: 0,
            rest: String::new(),
        }
    }

    #[test]
    fn a_company_whose_failure_is_only_counted_has_no_line_of_its_own() {
        let keep = |realm_id: &str, event: &str, message: &str| {
            let fields = [("event", event), ("realm_id", realm_id)];
            assert!(withheld::keep(
                &log::Record::builder()
                    .args(format_args!("{realm_id}: {message}"))
                    .key_values(&fields)
                    .build()
            ));
        };
        let companies: Vec<String> = (1..=30).map(|company| company.to_string()).collect();
        for company in &companies {
            keep(company, "window_failed", "failed: HTTP 503");
            let changed = format!("partial, {company} changed, 0 deleted");
            keep(company, "account_synced", &changed);
        }
        keep("7", "window_failed", "failed: HTTP 400");
        let failures = companies.iter().map(|company| failed(company, "HTTP 503"));
        let shortfall = of(failures.collect());
        let named = shortfall.named();
        assert_eq!(named.len(), 10);
        shortfall.settle(&named);
        let left = withheld::take();
        let left: Vec<&str> = left.iter().map(|line| line.message.as_str()).collect();
        assert_eq!(left, ["failed: HTTP 400"]);
    }

    #[test]
    fn a_reason_of_its_own_is_named_however_many_have_failed() {
        let failed = |cause: &str| failed("9", cause);
        let mut failures: Vec<Failure> = (1..=11).map(|_| failed("HTTP 500")).collect();
        failures.push(failed("permission denied"));
        failures.push(failed("HTTP 500 (intuit_tid=b)"));
        let shortfall = of(failures);
        let named = shortfall.named();
        assert_eq!(named.len(), 11);
        assert_eq!(named[10].reason, "failed: permission denied");
    }
}
