//! QuickBooks settings: app, company, tokens, limits.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use reqwest::Url;
use ring::digest::{SHA256, digest};

use super::Settings;
use super::directories::Directories;
use crate::domain::{Mask, is_realm_id};
use crate::error::{Error, Result};
use crate::http::{RetryPolicy, Timeouts, check_proxy};
use crate::port::Secret;
use crate::quickbooks::Limits;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Timeout for the next part of an answer that has begun.
const READ_TIMEOUT: Duration = Duration::from_secs(30);

/// The application's keys and the connection's first refresh token.
#[derive(Debug, Clone)]
pub struct Credentials {
    /// `QBO_CLIENT_ID`.
    pub client_id: String,
    /// `QBO_CLIENT_SECRET`.
    pub client_secret: Secret,
    /// `QBO_REFRESH_TOKEN`, which seeds the store; a stored token takes precedence.
    pub refresh_token: Option<Secret>,
    /// `QBO_APP_ID`, for the address at which a company is connected again.
    pub app_id: Option<String>,
}

/// Storage of rotated tokens. There is always one: a rotated token that is not stored ends the
/// connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoreLocation {
    /// In an encrypted file.
    File(PathBuf),
    /// In the database of the Postgres settings.
    Postgres,
}

/// A file for tokens that the token store cannot take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RescueFile {
    /// The file; its directory may not exist yet.
    pub path: PathBuf,
    /// Other users might have made its directory, so that it must be looked at before it is used.
    pub is_in_shared_place: bool,
}

/// OAuth settings of the app, the same for every company: keys, endpoints, storage.
#[derive(Debug, Clone)]
pub struct OAuthConfig {
    /// Token endpoint.
    pub token_url: Url,
    /// Consent page.
    pub authorize_url: Url,
    /// Revocation endpoint.
    pub revoke_url: Url,
    /// Client id, client secret and initial refresh token.
    pub credentials: Credentials,
    /// Storage of rotated tokens.
    pub token_store: StoreLocation,
    /// Files for tokens that the storage cannot take, the first choice first.
    pub rescue_files: Vec<RescueFile>,
    /// The file that is the storage where no other is configured, if it is not the storage now.
    pub unused_token_file: Option<PathBuf>,
    /// Key of the token store; `None` derives it from the client secret.
    pub token_key: Option<Secret>,
    /// Timeouts.
    pub timeouts: Timeouts,
    /// Retries.
    pub retry: RetryPolicy,
}

/// Checked QuickBooks settings for one company.
#[derive(Debug, Clone)]
pub struct QboConfig {
    /// Base URL of the API.
    pub api_url: Url,
    /// Id of the company.
    pub realm_id: String,
    /// App, tokens, timeouts, retries.
    pub oauth: OAuthConfig,
    /// Rate limits.
    pub limits: Limits,
    /// True if `QBO_ENVIRONMENT` is `production`.
    pub is_production: bool,
    /// Maximum data requests per call (0 = unlimited).
    pub max_requests: u64,
    /// Monthly quota of reads, for warnings (0 = no warning).
    pub monthly_quota: u64,
    /// Maximum reads of a month, of all companies (0 = unlimited).
    pub max_monthly_reads: u64,
    /// Distance that reads keep from the server's current time, since fresh writes can become
    /// visible late (qbo-facts 3.9).
    pub lag: TimeDelta,
    /// Properties that are never stored.
    pub mask: Arc<Mask>,
}

impl Settings {
    /// Returns true if anything says which app this is.
    pub(crate) fn has_app(&self) -> bool {
        ["QBO_CLIENT_ID", "QBO_CLIENT_SECRET"]
            .iter()
            .any(|name| self.get(name).is_some())
    }

    /// Returns true if tokens are kept in the user's file only because neither a token store nor a
    /// database is configured.
    #[cfg(feature = "cli")]
    pub(crate) fn keeps_tokens_by_default(&self) -> bool {
        self.get("QBO_TOKEN_STORE").is_none() && !self.has_database()
    }

