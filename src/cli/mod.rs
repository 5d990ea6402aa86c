//! The command line: `qbo-rs`.
//!
//! Flags and subcommands are read in `args`; each subcommand is one call of [`App`]; `output`
//! prints the result. The exit codes are those of [`ExitCode`].

mod args;
mod auth;
mod basis;
mod board;
mod books;
mod check;
mod command_line;
mod entity_health;
mod env_file;
mod exit;
mod grid;
mod hint;
mod local;
mod logging;
mod mage;
mod next_steps;
mod output;
mod planned;
mod progress;
mod range;
mod rejects;
mod reports;
mod runs;
mod sandbox;
mod sandbox_run;
mod serve;
mod shortfall;
mod show;
mod signals;
mod status;
mod status_details;
mod status_screen;
mod summary;
mod sync;
mod tables;
mod tally;
mod verify;
mod words;

use std::error::Error as _;
use std::ffi::OsString;
use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::sync::Arc;

use clap::Parser;

use self::args::{Arguments, Command, DatabaseCommand, DemoArguments};
use self::command_line::CommandLine;
use self::env_file::EnvFile;
use self::exit::{ExitCode, Failure, Outcome};
use self::output::Printer;
use self::progress::{Bars, Heartbeat};
use self::signals::{block_on, block_on_run};
use self::tally::Tally;
use crate::app::{App, ShowRequest};
use crate::demo::{self, Demo};
use crate::error::Error;
use crate::port::Progress;
use crate::terminal::one_line;

/// Runs the command and returns its exit code. `args` begins with the program's name.
pub fn run(args: impl IntoIterator<Item = OsString>) -> i32 {
    let line: Vec<OsString> = args.into_iter().collect();
    let arguments = match Arguments::try_parse_from(&line) {
        Ok(arguments) => arguments,
        Err(error) => return report_usage(&error) as i32,
    };
    let env_file = match EnvFile::read(arguments.env_file.as_deref()) {
        Ok(env_file) => env_file,
        Err(error) => {
            print_error(&error.to_string());
            return ExitCode::Refused as i32;
        }
    };
    let cap = request_cap(&arguments, &env_file);
    let bars = std::io::stderr().is_terminal().then(|| Bars::new(cap));
    logging::start(arguments.log_format, arguments.log_level, bars.as_ref());
    let progress: Arc<dyn Progress> = match bars {
        Some(bars) => Arc::new(bars),
        None => Arc::new(Heartbeat::new(cap)),
    };
    let words = line.iter().map(|word| word.to_string_lossy().into_owned());
    let tally = Arc::new(Tally::new(progress, CommandLine::new(words)));
    env_file.warn_if_shared();
    let ended = execute(&line, arguments, &env_file, &tally);
    match ended {
        Ok(code) | Err(Failure::Stopped(code)) => code as i32,
        Err(Failure::Ended(code)) => code,
        Err(Failure::Error(error)) => {
            print_error(&hint::with_flags(&env_file.explain(&error)));
            match tally.has_asked() {
                true => ExitCode::Incomplete as i32,
                false => ExitCode::Refused as i32,
            }
        }
    }
}

/// Returns the maximum number of requests of the call; 0: unlimited, or a setting that is not read yet.
fn request_cap(arguments: &Arguments, env_file: &EnvFile) -> u64 {
    let mut settings = env_file.settings();
    for (name, value) in &arguments.settings.0 {
        let _ = settings.set(name, value);
    }
    settings.max_requests().unwrap_or_default()
}

/// Prints help as it is, and a mistake in one line.
fn report_usage(error: &clap::Error) -> ExitCode {
    use clap::error::ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand as NothingAsked;
    if !error.use_stderr() || error.kind() == NothingAsked {
        // A closed pipe, as of `qbo-rs --help | head`, is not worth a word.
        let _ = error.print();
        return if error.use_stderr() {
            ExitCode::Refused
        } else {
            ExitCode::Done
        };
    }
    // A value that one of our types refuses: its own text names the setting and the value.
    if let Some(cause) = error
        .source()
        .and_then(|cause| cause.downcast_ref::<Error>())
    {
        print_error(&cause.to_string());
        return ExitCode::Refused;
    }
    let text = error.to_string();
    let text = text
        .split("\n\nUsage:")
        .next()
        .unwrap_or_default()
        .trim_start_matches("error: ");
    print_error(&text.split_whitespace().collect::<Vec<_>>().join(" "));
    ExitCode::Refused
}

/// Prints what was done when the command was stopped: a line for people, or a JSON object if the logs
/// are in JSON.
fn print_note(text: &str) {
    match logging::is_json() {
        true => print_error(text),
        false => _ = writeln!(std::io::stderr(), "{}", one_line(text)),
    }
}

