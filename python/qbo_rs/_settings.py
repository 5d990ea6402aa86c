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
    """Refresh token of the connection; a newer one in the token store takes precedence.

    Default: none. Variable: ``QBO_REFRESH_TOKEN``.

    It fills an empty token store. With a store that has a token it may be left out.
    """

    realm_id: str
    """Company id.

    Default: none. Variable: ``QBO_REALM_ID``.

    QuickBooks calls it the realm id, and shows it as a company's id in its settings.
    """

    environment: Environment
    """Intuit host to call: sandbox or production.

    Default: production. Variable: ``QBO_ENVIRONMENT``.
    """

    api_url: str
    """Base URL of the API, instead of Intuit's host.

    Default: none. Variable: ``QBO_API_URL``.
    """

    token_url: str
    """Full URL of the token endpoint, instead of Intuit's.

    Default: none. Variable: ``QBO_TOKEN_URL``.
    """

    token_store: str
    """Place where rotated tokens are kept, encrypted: a file, or 'postgres'.

    Default: none. Variable: ``QBO_TOKEN_STORE``.
    """

    token_key: str
    """Key of the token store, 32 bytes in base64.

    Default: derived from the client secret. Variable: ``QBO_TOKEN_KEY``.
    """

    new_token_key: str
    """New key of the token store, for ``qbo-rs auth rekey``.

    Default: none. Variable: ``QBO_NEW_TOKEN_KEY``.

    Used by the command only.
    """

    new_client_secret: str
    """New client secret of the Intuit app, for ``qbo-rs auth rekey``.

    Default: none. Variable: ``QBO_NEW_CLIENT_SECRET``.

    Used by the command only.
    """

    authorize_url: str
    """Full URL of the consent page, instead of Intuit's.

    Default: none. Variable: ``QBO_AUTHORIZE_URL``.
    """

    revoke_url: str
    """Full URL of the revocation endpoint, instead of Intuit's.

    Default: none. Variable: ``QBO_REVOKE_URL``.
    """

    requests_per_minute: int
    """Maximum requests per minute; 0: no limit.

    Default: 500. Variable: ``QBO_REQUESTS_PER_MINUTE``.
    """

    requests_per_second: int
    """Maximum requests per second; 0: no limit.

    Default: 10. Variable: ``QBO_REQUESTS_PER_SECOND``.
    """

    max_in_flight: int
    """Maximum concurrent requests; 0: no limit.

    Default: 10. Variable: ``QBO_MAX_IN_FLIGHT``.
    """

    timeout_s: float
    """Time-out of one request, in seconds.

    Default: 120. Variable: ``QBO_TIMEOUT_S``.
    """

    throttle_wait_s: float
    """Seconds to wait after a 429 response that names no time.

    Default: 60. Variable: ``QBO_THROTTLE_WAIT_S``.
    """

    retry_for_s: float
    """Maximum seconds to retry a request, and to wait for an API that does not respond.

    Default: 600. Variable: ``QBO_RETRY_FOR_S``.
    """

    max_requests: int
    """Maximum data requests of one call, after which it stops; 0: no limit.

    Default: 0. Variable: ``QBO_MAX_REQUESTS``.

    Committed windows stay; see :class:`~qbo_rs.RequestCapError`.
    """

    monthly_quota: int
    """Reads per month; a warning is logged at 80 % of them; 0: no warning.

    Default: 500000. Variable: ``QBO_MONTHLY_QUOTA``.
    """

    lag_s: float
    """Seconds before the server's current time at which a read ends.

    Default: 30. Variable: ``QBO_LAG_S``.

    QuickBooks shows fresh changes late. A report says with ``read_until`` where a read ended.
    """

    database_url: str
    """Postgres, as postgresql://user:password@host:port/db; takes precedence over PG_*.

    Default: none. Variable: ``DATABASE_URL``.
    """

    pg_host: str
    """Host of Postgres, or directory of its socket.

    Default: none. Variable: ``PG_HOST``.
    """

    pg_port: int
    """Port of Postgres.

    Default: 5432. Variable: ``PG_PORT``.
    """

    pg_db: str
    """Database name.

    Default: none. Variable: ``PG_DB``.
    """

    pg_user: str
    """Database user.

    Default: none. Variable: ``PG_USER``.
    """

    pg_password: str
    """Password of the database user.

    Default: none. Variable: ``PG_PASSWORD``.
    """

    pg_sslmode: SslMode
    """TLS to Postgres: disable, prefer, require, verify-ca or verify-full.

    Default: prefer. Variable: ``PG_SSLMODE``.

    The words are libpq's; ``allow`` means ``prefer``.
    """

    pg_sslrootcert: str
    """File of the authorities that verify-ca and verify-full trust.

    Default: the system's. Variable: ``PG_SSLROOTCERT``.
    """

    pg_lock_timeout_s: float
    """Seconds that a statement waits for a lock; 0: no limit.

    Default: 60. Variable: ``PG_LOCK_TIMEOUT_S``.
    """

    pg_statement_timeout_s: float
    """Seconds that a statement may take; 0: no limit.

    Default: 0. Variable: ``PG_STATEMENT_TIMEOUT_S``.
    """

    max_attempts: int
    """Maximum attempts of a window that end with its process killed; 0: no limit.

    Default: 5. Variable: ``QBO_MAX_ATTEMPTS``.

    A window that reaches it is reported as failed, so that it cannot block the others.
    """

    api_key: str
    """Key that callers of ``qbo-rs serve`` must send.

    Default: none. Variable: ``QBO_API_KEY``.

    Used by the command only.
    """

    webhook_verifier_token: str
    """Key that verifies the signatures of webhooks, from the Intuit app.

    Default: none. Variable: ``QBO_WEBHOOK_VERIFIER_TOKEN``.

    Used by the command only.
    """

    landing_dir: str
    """Directory of landing files.

    Default: landing. Variable: ``QBO_LANDING_DIR``.
    """