    /// Returns the checked settings of the app and its tokens.
    ///
    /// # Errors
    /// As for [`Self::qbo`].
    pub fn oauth(&self) -> Result<OAuthConfig> {
        self.require(&["QBO_CLIENT_ID", "QBO_CLIENT_SECRET"])?;
        let token_store = self.token_store()?;
        let request = self.request_timeout()?;
        let token_url = self.url(
            "QBO_TOKEN_URL",
            "https://oauth.platform.intuit.com/oauth2/v1/tokens/bearer",
        )?;
        check_proxy(&token_url)?;
        Ok(OAuthConfig {
            token_url,
            authorize_url: self.url(
                "QBO_AUTHORIZE_URL",
                "https://appcenter.intuit.com/connect/oauth2",
            )?,
            revoke_url: self.url(
                "QBO_REVOKE_URL",
                "https://developer.api.intuit.com/v2/oauth2/tokens/revoke",
            )?,
            credentials: Credentials {
                client_id: self.text("QBO_CLIENT_ID"),
                client_secret: Secret::new(self.text("QBO_CLIENT_SECRET")),
                refresh_token: self.get("QBO_REFRESH_TOKEN").map(Secret::new),
                app_id: self.get("QBO_APP_ID").map(str::to_owned),
            },
            rescue_files: self.rescue_files(&token_store),
            unused_token_file: self
                .default_token_file()
                .filter(|file| token_store != StoreLocation::File(file.clone())),
            token_store,
            token_key: self.get("QBO_TOKEN_KEY").map(Secret::new),
            timeouts: Timeouts {
                connect: CONNECT_TIMEOUT,
                read: READ_TIMEOUT.min(request),
                request,
                max_answer: self.max_answer()?,
            },
            retry: RetryPolicy {
                throttle_wait: self.seconds("QBO_THROTTLE_WAIT_S")?,
                max_elapsed: self.seconds("QBO_RETRY_FOR_S")?,
                max_throttled: self.seconds("QBO_RETRY_FOR_S")?,
                ..RetryPolicy::default()
            },
        })
    }

    /// Returns the largest answer with data in bytes.
    fn max_answer(&self) -> Result<usize> {
        const NAME: &str = "QBO_MAX_ANSWER_MB";
        let reason = |number: u16| format!("'{number}' leaves no room for an answer");
        match self.number::<u16>(NAME)? {
            0 => Err(Error::config(NAME, reason(0))),
            megabytes => Ok(usize::from(megabytes) << 20),
        }
    }

    /// Returns the token store that every verb uses: the one of `QBO_TOKEN_STORE`; else the database
    /// that is configured; else a file in the user's state directory.
    fn token_store(&self) -> Result<StoreLocation> {
        match self.get("QBO_TOKEN_STORE") {
            Some("postgres") => return Ok(StoreLocation::Postgres),
            Some(path) => return Ok(StoreLocation::File(PathBuf::from(path))),
            None if self.has_database() => return Ok(StoreLocation::Postgres),
            None => {}
        }
        let file = self.default_token_file().ok_or_else(|| {
            Error::config(
                "QBO_TOKEN_STORE",
                "not set, and there is neither a database nor a home directory (HOME, XDG_STATE_HOME) in which rotated \
                 tokens could be kept; name a file, or 'postgres'",
            )
        })?;
        Ok(StoreLocation::File(file))
    }

    /// Returns the token store of a user without a database.
    fn default_token_file(&self) -> Option<PathBuf> {
        Some(self.directories.state.as_ref()?.join("tokens.json"))
    }

    /// Returns true if a token file is in the place that is taken where no other is named.
    pub(crate) fn is_default_token_file(&self, path: &Path) -> bool {
        self.default_token_file().is_some_and(|file| file == path)
    }

    /// Returns the files for tokens that the token store cannot take. Each store has its own. There are
    /// several, since the same disk may be full.
    fn rescue_files(&self, token_store: &StoreLocation) -> Vec<RescueFile> {
        let place = match token_store {
            StoreLocation::File(path) => path.display().to_string(),
            StoreLocation::Postgres => match self.get("DATABASE_URL") {
                // Without user and password.
                Some(url) => url.rsplit('@').next().unwrap_or_default().to_owned(),
                None => ["PG_HOST", "PG_PORT", "PG_DB"]
                    .map(|name| self.text(name))
                    .join(" "),
            },
        };
        let name = format!("{place}\n{}", self.text("QBO_TOKEN_URL"));
        let hash = digest(&SHA256, name.as_bytes());
        let hash: String = hash
            .as_ref()
            .iter()
            .take(8)
            .map(|byte| format!("{byte:02x}"))
            .collect();
        let name = format!("rescued-tokens-{hash}.json");
        let file = |directory: &PathBuf, is_in_shared_place| RescueFile {
            path: directory.join(&name),
            is_in_shared_place,
        };
        let Directories {
            state,
            runtime,
            temporary,
        } = &self.directories;
        let own = state.iter().map(|directory| file(directory, false));
        let shared = runtime.iter().chain(temporary);
        own.chain(shared.map(|directory| file(directory, true)))
            .collect()
    }

