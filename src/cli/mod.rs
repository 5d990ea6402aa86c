//! The command line: `qbo-rs`.
//!
//! Flags and subcommands are read in `args`; each subcommand becomes one call of [`App`]; what
//! comes back is printed by `output`. Exit codes: 0 all done, 1 some window failed, 2 bad usage or
//! settings, found before any data request.

mod args;
mod auth;
mod logging;
mod mage;
mod output;
mod progress;
mod sandbox;
mod serve;
mod status;
mod sync;

use std::ffi::OsString;
use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::sync::Arc;

use clap::Parser;
use tokio::runtime::Runtime;

use self::args::{Arguments, Command, DatabaseCommand, DemoArguments, Language, RangeArguments};
use self::progress::Bars;
use crate::app::{App, BackfillRequest, ExtractRequest, Landing, LoadRequest, VerifyRequest};
use crate::config::Settings;
use crate::demo::{self, Demo};
use crate::domain::instant::parse_instant;
use crate::domain::{
    ENTITIES, PageSize, RangeBound, Report, VerificationReport, Window, chunk_range, parse_range,
    select_entities,
};
use crate::error::{Error, Result};
use crate::landing::LandingTarget;
use crate::port::{NoProgress, Progress};
use crate::sink::postgres::{ArchiveSummary, ddl};

const OK: i32 = 0;
const INCOMPLETE: i32 = 1;
const REFUSED: i32 = 2;
/// 128 and the number of the signal, as shells have it.
const INTERRUPTED: i32 = 130;
const TERMINATED: i32 = 143;

/// Runs the command; returns its exit code. `args` begins with the program's name.
pub fn run(args: impl IntoIterator<Item = OsString>) -> i32 {
    let args: Vec<OsString> = args.into_iter().collect();
    let program = args.first().map_or_else(
        || "qbo-rs".to_owned(),
        |name| name.to_string_lossy().into_owned(),
    );
    let arguments = match Arguments::try_parse_from(args) {
        Ok(arguments) => arguments,
        Err(error) => return usage_error(&error),
    };
    let bars = std::io::stderr().is_terminal().then(Bars::new);
    logging::start(arguments.log_format, arguments.log_level, bars.as_ref());
    match execute(&program, arguments, bars) {
        Ok(code) => code,
        Err(error) => {
            complain(&error.to_string());
            REFUSED
        }
    }
}

/// Help goes out as it is; a mistake becomes one line.
fn usage_error(error: &clap::Error) -> i32 {
    use clap::error::ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand as NothingAsked;
    if !error.use_stderr() || error.kind() == NothingAsked {
        // A closed pipe, as of `qbo-rs --help | head`, is not worth a word.
        let _ = error.print();
        return if error.use_stderr() { REFUSED } else { OK };
    }
    let text = error.to_string();
    let text = text
        .split("\n\nUsage:")
        .next()
        .unwrap_or_default()
        .trim_start_matches("error: ");
    complain(&text.split_whitespace().collect::<Vec<_>>().join(" "));
    REFUSED
}

fn complain(text: &str) {
    let _ = writeln!(std::io::stderr(), "error: {text}");
}

