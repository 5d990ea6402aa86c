//! Flags and subcommands. The flags of a verb are the fields of its request.

use std::path::PathBuf;

use clap::{Arg, ArgAction, ArgMatches, Args, FromArgMatches, Parser, Subcommand};

use super::auth::AuthCommand;
use super::completion::CompletionArguments;
use super::logging::LogFormat;
use super::rejects::RejectsArguments;
use super::reports::ReportsArguments;
use super::sandbox::SandboxArguments;
use super::serve::ServeArguments;
use super::show::ShowArguments;
use super::status::StatusArguments;
use super::sync::SyncArguments;
use super::verify::VerifyArguments;
use crate::app::{
    ArchiveRequest, BackfillRequest, CheckRequest, DdlRequest, ExtractRequest, LedgerRequest,
    LoadRequest, MigrateRequest, ViewsRequest,
};
use crate::config::{SETTINGS, SettingSpec};
use crate::domain::{Chunk, Window, Zone};
use crate::language::Language;

/// Replicates QuickBooks Online into Postgres: exact, fast and restartable.
#[derive(Debug, Parser)]
#[command(
    name = "qbo-rs",
    version,
    max_term_width = 100,
    disable_help_flag = true,
    disable_help_subcommand = true
)]
pub(super) struct Arguments {
    #[command(subcommand)]
    pub command: Command,

    /// File with settings, one NAME=VALUE a line; the environment goes before it; QBO_ENV_FILE
    #[arg(
        long,
        global = true,
        hide = true,
        value_name = "PATH",
        help_heading = SETTINGS_HEADING
    )]
    pub env_file: Option<PathBuf>,

    #[command(flatten)]
    pub settings: SettingFlags,

    /// Print one JSON object instead of a table
    #[arg(long, global = true)]
    pub json: bool,

    /// Print help
    #[arg(short, long, global = true, action = ArgAction::HelpShort)]
    pub help: Option<bool>,

    /// List what all commands share: settings, logs, colours
    #[arg(long, global = true)]
    pub help_settings: bool,

    #[command(flatten)]
    pub logs: LogFlags,

    /// Whether the line names a schema
    #[arg(skip)]
    pub names_schema: bool,
}

/// Flags for logs, colours and the language. Help leaves them out, as those for settings.
#[derive(Debug, Args)]
pub(super) struct LogFlags {
    /// Log only warnings and errors, and show no progress bar
    #[arg(short, long, global = true, hide = true, help_heading = LOGS_HEADING, conflicts_with_all = ["verbose", "log_level"])]
    pub quiet: bool,

    /// Log more: -v what was done in detail (debug), -vv everything (trace)
    #[arg(short, long, global = true, hide = true, help_heading = LOGS_HEADING, action = ArgAction::Count, conflicts_with = "log_level")]
    pub verbose: u8,

    /// Format of the logs on stderr
    #[arg(long, global = true, hide = true, help_heading = LOGS_HEADING, value_enum, default_value = "human")]
    pub log_format: LogFormat,

    /// Lowest level that is logged: off, error, warn, info, debug or trace; default: info, or warn
    /// while a progress bar is shown
    #[arg(long, global = true, hide = true, help_heading = LOGS_HEADING, value_name = "LEVEL")]
    pub log_level: Option<log::LevelFilter>,

    /// When to use colours; auto: on a terminal, unless NO_COLOR, CLICOLOR=0 or TERM=dumb forbids it
    #[arg(long, global = true, hide = true, help_heading = LOGS_HEADING, value_name = "WHEN", value_parser = ["auto", "always", "never"], default_value = "auto")]
    pub color: String,

    /// Language of what people read; logs and JSON stay English. Default: QBO_LANG, else that of the
    /// locale
    #[arg(long, global = true, hide = true, help_heading = LOGS_HEADING, value_parser = super::language::parser(), ignore_case = true)]
    pub lang: Option<Language>,
}

impl Arguments {
    /// Returns the company that a flag names.
    pub(super) fn company(&self) -> Option<&str> {
        let given = self.settings.0.iter();
        let mut named = given.filter(|(name, _)| *name == "QBO_REALM_ID");
        named.next().map(|(_, realm_id)| realm_id.as_str())
    }

    /// Returns the level of logs that was asked for.
    pub(super) fn log_level(&self) -> Option<log::LevelFilter> {
        match (&self.command, self.logs.verbose) {
            // There it asks for details of the result.
            (Command::Status(_), 1) => None,
            _ => self.logs.level(),
        }
    }
}

impl LogFlags {
    fn level(&self) -> Option<log::LevelFilter> {
        match (self.quiet, self.verbose) {
            (true, _) => Some(log::LevelFilter::Warn),
            (false, 0) => self.log_level,
            (false, 1) => Some(log::LevelFilter::Debug),
            (false, _) => Some(log::LevelFilter::Trace),
        }
    }
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Copy a range of records from QuickBooks into Postgres
    Backfill(BackfillRequest),
    /// Copy a range of records from QuickBooks into landing files
    Extract(ExtractArguments),
    /// Load landing files into Postgres
    Load(LoadRequest),
    /// Compare QuickBooks with the tables; exit code 1 if they differ
    Verify(VerifyArguments),
    /// Copy every change since the last sync, deletions included
    Sync(SyncArguments),
    /// Serve the HTTP API and run the jobs that it queues
    Serve(ServeArguments),
    /// Check settings, tokens, company and database, and say what to do
    Check(CheckRequest),
    /// Show the ranges that are committed, missing or failed
    Status(StatusArguments),
    /// Show stored records with typed columns, as a table, CSV or JSON
    Show(Box<ShowArguments>),
    /// List the records that were set aside, each with its reason
    Rejects(RejectsArguments),
    /// Copy reports of QuickBooks, such as TrialBalance, into Postgres
    Reports(Box<ReportsArguments>),
    /// Manage connections to companies: login, status, import, and more
    #[command(subcommand)]
    Auth(AuthCommand),
    /// List the entities that can be extracted
    Entities,
    /// Run a simulator of QuickBooks Online, or control a running one
    Sandbox(Box<SandboxArguments>),
    /// Start Postgres and a simulated company, and run three backfills
    Demo(DemoArguments),
    /// Manage the database's tables
    #[command(subcommand)]
    Db(DatabaseCommand),
    /// Print a script that completes commands, flags and names in a shell
    Completion(CompletionArguments),
    /// Print the help of a command, or of the settings
    Help {
        /// Command, such as backfill or db views; or settings
        #[arg(value_name = "COMMAND")]
        command: Vec<String>,
    },
    /// Create pipelines for a Mage project
    #[command(subcommand)]
    Mage(MageCommand),
}