    /// Returns the checked QuickBooks settings.
    ///
    /// # Errors
    /// [`Error::Config`] that names all missing settings at once, or the first invalid one.
    pub fn qbo(&self) -> Result<QboConfig> {
        // The token store may hold a refresh token.
        self.require(&["QBO_CLIENT_ID", "QBO_CLIENT_SECRET", "QBO_REALM_ID"])?;
        self.qbo_of(&self.realm_id()?.unwrap_or_default())
    }

    /// Returns the checked settings like [`Self::qbo`]. The `realm_id` is empty if only
    /// `QBO_REALM_ID` is not set.
    ///
    /// # Errors
    /// Returns the same errors as [`Self::qbo`].
    pub fn qbo_of_any(&self) -> Result<QboConfig> {
        let has_keys = ["QBO_CLIENT_ID", "QBO_CLIENT_SECRET"]
            .iter()
            .all(|name| self.get(name).is_some());
        match self.realm_id()? {
            None if has_keys => self.qbo_app(),
            _ => self.qbo(),
        }
    }

    /// Returns the settings of the app alone: those that hold for every company.
    ///
    /// The `realm_id` is empty.
    ///
    /// # Errors
    /// Returns the same errors as [`Self::qbo`].
    pub fn qbo_app(&self) -> Result<QboConfig> {
        self.qbo_of("")
    }

    /// Returns the settings for any company, like [`Self::qbo`] but without a company id or a
    /// refresh token.
    ///
    /// # Errors
    /// As for [`Self::qbo`].
    pub fn qbo_of(&self, realm_id: &str) -> Result<QboConfig> {
        let host = match self.is_production()? {
            true => "https://quickbooks.api.intuit.com",
            false => "https://sandbox-quickbooks.api.intuit.com",
        };
        let api_url = self.url("QBO_API_URL", host)?;
        check_proxy(&api_url)?;
        Ok(QboConfig {
            api_url,
            realm_id: realm_id.to_owned(),
            oauth: self.oauth()?,
            limits: self.limits()?,
            is_production: self.is_production()?,
            max_requests: self.max_requests()?,
            monthly_quota: self.monthly_quota()?,
            max_monthly_reads: self.number("QBO_MAX_MONTHLY_READS")?,
            lag: TimeDelta::from_std(self.seconds("QBO_LAG_S")?).unwrap_or_default(),
            mask: self.mask()?,
        })
    }

    fn is_production(&self) -> Result<bool> {
        match self.text("QBO_ENVIRONMENT").to_ascii_lowercase().as_str() {
            "production" => Ok(true),
            "sandbox" => Ok(false),
            other => Err(Error::config(
                "QBO_ENVIRONMENT",
                format!("'{other}' is neither sandbox nor production"),
            )),
        }
    }

    /// Returns the limits of requests, which need no credentials.
    ///
    /// # Errors
    /// [`Error::Config`] with the setting that is not a number.
    pub fn limits(&self) -> Result<Limits> {
        let per_minute = self.number("QBO_REQUESTS_PER_MINUTE")?;
        Ok(Limits {
            per_minute,
            per_second: self.number("QBO_REQUESTS_PER_SECOND")?,
            in_flight: self.number("QBO_MAX_IN_FLIGHT")?,
            // There is no setting for it; without a limit per minute, batches have none either.
            batches_per_minute: Limits::default().batches_per_minute.min(per_minute),
        })
    }

    /// Returns the maximum number of data requests of a call; 0 means no limit.
    ///
    /// # Errors
    /// [`Error::Config`] if it is not a number.
    pub fn max_requests(&self) -> Result<u64> {
        self.number("QBO_MAX_REQUESTS")
    }

    /// Returns the reads a month that the app is granted; 0 if they are not metered, as in Intuit's
    /// own sandboxes (qbo-facts 6.2).
    ///
    /// # Errors
    /// [`Error::Config`] with the setting that is wrong.
    pub fn monthly_quota(&self) -> Result<u64> {
        match self.is_production()? {
            true => self.number("QBO_MONTHLY_QUOTA"),
            false => Ok(0),
        }
    }

    /// Returns `QBO_REALM_ID`, checked, since it becomes part of URLs and directory names.
    ///
    /// # Errors
    /// [`Error::Config`] if it has invalid characters.
    pub fn realm_id(&self) -> Result<Option<String>> {
        let Some(realm_id) = self.get("QBO_REALM_ID") else {
            return Ok(None);
        };
        if !is_realm_id(realm_id) {
            return Err(Error::config(
                "QBO_REALM_ID",
                format!(
                    "'{realm_id}' is not a company id, which is digits; correct or unset QBO_REALM_ID"
                ),
            ));
        }
        Ok(Some(realm_id.to_owned()))
    }
}
