//! `qbo-rs rejects`: the records that are set aside.

use std::fmt::Write as _;

use clap::Args;

use super::exit::{ExitCode, Outcome};
use super::output::Printer;
use super::shortfall::unnamed_tid;
use super::signals::block_on;
use crate::app::{App, RejectsRequest, StoredReject};
use crate::domain::Window;
use crate::domain::instant::format_instant;
use crate::terminal::one_line;

#[derive(Debug, Args)]
pub(super) struct RejectsArguments {
    #[command(flatten)]
    request: RejectsRequest,
    /// Only records changed from this instant on, UTC
    #[arg(long, alias = "fecha-inicio", value_name = "INSTANT", requires = "end")]
    start: Option<String>,
    /// Only records changed before this instant, UTC
    #[arg(long, alias = "fecha-fin", value_name = "INSTANT", requires = "start")]
    end: Option<String>,
}

/// Runs the subcommand. A list with records in it is a success.
pub(super) fn run(app: &App, arguments: RejectsArguments, printer: Printer) -> Outcome {
    let mut request = arguments.request;
    if let (Some(start), Some(end)) = (&arguments.start, &arguments.end) {
        request.range = Some(Window::parse(start, end)?);
    }
    let rejects = block_on(app.rejects(&request))?;
    printer.print(&serde_json::json!({"rejects": rejects}), || {
        describe(&rejects)
    })?;
    Ok(ExitCode::Done)
}

fn describe(rejects: &[StoredReject]) -> String {
    if rejects.is_empty() {
        return "no record is set aside\n".to_owned();
    }
    let mut out = String::new();
    for reject in rejects {
        let id = one_line(reject.id.as_deref().unwrap_or("of unknown id"));
        let tid = unnamed_tid(&reject.error, reject.intuit_tid.as_deref());
        // Writing to a string cannot fail.
        let _ = writeln!(
            out,
            "{} {} [{}, {}): record {id}, changed about {}, set aside at {}: {}{tid}",
            reject.realm_id,
            reject.entity,
            format_instant(reject.window_start),
            format_instant(reject.window_end),
            format_instant(reject.changed_at),
            format_instant(reject.rejected_at),
            one_line(&reject.error)
        );
    }
    out
}
