//! Settings: one registry, read from the environment and overridden by keywords or flags.

mod alerts;
mod directories;
mod masking;
mod postgres;
mod qbo;
mod registry;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use reqwest::Url;

pub use self::alerts::{AlertConfig, MailConfig};
use self::directories::Directories;
pub use self::postgres::{PostgresAddress, PostgresConfig, SslMode, TransactionLimits};
pub use self::qbo::{Credentials, OAuthConfig, QboConfig, RescueFile, StoreLocation};
pub use self::registry::{SETTINGS, SettingSpec};
use crate::domain::closest;
use crate::error::{Error, Result};
use crate::port::Secret;

/// Values of settings as text; each use case checks those it needs.
#[derive(Clone, Default)]
pub struct Settings {
    values: BTreeMap<&'static str, String>,
    /// Names of those that a keyword or a flag gives. They go before the environment.
    given: BTreeSet<&'static str>,
    /// The secret ones, held so that no text of others shows one while the settings exist.
    secrets: BTreeMap<&'static str, Secret>,
    directories: Directories,
}

/// Prints only the names, since values may be secret.
impl std::fmt::Debug for Settings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.values.keys()).finish()
    }
}

impl Settings {
    /// Reads every setting through `lookup`, usually the environment, and the places of the user's
    /// directories. Empty values count as unset.
    pub fn from_lookup(lookup: impl Fn(&str) -> Option<String>) -> Self {
        let mut settings = Self {
            directories: Directories::from_lookup(&lookup),
            ..Self::default()
        };
        for spec in SETTINGS {
            if let Some(value) = lookup(spec.name).as_deref().and_then(non_empty) {
                settings.put(spec, value);
            }
        }
        settings
    }

    fn put(&mut self, spec: &SettingSpec, value: String) {
        if spec.is_secret {
            self.secrets.insert(spec.name, Secret::new(value.as_str()));
        }
        self.values.insert(spec.name, value);
    }

    /// Reads the process's environment.
    pub fn from_env() -> Self {
        Self::from_lookup(|name| std::env::var(name).ok())
    }

    /// Overrides one setting, named as in the environment or as a keyword.
    ///
    /// # Errors
    /// [`Error::Config`] if there is no such setting.
    pub fn set(&mut self, name: &str, value: &str) -> Result<()> {
        let spec = SETTINGS
            .iter()
            .find(|spec| spec.name == name || spec.keyword() == name)
            .ok_or_else(|| unknown_setting(name))?;
        match non_empty(value) {
            Some(value) => {
                if spec.name == "QBO_REALM_ID" {
                    self.leave_the_token_of_another(&value);
                }
                self.put(spec, value);
                self.given.insert(spec.name);
            }
            None => {
                self.values.remove(spec.name);
                self.given.remove(spec.name);
            }
        }
        // A host that is named for this call is another database than that of the environment.
        if spec.name == "PG_HOST" && self.is_given(spec.name) && !self.is_given("DATABASE_URL") {
            self.values.remove("DATABASE_URL");
        }
        Ok(())
    }

    /// Forgets the environment's refresh token if the environment names another company than the one that is
    /// named for this call: redeemed for that one, it would be lost to its own.
    fn leave_the_token_of_another(&mut self, realm_id: &str) {
        let is_another = |known: &String| known != realm_id;
        if !self.is_given("QBO_REFRESH_TOKEN")
            && self.values.get("QBO_REALM_ID").is_some_and(is_another)
        {
            self.values.remove("QBO_REFRESH_TOKEN");
            self.secrets.remove("QBO_REFRESH_TOKEN");
        }
    }

    /// Returns the settings for a company: without a refresh token if that is another one's, or nobody says
    /// whose it is.
    ///
    /// # Errors
    /// As for [`realm_id`](Self::realm_id).
    pub(crate) fn of_company(&self, realm_id: &str) -> Result<Self> {
        let mut settings = self.clone();
        if settings.realm_id()?.as_deref() != Some(realm_id) {
            settings.set("QBO_REFRESH_TOKEN", "")?;
        }
        Ok(settings)
    }

    /// Returns true if a keyword or a flag names the setting.
    fn is_given(&self, name: &str) -> bool {
        self.given.contains(name)
    }

    /// Returns the names of the settings that are set, without their values.
    pub(crate) fn set_names(&self) -> impl Iterator<Item = &'static str> + '_ {
        self.values.keys().copied()
    }