/// Prints an error: a line for people, or a JSON object if the logs are in JSON.
fn print_error(text: &str) {
    if logging::is_json() {
        tracing::error!(
            target: logging::LAST_LINES,
            phase = "command",
            event = "command_failed",
            "{text}"
        );
    } else {
        let _ = writeln!(std::io::stderr(), "error: {}", one_line(text));
    }
}

fn execute(
    line: &[OsString],
    arguments: Arguments,
    env_file: &EnvFile,
    tally: &Arc<Tally>,
) -> Outcome {
    let mut settings = env_file.settings();
    for (name, value) in &arguments.settings.0 {
        settings.set(name, value)?;
    }
    let app = App {
        settings,
        progress: tally.clone(),
    };
    let printer = Printer {
        json: arguments.json,
    };
    match arguments.command {
        Command::Backfill(request) => runs::backfill(&app, tally, &request, printer),
        Command::Extract(arguments) => runs::extract(&app, tally, arguments, printer),
        Command::Load(request) => runs::load(&app, tally, &request, printer),
        Command::Verify(arguments) => verify::run(&app, arguments, printer),
        Command::Serve(arguments) => serve::run(&app, arguments),
        Command::Sync(arguments) => sync::run(&app, &arguments, printer),
        Command::Show(arguments) => show::run(&app, &arguments, printer),
        Command::Status(arguments) => status::run(&app, arguments, printer),
        Command::Rejects(arguments) => rejects::run(&app, arguments, printer),
        Command::Reports(arguments) => reports::run(&app, &arguments, printer),
        Command::Auth(command) => auth::run(&app, &command, printer),
        Command::Sandbox(arguments) => sandbox::run(&app, &arguments, line, printer),
        Command::Mage(command) => mage::run(&command, printer),
        Command::Check(request) => check::run(&app, request, printer),
        Command::Entities => printer.entities(),
        Command::Demo(demo) => run_demo(&program_of(line), &demo, printer, tally),
        Command::Db(command) => run_database(&app, command, printer),
    }
}

/// Returns the name of the program as it was called.
fn program_of(line: &[OsString]) -> String {
    line.first().map_or_else(
        || "qbo-rs".to_owned(),
        |name| name.to_string_lossy().into_owned(),
    )
}

fn run_database(app: &App, command: DatabaseCommand, printer: Printer) -> Outcome {
    match command {
        DatabaseCommand::Archive(request) => {
            let archived = block_on(app.archive(&request))?;
            printer.print(&archived, || tables::archived(&archived, &request.out))?;
        }
        DatabaseCommand::Migrate(request) => {
            let upgrade = block_on(app.migrate(&request))?;
            printer.print(&upgrade, || tables::upgrade(&upgrade, request.dry_run))?;
        }
        DatabaseCommand::Ddl(request) => output::text(&app.ddl(&request)?),
        DatabaseCommand::Views(request) if request.print_unknown => {
            output::text(&block_on(app.unknown_fields(&request.schema))?);
        }
        DatabaseCommand::Views(request) => {
            let changes = block_on(app.views(&request))?;
            printer.print(&changes, || match request.dry_run {
                true => tables::views_sql(&changes),
                false => tables::views(&changes),
            })?;
        }
        DatabaseCommand::Ledger(request) => {
            let report = block_on(app.post_ledger(&request))?;
            printer.print(&report, || tables::ledger(&report))?;
            return Ok(ExitCode::of(report.is_complete()));
        }
    }
    Ok(ExitCode::Done)
}

fn run_demo(
    program: &str,
    arguments: &DemoArguments,
    printer: Printer,
    tally: &Arc<Tally>,
) -> Outcome {
    let directory: PathBuf = arguments
        .data_dir
        .clone()
        .unwrap_or_else(demo::default_directory);
    if arguments.stop {
        let state = match demo::stop(&directory)? {
            true => "stopped",
            false => "was not running",
        };
        output::text(&format!(
            "Postgres of the demo {state}; its data stays in {}\n",
            directory.display()
        ));
        return Ok(ExitCode::Done);
    }
    let demo = block_on_run(tally, Demo::run(&directory, tally.clone()))?;
    let code = runs::print(&demo.report, printer, &runs::demo_ending(tally))?;
    if !printer.json {
        let landed = block_on(demo.app.show(&ShowRequest::new("invoices").limit(5_u32)))?;
        let table = show::table(&landed, grid::width());
        output::text(&next_steps::demo(program, &demo, &table));
    }
    Ok(code)
}

#[cfg(test)]
mod error_snapshots;
#[cfg(test)]
mod help_snapshots;
#[cfg(test)]
mod screens;
#[cfg(test)]
mod status_snapshots;
