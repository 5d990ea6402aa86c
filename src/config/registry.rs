//! The registry of settings.

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

const fn setting(
    name: &'static str,
    default: Option<&'static str>,
    help: &'static str,
) -> SettingSpec {
    SettingSpec {
        name,
        default,
        is_secret: false,
        help,
    }
}

const fn secret(name: &'static str, help: &'static str) -> SettingSpec {
    SettingSpec {
        name,
        default: None,
        is_secret: true,
        help,
    }
}

/// Every setting. Flags, Python keywords and the table in `docs/settings.md` follow from it.
pub const SETTINGS: &[SettingSpec] = &[
    setting("QBO_CLIENT_ID", None, "Client id of the Intuit app"),
    secret("QBO_CLIENT_SECRET", "Client secret of the Intuit app"),
    secret(
        "QBO_REFRESH_TOKEN",
        "Refresh token of the connection; a newer one in the token store takes precedence",
    ),
    setting("QBO_REALM_ID", None, "Company id"),
    setting(
        "QBO_ENVIRONMENT",
        Some("production"),
        "Intuit host to call: sandbox or production",
    ),
    setting(
        "QBO_API_URL",
        None,
        "Base URL of the API, instead of Intuit's host",
    ),
    setting(
        "QBO_TOKEN_URL",
        None,
        "Full URL of the token endpoint, instead of Intuit's",
    ),
    setting(
        "QBO_TOKEN_STORE",
        None,
        "Place where rotated tokens are kept, encrypted: a file, or 'postgres'",
    ),
    secret(
        "QBO_TOKEN_KEY",
        "Key of the token store, 32 bytes in base64; default: derived from the client secret",
    ),
    secret(
        "QBO_NEW_TOKEN_KEY",
        "New key of the token store, for `qbo-rs auth rekey`",
    ),
    secret(
        "QBO_NEW_CLIENT_SECRET",
        "New client secret of the Intuit app, for `qbo-rs auth rekey`",
    ),
    setting(
        "QBO_AUTHORIZE_URL",
        None,
        "Full URL of the consent page, instead of Intuit's",
    ),
    setting(
        "QBO_REVOKE_URL",
        None,
        "Full URL of the revocation endpoint, instead of Intuit's",
    ),
    setting(
        "QBO_REQUESTS_PER_MINUTE",
        Some("500"),
        "Maximum requests per minute; 0: no limit",
    ),
    setting(
        "QBO_REQUESTS_PER_SECOND",
        Some("10"),
        "Maximum requests per second; 0: no limit",
    ),
    setting(
        "QBO_MAX_IN_FLIGHT",
        Some("10"),
        "Maximum concurrent requests; 0: no limit",
    ),
    setting(
        "QBO_TIMEOUT_S",
        Some("120"),
        "Time-out of one request, in seconds",
    ),
    setting(
        "QBO_THROTTLE_WAIT_S",
        Some("60"),
        "Seconds to wait after a 429 response that names no time",
    ),
    setting(
        "QBO_RETRY_FOR_S",
        Some("600"),
        "Maximum seconds to retry a request, and to wait for an API that does not respond",
    ),
    setting(
        "QBO_MAX_REQUESTS",
        Some("0"),
        "Maximum data requests of one call, after which it stops; 0: no limit",
    ),
    setting(
        "QBO_MONTHLY_QUOTA",
        Some("500000"),
        "Reads per month; a warning is logged at 80 % of them; 0: no warning",
    ),
    setting(
        "QBO_LAG_S",
        Some("30"),
        "Seconds before the server's current time at which a read ends",
    ),
    secret(
        "DATABASE_URL",
        "Postgres, as postgresql://user:password@host:port/db; takes precedence over PG_*",
    ),
    setting(
        "PG_HOST",
        None,
        "Host of Postgres, or directory of its socket",
    ),
    setting("PG_PORT", Some("5432"), "Port of Postgres"),
    setting("PG_DB", None, "Database name"),
    setting("PG_USER", None, "Database user"),
    secret("PG_PASSWORD", "Password of the database user"),
    setting(
        "PG_SSLMODE",
        Some("prefer"),
        "TLS to Postgres: disable, prefer, require, verify-ca or verify-full",
    ),
    setting(
        "PG_SSLROOTCERT",
        None,
        "File of the authorities that verify-ca and verify-full trust; default: the system's",
    ),
    setting(
        "PG_LOCK_TIMEOUT_S",
        Some("60"),
        "Seconds that a statement waits for a lock; 0: no limit",
    ),
    setting(
        "PG_STATEMENT_TIMEOUT_S",
        Some("0"),
        "Seconds that a statement may take; 0: no limit",
    ),
    setting(
        "QBO_MAX_ATTEMPTS",
        Some("5"),
        "Maximum attempts of a window that end with its process killed; 0: no limit",
    ),
    secret(
        "QBO_API_KEY",
        "Key that callers of `qbo-rs serve` must send",
    ),
    secret(
        "QBO_WEBHOOK_VERIFIER_TOKEN",
        "Key that verifies the signatures of webhooks, from the Intuit app",
    ),
    setting(
        "QBO_LANDING_DIR",
        Some("landing"),
        "Directory of landing files",
    ),
];

/// What `QBO_*` becomes as a Python keyword or a flag: its prefix is dropped.
impl SettingSpec {
    /// The Python keyword: `QBO_CLIENT_ID` is `client_id`, `PG_HOST` is `pg_host`.
    pub fn keyword(&self) -> String {
        self.name
            .strip_prefix("QBO_")
            .unwrap_or(self.name)
            .to_ascii_lowercase()
    }
}
