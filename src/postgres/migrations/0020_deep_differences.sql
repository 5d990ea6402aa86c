-- Whether contents were compared: a comparison of numbers does not take back what one of contents has found.
ALTER TABLE qbo.differences ADD COLUMN IF NOT EXISTS is_deep boolean NOT NULL DEFAULT false;
