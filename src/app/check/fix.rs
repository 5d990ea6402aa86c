//! The step that helps against an error, as something to copy.

use crate::config::Settings;
use crate::error::{Error, Recovery};
use crate::postgres::rights::is_refused;
use crate::postgres::{host_flags, quote_identifier};

/// The first words of the error about a database that cannot be reached.
const UNREACHABLE: &str = "cannot connect to Postgres";
const LOGIN: &str = "qbo-rs auth login";
const COMPANY: &str =
    "correct QBO_REALM_ID, or unset QBO_REALM_ID; if it is right: qbo-rs auth login";

/// Returns a command or a setting that helps, if the text of the error does not say it all.
pub(super) fn fix_of(error: &Error, settings: &Settings) -> Option<String> {
    let fix = match error.last() {
        Error::Unauthenticated { .. } if error.code() == Some("invalid_client") => {
            "export QBO_CLIENT_ID=... QBO_CLIENT_SECRET=...   # both from the same tab, Development or Production, of Keys & \
             credentials"
        }
        Error::PermissionDenied { .. } => match environment_switch(settings) {
            LOGIN if is_of_named_company("QBO_REALM_ID", settings) => COMPANY,
            switch => switch,
        },
        Error::Config { setting, .. } if is_of_named_company(setting, settings) => COMPANY,
        Error::Config { setting, reason } if reason.starts_with(UNREACHABLE) => {
            return command_in(reason).or_else(|| setting_fix(setting, settings));
        }
        Error::Config { setting, .. } => return setting_fix(setting, settings),
        Error::CompanyClosed { .. } => {
            "its owner renews the subscription at https://qbo.intuit.com"
        }
        Error::RateLimited { .. } | Error::CircuitOpen { .. } => {
            "wait a minute, then: qbo-rs check"
        }
        last if last.recovery() == Recovery::Reauthorise => LOGIN,
        Error::Transport { .. } if let Some(servers) = other_servers(settings) => {
            return Some(format!(
                "see whether this machine reaches what the settings name:  curl -sSI {servers}"
            ));
        }
        Error::Transport { .. } => {
            "see whether this machine reaches Intuit:  curl -sSI https://quickbooks.api.intuit.com"
        }
        // Without words of the server: it does not answer.
        Error::Database { sqlstate: None, .. } => return knock(settings),
        _ => return None,
    };
    Some(fix.to_owned())
}

/// Returns the command with which the text of an error ends.
fn command_in(reason: &str) -> Option<String> {
    let begin = ["createdb ", "pg_isready "]
        .iter()
        .filter_map(|program| reason.rfind(&format!(": {program}")))
        .max()?;
    Some(reason[begin + 2..].to_owned())
}

/// Returns the addresses that are asked instead of Intuit's, if there are any.
fn other_servers(settings: &Settings) -> Option<String> {
    let config = settings.qbo_app().ok()?;
    let asked = [&config.api_url, &config.oauth.token_url];
    let mut others: Vec<String> = asked
        .into_iter()
        .filter(|url| {
            !url.host_str()
                .is_some_and(|host| host.ends_with(".intuit.com"))
        })
        .map(|url| url.origin().ascii_serialization())
        .collect();
    others.dedup();
    (!others.is_empty()).then(|| others.join(" "))
}

/// Returns true if a setting lacks or refuses the company that the settings name: it may be the wrong one,
/// and then a login would not help.
fn is_of_named_company(setting: &str, settings: &Settings) -> bool {
    matches!(setting, "QBO_REALM_ID" | "QBO_REFRESH_TOKEN")
        && !matches!(settings.realm_id(), Ok(None))
}

/// Returns how to see whether Postgres answers at all.
fn knock(settings: &Settings) -> Option<String> {
    let flags = settings
        .postgres()
        .and_then(|config| host_flags(&config))
        .ok()?;
    Some(format!(
        "see whether Postgres answers there:  pg_isready {flags}"
    ))
}