    /// Returns true for the name of a setting, and of a variable of ours that is read elsewhere.
    pub fn is_known_variable(name: &str) -> bool {
        OTHER_VARIABLES.contains(&name) || SETTINGS.iter().any(|spec| spec.name == name)
    }

    /// Returns those of some variables that are no settings, and look like a mistyped one: each with the
    /// setting that it resembles.
    pub fn misspelled(variables: impl IntoIterator<Item = String>) -> Vec<(String, &'static str)> {
        let is_ours = |name: &str| name.starts_with("QBO_") || name.starts_with("PG_");
        let unknown = variables
            .into_iter()
            .filter(|name| is_ours(name) && !Self::is_known_variable(name));
        let guess = |name: String| {
            let meant = closest(&name, SETTINGS.iter().map(|spec| spec.name))?;
            Some((name, meant))
        };
        unknown.filter_map(guess).collect()
    }

    /// Returns a secret, if it is set.
    pub fn secret(&self, name: &'static str) -> Option<Secret> {
        self.get(name).map(Secret::new)
    }

    /// Returns `QBO_LANDING_DIR`.
    pub fn landing_dir(&self) -> PathBuf {
        PathBuf::from(self.text("QBO_LANDING_DIR"))
    }

    fn get(&self, name: &'static str) -> Option<&str> {
        let default = || {
            SETTINGS
                .iter()
                .find(|spec| spec.name == name)
                .and_then(|spec| spec.default)
        };
        self.values.get(name).map(String::as_str).or_else(default)
    }

    /// Returns the address of the API that is set, without a slash at its end; nothing if none is set.
    ///
    /// # Errors
    /// [`Error::Config`] if it is no address that requests may go to.
    pub(crate) fn named_api_url(&self) -> Result<Option<String>> {
        const NAME: &str = "QBO_API_URL";
        let Some(named) = self.get(NAME) else {
            return Ok(None);
        };
        let url = self.url(NAME, named)?;
        Ok(Some(url.as_str().trim_end_matches('/').to_owned()))
    }

    fn text(&self, name: &'static str) -> String {
        self.get(name).unwrap_or_default().to_owned()
    }

