//! `qbo-rs auth`: logins, the state of connections, and their end.

mod callback;

use std::io::{BufRead, IsTerminal, Write};
use std::path::Path;
use std::time::Duration;

use clap::Subcommand;

use super::error_text;
use super::exit::{ExitCode, Failure, Outcome};
use super::output::Printer;
use super::signals::block_on;
use super::states;
use super::summary::reads;
use super::wrap::{columns_of_stderr, wrapped};
use crate::app::{App, AuthReport, CompanyReport};
use crate::domain::instant::format_instant;
use crate::error::{Error, Result};
use crate::language::{say, translated};
use crate::port::{Connection, Secret};
use crate::quickbooks::BreakerStatus;
use crate::quickbooks::oauth::{Callback, Consent};
use crate::terminal::one_line;

/// The time that a person has at the consent page.
const CONSENT_TIMEOUT: Duration = Duration::from_secs(600);

#[derive(Debug, Subcommand)]
pub(super) enum AuthCommand {
    /// Connect a company: open Intuit's consent page and store the tokens in QBO_TOKEN_STORE
    Login {
        /// Address to which Intuit sends the browser back; one of the app's redirect URIs
        #[arg(
            long,
            value_name = "URL",
            default_value = "http://localhost:8484/callback"
        )]
        redirect_uri: String,
        /// Do not listen for the browser; read the address that it ends at from stdin
        #[arg(long)]
        paste: bool,
        /// Print the address of the consent page without opening a browser
        #[arg(long)]
        no_browser: bool,
    },
    /// Show the stored connections: state, days left, requests; the exit code is 1 if a
    /// person has to act
    Status,
    /// Store a refresh token from elsewhere, such as Intuit's OAuth playground
    Import {
        /// File that holds the token, or - for stdin; default: the value of QBO_REFRESH_TOKEN
        #[arg(value_name = "FILE")]
        file: Option<String>,
    },
    /// Revoke the connection of QBO_REALM_ID at Intuit and delete its tokens
    Revoke {
        /// Revoke it although another stored company has the same token, which ends that connection too
        #[arg(long)]
        force: bool,
    },
    /// Remove the connection of QBO_REALM_ID from the token store without revoking it at Intuit, as
    /// after a wrong QBO_REALM_ID
    Forget {
        /// Remove it although no other stored company has the same token, which is lost then
        #[arg(long)]
        force: bool,
    },
    /// Re-encrypt the stored tokens with QBO_NEW_TOKEN_KEY, or with the key derived from
    /// QBO_NEW_CLIENT_SECRET
    Rekey,
}

pub(super) fn run(app: &App, command: &AuthCommand, printer: Printer) -> Outcome {
    match command {
        AuthCommand::Login {
            redirect_uri,
            paste,
            no_browser,
        } => {
            let consent = block_on(app.begin_login(redirect_uri))?;
            let callback = match paste {
                true => read_pasted(app, &consent)?,
                false => wait_for_browser(app, &consent, *no_browser)?,
            };
            let connection = block_on(app.finish_login(&consent, &callback))?;
            print_connection(app, &callback.realm_id, &connection, printer)
        }
        AuthCommand::Status => {
            let report = block_on(app.auth_status())?;
            printer.print_translated(&report, || describe_all(&report))?;
            Ok(ExitCode::of(report.is_ok()))
        }
        AuthCommand::Import { file } => {
            let token = token_to_import(app, file.as_deref())?;
            let (realm_id, connection) = block_on(app.import_token(&token))?;
            match block_on(Box::pin(app.company_answers(&realm_id))) {
                Ok(()) => print_connection(app, &realm_id, &connection, printer),
                Err(Failure::Error(error)) => print_unanswered(app, &realm_id, &error, printer),
                Err(stopped) => Err(stopped),
            }
        }
        AuthCommand::Forget { force } => {
            let realm_id = block_on(app.forget(*force))?;
            let report = serde_json::json!({"realm_id": realm_id, "state": "forgotten"});
            printer.print_translated(&report, || {
                format!("the connection of company {realm_id} is removed here; nothing was revoked at Intuit\n")
            })?;
            Ok(ExitCode::Done)
        }
        AuthCommand::Revoke { force } => {
            let realm_id = block_on(app.revoke(*force))?;
            let report = serde_json::json!({"realm_id": realm_id, "state": "revoked"});
            printer.print_translated(&report, || {
                format!("company {realm_id} is disconnected, its tokens are forgotten\n")
            })?;
            Ok(ExitCode::Done)
        }
        AuthCommand::Rekey => {
            let keys = block_on(app.change_key())?;
            printer.print_translated(&keys, || {
                format!("{} connections have the new key\n", keys.changed.len())
            })?;
            for realm_id in &keys.not_opened {
                error_text::print(&format!(
                    "company {realm_id}: its tokens are sealed with some other key, and stay as they are"
                ));
            }
            Ok(ExitCode::of(keys.not_opened.is_empty()))
        }
    }
}

