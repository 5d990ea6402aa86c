//! Settings: one registry, read from the environment and overridden by keywords or flags.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use chrono::TimeDelta;
use reqwest::Url;

use crate::error::{Error, Result};
use crate::http::{Limits, RetryPolicy, Timeouts};
use crate::port::Secret;

/// One setting.
#[derive(Debug, Clone, Copy)]
pub struct SettingSpec {
    /// The environment variable.
    pub name: &'static str,
    /// What it is when nobody sets it.
    pub default: Option<&'static str>,
    /// Never shown, and no flag of the command line.
    pub is_secret: bool,
    /// One line for people.
    pub help: &'static str,
}

const fn setting(name: &'static str, default: Option<&'static str>, help: &'static str) -> SettingSpec {
    SettingSpec { name, default, is_secret: false, help }
}

const fn secret(name: &'static str, help: &'static str) -> SettingSpec {
    SettingSpec { name, default: None, is_secret: true, help }
}

/// Every setting. Flags, Python keywords and the table of the README follow from it.
pub const SETTINGS: &[SettingSpec] = &[
    setting("QBO_CLIENT_ID", None, "Client id of the Intuit app"),
    secret("QBO_CLIENT_SECRET", "Client secret of the Intuit app"),
    secret("QBO_REFRESH_TOKEN", "Refresh token of the connection; a stored newer one goes first"),
    setting("QBO_REALM_ID", None, "Company id"),
    setting("QBO_ENVIRONMENT", Some("production"), "Which of Intuit's hosts: sandbox or production"),
    setting("QBO_API_URL", None, "Base URL of the API, instead of Intuit's host"),
    setting("QBO_TOKEN_URL", None, "Full URL of the token endpoint, instead of Intuit's"),
    setting("QBO_TOKEN_STORE", None, "Where rotated tokens are kept, encrypted: a file, or 'postgres'"),
    secret("QBO_TOKEN_KEY", "Key of the token store, 32 bytes in base64; default: derived from the client secret"),
    secret("QBO_NEW_TOKEN_KEY", "The new key, for `qbo-rs auth rekey`"),
    secret("QBO_NEW_CLIENT_SECRET", "The app's new client secret, for `qbo-rs auth rekey`"),
    setting("QBO_AUTHORIZE_URL", None, "Full URL of the consent page, instead of Intuit's"),
    setting("QBO_REVOKE_URL", None, "Full URL of the revocation endpoint, instead of Intuit's"),
    setting("QBO_REQUESTS_PER_MINUTE", Some("500"), "Most requests a minute; 0: no limit"),
    setting("QBO_REQUESTS_PER_SECOND", Some("10"), "Most requests a second; 0: no limit"),
    setting("QBO_MAX_IN_FLIGHT", Some("10"), "Most requests at a time; 0: no limit"),
    setting("QBO_TIMEOUT_S", Some("120"), "Seconds that one request may take"),
    setting("QBO_THROTTLE_WAIT_S", Some("60"), "Seconds to wait after a 429 that names no time"),
    setting("QBO_MAX_REQUESTS", Some("0"), "Most data requests of one call, after which it stops; 0: no cap"),
    setting("QBO_MONTHLY_QUOTA", Some("500000"), "Reads a month that are warned about at 80 %; 0: no warning"),
    setting("QBO_LAG_S", Some("30"), "Seconds before the server's present at which a read ends"),
    secret("DATABASE_URL", "Postgres, as postgresql://user:password@host:port/db; goes before PG_*"),
    setting("PG_HOST", None, "Host of Postgres, or directory of its socket"),
    setting("PG_PORT", Some("5432"), "Port of Postgres"),
    setting("PG_DB", None, "Database"),
    setting("PG_USER", None, "User"),
    secret("PG_PASSWORD", "Password"),
    setting("PG_SSLMODE", Some("prefer"), "TLS to Postgres: disable, prefer, require or verify-full"),
    setting("QBO_LANDING_DIR", Some("landing"), "Directory of landing files"),
];

/// What `QBO_*` becomes as a Python keyword or a flag: its prefix is dropped.
impl SettingSpec {
    /// The Python keyword: `QBO_CLIENT_ID` is `client_id`, `PG_HOST` is `pg_host`.
    pub fn keyword(&self) -> String {
        self.name.strip_prefix("QBO_").unwrap_or(self.name).to_ascii_lowercase()
    }
}

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// For the next part of an answer that has begun.
const READ_TIMEOUT: Duration = Duration::from_secs(30);

