-- A large window is committed in parts. Such a row is complete up to read_until_utc: that instant lay
-- far enough in the past, so that nothing before it can become visible late.
ALTER TABLE qbo.windows ADD COLUMN IF NOT EXISTS is_part boolean NOT NULL DEFAULT false;
