-- Who does a run, and when it last said that it is alive: a run that is killed stays 'running', without a pulse.
ALTER TABLE qbo.runs
    ADD COLUMN IF NOT EXISTS alive_at_utc timestamptz,
    ADD COLUMN IF NOT EXISTS host text,
    ADD COLUMN IF NOT EXISTS pid bigint,
    -- One process: ids of processes are used again.
    ADD COLUMN IF NOT EXISTS owner text;
-- 'interrupted': stopped by Ctrl-C, by a signal or by its caller.
ALTER TABLE qbo.runs DROP CONSTRAINT IF EXISTS runs_status_check;
ALTER TABLE qbo.runs ADD CONSTRAINT runs_status_check
    CHECK (status IN ('running', 'ok', 'partial', 'failed', 'interrupted'));