/// Values of settings, still text.
#[derive(Clone, Default)]
pub struct Settings(BTreeMap<&'static str, String>);

/// Names only: values may be secret.
impl std::fmt::Debug for Settings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

/// The application's keys and the connection's first refresh token.
#[derive(Debug, Clone)]
pub struct Credentials {
    /// `QBO_CLIENT_ID`.
    pub client_id: String,
    /// `QBO_CLIENT_SECRET`.
    pub client_secret: Secret,
    /// `QBO_REFRESH_TOKEN`: seeds the store, which is asked first.
    pub refresh_token: Option<Secret>,
}

/// Where rotated tokens are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TokenHome {
    /// Nowhere: as long as the process lives.
    Memory,
    /// In a file.
    File(PathBuf),
    /// In the database that the other settings name.
    Postgres,
}

/// The app and its endpoints at Intuit: what OAuth takes, whatever the company.
#[derive(Debug, Clone)]
pub struct OAuthConfig {
    /// Token endpoint.
    pub token_url: Url,
    /// Consent page.
    pub authorize_url: Url,
    /// Revocation endpoint.
    pub revoke_url: Url,
    /// Keys and first refresh token.
    pub credentials: Credentials,
    /// Where rotated tokens are kept.
    pub token_home: TokenHome,
    /// Their key, if not derived.
    pub token_key: Option<Secret>,
    /// Time-outs.
    pub timeouts: Timeouts,
    /// Retries.
    pub retry: RetryPolicy,
}

/// How to reach one QBO company.
#[derive(Debug, Clone)]
pub struct QboConfig {
    /// Base URL of the API.
    pub api_url: Url,
    /// Company.
    pub realm_id: String,
    /// App, tokens, time-outs, retries.
    pub oauth: OAuthConfig,
    /// Limits to keep.
    pub limits: Limits,
    /// Most requests of a call; 0: no cap.
    pub max_requests: u64,
    /// Reads a month that are warned about; 0: none.
    pub monthly_quota: u64,
    /// How far reads stay away from the server's present: fresh writes can become visible late (qbo-facts 3.9).
    pub lag: TimeDelta,
}

/// How the connection to Postgres is protected, in libpq's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SslMode {
    /// No TLS.
    Disable,
    /// TLS if the server has it; certificates are not checked.
    Prefer,
    /// TLS; certificates are not checked.
    Require,
    /// TLS; the certificate must be the host's, by the system's authorities.
    VerifyFull,
}

/// How to reach Postgres.
#[derive(Debug, Clone)]
pub struct PostgresConfig {
    /// Where it is.
    pub address: PostgresAddress,
    /// TLS.
    pub ssl_mode: SslMode,
}

/// A URL, or its parts.
#[derive(Debug, Clone)]
pub enum PostgresAddress {
    /// `DATABASE_URL`.
    Url(Secret),
    /// `PG_HOST` and the others.
    Parts {
        /// Host, or directory of the socket.
        host: String,
        /// Port.
        port: u16,
        /// Database.
        database: String,
        /// User.
        user: String,
        /// Password; none where the server trusts the user.
        password: Option<Secret>,
    },
}

impl Settings {
    /// Reads every setting through `lookup`, usually the environment. Empty values count as unset.
    pub fn from_lookup(lookup: impl Fn(&str) -> Option<String>) -> Self {
        let found = SETTINGS.iter().filter_map(|spec| Some((spec.name, non_empty(&lookup(spec.name)?)?)));
        Self(found.collect())
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
            .ok_or_else(|| Error::config(name, "no such setting"))?;
        match non_empty(value) {
            Some(value) => self.0.insert(spec.name, value),
            None => self.0.remove(spec.name),
        };
        Ok(())
    }

    /// The settings of the app and its tokens, checked.
    ///
    /// # Errors
    /// As for [`Self::qbo`].
    pub fn oauth(&self) -> Result<OAuthConfig> {
        self.require(&["QBO_CLIENT_ID", "QBO_CLIENT_SECRET"])?;
        let token_home = match self.get("QBO_TOKEN_STORE") {
            None => TokenHome::Memory,
            Some("postgres") => TokenHome::Postgres,
            Some(path) => TokenHome::File(PathBuf::from(path)),
        };
        let request = self.request_timeout()?;
        Ok(OAuthConfig {
            token_url: self.url("QBO_TOKEN_URL", "https://oauth.platform.intuit.com/oauth2/v1/tokens/bearer")?,
            authorize_url: self.url("QBO_AUTHORIZE_URL", "https://appcenter.intuit.com/connect/oauth2")?,
            revoke_url: self.url("QBO_REVOKE_URL", "https://developer.api.intuit.com/v2/oauth2/tokens/revoke")?,
            credentials: Credentials {
                client_id: self.text("QBO_CLIENT_ID"),
                client_secret: Secret::new(self.text("QBO_CLIENT_SECRET")),
                refresh_token: self.get("QBO_REFRESH_TOKEN").map(Secret::new),
            },
            token_home,
            token_key: self.get("QBO_TOKEN_KEY").map(Secret::new),
            timeouts: Timeouts { connect: CONNECT_TIMEOUT, read: READ_TIMEOUT.min(request), request },
            retry: RetryPolicy { throttle_wait: self.seconds("QBO_THROTTLE_WAIT_S")?, ..RetryPolicy::default() },
        })
    }

