//! `qbo-rs sandbox`: its flags, and commands to a sandbox that runs.

use std::ffi::OsString;
use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};

use super::env_file::EnvFile;
use super::exit::{ExitCode, Failure, Outcome};
use super::next_steps;
use super::output::Printer;
use super::sandbox_control::{
    DEFAULT_PORT, asked, control, environment, json_of, local, pair, refused, url_of,
};
use super::sandbox_run::{detach, run_command};
use super::signals::block_on;
use crate::app::{App, ConformReport, ConformRequest, ProbeResult};
use crate::domain::instant::parse_instant;
use crate::error::{Error, Result};
use crate::language::say;
use qbo_sandbox::{
    ASSUMPTIONS, Assumptions, CompanySize, Environment, FaultRule, OAuthOptions, Refusal, Sandbox,
    SandboxOptions, StartError, ThrottleOptions,
};

/// The time in which a sandbox answers whoever has stopped it.
const FAREWELL: Duration = Duration::from_millis(200);

/// The sandbox takes QBO_CLIENT_ID, QBO_CLIENT_SECRET, QBO_REFRESH_TOKEN and QBO_REALM_ID from the
/// environment if they are set there, so that a shell that has them can talk to it.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(super) struct SandboxArguments {
    #[command(subcommand)]
    action: Option<SandboxAction>,
    /// Serve in the background, and print the settings
    ///
    /// `eval "$(qbo-rs sandbox --detach)"` gives them to the shell.
    #[arg(long, conflicts_with_all = ["command", "stop"])]
    detach: bool,
    /// Stop the sandbox at QBO_API_URL, or at the port
    #[arg(long, conflicts_with = "command")]
    stop: bool,
    /// Command to run with the settings of a simulator
    #[arg(last = true, value_name = "COMMAND")]
    command: Vec<OsString>,
    /// Port, or 0 for a free one [default: 8911]
    ///
    /// With a command, the default is a free one.
    #[arg(long)]
    port: Option<u16>,
    /// Address to listen on
    #[arg(long, hide_short_help = true, default_value = "127.0.0.1")]
    host: IpAddr,
    /// Number of companies; the first has the id QBO_REALM_ID
    #[arg(long, default_value_t = 1, value_name = "N")]
    companies: u32,
    /// Seed of the sample company's records
    #[arg(long, hide_short_help = true, default_value_t = 1)]
    seed: u64,
    /// Customers of the sample company
    #[arg(long, value_name = "N", default_value_t = CompanySize::default().customers)]
    customers: u32,
    /// Items of the sample company
    #[arg(long, value_name = "N", default_value_t = CompanySize::default().items)]
    items: u32,
    /// Invoices of the sample company
    #[arg(long, value_name = "N", default_value_t = CompanySize::default().invoices)]
    invoices: u32,
    /// Number of records of every other entity [default: a plausible number for each]
    #[arg(long, hide_short_help = true)]
    others: Option<u32>,
    /// Serve double-entry books and reports, with about N transactions a company
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=200_000),
        conflicts_with_all = ["records", "customers", "items", "invoices", "others"])]
    books: Option<u32>,
    /// File or directory of QBO JSON to serve instead; repeatable
    #[arg(long, hide_short_help = true, value_name = "PATH")]
    records: Vec<PathBuf>,
    /// Snapshot to serve, made by `control snapshot`
    ///
    /// Its clock and assumptions are in it; --now and --assume go before what it says.
    #[arg(
        long,
        value_name = "FILE",
        conflicts_with_all = ["records", "seed", "customers", "items", "invoices", "others", "books"]
    )]
    restore: Option<PathBuf>,
    /// Disable the limits on requests
    #[arg(long, hide_short_help = true)]
    no_limits: bool,
    /// Number of successful reads after which every request is refused, like the monthly quota of
    /// the Builder tier (0 = unlimited)
    #[arg(long, hide_short_help = true, default_value_t = 0, value_name = "N")]
    monthly_reads: u64,
    /// Fault to inject; repeatable; `GET /sandbox` lists all
    #[arg(long = "fault", value_name = "FAULT")]
    faults: Vec<String>,
    /// Assumption where the real API is uncertain; repeatable
    #[arg(long = "assume", hide_short_help = true, value_name = "NAME=VALUE")]
    assumptions: Vec<String>,
    /// Entity that the companies do not have, with the code of the answer: 5020, 5030, 500 or 4001;
    /// repeatable
    #[arg(long, hide_short_help = true, value_name = "ENTITY=CODE")]
    unavailable: Vec<String>,
    /// Maximum time for which changes stay hidden from queries, in seconds
    #[arg(long, hide_short_help = true, default_value_t = 0.0, value_name = "S")]
    visibility_delay_s: f64,
    /// Time that the sandbox's clock shows at the start, such as 2026-03-01T08:00:00Z; the command
    /// `clock` moves it later [default: the real time]
    #[arg(long, hide_short_help = true, value_name = "INSTANT")]
    now: Option<String>,
    /// Act as if the keys were production keys
    #[arg(long, hide_short_help = true)]
    production: bool,
    /// Delay added to every answer, in milliseconds
    #[arg(long, hide_short_help = true, default_value_t = 0, value_name = "MS")]
    latency_ms: u64,
    /// Lifetime of an access token, in seconds
    #[arg(long, hide_short_help = true, default_value_t = 3600, value_name = "S")]
    access_token_s: u64,
    /// Age of a refresh token from which a refresh returns a new one, in seconds (0 = always)
    #[arg(
        long,
        hide_short_help = true,
        default_value_t = 86_400,
        value_name = "S"
    )]
    rotate_after_s: u64,
    /// Time for which a replaced refresh token still works, in seconds
    #[arg(long, hide_short_help = true, default_value_t = 0, value_name = "S")]
    grace_s: u64,
    /// Time after which an unused refresh token expires, in seconds
    #[arg(
        long,
        hide_short_help = true,
        default_value_t = 8_726_400,
        value_name = "S"
    )]
    refresh_token_s: u64,
    /// Time after which a connection expires even if it is used, in seconds
    #[arg(
        long,
        hide_short_help = true,
        default_value_t = 157_680_000,
        value_name = "S"
    )]
    connection_s: u64,
    /// Number of server threads
    #[arg(long, hide_short_help = true, default_value_t = 2)]
    threads: usize,
}

