-- Connections to companies. What is secret is sealed (AES-256-GCM); what people and monitors look at is not secret.
CREATE TABLE IF NOT EXISTS qbo.accounts (
    realm_id                     text PRIMARY KEY,
    -- active, or needs_reauth: a person must connect the company again.
    state                        text NOT NULL CHECK (state IN ('active', 'needs_reauth')),
    -- Why it needs that.
    reason                       text,
    sealed_tokens                text NOT NULL,
    access_token_expires_at_utc  timestamptz,
    refresh_token_expires_at_utc timestamptz,
    connection_expires_at_utc    timestamptz,
    refreshed_at_utc             timestamptz,
    -- Set while a refresh is under way; what stays behind is one that was cut off.
    refresh_begun_at_utc         timestamptz,
    changed_at_utc               timestamptz NOT NULL DEFAULT now()
);
-- What all processes that read a company share: the pace of requests, those in flight, the circuit breaker, the month's
-- reads. One row a company and app.
CREATE TABLE IF NOT EXISTS qbo.admission (
    key            text PRIMARY KEY,
    state          jsonb NOT NULL,
    changed_at_utc timestamptz NOT NULL DEFAULT now()
);
