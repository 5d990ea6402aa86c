"""Settings as keywords of the verbs."""

from typing import Literal, TypedDict

Environment = Literal["sandbox", "production"]
SslMode = Literal["disable", "allow", "prefer", "require", "verify-ca", "verify-full"]


class Settings(TypedDict, total=False):
    """Every setting as a keyword; a keyword takes precedence over its environment variable.

    Durations are seconds, 0 to 86 400, and may have a fraction. A keyword that is ``None`` counts as not given.

    Example:
        >>> import qbo_rs
        >>> settings: qbo_rs.Settings = {"realm_id": "9341452", "pg_host": "localhost", "timeout_s": 30}

    """

    client_id: str
    """Client id of the Intuit app.

    Default: none. Variable: ``QBO_CLIENT_ID``.
    """

    client_secret: str
    """Client secret of the Intuit app.

    Default: none. Variable: ``QBO_CLIENT_SECRET``.
    """

    refresh_token: str
    """Initial refresh token. A newer token in the token store takes precedence; not required once one is stored.

    Default: none. Variable: ``QBO_REFRESH_TOKEN``.
    """

    realm_id: str
    """Id of the company.

    Default: the only one in the token store. Variable: ``QBO_REALM_ID``.

    QuickBooks calls it the realm id.
    """

    app_id: str
    """App id of the Intuit app, which is not the client id; completes the address at which a company is connected
    again.

    Default: none. Variable: ``QBO_APP_ID``.
    """

    environment: Environment
    """Intuit's API host: ``sandbox`` or ``production``.

    Default: production. Variable: ``QBO_ENVIRONMENT``.
    """

    api_url: str
    """Base URL of the API; replaces Intuit's host.

    Default: none. Variable: ``QBO_API_URL``.
    """

    token_url: str
    """Full URL of the token endpoint; replaces Intuit's.

    Default: none. Variable: ``QBO_TOKEN_URL``.
    """

    token_store: str
    """Place of the rotated tokens, encrypted (AES-256-GCM): a file path, or ``postgres``.

    Default: the database if one is configured, else ``qbo_rs/tokens.json`` in the user's state directory. Variable:
    ``QBO_TOKEN_STORE``.
    """

    token_key: str
    """Key of the token store: 32 bytes in base64. If it is not set, the key is derived from the client secret.

    Default: none. Variable: ``QBO_TOKEN_KEY``.
    """

    new_token_key: str
    """New key of the token store, for ``qbo-rs auth rekey``.

    Default: none. Variable: ``QBO_NEW_TOKEN_KEY``.

    Used by the command only.
    """

    new_client_secret: str
    """New client secret of the app, for ``qbo-rs auth rekey``.

    Default: none. Variable: ``QBO_NEW_CLIENT_SECRET``.

    Used by the command only.
    """

    authorize_url: str
    """Full URL of the consent page; replaces Intuit's.

    Default: none. Variable: ``QBO_AUTHORIZE_URL``.
    """

    revoke_url: str
    """Full URL of the revocation endpoint; replaces Intuit's.

    Default: none. Variable: ``QBO_REVOKE_URL``.
    """

    requests_per_minute: int
    """Maximum requests per minute (0 = unlimited).

    Default: 500. Variable: ``QBO_REQUESTS_PER_MINUTE``.
    """

    requests_per_second: int
    """Maximum requests per second (0 = unlimited).

    Default: 10. Variable: ``QBO_REQUESTS_PER_SECOND``.
    """

    max_in_flight: int
    """Maximum concurrent requests (0 = unlimited).

    Default: 10. Variable: ``QBO_MAX_IN_FLIGHT``.
    """

    timeout_s: float
    """Timeout of one request, in seconds.

    Default: 120. Variable: ``QBO_TIMEOUT_S``.
    """

    max_answer_mb: int
    """Largest answer that is read, unpacked, in MB; a larger page is asked for in smaller ones.

    Default: 64. Variable: ``QBO_MAX_ANSWER_MB``.
    """

    throttle_wait_s: float
    """Seconds to wait after a 429 without a ``Retry-After`` header.

    Default: 60. Variable: ``QBO_THROTTLE_WAIT_S``.
    """

    retry_for_s: float
    """Seconds for which a failing request is retried, five times at most, and for which a run waits for an API that
    does not answer.

    Default: 600. Variable: ``QBO_RETRY_FOR_S``.
    """

    max_requests: int
    """Maximum data requests per call; the call stops when it is reached (0 = unlimited).

    Default: 0. Variable: ``QBO_MAX_REQUESTS``.

    Committed windows stay; see :class:`~qbo_rs.RequestCapError`.
    """

    monthly_quota: int
    """Monthly quota of reads; a warning is logged from 80 % of it (0 = no warning).

    Default: 500000. Variable: ``QBO_MONTHLY_QUOTA``.
    """

    max_monthly_reads: int
    """Maximum reads in a month (UTC) of all companies and processes that share the token store and have this maximum;
    further requests are not sent (0 = unlimited).

    Default: 0. Variable: ``QBO_MAX_MONTHLY_READS``.
    """

    lag_s: float
    """Seconds before the server's current time at which a read ends.

    Default: 30. Variable: ``QBO_LAG_S``.

    QuickBooks shows fresh changes late. A report says with ``read_until`` where a read ended.
    """

    database_url: str
    """Postgres URL, ``postgresql://user:password@host:port/db``; takes precedence over ``PG_*`` of the environment.

    Default: none. Variable: ``DATABASE_URL``.
    """

    pg_host: str
    """Postgres host, or the directory of its Unix socket.

    Default: none. Variable: ``PG_HOST``.
    """

    pg_port: int
    """Postgres port.

    Default: 5432. Variable: ``PG_PORT``.
    """

    pg_db: str
    """Postgres database.

    Default: none. Variable: ``PG_DB``.
    """

    pg_user: str
    """Postgres user.

    Default: none. Variable: ``PG_USER``.
    """

    pg_password: str
    """Postgres password, also for a ``DATABASE_URL`` that has none.

    Default: none. Variable: ``PG_PASSWORD``.
    """

    pg_sslmode: SslMode
    """TLS to Postgres: ``disable``, ``prefer``, ``require``, ``verify-ca`` or ``verify-full``.

    Default: prefer. Variable: ``PG_SSLMODE``.

    The words are libpq's; ``allow`` means ``prefer``.
    """

    pg_sslrootcert: str
    """File of certificate authorities for ``verify-ca`` and ``verify-full``.

    Default: the system's. Variable: ``PG_SSLROOTCERT``.
    """

    pg_lock_timeout_s: float
    """Seconds that a statement which loads waits for a lock (0 = unlimited).

    Default: 60. Variable: ``PG_LOCK_TIMEOUT_S``.
    """

    pg_statement_timeout_s: float
    """Seconds that a statement may take (0 = unlimited).

    Default: 0. Variable: ``PG_STATEMENT_TIMEOUT_S``.
    """

    max_attempts: int
    """Maximum attempts of a window that crash the process, after which it is skipped (0 = unlimited).

    Default: 5. Variable: ``QBO_MAX_ATTEMPTS``.

    Such a window is reported as failed, so that it cannot block the others.
    """

    api_key: str
    """API key that callers of ``qbo-rs serve`` must send as a bearer token.

    Default: none. Variable: ``QBO_API_KEY``.

    Used by the command only.
    """

    webhook_verifier_token: str
    """Verifier token of the Intuit app; signs its webhooks.

    Default: none. Variable: ``QBO_WEBHOOK_VERIFIER_TOKEN``.

    Used by the command only.
    """

    alert_slack_url: str
    """Incoming webhook of Slack that is told of alerts.

    Default: none. Variable: ``QBO_ALERT_SLACK_URL``.

    Used by the command only.
    """

    alert_webhook_url: str
    """URL that is told of alerts as plain JSON.

    Default: none. Variable: ``QBO_ALERT_WEBHOOK_URL``.

    Used by the command only.
    """

    alert_smtp_url: str
    """Mail server that sends alerts: ``smtps://user:password@host:465``, or
    ``smtp://user:password@host:587?tls=required``.

    Default: none. Variable: ``QBO_ALERT_SMTP_URL``.

    Used by the command only.
    """

    alert_mail_from: str
    """Sender of alerts by e-mail.

    Default: none. Variable: ``QBO_ALERT_MAIL_FROM``.

    Used by the command only.
    """

    alert_mail_to: str
    """Receivers of alerts by e-mail, separated by commas.

    Default: none. Variable: ``QBO_ALERT_MAIL_TO``.

    Used by the command only.
    """

    alert_stale_s: float
    """Seconds without a successful sync after which a company is stale (0 = never).

    Default: 7200. Variable: ``QBO_ALERT_STALE_S``.

    Used by the command only.
    """

    landing_dir: str
    """Directory of landing files.

    Default: landing. Variable: ``QBO_LANDING_DIR``.
    """

    mask: str
    """Properties that are never stored, separated by commas: ``Employee.SSN`` is removed, ``Vendor.TaxIdentifier:hash``
    replaced by a keyed hash.

    Default: none. Variable: ``QBO_MASK``.
    """

    mask_key: str
    """Key of the hashes of ``QBO_MASK``, at least 32 characters.

    Default: none. Variable: ``QBO_MASK_KEY``.
    """