fn prompt(text: &str) {
    let _ = writeln!(
        std::io::stderr(),
        "{}",
        wrapped(&translated(text), columns_of_stderr())
    );
}

fn prompt_for_consent(app: &App, consent: &Consent) -> Result<()> {
    let redirect_uri = consent.redirect_uri();
    if let Some(realm_id) = app.settings.realm_id()? {
        prompt(&say!(
            "QBO_REALM_ID is {realm_id}: only this company can be connected. To connect another, correct or unset it first.\n",
            realm_id
        ));
    }
    prompt(&format!(
        "Open this page, choose the company and agree:\n\n  {}\n",
        consent.url()
    ));
    prompt(&format!(
        "Redirect URI of this login:\n\n  {redirect_uri}\n"
    ));
    prompt(redirect_advice(redirect_uri.scheme()));
    Ok(())
}

/// Returns what to do if Intuit's page refuses the redirect URI.
fn redirect_advice(scheme: &str) -> &'static str {
    match scheme {
        // Intuit takes http for development keys only (docs/guide.md).
        "http" => {
            "If Intuit's page says that the redirect_uri is invalid: enter this address, letter for letter, among the \
             Redirect URIs of your app at https://developer.intuit.com (tab Development), and open the page again.\n\
             Production keys take only https: add https://... there (tab Production), which need not exist, and run\n  \
             qbo-rs auth login --redirect-uri https://... --paste\n"
        }
        _ => {
            "If Intuit's page says that the redirect_uri is invalid: enter this address, letter for letter, among the \
             Redirect URIs of your app at https://developer.intuit.com, on the tab that the keys are from (Development \
             or Production), and open the page again.\n"
        }
    }
}

/// Reads the address that the browser ended at from stdin.
fn read_pasted(app: &App, consent: &Consent) -> Result<Callback> {
    prompt_for_consent(app, consent)?;
    prompt(
        "The browser then goes to an address that may show an error; paste that whole address here:",
    );
    let first = match app.read_consent(consent, &pasted()?) {
        Ok(callback) => return Ok(callback),
        Err(error) if is_of_company(&error) => return Err(error),
        Err(error) => error,
    };
    prompt(&translated(&first.to_string()));
    prompt(&say!("Paste the address once more:"));
    let second = pasted()?;
    match second.is_empty() {
        // There is nobody who could answer.
        true => Err(first),
        false => app.read_consent(consent, &second),
    }
}

/// Returns true if another company was chosen than the settings name: the same address would be refused again.
fn is_of_company(error: &Error) -> bool {
    matches!(error, Error::Config { setting, .. } if setting == "QBO_REALM_ID")
}

/// Returns the next line of stdin with its end; an empty text if there is none.
fn pasted() -> Result<String> {
    let mut line = String::new();
    let read = std::io::stdin().lock().read_line(&mut line);
    read.map_err(|e| Error::config("stdin", e.to_string()))?;
    Ok(line)
}

