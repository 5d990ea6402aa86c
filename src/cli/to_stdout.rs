//! `qbo-rs extract --out -`: records on stdout.

use std::fs::File;
use std::io;
use std::path::Path;

use super::exit::{ExitCode, Outcome};
use super::output::Printer;
use super::shortfall::{self, Place};
use super::signals::block_on_run;
use super::tally::Tally;
use crate::app::{App, ExtractRequest, Scratch};
use crate::domain::Report;
use crate::error::{Error, Result};

/// The path that stands for stdout.
const STDOUT: &str = "-";

/// Returns true if an extract writes to stdout.
pub(super) fn is_asked(request: &ExtractRequest) -> bool {
    request.out.as_deref() == Some(Path::new(STDOUT))
}

/// Prints the records as lines of JSON, once all windows are there.
pub(super) fn extract(
    app: &App,
    tally: &Tally,
    request: ExtractRequest,
    printer: Printer,
) -> Outcome {
    if printer.json {
        let reason = "stdout cannot hold both the records and the object of --json; leave out --json, or name a file";
        return Err(Error::config("out", reason).into());
    }
    if request.resume {
        let reason =
            "--resume finds no earlier windows on stdout; leave it out, or name a directory";
        return Err(Error::config("out", reason).into());
    }
    tally.leaves_nothing();
    let parent = std::env::temp_dir();
    let directory =
        Scratch::create(&parent, "qbo-rs-stdout").map_err(|e| Error::landing(&parent, e))?;
    let file = directory.path().join("records.jsonl");
    let request = request.out(file.clone()).keeps_nothing(true);
    let report = block_on_run(tally, app.extract(&request))?;
    if !report.has_failures() {
        copy_to_stdout(&file)?;
    }
    Ok(explained(app, &report))
}

fn copy_to_stdout(path: &Path) -> Result<()> {
    let failed = |e| Error::landing(path, e);
    let mut file = File::open(path).map_err(failed)?;
    match io::copy(&mut file, &mut io::stdout().lock()) {
        // As of `| head`.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        Err(error) => Err(Error::landing(Path::new(STDOUT), error)),
        Ok(_) => Ok(()),
    }
}

fn explained(app: &App, report: &Report) -> ExitCode {
    if !report.is_complete() {
        shortfall::explain_runs(app, report, Place::Stdout);
    }
    ExitCode::of(report.is_complete())
}
