//! Postgres settings.

use std::path::PathBuf;
use std::time::Duration;

use super::Settings;
use crate::error::{Error, Result};
use crate::port::Secret;

/// TLS mode of the connection to Postgres, with the meaning and the names of libpq's `sslmode`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SslMode {
    /// No TLS.
    Disable,
    /// TLS if the server supports it; the certificate is not checked.
    Prefer,
    /// TLS; the certificate is not checked.
    Require,
    /// TLS; the certificate must be issued by a trusted authority, for any host.
    VerifyCa,
    /// TLS; the certificate must be issued by a trusted authority for this host.
    VerifyFull,
}

impl SslMode {
    /// Parses a libpq `sslmode`. `setting` is the setting to name in an error.
    ///
    /// # Errors
    /// [`Error::Config`] that lists the valid values.
    pub fn parse(setting: &str, text: &str) -> Result<Self> {
        Ok(match text.to_ascii_lowercase().as_str() {
            "disable" => Self::Disable,
            "prefer" | "allow" => Self::Prefer,
            "require" => Self::Require,
            "verify-ca" => Self::VerifyCa,
            "verify-full" => Self::VerifyFull,
            other => {
                let reason = format!(
                    "'{other}' is not one of disable, prefer, require, verify-ca, verify-full"
                );
                return Err(Error::config(setting, reason));
            }
        })
    }
}

/// Checked Postgres settings.
#[derive(Debug, Clone)]
pub struct PostgresConfig {
    /// Address.
    pub address: PostgresAddress,
    /// `PG_PASSWORD`; `None` if the server trusts the user, or the URL has the password.
    pub password: Option<Secret>,
    /// The password goes before that of a URL, since a keyword names it.
    pub is_password_given: bool,
    /// TLS mode.
    pub ssl_mode: SslMode,
    /// File of the authorities to trust instead of the system's.
    pub ca_file: Option<PathBuf>,
    /// Timeouts of statements.
    pub limits: TransactionLimits,
    /// Maximum number of times that a window may crash the process (0 = unlimited).
    pub max_attempts: u32,
}

/// Timeouts within the transactions that load; zero means unlimited.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TransactionLimits {
    /// Maximum wait for a lock.
    pub lock_timeout: Duration,
    /// Maximum duration of a statement.
    pub statement_timeout: Duration,
}

/// Address of the database: a URL, or its parts.
#[derive(Debug, Clone)]
pub enum PostgresAddress {
    /// `DATABASE_URL`.
    Url(Secret),
    /// `PG_HOST` and the others.
    Parts {
        /// Host, or directory of the Unix socket.
        host: String,
        /// Port.
        port: u16,
        /// Database.
        database: String,
        /// User.
        user: String,
    },
}

/// The settings that name a database in parts.
const PARTS: [&str; 4] = ["PG_HOST", "PG_PORT", "PG_DB", "PG_USER"];

impl Settings {
    /// Returns those of the parts of an address that are set and not read, because `DATABASE_URL` is set.
    pub(crate) fn unread_parts(&self) -> Vec<&'static str> {
        match self.get("DATABASE_URL") {
            Some(_) => self
                .set_names()
                .filter(|name| PARTS.contains(name))
                .collect(),
            None => Vec::new(),
        }
    }

    /// Returns true if a database is named, whether or not its settings are complete.
    pub(crate) fn has_database(&self) -> bool {
        self.get("DATABASE_URL").is_some() || self.get("PG_HOST").is_some()
    }

    /// Returns the checked Postgres settings. Opens no connection.
    ///
    /// # Errors
    /// As for [`Self::qbo`].
    pub fn postgres(&self) -> Result<PostgresConfig> {
        let config = |address| {
            Ok(PostgresConfig {
                address,
                password: self.get("PG_PASSWORD").map(Secret::new),
                is_password_given: self.is_given("PG_PASSWORD"),
                ssl_mode: SslMode::parse("PG_SSLMODE", &self.text("PG_SSLMODE"))?,
                ca_file: self.get("PG_SSLROOTCERT").map(PathBuf::from),
                limits: TransactionLimits {
                    lock_timeout: self.seconds("PG_LOCK_TIMEOUT_S")?,
                    statement_timeout: self.seconds("PG_STATEMENT_TIMEOUT_S")?,
                },
                max_attempts: self.number("QBO_MAX_ATTEMPTS")?,
            })
        };
        if let Some(url) = self.get("DATABASE_URL") {
            self.refuse_given_parts()?;
            return config(PostgresAddress::Url(Secret::new(url)));
        }
        if self.get("PG_HOST").is_none() {
            return Err(Error::config(
                "PG_HOST",
                "not set, nor is DATABASE_URL: no database; write DATABASE_URL=postgresql://user:password@host/database",
            ));
        }
        self.require(&["PG_DB", "PG_USER"])?;
        let address = PostgresAddress::Parts {
            host: self.text("PG_HOST"),
            port: self.number("PG_PORT")?,
            database: self.text("PG_DB"),
            user: self.text("PG_USER"),
        };
        self.refuse_urls_in_parts()?;
        config(address)
    }

    /// Refuses a part of an address that is named for this call beside a whole address of the environment,
    /// which would be loaded into instead.
    fn refuse_given_parts(&self) -> Result<()> {
        let part = PARTS.into_iter().find(|name| self.is_given(name));
        match part.filter(|_| !self.is_given("DATABASE_URL")) {
            None => Ok(()),
            Some(part) => Err(Error::config(
                part,
                "given beside a DATABASE_URL in the environment, which names the whole address; give PG_HOST, PG_DB and \
                 PG_USER together (--pg-host, --pg-db, --pg-user), and DATABASE_URL is not read",
            )),
        }
    }

    /// Refuses a part that holds more than its own value, without quoting it: a URL or a user with
    /// the password would be shown in messages.
    fn refuse_urls_in_parts(&self) -> Result<()> {
        let holds = |name, signs: &[&str]| {
            let text = self.text(name);
            signs.iter().any(|sign| text.contains(sign))
        };
        let (setting, what) = if holds("PG_HOST", &["://", "@", "=", " "]) {
            (
                "PG_HOST",
                "more than the name of a host; a whole URL belongs into DATABASE_URL",
            )
        } else if holds("PG_HOST", &[":"]) && !is_ip_address(&self.text("PG_HOST")) {
            (
                "PG_HOST",
                "more than the name of a host; the port belongs into PG_PORT",
            )
        } else if holds("PG_DB", &["://", "password="]) {
            (
                "PG_DB",
                "more than the name of a database; a whole URL belongs into DATABASE_URL",
            )
        } else if self.get("PG_PASSWORD").is_none() && holds("PG_USER", &[":"]) {
            (
                "PG_USER",
                "more than the name of a user; the password belongs into PG_PASSWORD",
            )
        } else {
            return Ok(());
        };
        Err(Error::config(setting, format!("holds {what}")))
    }
}

fn is_ip_address(text: &str) -> bool {
    text.parse::<std::net::IpAddr>().is_ok()
}