#[derive(Debug, Subcommand)]
enum SandboxAction {
    /// Send a command to a running sandbox; without a command, list all
    Control {
        /// Name of the command, such as `edit`
        command: Option<String>,
        /// Arguments of the command, such as `entity=Invoice id=5`; `NAME=@FILE` takes the content
        /// of a file
        #[arg(value_name = "NAME=VALUE")]
        arguments: Vec<String>,
        /// URL of the sandbox [default: QBO_API_URL, or port 8911 of this machine]
        #[arg(long)]
        url: Option<String>,
        /// Port of a sandbox of this machine, instead of --url
        #[arg(long, conflicts_with = "url")]
        port: Option<u16>,
    },
    /// Find out which assumptions of the simulator hold for a real company, by reading only
    ///
    /// The company is that of QBO_REALM_ID, reached with the usual settings. A few dozen requests
    /// are sent, within the limits. docs/conform.md says how to contribute the file.
    Conform(ConformRequest),
}

/// Serves until it is stopped, or runs one command.
///
/// `line` is the whole command, which a sandbox in the background repeats; a command beside the sandbox gets
/// the file of the settings.
pub(super) fn run(
    app: &App,
    arguments: &SandboxArguments,
    (line, env_file): (&[OsString], &EnvFile),
    printer: Printer,
) -> Outcome {
    match &arguments.action {
        Some(SandboxAction::Control {
            command,
            arguments,
            url,
            port,
        }) => {
            let url = url_of(&app.settings, url.clone().or(port.map(local)))?;
            control(command.as_deref(), arguments, &url, printer)
        }
        Some(SandboxAction::Conform(request)) => {
            let report = block_on(app.conform(request))?;
            printer.print_translated(&report, || conformity(&report))?;
            Ok(ExitCode::Done)
        }
        None if arguments.stop => {
            let url = url_of(&app.settings, arguments.port.map(local))?;
            let answer = asked(&url, "stop", &[])?;
            printer.print(&json_of(&answer)?, || {
                say!("the sandbox at {url} ended", url) + "\n"
            })?;
            Ok(ExitCode::Done)
        }
        None if arguments.detach => detach(line, printer),
        None => serve(arguments, env_file),
    }
}

fn not_started(error: &StartError) -> Error {
    match error {
        StartError::Listen { address, reason } if reason.kind() == ErrorKind::AddrInUse => refused(
            format!("cannot listen on {address}: {reason}; --port 0 takes a free port"),
        ),
        _ => refused(error.to_string()),
    }
}

fn serve(arguments: &SandboxArguments, env_file: &EnvFile) -> Outcome {
    let sandbox = Sandbox::start(arguments.options()?).map_err(|error| not_started(&error))?;
    if !arguments.command.is_empty() {
        return run_command(&sandbox, &arguments.command, env_file);
    }
    // A signal is the normal end of a sandbox. The sandbox prints its addresses only when a signal
    // would stop it cleanly.
    let serving = async {
        tokio::task::yield_now().await;
        next_steps::sandbox(&sandbox);
        sandbox.stop_requested().await;
        // The answer to the request is still on its way.
        tokio::time::sleep(FAREWELL).await;
        Ok(())
    };
    match block_on(serving) {
        Ok(()) | Err(Failure::Stopped(_)) => Ok(ExitCode::Done),
        Err(failure) => Err(failure),
    }
}