fn execute(program: &str, arguments: Arguments, bars: Option<Bars>) -> Result<i32> {
    let mut settings = Settings::from_env();
    for (name, value) in &arguments.settings.0 {
        settings.set(name, value)?;
    }
    let progress: Arc<dyn Progress> = match bars {
        Some(bars) => Arc::new(bars),
        None => Arc::new(NoProgress),
    };
    let app = App { settings, progress };
    let json = arguments.json;
    match arguments.command {
        Command::Backfill {
            entities,
            range,
            page_size,
            strict_windows,
            resume,
            dry_run,
            schema,
        } => {
            let request = BackfillRequest {
                entities,
                range: range.window()?,
                chunk: range.chunk.parse()?,
                page_size: parse_page_size(&page_size)?,
                resume,
                dry_run,
                schema,
                strict_windows,
            };
            report(json, block_on(app.backfill(&request))?)
        }
        Command::Extract {
            entities,
            range,
            page_size,
            strict_windows,
            resume,
            out,
            lang,
        } => {
            let request = ExtractRequest {
                entities,
                windows: chunk_range(range.window()?, range.chunk.parse()?),
                page_size: parse_page_size(&page_size)?,
                target: LandingTarget::from_path(
                    &out.unwrap_or_else(|| app.settings.landing_dir()),
                )?,
                resume,
                strict_windows,
            };
            let outcome = block_on(app.extract(&request))?;
            if let (Ok(report), Language::Es, false) = (&outcome, lang, json) {
                output::filas(report);
                return Ok(code_of_report(report));
            }
            report(json, outcome)
        }
        Command::Load { path, schema } => {
            let landing = Landing::Path(path.unwrap_or_else(|| app.settings.landing_dir()));
            report(json, block_on(app.load(&LoadRequest { landing, schema }))?)
        }
        Command::Verify {
            entities,
            range,
            repair,
            deep,
            schema,
        } => {
            let request = VerifyRequest {
                entities,
                range: range.window()?,
                chunk: range.chunk.parse()?,
                repair,
                deep,
                schema,
            };
            match block_on(app.verify(&request))? {
                Ok(report) if json => output::json(&report).map(|()| code_of(&report)),
                Ok(report) => {
                    output::verification(&report);
                    Ok(code_of(&report))
                }
                Err(code) => Ok(code),
            }
        }
        Command::Serve(arguments) => serve::run(&app, &arguments),
        Command::Sync(arguments) => sync::run(&app, &arguments, json),
        Command::Status(arguments) => status::run(&app, &arguments, json),
        Command::Auth(command) => auth::run(&app, &command, json),
        Command::Sandbox(arguments) => sandbox::run(&arguments),
        Command::Mage(command) => mage::run(&command, json),
        Command::Entities => list_entities(json),
        Command::Demo(demo) => run_demo(program, &demo, json, app.progress),
        Command::Db(DatabaseCommand::Archive {
            entities,
            before,
            out,
            schema,
        }) => {
            let before = parse_instant("before", &before)?;
            match block_on(app.archive(&entities, before, &out, &schema))? {
                Ok(archived) if json => output::json(&archived).map(|()| OK),
                Ok(archived) => {
                    let line = |done: &ArchiveSummary| {
                        format!(
                            "{}: {} records into {}\n",
                            done.entity,
                            done.rows,
                            out.display()
                        )
                    };
                    output::text(&archived.iter().map(line).collect::<String>());
                    Ok(OK)
                }
                Err(code) => Ok(code),
            }
        }
        Command::Db(DatabaseCommand::Migrate { print, schema }) => {
            match block_on(app.migrate(&schema, print))? {
                Ok(upgrade) if json => output::json(&upgrade).map(|()| OK),
                Ok(upgrade) => {
                    output::upgrade(&upgrade, print);
                    Ok(OK)
                }
                Err(code) => Ok(code),
            }
        }
        Command::Db(DatabaseCommand::Ddl { entities, schema }) => print_ddl(&entities, &schema),
    }
}

impl RangeArguments {
    fn window(&self) -> Result<Window> {
        parse_range(
            RangeBound::new("start", &self.start),
            RangeBound::new("end", &self.end),
        )
    }
}

fn parse_page_size(text: &str) -> Result<PageSize> {
    match text.trim().parse() {
        Ok(size) => PageSize::new(size),
        Err(_) => Err(Error::config(
            "page_size",
            format!("'{text}' is not between 1 and {}", PageSize::MAX),
        )),
    }
}

/// After a signal: for what was dropped to give back its place among the requests and to say that
/// it was stopped.
const SHUTDOWN_GRACE: std::time::Duration = std::time::Duration::from_millis(200);

/// Why a call ended without an outcome.
enum Stop {
    Signal(i32),
    Error(Error),
}

