-- A large window is committed in parts. Such a row is complete up to read_until_utc: that instant lay
-- far enough in the past, so that nothing before it can become visible late. A process of an earlier
-- version that commits the window writes read_until_utc alone, and the row is no part any more.
ALTER TABLE qbo.windows ADD COLUMN IF NOT EXISTS part_until_utc timestamptz;
ALTER TABLE qbo.windows ADD COLUMN IF NOT EXISTS is_part boolean NOT NULL
    GENERATED ALWAYS AS ((part_until_utc = read_until_utc) IS TRUE) STORED;
