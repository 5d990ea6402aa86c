-- What was started, and what became of it. A run that was killed stays 'running'.
CREATE TABLE IF NOT EXISTS qbo.runs (
    run_id          text PRIMARY KEY,
    schema_name     text NOT NULL,
    realm_id        text NOT NULL,
    entity          text NOT NULL,
    range_start_utc timestamptz NOT NULL,
    range_end_utc   timestamptz NOT NULL,
    status          text NOT NULL CHECK (status IN ('running', 'ok', 'partial', 'failed')),
    started_at_utc  timestamptz NOT NULL DEFAULT now(),
    finished_at_utc timestamptz,
    windows         bigint NOT NULL DEFAULT 0,
    failed_windows  bigint NOT NULL DEFAULT 0,
    pages           bigint NOT NULL DEFAULT 0,
    rows            bigint NOT NULL DEFAULT 0,
    inserted        bigint NOT NULL DEFAULT 0,
    updated         bigint NOT NULL DEFAULT 0,
    unchanged       bigint NOT NULL DEFAULT 0,
    rejected        bigint NOT NULL DEFAULT 0,
    requests        bigint NOT NULL DEFAULT 0,
    retries         bigint NOT NULL DEFAULT 0,
    duration_ms     bigint NOT NULL DEFAULT 0,
    -- The first failure.
    error           text
);
CREATE INDEX IF NOT EXISTS runs_by_start ON qbo.runs (schema_name, entity, started_at_utc);
-- A window now has a row from its first attempt on. It covers its time once committed_at_utc is set, whatever a later
-- attempt comes to: what was committed stays.
ALTER TABLE qbo.windows
    ALTER COLUMN committed_at_utc DROP NOT NULL,
    ALTER COLUMN committed_at_utc DROP DEFAULT,
    -- Of the last attempt: running (or killed), done, failed, or stuck: killed its process too often.
    ADD COLUMN IF NOT EXISTS status text NOT NULL DEFAULT 'done' CHECK (status IN ('running', 'done', 'failed', 'stuck')),
    -- Attempts in a row that did not end.
    ADD COLUMN IF NOT EXISTS attempts int NOT NULL DEFAULT 1,
    ADD COLUMN IF NOT EXISTS error text,
    ADD COLUMN IF NOT EXISTS started_at_utc timestamptz,
    -- Of payloads.
    ADD COLUMN IF NOT EXISTS bytes bigint NOT NULL DEFAULT 0,
    -- Waiting for pages, and storing them.
    ADD COLUMN IF NOT EXISTS extract_ms bigint NOT NULL DEFAULT 0,
    ADD COLUMN IF NOT EXISTS load_ms bigint NOT NULL DEFAULT 0,
    ALTER COLUMN pages SET DEFAULT 0,
    ALTER COLUMN rows SET DEFAULT 0,
    ALTER COLUMN inserted SET DEFAULT 0,
    ALTER COLUMN updated SET DEFAULT 0,
    ALTER COLUMN unchanged SET DEFAULT 0,
    ALTER COLUMN rejected SET DEFAULT 0,
    ALTER COLUMN requests SET DEFAULT 0,
    ALTER COLUMN retries SET DEFAULT 0;