    /// The settings of the QBO side, checked.
    ///
    /// # Errors
    /// [`Error::Config`] that names what is missing, all of it at once, or what cannot be used.
    pub fn qbo(&self) -> Result<QboConfig> {
        let mut required = vec!["QBO_CLIENT_ID", "QBO_CLIENT_SECRET", "QBO_REFRESH_TOKEN", "QBO_REALM_ID"];
        // A store may hold a token of its own.
        required.retain(|name| *name != "QBO_REFRESH_TOKEN" || self.get("QBO_TOKEN_STORE").is_none());
        self.require(&required)?;
        self.qbo_of(&self.realm_id()?.unwrap_or_default())
    }

    /// As [`Self::qbo`], for a company that need not be set, and without a token of its own.
    ///
    /// # Errors
    /// As for [`Self::qbo`].
    pub fn qbo_of(&self, realm_id: &str) -> Result<QboConfig> {
        let (host, is_metered) = match self.text("QBO_ENVIRONMENT").to_ascii_lowercase().as_str() {
            "production" => ("https://quickbooks.api.intuit.com", true),
            // Intuit's own sandboxes are free (qbo-facts 6.2).
            "sandbox" => ("https://sandbox-quickbooks.api.intuit.com", false),
            other => {
                return Err(Error::config("QBO_ENVIRONMENT", format!("'{other}' is neither sandbox nor production")));
            }
        };
        let per_minute = self.number("QBO_REQUESTS_PER_MINUTE")?;
        Ok(QboConfig {
            api_url: self.url("QBO_API_URL", host)?,
            realm_id: realm_id.to_owned(),
            oauth: self.oauth()?,
            limits: Limits {
                per_minute,
                per_second: self.number("QBO_REQUESTS_PER_SECOND")?,
                in_flight: self.number("QBO_MAX_IN_FLIGHT")?,
                // It has no setting of its own: who has no limit a minute has none of batches.
                batches_per_minute: Limits::default().batches_per_minute.min(per_minute),
            },
            max_requests: self.number("QBO_MAX_REQUESTS")?,
            monthly_quota: if is_metered { self.number("QBO_MONTHLY_QUOTA")? } else { 0 },
            lag: TimeDelta::from_std(self.seconds("QBO_LAG_S")?).unwrap_or_default(),
        })
    }

    /// `QBO_REALM_ID`, checked: it becomes part of URLs and of the names of landing directories.
    ///
    /// # Errors
    /// [`Error::Config`] if it cannot be one.
    pub fn realm_id(&self) -> Result<Option<String>> {
        let Some(realm_id) = self.get("QBO_REALM_ID") else { return Ok(None) };
        if !realm_id.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_')) {
            return Err(Error::config("QBO_REALM_ID", format!("'{realm_id}' is not a company id")));
        }
        Ok(Some(realm_id.to_owned()))
    }

    /// The settings of the Postgres side, checked. Nothing is connected to.
    ///
    /// # Errors
    /// As for [`Self::qbo`].
    pub fn postgres(&self) -> Result<PostgresConfig> {
        let ssl_mode = match self.text("PG_SSLMODE").to_ascii_lowercase().as_str() {
            "disable" => SslMode::Disable,
            "prefer" => SslMode::Prefer,
            "require" => SslMode::Require,
            "verify-full" => SslMode::VerifyFull,
            other => {
                let reason = format!("'{other}' is not one of disable, prefer, require, verify-full");
                return Err(Error::config("PG_SSLMODE", reason));
            }
        };
        if let Some(url) = self.get("DATABASE_URL") {
            return Ok(PostgresConfig { address: PostgresAddress::Url(Secret::new(url)), ssl_mode });
        }
        if self.get("PG_HOST").is_none() {
            return Err(Error::config("PG_HOST", "not set, nor is DATABASE_URL: no database to load into"));
        }
        self.require(&["PG_DB", "PG_USER"])?;
        let address = PostgresAddress::Parts {
            host: self.text("PG_HOST"),
            port: self.number("PG_PORT")?,
            database: self.text("PG_DB"),
            user: self.text("PG_USER"),
            password: self.get("PG_PASSWORD").map(Secret::new),
        };
        Ok(PostgresConfig { address, ssl_mode })
    }

    /// A secret, if it is set.
    pub fn secret(&self, name: &'static str) -> Option<Secret> {
        self.get(name).map(Secret::new)
    }

    /// `QBO_LANDING_DIR`.
    pub fn landing_dir(&self) -> PathBuf {
        PathBuf::from(self.text("QBO_LANDING_DIR"))
    }

    fn get(&self, name: &'static str) -> Option<&str> {
        let default = || SETTINGS.iter().find(|spec| spec.name == name).and_then(|spec| spec.default);
        self.0.get(name).map(String::as_str).or_else(default)
    }

    fn text(&self, name: &'static str) -> String {
        self.get(name).unwrap_or_default().to_owned()
    }

    fn require(&self, names: &[&'static str]) -> Result<()> {
        let missing: Vec<_> = names.iter().copied().filter(|name| self.get(name).is_none()).collect();
        if missing.is_empty() { Ok(()) } else { Err(Error::config(missing.join(", "), "not set")) }
    }

    fn url(&self, name: &'static str, default: &str) -> Result<Url> {
        let text = self.get(name).unwrap_or(default);
        match Url::parse(text) {
            // Whoever meant Intuit did not mean to send tokens to it in clear.
            Ok(url) if url.scheme() == "http" && url.host_str().is_some_and(|host| host.ends_with("intuit.com")) => {
                Err(Error::config(name, format!("'{text}' would send tokens unencrypted; write https")))
            }
            Ok(url) if matches!(url.scheme(), "http" | "https") && url.has_host() => Ok(url),
            _ => Err(Error::config(name, format!("'{text}' is not an http or https URL"))),
        }
    }

    fn number<N: FromStr>(&self, name: &'static str) -> Result<N> {
        let text = self.text(name);
        text.parse().map_err(|_| Error::config(name, format!("'{text}' is not a whole number in range")))
    }

    fn request_timeout(&self) -> Result<Duration> {
        match self.seconds("QBO_TIMEOUT_S")? {
            Duration::ZERO => Err(Error::config("QBO_TIMEOUT_S", "'0' leaves no time for a request")),
            timeout => Ok(timeout),
        }
    }

    fn seconds(&self, name: &'static str) -> Result<Duration> {
        let text = self.text(name);
        let seconds = text.parse().ok().filter(|s: &f64| *s >= 0.0 && *s <= 86_400.0);
        seconds
            .map(Duration::from_secs_f64)
            .ok_or_else(|| Error::config(name, format!("'{text}' is not a number of seconds")))
    }
}