impl Command {
    /// Returns the phase that the progress of the command belongs to.
    pub(super) fn phase(&self) -> &'static str {
        match self {
            Self::Load(_) => "load",
            _ => "extract",
        }
    }

    /// Returns whether the command reads settings.
    pub(super) fn reads_settings(&self) -> bool {
        match self {
            Self::Entities
            | Self::Completion(_)
            | Self::Help { .. }
            | Self::Demo(_)
            | Self::Mage(_)
            | Self::Db(DatabaseCommand::Ddl(_)) => false,
            Self::Sandbox(arguments) => arguments.reads_settings(),
            _ => true,
        }
    }
}

#[derive(Debug, Subcommand)]
pub(super) enum MageCommand {
    /// Write the pipeline `qb_<entity>_backfill` and its three blocks
    NewPipeline {
        /// Entity, such as vendors or bills; `qbo-rs entities` lists all
        entity: String,
        /// Directory of the Mage project
        #[arg(long, default_value = ".", value_name = "DIR")]
        project: PathBuf,
    },
}

#[derive(Debug, Args)]
pub(super) struct ExtractArguments {
    #[command(flatten)]
    pub request: ExtractRequest,
    #[command(flatten)]
    pub range: Window,
    /// Length of windows: hour, day, week, month, quarter, year, Nd, Nh
    #[arg(long, default_value = "day")]
    pub chunk: Chunk,
    /// Zone of dates and windows, as America/Guayaquil
    #[arg(long, default_value = "UTC", value_name = "ZONE")]
    pub tz: Zone,
}

#[derive(Debug, Subcommand)]
pub(super) enum DatabaseCommand {
    /// Move old records out of the tables into a landing file; `qbo-rs load` brings them back
    Archive(ArchiveRequest),
    /// Upgrade the schema qbo, create missing tables, convert those made by hand; every row is kept
    Migrate(MigrateRequest),
    /// Print the SQL that creates the tables
    Ddl(DdlRequest),
    /// Make views with typed columns over the tables, one per entity and one per kind of line
    Views(ViewsRequest),
    /// Post the general ledger from the records: a row for each debit and credit
    Ledger(LedgerRequest),
}

#[derive(Debug, Args)]
pub(super) struct DemoArguments {
    /// Directory of the demo's data; default: qbo-rs-demo in the user's data directory
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// Stop the demo's Postgres; its data is kept
    #[arg(long)]
    pub stop: bool,
}

/// Heading of the flags for logs.
const LOGS_HEADING: &str = "Logs and colours";
/// Heading of the flags for settings.
const SETTINGS_HEADING: &str = "Settings (they replace environment variables)";

/// A flag for every setting that is not secret, made from the registry: secrets in flags could be
/// read by every user of the machine.
#[derive(Debug, Default)]
pub(super) struct SettingFlags(pub Vec<(&'static str, String)>);

fn flags() -> impl Iterator<Item = &'static SettingSpec> {
    SETTINGS.iter().filter(|spec| !spec.is_secret)
}

impl Args for SettingFlags {
    fn augment_args(command: clap::Command) -> clap::Command {
        flags().fold(command, |command, spec| {
            let default = spec
                .default
                .map(|value| format!(" [default: {value}]"))
                .unwrap_or_default();
            command.arg(
                Arg::new(spec.name)
                    .long(spec.keyword().replace('_', "-"))
                    .value_name("VALUE")
                    .global(true)
                    .hide(true)
                    .help(format!("{}; {}{default}", spec.help, spec.name))
                    .help_heading(SETTINGS_HEADING),
            )
        })
    }

    fn augment_args_for_update(command: clap::Command) -> clap::Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for SettingFlags {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let given = flags()
            .filter_map(|spec| Some((spec.name, matches.get_one::<String>(spec.name)?.clone())));
        Ok(Self(given.collect()))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_is_well_formed() {
        crate::cli::help::command().debug_assert();
    }

    #[test]
    fn both_spellings_of_a_range_are_taken() {
        for (start, end) in [("--start", "--end"), ("--fecha-inicio", "--fecha-fin")] {
            let line = [
                "qbo-rs",
                "backfill",
                "items",
                start,
                "2025-01-01",
                end,
                "2025-02-01",
                "--realm-id",
                "9",
            ];
            let arguments = Arguments::try_parse_from(line).unwrap();
            assert_eq!(arguments.settings.0, [("QBO_REALM_ID", "9".to_owned())]);
        }
    }

    #[test]
    fn no_secret_has_a_flag() {
        let pages = crate::cli::help::settings_pages(&[], None);
        let help: String = pages.iter().map(ToString::to_string).collect();
        assert!(
            !help.contains("--client-secret")
                && !help.contains("--pg-password")
                && help.contains("--pg-host")
        );
    }
}
