//! `qbo-rs backfill`, `extract` and `load`.

use super::args::ExtractArguments;
use super::command_line::schema_flag;
use super::exit::{ExitCode, Outcome};
use super::output::{self, Printer};
use super::planned::planned;
use super::shortfall::{self, Place};
use super::signals::{block_on, block_on_run};
use super::summary::{Ending, Verb, summary};
use super::tally::Tally;
use super::to_stdout;
use super::words::shell_quote;
use crate::app::{App, BackfillRequest, LoadRequest};
use crate::config::Settings;
use crate::domain::{Report, chunk_range_in};
use crate::language::{Language, say};
use crate::sink::postgres::DEFAULT_SCHEMA;

pub(super) fn backfill(
    app: &App,
    tally: &Tally,
    request: &BackfillRequest,
    printer: Printer,
) -> Outcome {
    tally.reads(request.range);
    let report = block_on_run(tally, app.backfill(request))?;
    if request.dry_run {
        let place = say!("schema {schema}", schema = request.schema);
        printer.print(&report, || planned(&report, &place))?;
        return Ok(ExitCode::Done);
    }
    let ending = ending(Verb::Backfill, &app.settings, tally).schema(&request.schema);
    print(&report, printer, &ending)?;
    Ok(explained(app, &report, Place::Schema(&request.schema)))
}

pub(super) fn extract(
    app: &App,
    tally: &Tally,
    arguments: ExtractArguments,
    lang: Option<Language>,
    printer: Printer,
) -> Outcome {
    tally.reads(arguments.range);
    let windows = chunk_range_in(arguments.range, arguments.chunk, arguments.tz);
    let mut request = arguments.request.windows(windows);
    let is_to_stdout = to_stdout::is_asked(&request);
    if is_to_stdout && !request.dry_run {
        return to_stdout::extract(app, tally, request, printer);
    }
    if is_to_stdout {
        // Nothing is written, and no file is called so.
        request.out = None;
    }
    let report = block_on_run(tally, app.extract(&request))?;
    let landing_dir = || app.settings.landing_dir();
    let out = request.out.clone().unwrap_or_else(landing_dir);
    let out = match is_to_stdout {
        true => "stdout".to_owned(),
        false => out.display().to_string(),
    };
    if request.dry_run {
        printer.print(&report, || planned(&report, &out))?;
        return Ok(ExitCode::Done);
    }
    if lang == Some(Language::Es) && !printer.json {
        output::text(&output::filas(&report));
    } else {
        let verb = Verb::Extract(shell_quote(&out));
        let schema = schema_to_load(app, &report);
        print(
            &report,
            printer,
            &ending(verb, &app.settings, tally).schema(&schema),
        )?;
    }
    Ok(explained(app, &report, Place::Landing))
}

/// Returns the schema of the next command. A database that does not answer fails no extract: the load tells it.
fn schema_to_load(app: &App, report: &Report) -> String {
    let company = report.runs.first().map(|run| run.realm_id.as_str());
    let asked = company.map(|realm_id| block_on(app.schema_to_load(realm_id)));
    let known = asked.and_then(|answer| answer.ok().flatten());
    known.unwrap_or_else(|| DEFAULT_SCHEMA.to_owned())
}

pub(super) fn load(app: &App, tally: &Tally, request: &LoadRequest, printer: Printer) -> Outcome {
    let report = block_on_run(tally, app.load(request))?;
    let ending = ending(Verb::Load, &app.settings, tally).schema(&request.schema);
    print(&report, printer, &ending)?;
    Ok(explained(app, &report, Place::Schema(&request.schema)))
}

/// Prints the report of runs and returns the exit code that it means.
pub(super) fn print(report: &Report, printer: Printer, ending: &Ending) -> Outcome {
    printer.print(report, || summary(report, ending))?;
    Ok(ExitCode::of(report.is_complete()))
}

/// Returns the ending of the demo.
pub(super) fn demo_ending(tally: &Tally) -> Ending {
    ending(Verb::Demo, &Settings::default(), tally)
}

fn ending(verb: Verb, settings: &Settings, tally: &Tally) -> Ending {
    Ending {
        verb,
        schema_flag: String::new(),
        env_file_flag: tally.env_file_flag(),
        company_flag: tally.company_flag(),
        again: tally.again(),
        // A wrong setting has ended the call already.
        monthly_quota: settings.monthly_quota().unwrap_or_default(),
    }
}

impl Ending {
    fn schema(self, schema: &str) -> Self {
        Self {
            schema_flag: schema_flag(schema),
            ..self
        }
    }
}

/// Names what is missing, if anything is.
fn explained(app: &App, report: &Report, place: Place<'_>) -> ExitCode {
    if !report.is_complete() {
        shortfall::explain_runs(app, report, place);
    }
    ExitCode::of(report.is_complete())
}