    fn require(&self, names: &[&'static str]) -> Result<()> {
        let missing: Vec<_> = names
            .iter()
            .copied()
            .filter(|name| self.get(name).is_none())
            .collect();
        if missing.is_empty() {
            Ok(())
        } else {
            Err(Error::config(missing.join(", "), "not set"))
        }
    }

    fn url(&self, name: &'static str, default: &str) -> Result<Url> {
        let text = self.get(name).unwrap_or(default);
        let has_credentials = |url: &Url| !url.username().is_empty() || url.password().is_some();
        match Url::parse(text) {
            // Requests carry their own credentials, so these could never be used. Nothing of the URL
            // is shown: one that is not as meant may have its password at an unexpected place.
            Ok(url) if has_credentials(&url) => Err(Error::config(
                name,
                "holds a user name or a password, which these requests cannot send; write the URL without them",
            )),
            _ if text.contains('@') => Err(Error::config(name, "is not an http or https URL")),
            // A path is added to the URL, and each request writes its own query. The text is not
            // shown, because a key may be in it.
            Ok(url) if url.query().is_some() || url.fragment().is_some() => Err(Error::config(
                name,
                "has a query or a fragment (the part from '?' or '#'), which these requests cannot send; write the URL without it",
            )),
            // Plain HTTP to Intuit would send tokens unencrypted, so it must be a mistake.
            Ok(url) if url.scheme() == "http" && is_intuits(&url) => Err(Error::config(
                name,
                format!("'{text}' would send tokens unencrypted; write https"),
            )),
            Ok(url) if matches!(url.scheme(), "http" | "https") && url.has_host() => Ok(url),
            _ if !shows_address(text) => Err(Error::config(
                name,
                "is not an http or https URL; its value is not shown, for it may be a secret",
            )),
            _ => Err(Error::config(
                name,
                format!("'{text}' is not an http or https URL"),
            )),
        }
    }

    fn number<N: FromStr>(&self, name: &'static str) -> Result<N> {
        let text = self.text(name);
        text.parse().map_err(|_| match shows_number(&text) {
            true => Error::config(name, format!("'{text}' is not a whole number in range")),
            false => Error::config(
                name,
                "is not a whole number in range; its value is not shown, for it may be a secret",
            ),
        })
    }

    fn request_timeout(&self) -> Result<Duration> {
        match self.seconds("QBO_TIMEOUT_S")? {
            Duration::ZERO => Err(Error::config(
                "QBO_TIMEOUT_S",
                "'0' leaves no time for a request",
            )),
            timeout => Ok(timeout),
        }
    }

    fn seconds(&self, name: &'static str) -> Result<Duration> {
        let text = self.text(name);
        let seconds = text
            .parse()
            .ok()
            .filter(|s: &f64| *s >= 0.0 && *s <= 86_400.0);
        seconds
            .map(Duration::from_secs_f64)
            .ok_or_else(|| match shows_number(&text) {
                true => Error::config(name, format!("'{text}' is not a number of seconds")),
                false => Error::config(
                    name,
                    "is not a number of seconds; its value is not shown, for it may be a secret",
                ),
            })
    }
}

/// Returns true for a host of Intuit's. A dot at the end of a host's name does not change which host
/// it is.
fn is_intuits(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    host.trim_end_matches('.').ends_with("intuit.com")
}

/// Returns whether an error may show a value that is no number. A long word may be another setting's, such as
/// a password.
fn shows_number(text: &str) -> bool {
    const MAX_WORD: usize = 5;
    let is_part = |byte: u8| byte.is_ascii_digit() || b"+-.,_ ".contains(&byte);
    text.len() <= MAX_WORD || text.bytes().all(is_part)
}

/// Returns whether an error may show a value that is no address. What has no scheme, and other letters than a host,
/// may be a secret.
fn shows_address(text: &str) -> bool {
    let is_of_host = |letter: char| letter.is_ascii_lowercase() || ".-:/".contains(letter);
    text.contains("://") || text.chars().all(is_of_host)
}

/// Variables with the names of settings that others read: the demo.
const OTHER_VARIABLES: [&str; 3] = ["QBO_ENV_FILE", "QBO_LANG", "QBO_POSTGRES_BIN"];

fn unknown_setting(name: &str) -> Error {
    let names = SETTINGS.iter().map(|spec| spec.keyword());
    let keywords: Vec<String> = names.collect();
    let reason = match closest(name, keywords.iter().map(String::as_str)) {
        Some(meant) => format!("no such setting; did you mean {meant}?"),
        None => "no such setting; docs/settings.md lists all".to_owned(),
    };
    Error::config(name, reason)
}

fn non_empty(value: &str) -> Option<String> {
    let trimmed = value.trim();
    (!trimmed.is_empty()).then(|| trimmed.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::quickbooks::Limits;

    fn settings(pairs: &[(&str, &str)]) -> Settings {
        Settings::from_lookup(|name| {
            pairs
                .iter()
                .find(|(n, _)| *n == name)
                .map(|(_, v)| (*v).to_owned())
        })
    }

    const CONNECTION: [(&str, &str); 5] = [
        ("HOME", "/home/u"),
        ("QBO_CLIENT_ID", "id"),
        ("QBO_CLIENT_SECRET", "hush"),
        ("QBO_REFRESH_TOKEN", "hush"),
        ("QBO_REALM_ID", "9"),
    ];

    #[test]
    fn a_token_is_used_for_the_company_of_the_place_that_has_it() {
        let token = |given: &[(&str, &str)], environment: &[(&str, &str)]| {
            let mut settings = settings(environment);
            for (name, value) in given {
                settings.set(name, value).unwrap();
            }
            settings.get("QBO_REFRESH_TOKEN").map(str::to_owned)
        };
        let of_nine = &CONNECTION;
        let unclaimed = &CONNECTION[..4];
        for (given, environment, expected) in [
            (&[][..], &of_nine[..], Some("hush")),
            (&[("realm_id", "9")], of_nine, Some("hush")),
            (&[("realm_id", "8")], of_nine, None),
            (
                &[("realm_id", "8"), ("refresh_token", "eight")],
                of_nine,
                Some("eight"),
            ),
            (
                &[("refresh_token", "eight"), ("realm_id", "8")],
                of_nine,
                Some("eight"),
            ),
            (&[("refresh_token", "new")], of_nine, Some("new")),
            // Whoever names the company names it for the only token that there is.
            (&[("realm_id", "8")], unclaimed, Some("hush")),
        ] {
            assert_eq!(token(given, environment).as_deref(), expected, "{given:?}");
        }
        for (realm_id, has_token) in [("9", true), ("8", false)] {
            let of_company = settings(of_nine).of_company(realm_id).unwrap();
            assert_eq!(of_company.get("QBO_REFRESH_TOKEN").is_some(), has_token);
        }
    }

    #[test]
    fn everything_missing_is_named_at_once() {
        let error = settings(&[("QBO_CLIENT_ID", "id"), ("QBO_REALM_ID", " ")])
            .qbo()
            .unwrap_err();
        assert_eq!(
            error.to_string(),
            "QBO_CLIENT_SECRET, QBO_REALM_ID: not set"
        );
    }

    #[test]
    fn defaults_are_intuits() {
        let config = settings(&CONNECTION).qbo().unwrap();
        assert_eq!(
            config.api_url.as_str(),
            "https://quickbooks.api.intuit.com/"
        );
        assert_eq!(config.limits, Limits::default());
        assert_eq!(config.oauth.retry.throttle_wait, Duration::from_secs(60));
    }

    #[test]
    fn unusable_values_are_named_with_their_setting() {
        for (name, value) in [
            ("QBO_ENVIRONMENT", "prod"),
            ("QBO_API_URL", "ftp://x"),
            ("QBO_API_URL", "http://quickbooks.api.intuit.com"),
            ("QBO_API_URL", "http://quickbooks.api.intuit.com./"),
            ("QBO_TOKEN_URL", "http://OAUTH.platform.intuit.com.:80/t"),
            ("QBO_MAX_ANSWER_MB", "0"),
            ("QBO_MAX_ANSWER_MB", "1.5"),
            ("QBO_MAX_REQUESTS", "many"),
            ("QBO_REQUESTS_PER_MINUTE", "-1"),
            ("QBO_TIMEOUT_S", "soon"),
            ("QBO_TIMEOUT_S", "0"),
        ] {
            let mut all = settings(&CONNECTION);
            all.set(name, value).unwrap();
            let error = all.qbo().unwrap_err().to_string();
            assert!(error.starts_with(&format!("{name}: '{value}'")), "{error}");
        }
    }

    #[test]
    fn a_value_that_may_be_a_secret_is_not_shown() {
        for name in ["QBO_API_URL", "QBO_MAX_REQUESTS", "QBO_TIMEOUT_S"] {
            let mut all = settings(&CONNECTION);
            all.set(name, "PW12SECRET").unwrap();
            let error = all.qbo().unwrap_err().to_string();
            assert!(
                error.contains("is not shown") && !error.contains("PW12"),
                "{error}"
            );
        }
    }

    #[test]
    fn the_token_store_is_the_setting_else_the_database_else_a_file_of_the_user() {
        let location = |others: &[(&str, &str)]| {
            let app = [("QBO_CLIENT_ID", "id"), ("QBO_CLIENT_SECRET", "hush")];
            settings(&[&app, others].concat())
                .oauth()
                .map(|oauth| oauth.token_store)
        };
        let file = |path: &str| StoreLocation::File(path.into());
        let (home, state) = (("HOME", "/home/u"), ("XDG_STATE_HOME", "/state"));
        let url = ("DATABASE_URL", "postgresql://u@h/d");
        let host = ("PG_HOST", "h");
        for (others, expected) in [
            (&[home][..], file("/home/u/.local/state/qbo_rs/tokens.json")),
            (&[home, state], file("/state/qbo_rs/tokens.json")),
            (
                &[home, ("XDG_STATE_HOME", "state")],
                file("/home/u/.local/state/qbo_rs/tokens.json"),
            ),
            (&[state, url], StoreLocation::Postgres),
            (&[host], StoreLocation::Postgres),
            (&[host, home, ("QBO_TOKEN_STORE", "t.json")], file("t.json")),
            (&[("QBO_TOKEN_STORE", "postgres")], StoreLocation::Postgres),
        ] {
            assert_eq!(location(others).unwrap(), expected, "{others:?}");
        }
        for others in [&[][..], &[("HOME", "relative")], &[("HOME", " ")]] {
            let error = location(others).unwrap_err().to_string();
            assert!(error.starts_with("QBO_TOKEN_STORE: not set"), "{error}");
        }
    }

    #[test]
    fn keywords_override_the_environment() {
        let mut all = settings(&CONNECTION);
        all.set("realm_id", "10").unwrap();
        assert_eq!(all.qbo().unwrap().realm_id, "10");
        let error = all.set("relam_id", "10").unwrap_err().to_string();
        assert!(error.contains("did you mean realm_id?"), "{error}");
        assert!(all.set("colour", "10").is_err());
    }

    #[test]
    fn an_address_that_is_named_for_a_call_is_the_one_that_is_used() {
        let url = ("DATABASE_URL", "postgresql://u:old@h/d");
        let address = |given: &[(&str, &str)]| {
            let mut all = settings(&[url, ("PG_USER", "u")]);
            for (name, value) in given {
                all.set(name, value).unwrap();
            }
            all.postgres()
        };
        // Parts that only the environment has are those of the lesser address.
        let from_environment = address(&[]).unwrap().address;
        assert!(matches!(from_environment, PostgresAddress::Url(_)));
        let named = [("pg_host", "elsewhere"), ("PG_DB", "books")];
        match address(&named).unwrap().address {
            PostgresAddress::Parts { host, database, .. } => {
                assert_eq!((&*host, &*database), ("elsewhere", "books"));
            }
            PostgresAddress::Url(_) => panic!("the flags are ignored"),
        }
        for part in [("PG_DB", "books"), ("PG_USER", "v"), ("PG_PORT", "6000")] {
            let error = address(&[part]).unwrap_err().to_string();
            let expected = format!("{}: given beside a DATABASE_URL", part.0);
            assert!(error.starts_with(&expected), "{error}");
        }
        // A keyword of both: the whole address, as in the environment.
        let both = [("database_url", url.1), ("pg_host", "elsewhere")];
        assert!(matches!(
            address(&both).unwrap().address,
            PostgresAddress::Url(_)
        ));
        assert!(
            address(&[("pg_password", "new")])
                .unwrap()
                .is_password_given
        );
    }

    #[test]
    fn a_variable_that_is_nearly_a_setting_is_told_apart_from_others() {
        let names = [
            "QBO_CLIENTID",
            "PG_PASSWD",
            "QBO_REALM_ID",
            "QBO_POSTGRES_BIN",
            "QBO_COLOUR_OF_THE_OFFICE",
            "PGHOST",
            "HOME",
        ];
        let found = Settings::misspelled(names.map(str::to_owned));
        let expected = [
            ("QBO_CLIENTID", "QBO_CLIENT_ID"),
            ("PG_PASSWD", "PG_PASSWORD"),
        ];
        assert_eq!(
            found,
            expected.map(|(name, meant)| (name.to_owned(), meant))
        );
    }

    #[test]
    fn no_secret_is_shown() {
        let shown = format!(
            "{:?} {:?}",
            settings(&CONNECTION),
            settings(&CONNECTION).qbo().unwrap()
        );
        assert!(!shown.contains("hush"), "{shown}");
    }

    #[test]
    fn credentials_in_a_url_are_refused_and_not_shown() {
        for name in [
            "QBO_API_URL",
            "QBO_TOKEN_URL",
            "QBO_AUTHORIZE_URL",
            "QBO_REVOKE_URL",
        ] {
            for url in [
                "https://anna:hush@quickbooks.api.intuit.com",
                "http://hush@example.org/path",
                "http://:hush@127.0.0.1:1/",
                "http://anna:hu/sh@127.0.0.1:1",
                "anna:hush@example.org",
                "//anna:hush@example.org",
                "https://anna:hush@",
            ] {
                let mut all = settings(&CONNECTION);
                all.set(name, url).unwrap();
                let error = all.qbo().unwrap_err();
                let shown = format!("{error} {error:?}");
                assert!(shown.starts_with(&format!("{name}: ")), "{shown}");
                assert!(!shown.contains("sh@") && !shown.contains("anna"), "{shown}");
            }
        }
    }

    #[test]
    fn a_query_or_a_fragment_in_a_url_is_refused_and_not_shown() {
        for name in [
            "QBO_API_URL",
            "QBO_TOKEN_URL",
            "QBO_AUTHORIZE_URL",
            "QBO_REVOKE_URL",
        ] {
            for url in [
                "http://127.0.0.1:1/?key=hush",
                "https://example.org/path?",
                "https://example.org/#hush",
                "https://example.org#",
            ] {
                let mut all = settings(&CONNECTION);
                all.set(name, url).unwrap();
                let error = all.qbo().unwrap_err().to_string();
                assert!(
                    error.starts_with(&format!("{name}: has a query")),
                    "{error}"
                );
                assert!(!error.contains("hush"), "{error}");
            }
        }
    }

    #[test]
    fn a_database_is_a_url_or_its_parts() {
        assert!(
            settings(&[])
                .postgres()
                .unwrap_err()
                .to_string()
                .starts_with("PG_HOST: not set")
        );
        let error = settings(&[("PG_HOST", "h")])
            .postgres()
            .unwrap_err()
            .to_string();
        assert_eq!(error, "PG_DB, PG_USER: not set");
        assert!(
            settings(&[("DATABASE_URL", "postgresql://u@h/d")])
                .postgres()
                .is_ok()
        );
    }
}
