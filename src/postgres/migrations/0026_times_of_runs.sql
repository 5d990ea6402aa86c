-- The times that a run reads of its range, oldest first: a run of gaps does not read what lies between them. Null for a run
-- of an earlier version, which may read all of it.
ALTER TABLE qbo.runs
    ADD COLUMN IF NOT EXISTS read_starts_utc timestamptz[],
    ADD COLUMN IF NOT EXISTS read_ends_utc timestamptz[];
