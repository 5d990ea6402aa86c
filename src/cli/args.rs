//! Flags and subcommands, as text: their meaning is checked where it is known.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use clap::{Arg, ArgMatches, Args, FromArgMatches, Parser, Subcommand, ValueEnum};

use crate::config::{SETTINGS, SettingSpec};
use crate::error::Result;
use crate::sandbox::{CompanySize, OAuthOptions, SandboxOptions, ThrottleOptions};
use crate::sink::postgres::DEFAULT_SCHEMA;

/// QuickBooks Online records into Postgres: exact, fast and restartable.
#[derive(Debug, Parser)]
#[command(name = "qbo-rs", version, max_term_width = 100)]
pub(super) struct Arguments {
    #[command(subcommand)]
    pub command: Command,

    #[command(flatten)]
    pub settings: SettingFlags,

    /// Print one JSON object instead of a table
    #[arg(long, global = true)]
    pub json: bool,

    /// How logs on stderr look
    #[arg(long, global = true, value_enum, default_value = "human", help_heading = "Logs")]
    pub log_format: LogFormat,

    /// Least level of logs; by default info, but warn beside a progress bar
    #[arg(long, global = true, value_name = "LEVEL", help_heading = "Logs")]
    pub log_level: Option<log::LevelFilter>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum LogFormat {
    /// For people
    Human,
    /// One JSON object a line
    Json,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Copy a range of records from QuickBooks into Postgres
    Backfill {
        /// customers, invoices, items
        #[arg(required = true, value_name = "ENTITY")]
        entities: Vec<String>,
        #[command(flatten)]
        range: RangeArguments,
        /// Records in a page, 1 to 1000
        #[arg(long, default_value = "1000", value_name = "N")]
        page_size: String,
        /// Leave out the windows that earlier runs committed
        #[arg(long)]
        resume: bool,
        /// Show the windows, send nothing to QuickBooks
        #[arg(long)]
        dry_run: bool,
        /// Schema of the raw tables; one company each
        #[arg(long, default_value = DEFAULT_SCHEMA)]
        schema: String,
    },
    /// Copy a range of records from QuickBooks into landing files
    Extract {
        /// customers, invoices, items
        #[arg(required = true, value_name = "ENTITY")]
        entities: Vec<String>,
        #[command(flatten)]
        range: RangeArguments,
        /// Records in a page, 1 to 1000
        #[arg(long, default_value = "1000", value_name = "N")]
        page_size: String,
        /// Directory, or one file that ends in .jsonl or .jsonl.zst; default: QBO_LANDING_DIR
        #[arg(long, value_name = "PATH")]
        out: Option<PathBuf>,
    },
    /// Load landing files into Postgres
    Load {
        /// Directory or file; default: QBO_LANDING_DIR
        path: Option<PathBuf>,
        /// Schema of the raw tables; one company each
        #[arg(long, default_value = DEFAULT_SCHEMA)]
        schema: String,
    },
    /// Simulate QuickBooks Online on this machine
    Sandbox(SandboxArguments),
    /// Real Postgres, sandbox and three backfills in one go
    Demo(DemoArguments),
    /// The database's tables
    #[command(subcommand)]
    Db(DatabaseCommand),
}

#[derive(Debug, Args)]
pub(super) struct RangeArguments {
    /// First instant, UTC: 2025-01-01 or 2025-01-01T00:00:00Z
    #[arg(long, alias = "fecha-inicio", value_name = "INSTANT")]
    pub start: String,
    /// First instant after the range, UTC
    #[arg(long, alias = "fecha-fin", value_name = "INSTANT")]
    pub end: String,
    /// Unit of a window: day, week, month, quarter, year or Nd
    #[arg(long, default_value = "day")]
    pub chunk: String,
}

#[derive(Debug, Subcommand)]
pub(super) enum DatabaseCommand {
    /// Print the SQL that creates the tables
    Ddl {
        /// Default: all
        #[arg(value_name = "ENTITY")]
        entities: Vec<String>,
        /// Schema of the raw tables
        #[arg(long, default_value = DEFAULT_SCHEMA)]
        schema: String,
    },
}

#[derive(Debug, Args)]
pub(super) struct DemoArguments {
    /// Where Postgres keeps its data
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// Stop the demo's Postgres; its data stays
    #[arg(long)]
    pub stop: bool,
}

/// The sandbox takes QBO_CLIENT_ID, QBO_CLIENT_SECRET, QBO_REFRESH_TOKEN and QBO_REALM_ID from the environment if they are
/// set there, so that a shell that has them can talk to it.
#[derive(Debug, Args)]
pub(super) struct SandboxArguments {
    /// Port; 0 takes a free one
    #[arg(long, default_value_t = 8911)]
    port: u16,
    /// Address to listen on
    #[arg(long, default_value = "127.0.0.1")]
    host: IpAddr,
    /// Makes the sample company
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Customers of the sample company
    #[arg(long, default_value_t = CompanySize::default().customers)]
    customers: u32,
    /// Items of the sample company
    #[arg(long, default_value_t = CompanySize::default().items)]
    items: u32,
    /// Invoices of the sample company
    #[arg(long, default_value_t = CompanySize::default().invoices)]
    invoices: u32,
    /// Serve the records in this file or directory of QBO JSON instead; repeatable
    #[arg(long, value_name = "PATH")]
    records: Vec<PathBuf>,
    /// Enforce no limits on requests
    #[arg(long)]
    no_limits: bool,
    /// Milliseconds added to every answer
    #[arg(long, default_value_t = 0, value_name = "MS")]
    latency_ms: u64,
    /// Seconds that an access token works
    #[arg(long, default_value_t = 3600, value_name = "S")]
    access_token_s: u64,
    /// Age in seconds at which a refresh returns a new refresh token; 0: each time
    #[arg(long, default_value_t = 86_400, value_name = "S")]
    rotate_after_s: u64,
    /// Seconds that a replaced refresh token still works
    #[arg(long, default_value_t = 0, value_name = "S")]
    grace_s: u64,
    /// Threads that serve
    #[arg(long, default_value_t = 2)]
    threads: usize,
}

impl SandboxArguments {
    pub fn options(&self) -> Result<SandboxOptions> {
        let defaults = SandboxOptions::default();
        let env = |name: &str, default: String| {
            std::env::var(name).ok().map(|value| value.trim().to_owned()).filter(|v| !v.is_empty()).unwrap_or(default)
        };
        Ok(SandboxOptions {
            address: SocketAddr::new(self.host, self.port),
            realm_id: env("QBO_REALM_ID", defaults.realm_id),
            seed: self.seed,
            size: CompanySize { customers: self.customers, items: self.items, invoices: self.invoices },
            records: self.records.clone(),
            oauth: OAuthOptions {
                client_id: env("QBO_CLIENT_ID", defaults.oauth.client_id),
                client_secret: env("QBO_CLIENT_SECRET", defaults.oauth.client_secret),
                refresh_token: env("QBO_REFRESH_TOKEN", defaults.oauth.refresh_token),
                access_lifetime: Duration::from_secs(self.access_token_s),
                rotate_after: Duration::from_secs(self.rotate_after_s),
                grace: Duration::from_secs(self.grace_s),
            },
            throttle: if self.no_limits { ThrottleOptions::NONE } else { ThrottleOptions::default() },
            latency: Duration::from_millis(self.latency_ms),
            threads: self.threads,
        })
    }
}

/// A flag for every setting that is not secret, made from the registry: secrets in flags could be read by every user of
/// the machine.
#[derive(Debug, Default)]
pub(super) struct SettingFlags(pub Vec<(&'static str, String)>);

fn flags() -> impl Iterator<Item = &'static SettingSpec> {
    SETTINGS.iter().filter(|spec| !spec.is_secret)
}

impl Args for SettingFlags {
    fn augment_args(command: clap::Command) -> clap::Command {
        flags().fold(command, |command, spec| {
            let default = spec.default.map(|value| format!(" [default: {value}]")).unwrap_or_default();
            command.arg(
                Arg::new(spec.name)
                    .long(spec.keyword().replace('_', "-"))
                    .value_name("VALUE")
                    .global(true)
                    .help(format!("{}; {}{default}", spec.help, spec.name))
                    .help_heading("Settings, before the environment"),
            )
        })
    }

    fn augment_args_for_update(command: clap::Command) -> clap::Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for SettingFlags {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let given = flags().filter_map(|spec| Some((spec.name, matches.get_one::<String>(spec.name)?.clone())));
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
    use clap::CommandFactory;

    #[test]
    fn the_command_is_well_formed() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn both_spellings_of_a_range_are_taken() {
        for (start, end) in [("--start", "--end"), ("--fecha-inicio", "--fecha-fin")] {
            let line = ["qbo-rs", "backfill", "items", start, "2025-01-01", end, "2025-02-01", "--realm-id", "9"];
            let arguments = Arguments::try_parse_from(line).unwrap();
            assert_eq!(arguments.settings.0, [("QBO_REALM_ID", "9".to_owned())]);
        }
    }

    #[test]
    fn no_secret_has_a_flag() {
        let help = Arguments::command().render_long_help().to_string();
        assert!(!help.contains("--client-secret") && !help.contains("--pg-password") && help.contains("--pg-host"));
    }
}