/// Returns the statement of the owner that lets a role read the operational tables, if that is what it may
/// not.
pub(super) fn reading_right(error: &Error, role: &str) -> Option<String> {
    is_refused(error).then(|| {
        let role = quote_identifier(role);
        as_owner(&format!(
            "GRANT USAGE ON SCHEMA qbo TO {role}; GRANT SELECT ON ALL TABLES IN SCHEMA qbo TO {role};"
        ))
    })
}

/// Returns a statement for somebody who may do it.
pub(super) fn as_owner(statement: &str) -> String {
    format!("as owner:  {statement}")
}

/// Returns how the other environment is asked. Where an address is set, that is asked whatever the environment
/// is; the other one of a proxy is not known.
fn environment_switch(settings: &Settings) -> &'static str {
    let is_set = settings.set_names().any(|name| name == "QBO_API_URL");
    let config = settings.qbo_app().ok();
    let asks_production = match config {
        Some(config) if is_set => config.api_url.host_str().and_then(is_production_host),
        config => Some(config.is_some_and(|config| config.is_production)),
    };
    match (is_set, asks_production) {
        (_, None) => LOGIN,
        (false, Some(true)) => {
            "export QBO_ENVIRONMENT=sandbox   # if these are development keys; else: qbo-rs auth login"
        }
        (false, Some(false)) => {
            "export QBO_ENVIRONMENT=production   # if these are production keys; else: qbo-rs auth login"
        }
        (true, Some(true)) => {
            "export QBO_API_URL=https://sandbox-quickbooks.api.intuit.com   # if these are development keys; else: qbo-rs auth login"
        }
        (true, Some(false)) => {
            "export QBO_API_URL=https://quickbooks.api.intuit.com   # if these are production keys; else: qbo-rs auth login"
        }
    }
}

/// Returns whether a host is Intuit's for production or its other one; `None` for all others.
pub(super) fn is_production_host(host: &str) -> Option<bool> {
    match host.trim_end_matches('.') {
        "quickbooks.api.intuit.com" => Some(true),
        "sandbox-quickbooks.api.intuit.com" => Some(false),
        _ => None,
    }
}

/// Settings that are set together, each with what is written.
type Group = &'static [(&'static str, &'static str)];

const KEYS: Group = &[("QBO_CLIENT_ID", "..."), ("QBO_CLIENT_SECRET", "...")];
const GROUPS: [Group; 4] = [
    KEYS,
    &[("PG_PASSWORD", "...")],
    &[(
        "DATABASE_URL",
        "postgresql://user:password@host:5432/database",
    )],
    &[
        ("PG_HOST", "..."),
        ("PG_PORT", "5432"),
        ("PG_DB", "..."),
        ("PG_USER", "..."),
        ("PG_PASSWORD", "..."),
    ],
];

