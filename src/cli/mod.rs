//! The command line: `qbo-rs`.
//!
//! Flags and subcommands are read in `args`; each subcommand is one call of [`App`]; `output`
//! prints the result. The exit codes are those of [`ExitCode`].

mod advised;
mod args;
mod auth;
mod basis;
mod board;
mod books;
mod books_remedies;
mod check;
mod command_line;
mod company;
mod completion;
mod early;
mod entity_health;
mod env_file;
mod error_text;
mod exit;
mod failures;
mod grid;
mod help;
mod hint;
mod language;
mod local;
mod logging;
mod mage;
mod misread_number;
mod next_steps;
mod output;
mod pages;
mod planned;
mod progress;
mod range;
mod rejects;
mod repeats;
mod reports;
mod runs;
mod sandbox;
mod sandbox_control;
mod sandbox_run;
mod serve;
mod shortfall;
mod show;
mod signals;
mod states;
mod status;
mod status_details;
mod status_notes;
mod status_screen;
mod status_view;
mod summary;
mod sync;
mod tables;
mod tally;
mod to_stdout;
mod unequal;
mod untold;
mod verify;
mod withheld;
mod words;
mod wrap;

use std::ffi::OsString;
use std::io::IsTerminal;
use std::path::PathBuf;
use std::sync::Arc;

use clap::FromArgMatches;

use self::args::{Arguments, Command, DatabaseCommand, DemoArguments};
use self::command_line::CommandLine;
use self::early::Early;
use self::env_file::EnvFile;
use self::exit::{ExitCode, Failure, Outcome};
#[cfg(feature = "python")]
pub(crate) use self::language::{in_language_of_environment, in_spanish};
use self::output::Printer;
use self::progress::{Bars, Heartbeat};
use self::signals::{block_on, block_on_run};
use self::tally::Tally;
use crate::app::{App, ShowRequest};
use crate::config::Settings;
use crate::demo::{self, Demo};
use crate::language::{say, set_current};
use crate::port::Progress;
use crate::terminal::one_line;

