//! `qbo-rs verify`: records against tables, or with `--books` the books against reports.

use clap::{Arg, ArgAction, ArgMatches, Args, Command, FromArgMatches};

use super::books_remedies::Flags;
use super::command_line::schema_flag;
use super::company::use_schema;
use super::exit::{ExitCode, Outcome};
use super::output::{self, Printer};
use super::range::OptionalDays;
use super::tally::Tally;
use super::{block_on, books, unequal};
use crate::app::{App, BooksRequest, DEFAULT_LEDGER_SCHEMA, VerifyRequest};

/// The things to compare.
#[derive(Debug)]
pub(super) enum VerifyArguments {
    Records(VerifyRequest),
    Books(BooksRequest),
}

/// The flags that only one of both has.
const OF_RECORDS: [&str; 4] = ["entities", "chunk", "repair", "deep"];

impl Args for VerifyArguments {
    fn augment_args(command: Command) -> Command {
        let optional = |arg: Arg| arg.required(false).required_unless_present("books");
        VerifyRequest::augment_args(command)
            .mut_arg("entities", optional)
            .mut_arg("start", |arg| {
                arg.help("Last changed since, with --books the first day: 2025-01-31, 2025-Q1, today, -30d")
            })
            .arg(
                Arg::new("books")
                    .long("books")
                    .action(ArgAction::SetTrue)
                    .help(
                        "Compare the books with reports of the days of the range, as of the last one (--end belongs to it)",
                    ),
            )
            .arg(
                Arg::new("basis")
                    .long("basis")
                    .value_name("BASIS")
                    .value_parser(["accrual", "cash"])
                    .default_value("accrual")
                    .help("With --books: when income counts"),
            )
            .arg(
                Arg::new("into")
                    .long("into")
                    .value_name("SCHEMA")
                    .default_value(DEFAULT_LEDGER_SCHEMA)
                    .help("With --books: schema of the ledger"),
            )
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for VerifyArguments {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        if !matches.get_flag("books") {
            return VerifyRequest::from_arg_matches(matches).map(Self::Records);
        }
        let given = |name: &&str| {
            matches.value_source(name) == Some(clap::parser::ValueSource::CommandLine)
        };
        if let Some(name) = OF_RECORDS.iter().find(|name| given(name)) {
            let text = format!("--books compares whole books; leave out {}", spelled(name));
            return Err(clap::Error::raw(
                clap::error::ErrorKind::ArgumentConflict,
                text,
            ));
        }
        let days = OptionalDays::from_arg_matches(matches)?;
        let text = |name: &str| matches.get_one::<String>(name).cloned().unwrap_or_default();
        BooksRequest::of_days(
            days.start,
            days.end,
            &text("basis"),
            (&text("schema"), &text("into")),
        )
        .map(Self::Books)
        .map_err(|error| clap::Error::raw(clap::error::ErrorKind::ValueValidation, error))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

fn spelled(name: &str) -> String {
    match name {
        "entities" => "the entities".to_owned(),
        flag => format!("--{flag}"),
    }
}

/// Compares and prints; the exit code is 1 if anything differs without a named cause.
pub(super) fn run(
    app: &App,
    tally: &Tally,
    arguments: VerifyArguments,
    names_schema: bool,
    printer: Printer,
) -> Outcome {
    match arguments {
        VerifyArguments::Records(mut request) => {
            use_schema(app, names_schema, &mut request.schema)?;
            let report = block_on(app.verify(&request))?;
            printer.print(&report, || output::verification(&report))?;
            if !report.is_ok() {
                unequal::explain(&report, request.repair);
            }
            Ok(ExitCode::of(report.is_ok()))
        }
        VerifyArguments::Books(mut request) => {
            use_schema(app, names_schema, &mut request.schema)?;
            let report = block_on(app.verify_books(&request))?;
            let flags = Flags {
                company: tally.company_flag() + &tally.env_file_flag(),
                schema: match names_schema {
                    true => schema_flag(&request.schema),
                    false => String::new(),
                },
            };
            let text = || books::tied_out(&report, &flags, &tally.again());
            printer.print_translated(&report, text)?;
            if !report.is_ok() {
                books::explain(&report);
            }
            Ok(ExitCode::of(report.is_ok()))
        }
    }
}
