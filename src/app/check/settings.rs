//! The lines about settings and keys. Nothing is asked.

use super::fix::{fix_of, is_production_host};
use super::report::CheckLine;
use crate::app::alerts::Alerts;
use crate::config::{QboConfig, Settings};

/// Characters of the client id that are shown.
const SHOWN: usize = 4;

/// Returns the lines, and the settings of the app if they can be used.
pub(super) fn look(settings: &Settings, unknown: &[String]) -> (Vec<CheckLine>, Option<QboConfig>) {
    let config = settings.qbo_app();
    let lines = vec![line(settings, unknown), keys(settings, config.as_ref())];
    (lines, config.ok())
}

fn line(settings: &Settings, unknown: &[String]) -> CheckLine {
    const NAME: &str = "settings";
    if let Some(problem) = contradiction(settings) {
        return CheckLine::warning(NAME, problem);
    }
    // As a service reads them when it starts.
    if let Err(error) = settings.alerts().and_then(|config| Alerts::new(&config)) {
        return CheckLine::failed(NAME, error.to_string()).fix(fix_of(&error, settings));
    }
    match unknown {
        [] => {
            let count = settings.set_names().count();
            CheckLine::ok(
                NAME,
                format!("{count} are set, and none contradicts another"),
            )
        }
        names => {
            let named: Vec<String> = names.iter().map(|name| with_guess(name)).collect();
            let unread = named.join(", ");
            CheckLine::warning(
                NAME,
                format!("no setting has this name, so it is not read: {unread}"),
            )
            .fix("`qbo-rs help settings` lists the names of all settings".to_owned())
        }
    }
}

/// Returns the name of a variable, with the setting that it most likely stands for.
fn with_guess(name: &str) -> String {
    match Settings::misspelled([name.to_owned()]).first() {
        Some((_, meant)) => format!("{name} (did you mean {meant}?)"),
        None => name.to_owned(),
    }
}

/// Returns what two settings say against each other.
fn contradiction(settings: &Settings) -> Option<String> {
    let is_set = |name: &str| settings.set_names().any(|set| set == name);
    let unread = settings.unread_parts();
    if !unread.is_empty() {
        let names = unread.join(", ");
        return Some(format!(
            "DATABASE_URL is set, and so are parts of another address, which are not read: {names}"
        ));
    }
    match (is_set("QBO_API_URL"), is_set("QBO_TOKEN_URL")) {
        (true, false) => Some(
            "QBO_API_URL is set and QBO_TOKEN_URL is not: data comes from that address, and tokens from Intuit"
                .to_owned(),
        ),
        (false, true) => Some(
            "QBO_TOKEN_URL is set and QBO_API_URL is not: tokens come from that address, and data from Intuit"
                .to_owned(),
        ),
        _ if is_set("QBO_API_URL") && is_set("QBO_ENVIRONMENT") => environment_of_host(settings),
        _ => None,
    }
}

/// Returns the contradiction between `QBO_ENVIRONMENT` and the host of `QBO_API_URL`, if that is one of
/// Intuit's.
fn environment_of_host(settings: &Settings) -> Option<String> {
    let config = settings.qbo_app().ok()?;
    let host = config.api_url.host_str()?;
    let of_host = is_production_host(host)?;
    (of_host != config.is_production).then(|| {
        format!("QBO_ENVIRONMENT names the other environment than the host {host} of QBO_API_URL, which is asked")
    })
}

fn keys(settings: &Settings, config: Result<&QboConfig, &crate::error::Error>) -> CheckLine {
    const NAME: &str = "keys";
    let config = match config {
        Ok(config) => config,
        Err(error) => {
            return CheckLine::failed(NAME, error.to_string()).fix(fix_of(error, settings));
        }
    };
    let environment = match config.is_production {
        true => "production",
        false => "sandbox",
    };
    let id = shortened(&config.oauth.credentials.client_id);
    let host = config.api_url.host_str().unwrap_or_default();
    CheckLine::ok(NAME, format!("{environment}, app {id}, asks {host}"))
}

/// Returns the beginning of a client id. It is no secret, and not for everyone either.
fn shortened(id: &str) -> String {
    let mut characters = id.chars();
    let begin: String = characters.by_ref().take(SHOWN).collect();
    match characters.next() {
        Some(_) => begin + "…",
        None => "…".to_owned(),
    }
}