/// Runs the command and returns its exit code. `args` begins with the program's name.
pub fn run(args: impl IntoIterator<Item = OsString>) -> i32 {
    let line: Vec<OsString> = args.into_iter().collect();
    let early = Early::of(&line);
    early.color.write_global();
    match language::chosen(&line) {
        Ok(language) => set_current(language),
        Err(error) => {
            error_text::report(&error, &line, early.json);
            return ExitCode::Refused as i32;
        }
    }
    if early.help_settings {
        help::print_settings(&line);
        return ExitCode::Done as i32;
    }
    let arguments = match parse(&line, early) {
        Ok(arguments) => arguments,
        Err(error) => return error_text::report_usage(error, &line, early) as i32,
    };
    let env_file = match EnvFile::read(arguments.env_file.as_deref()) {
        Ok(env_file) => env_file,
        // A profile may name a file that is not in each directory.
        Err(_) if arguments.env_file.is_none() && !arguments.command.reads_settings() => {
            EnvFile::none()
        }
        Err(error) => {
            error_text::report(&error, &line, early.json);
            return ExitCode::Refused as i32;
        }
    };
    let cap = request_cap(&arguments, &env_file);
    let has_bars = std::io::stderr().is_terminal() && !arguments.logs.quiet;
    let bars = has_bars.then(|| Bars::new(cap));
    let level = arguments.log_level();
    logging::start(arguments.logs.log_format, level, bars.as_ref());
    let progress: Arc<dyn Progress> = match bars {
        Some(bars) => Arc::new(bars),
        None => Arc::new(Heartbeat::new(arguments.command.phase(), cap)),
    };
    let words = line.iter().map(|word| word.to_string_lossy().into_owned());
    let words = CommandLine::new(words);
    command_line::keep(&words);
    let tally = Arc::new(Tally::new(progress, words));
    env_file.warn_if_shared();
    let ended = execute(&line, arguments, &env_file, &tally);
    let ended = match (ended, output::written()) {
        (Ok(_), Err(error)) => {
            // Not as JSON, which would go where nothing arrives.
            error_text::report(&error, &line, false);
            Err(Failure::Stopped(ExitCode::Incomplete))
        }
        (ended, _) => ended,
    };
    if let Err(Failure::Error(error)) = &ended {
        // It is told below.
        withheld::named(None, &error.to_string());
    }
    untold::tell();
    match ended {
        Ok(code) | Err(Failure::Stopped(code)) => code as i32,
        Err(Failure::Ended(code)) => code,
        Err(Failure::Error(error)) => {
            // Nothing is wrong with the call: the same one succeeds later.
            let is_held_back = matches!(error.last(), crate::error::Error::AskedToWait { .. });
            error_text::report(&env_file.explained(error), &line, early.json);
            match tally.has_asked() || is_held_back {
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

/// Reads the arguments; the first is the program's name.
fn parse(args: &[OsString], early: Early) -> Result<Arguments, clap::Error> {
    let color = match early.color {
        anstream::ColorChoice::Always | anstream::ColorChoice::AlwaysAnsi => {
            clap::ColorChoice::Always
        }
        anstream::ColorChoice::Never => clap::ColorChoice::Never,
        anstream::ColorChoice::Auto => clap::ColorChoice::Auto,
    };
    let mut command = help::command().color(color);
    let mut matches = command.try_get_matches_from_mut(args)?;
    let names_schema = company::names_schema(&matches);
    let arguments = Arguments::from_arg_matches_mut(&mut matches)?;
    Ok(Arguments {
        names_schema,
        ..arguments
    })
}

fn execute(
    line: &[OsString],
    arguments: Arguments,
    env_file: &EnvFile,
    tally: &Arc<Tally>,
) -> Outcome {
    warn_of_misspelled_settings(env_file.all_names());
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
    let lang = arguments.logs.lang;
    let company = arguments.company().map(str::to_owned);
    let names_schema = arguments.names_schema;
    match arguments.command {
        Command::Backfill(request) => runs::backfill(&app, tally, &request, printer),
        Command::Extract(arguments) => runs::extract(&app, tally, arguments, lang, printer),
        Command::Load(request) => runs::load(&app, tally, &request, printer),
        Command::Verify(arguments) => verify::run(&app, tally, arguments, names_schema, printer),
        Command::Serve(arguments) => serve::run(&app, arguments),
        Command::Sync(arguments) => sync::run(&app, tally, &arguments.of_company(company), printer),
        Command::Show(arguments) => show::run(&app, *arguments, names_schema, printer),
        Command::Status(arguments) => status::run(&app, tally, arguments, names_schema, printer),
        // Without a company it lists those of all schemas.
        Command::Rejects(arguments) => {
            let names_schema = names_schema || company.is_none();
            rejects::run(&app, arguments, names_schema, printer)
        }
        Command::Reports(arguments) => reports::run(&app, &arguments, printer),
        Command::Auth(command) => auth::run(&app, &command, printer),
        Command::Sandbox(arguments) => sandbox::run(&app, &arguments, (line, env_file), printer),
        Command::Mage(command) => mage::run(&command, printer),
        Command::Check(request) => check::run(&app, request, env_file, printer),
        Command::Entities => printer.entities(),
        Command::Completion(arguments) => completion::run(&arguments, help::command()),
        Command::Help { command } => {
            help::print(&command)?;
            Ok(ExitCode::Done)
        }
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

/// Warns of variables that are no settings and look like one. Their values may be secret.
fn warn_of_misspelled_settings(names: impl Iterator<Item = String>) {
    for (name, meant) in Settings::misspelled(names) {
        tracing::warn!(
            phase = "command",
            event = "setting_unknown",
            "{} is no setting, and nothing reads it; did you mean {meant}?",
            one_line(&name)
        );
    }
}

fn run_database(app: &App, command: DatabaseCommand, printer: Printer) -> Outcome {
    match command {
        DatabaseCommand::Archive(request) => {
            let archived = block_on(app.archive(&request))?;
            printer.print_translated(&archived, || tables::archived(&archived, &request))?;
        }
        DatabaseCommand::Migrate(request) => {
            let upgrade = block_on(app.migrate(&request))?;
            printer.print_translated(&upgrade, || tables::upgrade(&upgrade, request.dry_run))?;
        }
        DatabaseCommand::Ddl(request) => output::text(&app.ddl(&request)?),
        DatabaseCommand::Views(request) if request.print_unknown => {
            output::text(&block_on(app.unknown_fields(&request.schema))?);
        }
        DatabaseCommand::Views(request) => {
            let changes = block_on(app.views(&request))?;
            match request.dry_run {
                true => printer.print_statements(&changes, || tables::views_sql(&changes))?,
                false => printer.print_translated(&changes, || tables::views(&changes))?,
            }
        }
        DatabaseCommand::Ledger(request) => {
            let report = block_on(app.post_ledger(&request))?;
            printer.print_translated(&report, || tables::ledger(&report))?;
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
        let was_running = demo::stop(&directory)?;
        let directory = directory.display();
        let text = match was_running {
            true => say!(
                "Postgres of the demo stopped; its data stays in {directory}",
                directory
            ),
            false => say!(
                "Postgres of the demo was not running; its data stays in {directory}",
                directory
            ),
        };
        output::text(&(wrap::wrapped(&text, wrap::columns()) + "\n"));
        return Ok(ExitCode::Done);
    }
    let demo = block_on_run(tally, Demo::run(&directory, tally.clone()))?;
    let code = runs::print(&demo.report, printer, &runs::demo_ending(tally))?;
    if !printer.json {
        let landed = block_on(demo.app.show(&ShowRequest::new("invoices").limit(5_u32)))?;
        let table = show::table(&landed, wrap::table_columns());
        output::text(&next_steps::demo(program, &demo, &table));
    }
    Ok(code)
}

#[cfg(test)]
mod error_snapshots;
#[cfg(test)]
mod help_snapshots;
#[cfg(test)]
mod language_lists;
#[cfg(test)]
mod language_sources;
#[cfg(test)]
mod language_tests;
#[cfg(test)]
mod screens;
#[cfg(test)]
mod status_snapshots;
#[cfg(test)]
mod status_tests;
