//! The registry of settings.

/// One setting.
#[derive(Debug, Clone, Copy)]
pub struct SettingSpec {
    /// The environment variable.
    pub name: &'static str,
    /// The default value.
    pub default: Option<&'static str>,
    /// True for secrets: they are never shown and have no flag.
    pub is_secret: bool,
    /// One line of help.
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
        "Initial refresh token. A newer token in the token store takes precedence; not required \
         once one is stored",
    ),
    setting(
        "QBO_REALM_ID",
        None,
        "Id of the company; default: the only one in the token store",
    ),
    setting(
        "QBO_APP_ID",
        None,
        "App id of the Intuit app, which is not the client id; completes the address at which a \
         company is connected again",
    ),
    setting(
        "QBO_ENVIRONMENT",
        Some("production"),
        "Intuit's API host: `sandbox` or `production`",
    ),
    setting(
        "QBO_API_URL",
        None,
        "Base URL of the API; replaces Intuit's host",
    ),
    setting(
        "QBO_TOKEN_URL",
        None,
        "Full URL of the token endpoint; replaces Intuit's",
    ),
    setting(
        "QBO_TOKEN_STORE",
        None,
        "Place of the rotated tokens, encrypted (AES-256-GCM): a file path, or `postgres`; default: \
         the database if one is configured, else `qbo_rs/tokens.json` in the user's state directory",
    ),
    secret(
        "QBO_TOKEN_KEY",
        "Key of the token store: 32 bytes in base64. If it is not set, the key is derived from \
         the client secret",
    ),
    secret(
        "QBO_NEW_TOKEN_KEY",
        "New key of the token store, for `qbo-rs auth rekey`",
    ),
    secret(
        "QBO_NEW_CLIENT_SECRET",
        "New client secret of the app, for `qbo-rs auth rekey`",
    ),
    setting(
        "QBO_AUTHORIZE_URL",
        None,
        "Full URL of the consent page; replaces Intuit's",
    ),
    setting(
        "QBO_REVOKE_URL",
        None,
        "Full URL of the revocation endpoint; replaces Intuit's",
    ),
    setting(
        "QBO_REQUESTS_PER_MINUTE",
        Some("500"),
        "Maximum requests per minute (0 = unlimited)",
    ),
    setting(
        "QBO_REQUESTS_PER_SECOND",
        Some("10"),
        "Maximum requests per second (0 = unlimited)",
    ),
    setting(
        "QBO_MAX_IN_FLIGHT",
        Some("10"),
        "Maximum concurrent requests (0 = unlimited)",
    ),
    setting(
        "QBO_TIMEOUT_S",
        Some("120"),
        "Timeout of one request, in seconds",
    ),
    setting(
        "QBO_MAX_ANSWER_MB",
        Some("64"),
        "Largest answer that is read, unpacked, in MB; a larger page is asked for in smaller ones",
    ),
    setting(
        "QBO_THROTTLE_WAIT_S",
        Some("60"),
        "Seconds to wait after a 429 without a `Retry-After` header",
    ),
    setting(
        "QBO_RETRY_FOR_S",
        Some("600"),
        "Seconds for which a failing request is retried, five times at most, and for which a run waits for an API \
         that does not answer",
    ),
    setting(
        "QBO_MAX_REQUESTS",
        Some("0"),
        "Maximum data requests per call; the call stops when it is reached (0 = unlimited)",
    ),
    setting(
        "QBO_MONTHLY_QUOTA",
        Some("500000"),
        "Monthly quota of reads; a warning is logged from 80 % of it (0 = no warning)",
    ),
    setting(
        "QBO_MAX_MONTHLY_READS",
        Some("0"),
        "Maximum reads in a month (UTC) of all companies and processes that share the token store and have \
         this maximum; further requests are not sent (0 = unlimited)",
    ),
    setting(
        "QBO_LAG_S",
        Some("30"),
        "Seconds before the server's current time at which a read ends",
    ),
    secret(
        "DATABASE_URL",
        "Postgres URL, `postgresql://user:password@host:port/db`; takes precedence over `PG_*` of the environment",
    ),
    setting(
        "PG_HOST",
        None,
        "Postgres host, or the directory of its Unix socket",
    ),
    setting("PG_PORT", Some("5432"), "Postgres port"),
    setting("PG_DB", None, "Postgres database"),
    setting("PG_USER", None, "Postgres user"),
    secret(
        "PG_PASSWORD",
        "Postgres password, also for a `DATABASE_URL` that has none",
    ),
    setting(
        "PG_SSLMODE",
        Some("prefer"),
        "TLS to Postgres: `disable`, `prefer`, `require`, `verify-ca` or `verify-full`",
    ),
    setting(
        "PG_SSLROOTCERT",
        None,
        "File of certificate authorities for `verify-ca` and `verify-full`; default: the system's",
    ),
    setting(
        "PG_LOCK_TIMEOUT_S",
        Some("60"),
        "Seconds that a statement which loads waits for a lock (0 = unlimited)",
    ),
    setting(
        "PG_STATEMENT_TIMEOUT_S",
        Some("0"),
        "Seconds that a statement may take (0 = unlimited)",
    ),
    setting(
        "QBO_MAX_ATTEMPTS",
        Some("5"),
        "Maximum attempts of a window that crash the process, after which it is skipped (0 = \
         unlimited)",
    ),
    secret(
        "QBO_API_KEY",
        "API key that callers of `qbo-rs serve` must send as a bearer token",
    ),
    secret(
        "QBO_WEBHOOK_VERIFIER_TOKEN",
        "Verifier token of the Intuit app; signs its webhooks",
    ),
    secret(
        "QBO_ALERT_SLACK_URL",
        "Incoming webhook of Slack that is told of alerts",
    ),
    secret(
        "QBO_ALERT_WEBHOOK_URL",
        "URL that is told of alerts as plain JSON",
    ),
    secret(
        "QBO_ALERT_SMTP_URL",
        "Mail server that sends alerts: `smtps://user:password@host:465`, or \
         `smtp://user:password@host:587?tls=required`",
    ),
    setting("QBO_ALERT_MAIL_FROM", None, "Sender of alerts by e-mail"),
    setting(
        "QBO_ALERT_MAIL_TO",
        None,
        "Receivers of alerts by e-mail, separated by commas",
    ),
    setting(
        "QBO_ALERT_STALE_S",
        Some("7200"),
        "Seconds without a successful sync after which a company is stale (0 = never)",
    ),
    setting(
        "QBO_LANDING_DIR",
        Some("landing"),
        "Directory of landing files",
    ),
    setting(
        "QBO_MASK",
        None,
        "Properties that are never stored, separated by commas: `Employee.SSN` is removed, \
         `Vendor.TaxIdentifier:hash` replaced by a keyed hash",
    ),
    secret(
        "QBO_MASK_KEY",
        "Key of the hashes of `QBO_MASK`, at least 32 characters",
    ),
];

impl SettingSpec {
    /// Returns the Python keyword: `client_id` for `QBO_CLIENT_ID`, `pg_host` for `PG_HOST`.
    pub fn keyword(&self) -> String {
        self.name
            .strip_prefix("QBO_")
            .unwrap_or(self.name)
            .to_ascii_lowercase()
    }
}
