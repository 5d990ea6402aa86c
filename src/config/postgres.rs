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
    /// Address and credentials.
    pub address: PostgresAddress,
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
        /// Password; `None` if the server trusts the user.
        password: Option<Secret>,
    },
}

impl Settings {
    /// Returns the checked Postgres settings. Opens no connection.
    ///
    /// # Errors
    /// As for [`Self::qbo`].
    pub fn postgres(&self) -> Result<PostgresConfig> {
        let config = |address| {
            Ok(PostgresConfig {
                address,
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
            return config(PostgresAddress::Url(Secret::new(url)));
        }
        if self.get("PG_HOST").is_none() {
            return Err(Error::config(
                "PG_HOST",
                "not set, nor is DATABASE_URL: no database to load into",
            ));
        }
        self.require(&["PG_DB", "PG_USER"])?;
        let address = PostgresAddress::Parts {
            host: self.text("PG_HOST"),
            port: self.number("PG_PORT")?,
            database: self.text("PG_DB"),
            user: self.text("PG_USER"),
            password: self.get("PG_PASSWORD").map(Secret::new),
        };
        config(address)
    }
}
