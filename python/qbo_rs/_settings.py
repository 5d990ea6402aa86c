"""Settings as keywords."""

from typing import TypedDict


class Settings(TypedDict, total=False):
    """Every setting of the environment as a keyword; each goes before its variable, which is named beside it."""

    client_id: str  # QBO_CLIENT_ID
    client_secret: str  # QBO_CLIENT_SECRET
    refresh_token: str  # QBO_REFRESH_TOKEN
    realm_id: str  # QBO_REALM_ID
    environment: str  # QBO_ENVIRONMENT
    api_url: str  # QBO_API_URL
    token_url: str  # QBO_TOKEN_URL
    token_store: str  # QBO_TOKEN_STORE
    token_key: str  # QBO_TOKEN_KEY
    new_token_key: str  # QBO_NEW_TOKEN_KEY
    new_client_secret: str  # QBO_NEW_CLIENT_SECRET
    authorize_url: str  # QBO_AUTHORIZE_URL
    revoke_url: str  # QBO_REVOKE_URL
    requests_per_minute: int  # QBO_REQUESTS_PER_MINUTE
    requests_per_second: int  # QBO_REQUESTS_PER_SECOND
    max_in_flight: int  # QBO_MAX_IN_FLIGHT
    timeout_s: float  # QBO_TIMEOUT_S
    throttle_wait_s: float  # QBO_THROTTLE_WAIT_S
    retry_for_s: float  # QBO_RETRY_FOR_S
    max_requests: int  # QBO_MAX_REQUESTS
    monthly_quota: int  # QBO_MONTHLY_QUOTA
    lag_s: float  # QBO_LAG_S
    database_url: str  # DATABASE_URL
    pg_host: str  # PG_HOST
    pg_port: int  # PG_PORT
    pg_db: str  # PG_DB
    pg_user: str  # PG_USER
    pg_password: str  # PG_PASSWORD
    pg_sslmode: str  # PG_SSLMODE
    pg_sslrootcert: str  # PG_SSLROOTCERT
    pg_lock_timeout_s: float  # PG_LOCK_TIMEOUT_S
    pg_statement_timeout_s: float  # PG_STATEMENT_TIMEOUT_S
    max_attempts: int  # QBO_MAX_ATTEMPTS
    api_key: str  # QBO_API_KEY
    webhook_verifier_token: str  # QBO_WEBHOOK_VERIFIER_TOKEN
    landing_dir: str  # QBO_LANDING_DIR
