-- The instant since which records of the window are known to be missing: it was read whole, and too many
-- of its records failed. What a row of a larger window committed before is not complete there.
ALTER TABLE qbo.windows ADD COLUMN IF NOT EXISTS incomplete_since_utc timestamptz;
-- The last attempt failed because of single records, which may cost smaller windows less.
ALTER TABLE qbo.windows ADD COLUMN IF NOT EXISTS records_failed boolean NOT NULL DEFAULT false;