/// Waits until the browser comes back to this machine.
fn wait_for_browser(app: &App, consent: &Consent, no_browser: bool) -> Outcome<Callback> {
    let listener = callback::bind(consent.redirect_uri())?;
    prompt_for_consent(app, consent)?;
    if !no_browser && std::io::stderr().is_terminal() {
        // Without a browser, the user opens the printed address elsewhere.
        let _ = open::that_detached(consent.url().as_str());
    }
    prompt(&format!(
        "Waiting for the browser to come back to {} (--paste for a machine without one)",
        consent.redirect_uri()
    ));
    let path = consent.redirect_uri().path().to_owned();
    block_on(async {
        let read = |query: &str| {
            consent
                .is_answered_by(query)
                .then(|| app.read_consent(consent, query))
        };
        match tokio::time::timeout(CONSENT_TIMEOUT, callback::wait(listener, &path, read)).await {
            Ok(outcome) => outcome,
            Err(_) => Err(Error::config(
                "consent",
                format!("login timed out after {} s", CONSENT_TIMEOUT.as_secs()),
            )),
        }
    })
}

fn token_to_import(app: &App, file: Option<&str>) -> Result<Secret> {
    let read = match file {
        None => {
            let missing = || {
                Error::config(
                    "QBO_REFRESH_TOKEN",
                    "not set, and no file is named: there is nothing to import",
                )
            };
            return app.settings.secret("QBO_REFRESH_TOKEN").ok_or_else(missing);
        }
        Some("-") => std::io::read_to_string(std::io::stdin()),
        Some(path) => std::fs::read_to_string(Path::new(path)),
    };
    let text = read.map_err(|error| {
        let reason = match file.filter(|file| is_surely_a_path(file)) {
            Some(path) => format!("the file '{path}' cannot be read: {error}"),
            None => format!(
                "the named file cannot be read: {error}; name a file that holds the token, or - for stdin"
            ),
        };
        Error::config("token", reason)
    })?;
    match text.split_whitespace().collect::<Vec<_>>()[..] {
        [token] => Ok(Secret::new(token)),
        _ => Err(Error::config(
            "token",
            format!(
                "{} must hold one refresh token, and nothing else",
                file.unwrap_or_default()
            ),
        )),
    }
}

/// Returns true if a text may be shown, because it is the path of a file and no token in its place: it ends as
/// names of files do, and none of its parts is as long as those of a token.
fn is_surely_a_path(text: &str) -> bool {
    const MAX_PART: usize = 24;
    let ending = text.rsplit_once('.').map_or("", |(_, ending)| ending);
    let is_ending = |ending: &str| {
        (1..=5).contains(&ending.len()) && ending.bytes().all(|byte| byte.is_ascii_lowercase())
    };
    is_ending(ending) && text.split(['/', '.']).all(|part| part.len() <= MAX_PART)
}

fn print_connection(
    app: &App,
    realm_id: &str,
    connection: &Connection,
    printer: Printer,
) -> Outcome {
    let place = app.token_place()?;
    let (token_end, end) = (
        connection.refresh_token_expires_at,
        connection.connection_expires_at,
    );
    let report = serde_json::json!({
        "realm_id": realm_id,
        "state": "active",
        "store": place,
        "refresh_token_expires_at": token_end,
        "connection_expires_at": end,
    });
    printer.print_translated(&report, || {
        let mut text = format!("company {realm_id} is connected (QBO_REALM_ID={realm_id})\n");
        text.push_str(&format!("its tokens are in {place}\n"));
        if app.settings.keeps_tokens_by_default() {
            text.push_str(&format!(
                "commands with a database look for tokens there: to use these with one, set QBO_TOKEN_STORE={place}, or \
                 log in once more after DATABASE_URL is set\n"
            ));
        }
        if let Some(at) = token_end {
            text.push_str(&format!(
                "if it is not used, the connection ends at {}; each refresh restarts that time\n",
                format_instant(at)
            ));
        }
        if let Some(at) = end {
            text.push_str(&format!("in any case, it ends at {}\n", format_instant(at)));
        }
        text
    })?;
    Ok(ExitCode::Done)
}