fn non_empty(value: &str) -> Option<String> {
    let trimmed = value.trim();
    (!trimmed.is_empty()).then(|| trimmed.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(pairs: &[(&str, &str)]) -> Settings {
        Settings::from_lookup(|name| pairs.iter().find(|(n, _)| *n == name).map(|(_, v)| (*v).to_owned()))
    }

    const CONNECTION: [(&str, &str); 4] =
        [("QBO_CLIENT_ID", "id"), ("QBO_CLIENT_SECRET", "hush"), ("QBO_REFRESH_TOKEN", "hush"), ("QBO_REALM_ID", "9")];

    #[test]
    fn everything_missing_is_named_at_once() {
        let error = settings(&[("QBO_CLIENT_ID", "id"), ("QBO_REALM_ID", " ")]).qbo().unwrap_err();
        assert_eq!(error.to_string(), "QBO_CLIENT_SECRET, QBO_REFRESH_TOKEN, QBO_REALM_ID: not set");
    }

    #[test]
    fn defaults_are_intuits() {
        let config = settings(&CONNECTION).qbo().unwrap();
        assert_eq!(config.api_url.as_str(), "https://quickbooks.api.intuit.com/");
        assert_eq!(config.limits, Limits::default());
        assert_eq!(config.oauth.retry.throttle_wait, Duration::from_secs(60));
    }

    #[test]
    fn unusable_values_are_named_with_their_setting() {
        for (name, value) in [
            ("QBO_ENVIRONMENT", "prod"),
            ("QBO_API_URL", "ftp://x"),
            ("QBO_API_URL", "http://quickbooks.api.intuit.com"),
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
    fn keywords_override_the_environment() {
        let mut all = settings(&CONNECTION);
        all.set("realm_id", "10").unwrap();
        assert_eq!(all.qbo().unwrap().realm_id, "10");
        assert!(all.set("realmid", "10").is_err());
    }

    #[test]
    fn no_secret_is_shown() {
        let shown = format!("{:?} {:?}", settings(&CONNECTION), settings(&CONNECTION).qbo().unwrap());
        assert!(!shown.contains("hush"), "{shown}");
    }

    #[test]
    fn a_database_is_a_url_or_its_parts() {
        assert!(settings(&[]).postgres().unwrap_err().to_string().starts_with("PG_HOST: not set"));
        let error = settings(&[("PG_HOST", "h")]).postgres().unwrap_err().to_string();
        assert_eq!(error, "PG_DB, PG_USER: not set");
        assert!(settings(&[("DATABASE_URL", "postgresql://u@h/d")]).postgres().is_ok());
    }
}