/// Returns a table of the findings, each beside what the sandbox assumes, and the number of requests.
fn conformity(report: &ConformReport) -> String {
    let findings = &report.findings;
    let mut rows = vec![[
        say!("assumption"),
        say!("found"),
        say!("the sandbox"),
        say!("shown by"),
    ]];
    rows.extend(findings.assumptions.iter().map(|finding| {
        let assumption = ASSUMPTIONS.iter().find(|a| a.name == finding.name);
        let assumed = assumption.map_or("-", |assumption| assumption.default_answer());
        [finding.name, finding.answer, assumed, &evidence(finding)].map(str::to_owned)
    }));
    let width = |column: usize| {
        rows.iter()
            .map(|row| row[column].chars().count())
            .max()
            .unwrap_or(0)
    };
    let (name, found, assumed) = (width(0), width(1), width(2));
    let mut out: String = rows
        .iter()
        .map(|[a, b, c, d]| format!("{a:name$}  {b:found$}  {c:assumed$}  {d}\n"))
        .collect();
    let settled = findings
        .assumptions
        .iter()
        .filter(|f| f.is_settled())
        .count();
    out.push_str(&format!(
        "{}\n",
        say!(
            "{settled} of {all} assumptions settled with {requests} requests, minor version {minor}",
            settled,
            all = findings.assumptions.len(),
            requests = findings.requests,
            minor = findings.minor_version
        )
    ));
    out
}

/// Returns what shows a finding, or why there is none.
fn evidence(finding: &ProbeResult) -> String {
    let status = finding.status.map(|status| match &finding.code {
        Some(code) => format!("HTTP {status}, code {code}"),
        None => format!("HTTP {status}"),
    });
    let parts = [status, finding.reason.map(str::to_owned)];
    parts.into_iter().flatten().collect::<Vec<_>>().join("; ")
}

impl SandboxArguments {
    /// Returns whether a company is read with the settings of this process.
    pub(super) fn reads_settings(&self) -> bool {
        matches!(self.action, Some(SandboxAction::Conform(_)))
    }

    fn port(&self) -> u16 {
        let usual = match self.command.is_empty() {
            true => DEFAULT_PORT,
            false => 0,
        };
        self.port.unwrap_or(usual)
    }

    fn options(&self) -> Result<SandboxOptions> {
        let defaults = SandboxOptions::default();
        let mut assumptions = Assumptions::default();
        for assumption in &self.assumptions {
            let (name, value) = pair(assumption)?;
            assumptions.set(name, value).map_err(refused)?;
        }
        let faults = self
            .faults
            .iter()
            .map(|fault| FaultRule::parse(fault).map_err(|error| refused(error.to_string())));
        let unavailable = self.unavailable.iter().map(|text| {
            let (entity, code) = pair(text)?;
            let refusal = Refusal::of_code(code).map_err(refused)?;
            Ok((entity.to_owned(), refusal))
        });
        let limits = if self.no_limits {
            ThrottleOptions::NONE
        } else {
            ThrottleOptions::default()
        };
        let delay = Duration::try_from_secs_f64(self.visibility_delay_s);
        let now = self.now.as_deref();
        let now = now.map(|text| parse_instant("now", text)).transpose()?;
        Ok(SandboxOptions {
            address: SocketAddr::new(self.host, self.port()),
            realm_id: environment("QBO_REALM_ID", defaults.realm_id),
            companies: self.companies,
            environment: if self.production {
                Environment::Production
            } else {
                Environment::Sandbox
            },
            seed: self.seed,
            size: CompanySize {
                customers: self.customers,
                items: self.items,
                invoices: self.invoices,
                others: self.others,
            },
            books: self.books,
            records: self.records.clone(),
            restore: self.restore.clone(),
            oauth: OAuthOptions {
                client_id: environment("QBO_CLIENT_ID", defaults.oauth.client_id),
                client_secret: environment("QBO_CLIENT_SECRET", defaults.oauth.client_secret),
                refresh_token: environment("QBO_REFRESH_TOKEN", defaults.oauth.refresh_token),
                access_lifetime: Duration::from_secs(self.access_token_s),
                rotate_after: Duration::from_secs(self.rotate_after_s),
                grace: Duration::from_secs(self.grace_s),
                refresh_lifetime: Duration::from_secs(self.refresh_token_s),
                hard_lifetime: Duration::from_secs(self.connection_s),
            },
            throttle: ThrottleOptions {
                monthly_reads: self.monthly_reads,
                ..limits
            },
            faults: faults.collect::<Result<_>>()?,
            assumptions,
            unavailable: unavailable.collect::<Result<_>>()?,
            visibility_delay: delay.map_err(|_| {
                refused("--visibility-delay-s is not a number of seconds".to_owned())
            })?,
            now,
            latency: Duration::from_millis(self.latency_ms),
            threads: self.threads,
        })
    }
}
