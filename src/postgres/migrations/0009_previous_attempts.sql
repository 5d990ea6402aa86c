-- Status, error, run, start and number of the attempt before the one that is running, so that an
-- attempt that reads and stores nothing can be taken back.
ALTER TABLE qbo.windows ADD COLUMN IF NOT EXISTS previous_attempt jsonb;
