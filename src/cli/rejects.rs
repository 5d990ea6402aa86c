//! `qbo-rs rejects`: the records that are set aside.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use clap::Args;

use super::exit::{ExitCode, Outcome};
use super::output::Printer;
use super::range::OptionalRange;
use super::shortfall::unnamed_tid;
use super::signals::block_on;
use crate::app::{App, RejectsRequest, StoredReject};
use crate::domain::instant::format_instant;
use crate::domain::{Window, Zone};
use crate::language::{say, translated};
use crate::terminal::{one_line, shell_quote};

#[derive(Debug, Args)]
pub(super) struct RejectsArguments {
    #[command(flatten)]
    request: RejectsRequest,
    /// The time of the records' changes.
    #[command(flatten)]
    range: OptionalRange,
    /// Zone of dates, as America/Guayaquil
    #[arg(long, default_value = "UTC", value_name = "ZONE")]
    tz: Zone,
}

/// Runs the subcommand. A list with records in it is a success.
pub(super) fn run(
    app: &App,
    arguments: RejectsArguments,
    names_schema: bool,
    printer: Printer,
) -> Outcome {
    let mut request = arguments.request;
    if !names_schema {
        request.schema = block_on(app.schema_of_company())?;
    }
    request.range = arguments.range.0;
    let rejects = block_on(app.rejects(&request))?;
    printer.print(&serde_json::json!({"rejects": rejects}), || {
        describe(&rejects)
    })?;
    Ok(ExitCode::Done)
}

/// Returns a count, each record with its reason, and the commands that read them again.
fn describe(rejects: &[StoredReject]) -> String {
    let mut out = match rejects.len() {
        0 => say!("no record is set aside"),
        count => {
            say!(count count; "{count} record is set aside", "{count} records are set aside", count)
        }
    };
    out.push('\n');
    if rejects.is_empty() {
        return out;
    }
    for reject in rejects {
        let unknown = say!("of unknown id");
        let id = one_line(reject.id.as_deref().unwrap_or(&unknown));
        let tid = unnamed_tid(&reject.error, reject.intuit_tid.as_deref());
        // Writing to a string cannot fail.
        let text = say!(
            "{entity} {id}: changed {changed}, set aside {rejected} (company {company}, schema {schema})",
            entity = reject.entity,
            id,
            changed = format_instant(reject.changed_at),
            rejected = format_instant(reject.rejected_at),
            company = reject.realm_id,
            schema = reject.schema,
        );
        let _ = writeln!(
            out,
            "{text}\n  {}{tid}",
            translated(&one_line(&reject.error))
        );
    }
    let again = say!("Once the cause is mended, read their windows again:");
    let _ = writeln!(out, "{again}");
    for ((realm_id, schema, entity), window) in windows(rejects) {
        let (start, end) = (format_instant(window.start), format_instant(window.end));
        let schema = shell_quote(schema);
        let _ = writeln!(
            out,
            "  qbo-rs backfill {entity} --start {start} --end {end} --schema {schema} --realm-id {realm_id}",
        );
    }
    out
}

/// Returns the time that holds the windows of all rejects, by company, schema and entity.
fn windows(rejects: &[StoredReject]) -> BTreeMap<(&str, &str, &str), Window> {
    let mut all: BTreeMap<(&str, &str, &str), Window> = BTreeMap::new();
    for reject in rejects {
        let window = Window {
            start: reject.window_start,
            end: reject.window_end,
        }
        .in_whole_seconds();
        all.entry((&reject.realm_id, &reject.schema, &reject.entity))
            .and_modify(|known| {
                known.start = known.start.min(window.start);
                known.end = known.end.max(window.end);
            })
            .or_insert(window);
    }
    all
}
