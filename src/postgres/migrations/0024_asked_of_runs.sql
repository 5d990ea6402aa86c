-- What a run was asked for, so that the command that goes on with it can be told: the range, its chunk and
-- its zone as flags take them. And from when on what is committed counts for it: a run without --resume
-- reads again what was committed before it began. Null for a run that reads what is not committed.
ALTER TABLE qbo.runs
    ADD COLUMN IF NOT EXISTS asked jsonb,
    ADD COLUMN IF NOT EXISTS reads_since_utc timestamptz;
