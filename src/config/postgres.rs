//! Settings of the Postgres side.

use std::path::PathBuf;
use std::time::Duration;

use super::Settings;
use crate::error::{Error, Result};
use crate::port::Secret;

/// How the connection to Postgres is protected, in libpq's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SslMode {
    /// No TLS.
    Disable,
    /// TLS if the server has it; certificates are not checked.
    Prefer,
    /// TLS; certificates are not checked.
    Require,
    /// TLS; the certificate must be by an authority that is trusted, for whatever host.
    VerifyCa,
    /// As `VerifyCa`, and for this host.
    VerifyFull,
}

impl SslMode {
    /// Reads libpq's word for it. `setting` is where the word stands.
    ///
    /// # Errors
    /// [`Error::Config`] with the words there are.
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

/// How to reach Postgres.
#[derive(Debug, Clone)]
pub struct PostgresConfig {
    /// Where it is.
    pub address: PostgresAddress,
    /// TLS.
    pub ssl_mode: SslMode,
    /// Authorities to trust instead of the system's.
    pub ca_file: Option<PathBuf>,
    /// How long statements may take.
    pub limits: TransactionLimits,
    /// Attempts of a window that may end without a word; 0: any number.
    pub max_attempts: u32,
}

/// How long statements may take, in the transactions that load; zero: as long as they like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TransactionLimits {
    /// Waiting for a lock.
    pub lock_timeout: Duration,
    /// A whole statement.
    pub statement_timeout: Duration,
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
    /// The settings of the Postgres side, checked. Nothing is connected to.
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