/// Prints that a token works, and is not known to be one of its company. The exit code is that of `check`.
fn print_unanswered(app: &App, realm_id: &str, error: &Error, printer: Printer) -> Outcome {
    let place = app.token_place()?;
    let report = serde_json::json!({
        "realm_id": realm_id,
        "state": "stored",
        "store": place,
        "problem": error.to_string(),
    });
    printer.print_translated(&report, || {
        format!(
            "the token works and is kept in {place}, but company {realm_id} does not answer to it: {error}\n\
             if {realm_id} is not the company of this token: import it once more with the right --realm-id, then run \
             `qbo-rs auth forget --realm-id {realm_id}`; else `qbo-rs check` asks again\n"
        )
    })?;
    Ok(ExitCode::Refused)
}

fn describe_all(report: &AuthReport) -> String {
    let store = one_line(&report.store);
    let mut text = match (report.accounts.is_empty(), report.is_login_needed) {
        (true, true) => format!("{store} holds no connection; `qbo-rs auth login` makes one\n"),
        (true, false) => {
            format!(
                "{store} holds no connection yet; the first call stores that of QBO_REFRESH_TOKEN\n"
            )
        }
        (false, true) => format!(
            "{store} holds no connection of the company of QBO_REALM_ID; check QBO_REALM_ID first: if it is right, `qbo-rs \
             auth login` makes one\n"
        ),
        (false, false) => String::new(),
    };
    for company in &report.accounts {
        describe(company, &mut text);
    }
    text
}

fn describe(report: &CompanyReport, text: &mut String) {
    let CompanyReport {
        account,
        state,
        days_left,
        warning,
        reconnect_url,
        traffic,
        refused_includes,
    } = report;
    let days = days_left.map_or_else(
        || say!("days left unknown"),
        |days| say!(count days; "{days} day left", "{days} days left", days),
    );
    let state = states::state(state.as_str());
    let reads = reads(traffic.monthly_reads, 0);
    let company = &account.realm_id;
    let first = match account.needs_reauth {
        // What its tokens would have lasted is over.
        Some(_) => say!("company {company}: {state}, {reads}", company, state, reads),
        None => say!(
            "company {company}: {state}, {days}, {reads}",
            company,
            state,
            days,
            reads
        ),
    };
    text.extend([&*first, "\n"]);
    let mut line = |line: String| text.extend(["  ", &*line, "\n"]);
    if let Some(at) = account.access_token_expires_at.map(format_instant) {
        line(say!("access token until {at}", at));
    }
    if let Some(at) = account.refresh_token_expires_at.map(format_instant) {
        line(say!("refresh token, unused, until {at}", at));
    }
    if let Some(at) = account.connection_expires_at.map(format_instant) {
        line(say!("connection, used or not, until {at}", at));
    }
    for include in refused_includes {
        line(say!("QuickBooks refuses include={include}", include));
    }
    if let Some(warning) = warning {
        line(translated(warning).into_owned());
    } else if let Some(url) = reconnect_url {
        line(translated(account.needs_reauth.as_deref().unwrap_or_default()).into_owned());
        line(say!("connect it again: qbo-rs auth login, or {url}", url));
    }
    if let BreakerStatus::Open {
        since,
        retry_at,
        failures,
    } = &traffic.breaker
    {
        let (since, retry_at) = (format_instant(*since), format_instant(*retry_at));
        line(
            say!(count *failures; "circuit open since {since} after {failures} failure; next request at {retry_at}",
            "circuit open since {since} after {failures} failures; next request at {retry_at}",
            since, failures, retry_at),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_surely_a_path_is_shown() {
        for path in [
            "nofile.txt",
            "../keys/tok.txt",
            "/home/nora/my books/t.json",
        ] {
            assert!(is_surely_a_path(path), "{path}");
        }
        for secret in [
            "RT1-247-H0-invented",
            "AB11717520000abcdefghijklmnopqrstuvwxyz",
            "eyJhbGciOiJkaXIifQ..AzkXTUJgk5w.abcdefghijklmnopqrstuvwxyz0123456789.abcde",
            "invented/of+base64==",
        ] {
            assert!(!is_surely_a_path(secret), "{secret}");
        }
    }
}
