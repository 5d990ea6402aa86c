-- What `qbo-rs serve` was asked to do. Whoever works on a job says so now and then; one that falls silent is taken over.
CREATE TABLE IF NOT EXISTS qbo.jobs (
    job_id           text PRIMARY KEY,
    idempotency_key  text UNIQUE,
    request          jsonb NOT NULL,
    status           text NOT NULL DEFAULT 'queued'
        CHECK (status IN ('queued', 'running', 'done', 'failed', 'cancelled')),
    attempts         int NOT NULL DEFAULT 0,
    cancel_requested boolean NOT NULL DEFAULT false,
    created_at_utc   timestamptz NOT NULL DEFAULT now(),
    started_at_utc   timestamptz,
    alive_at_utc     timestamptz,
    finished_at_utc  timestamptz,
    report           jsonb,
    error            text
);
CREATE INDEX IF NOT EXISTS jobs_unfinished ON qbo.jobs (created_at_utc) WHERE status IN ('queued', 'running');
