-- When a process last saw that an alert holds: one that no process sees any more is over.
ALTER TABLE qbo.alerts ADD COLUMN IF NOT EXISTS seen_utc timestamptz NOT NULL DEFAULT now();
-- Places were named by their kind alone. Whatever holds is told once more, under the name of its place.
DELETE FROM qbo.alerts WHERE place IN ('slack', 'webhook', 'mail');

-- Ranges in which a comparison has found differences, and no later one has compared again without any.
CREATE TABLE IF NOT EXISTS qbo.differences (
    realm_id    text NOT NULL,
    schema_name text NOT NULL,
    entity      text NOT NULL,
    start_utc   timestamptz NOT NULL,
    end_utc     timestamptz NOT NULL,
    found_utc   timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX IF NOT EXISTS differences_entity ON qbo.differences (realm_id, schema_name, entity);