/// Runs a call until it ends or the process is asked to stop. A call that is stopped is dropped:
/// uncommitted windows roll back, committed ones stay.
fn block_on<T>(call: impl Future<Output = Result<T>>) -> Result<Result<T, i32>> {
    let runtime = Runtime::new().map_err(|e| Error::Internal(format!("no runtime: {e}")))?;
    let outcome = runtime.block_on(async {
        tokio::select! {
            outcome = call => outcome.map_err(Stop::Error),
            code = stop_signal() => Err(Stop::Signal(code)),
        }
    });
    if matches!(outcome, Err(Stop::Signal(_))) {
        runtime.block_on(async { tokio::time::sleep(SHUTDOWN_GRACE).await });
    }
    runtime.shutdown_timeout(std::time::Duration::from_millis(500));
    match outcome {
        Ok(value) => Ok(Ok(value)),
        Err(Stop::Error(error)) => Err(error),
        Err(Stop::Signal(code)) => Ok(Err(code)),
    }
}

/// Runs what listens for signals by itself.
fn run_to_end<T>(call: impl Future<Output = Result<T>>) -> Result<T> {
    let runtime = Runtime::new().map_err(|e| Error::Internal(format!("no runtime: {e}")))?;
    let outcome = runtime.block_on(call);
    runtime.shutdown_timeout(std::time::Duration::from_millis(500));
    outcome
}

#[cfg(unix)]
async fn stop_signal() -> i32 {
    use tokio::signal::unix::{SignalKind, signal};
    let terminated = async {
        match signal(SignalKind::terminate()) {
            Ok(mut stream) => stream.recv().await.map(|()| TERMINATED),
            Err(_) => std::future::pending().await,
        }
    };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => INTERRUPTED,
        code = terminated => code.unwrap_or(TERMINATED),
    }
}

#[cfg(not(unix))]
async fn stop_signal() -> i32 {
    let _ = tokio::signal::ctrl_c().await;
    INTERRUPTED
}

fn report(json: bool, outcome: Result<Report, i32>) -> Result<i32> {
    let report = match outcome {
        Ok(report) => report,
        Err(code) => {
            complain("stopped; committed windows stay, and --resume goes on after them");
            return Ok(code);
        }
    };
    if json {
        output::json(&report)?;
    } else {
        output::table(&report);
    }
    Ok(code_of_report(&report))
}

fn code_of_report(report: &Report) -> i32 {
    if report.is_complete() { OK } else { INCOMPLETE }
}

fn print_ddl(entities: &[String], schema: &str) -> Result<i32> {
    let entities = match entities {
        [] => ENTITIES.to_vec(),
        names => select_entities(names)?,
    };
    output::text(&ddl(schema, &entities)?);
    Ok(OK)
}

fn code_of(report: &VerificationReport) -> i32 {
    if report.is_ok() { OK } else { INCOMPLETE }
}

/// Our names and QuickBooks's.
fn list_entities(json: bool) -> Result<i32> {
    let names = ENTITIES.iter().map(|entity| (entity.name, entity.qbo_name));
    if json {
        output::json(&names.collect::<std::collections::BTreeMap<_, _>>())?;
    } else {
        output::text(
            &names
                .map(|(name, qbo_name)| format!("{name:<24}{qbo_name}\n"))
                .collect::<String>(),
        );
    }
    Ok(OK)
}

fn run_demo(
    program: &str,
    arguments: &DemoArguments,
    json: bool,
    progress: Arc<dyn Progress>,
) -> Result<i32> {
    let directory: PathBuf = arguments
        .data_dir
        .clone()
        .unwrap_or_else(demo::default_directory);
    if arguments.stop {
        let was_running = demo::stop(&directory)?;
        let state = if was_running {
            "stopped"
        } else {
            "was not running"
        };
        output::text(&format!(
            "Postgres of the demo {state}; its data stays in {}\n",
            directory.display()
        ));
        return Ok(OK);
    }
    let outcome = block_on(Demo::run(&directory, progress))?;
    let demo = match outcome {
        Ok(demo) => demo,
        Err(code) => return report(json, Err(code)),
    };
    let code = report(json, Ok(demo.report.clone()))?;
    if !json {
        output::demo(program, &demo);
    }
    Ok(code)
}
