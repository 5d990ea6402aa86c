-- Runs of syncs that changed rows: the last few of each entity.
ALTER TABLE qbo.runs ADD COLUMN IF NOT EXISTS is_sync boolean NOT NULL DEFAULT false;