/// Returns how the settings that an error names are set, with those that belong to them. One that is set has to be
/// corrected, as the text of the error says: it is set by nothing here.
fn setting_fix(named: &str, settings: &Settings) -> Option<String> {
    if matches!(named, "QBO_REALM_ID" | "QBO_REFRESH_TOKEN") {
        return Some(LOGIN.to_owned());
    }
    let is_missing = |name: &str| !settings.set_names().any(|set| set == name);
    let is_lacked =
        |(name, _): &(&str, &str)| named.split(", ").any(|it| it == *name) && is_missing(name);
    let group = GROUPS
        .into_iter()
        .find(|group| group.iter().any(is_lacked))?;
    let missing = group.iter().filter(|(name, _)| is_missing(name));
    let missing: Vec<String> = missing
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    let missing = missing.join(" ");
    Some(match group == KEYS {
        true => format!("export {missing}   # of your app at https://developer.intuit.com"),
        false => format!("export {missing}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_decides_how_the_other_environment_is() {
        let switch = |settings: &[(&str, &str)]| {
            let mut all = Settings::from_lookup(|_| None);
            for (name, value) in [
                ("QBO_CLIENT_ID", "id"),
                ("QBO_CLIENT_SECRET", "x"),
                ("QBO_TOKEN_STORE", "/nowhere/x"),
            ]
            .iter()
            .chain(settings)
            {
                all.set(name, value).unwrap();
            }
            environment_switch(&all)
        };
        let production = ("QBO_ENVIRONMENT", "production");
        assert!(switch(&[production]).starts_with("export QBO_ENVIRONMENT=sandbox "));
        let sandbox = ("QBO_ENVIRONMENT", "sandbox");
        assert!(switch(&[sandbox]).starts_with("export QBO_ENVIRONMENT=production "));
        let asks = |url| switch(&[production, ("QBO_API_URL", url)]);
        assert!(
            asks("https://sandbox-quickbooks.api.intuit.com")
                .starts_with("export QBO_API_URL=https://quickbooks.api.intuit.com ")
        );
        assert_eq!(asks("http://127.0.0.1:8911"), "qbo-rs auth login");
    }

    #[test]
    fn no_setting_is_set_again_that_is_set() {
        let fix = |set: &[(&str, &str)], setting: &str| {
            let mut settings = Settings::from_lookup(|_| None);
            for (name, value) in set {
                settings.set(name, value).unwrap();
            }
            fix_of(&Error::config(setting, "is wrong"), &settings)
        };
        let part = [("PG_HOST", "h"), ("PG_PORT", "54x32"), ("PG_DB", "d")];
        assert_eq!(fix(&part, "PG_PORT"), None);
        assert_eq!(
            fix(&part, "PG_USER").as_deref(),
            Some("export PG_USER=... PG_PASSWORD=...")
        );
        let all = "export PG_HOST=... PG_PORT=5432 PG_DB=... PG_USER=... PG_PASSWORD=...";
        assert_eq!(fix(&[], "PG_HOST").as_deref(), Some(all));
        // A part beside an address that is set already.
        let both = [("PG_HOST", "h"), ("DATABASE_URL", "postgresql://u@x/d")];
        assert_eq!(fix(&both, "PG_HOST"), None);
        assert_eq!(fix(&both, "DATABASE_URL"), None);
        let id = [("QBO_CLIENT_ID", "id")];
        let secret = fix(&id, "QBO_CLIENT_ID, QBO_CLIENT_SECRET").unwrap();
        assert!(
            secret.starts_with("export QBO_CLIENT_SECRET=...   #"),
            "{secret}"
        );
        assert_eq!(fix(&id, "QBO_CLIENT_ID"), None);
        // A login stores the token of another place.
        let token = [("QBO_REFRESH_TOKEN", "x")];
        assert_eq!(fix(&token, "QBO_REFRESH_TOKEN").as_deref(), Some(LOGIN));
    }

    #[test]
    fn what_is_copied_is_the_remedy_of_the_text() {
        let mut settings = Settings::from_lookup(|_| None);
        settings
            .set("DATABASE_URL", "postgresql://u:p@h/d")
            .unwrap();
        let fix = |reason: &str| fix_of(&Error::config("DATABASE_URL", reason), &settings);
        let refused = "cannot connect to Postgres at h:5432";
        let made = fix(&format!(
            "{refused}: none; create it: createdb -h h -p 5432 -U u d"
        ));
        assert_eq!(made.as_deref(), Some("createdb -h h -p 5432 -U u d"));
        let asked = fix(&format!(
            "{refused}; whether it answers: pg_isready -h h -p 5432"
        ));
        assert_eq!(asked.as_deref(), Some("pg_isready -h h -p 5432"));
        // It is set: the text says what to correct.
        assert_eq!(
            fix(&format!("{refused}: wrong; correct the host of the URL")),
            None
        );
    }
}
