-- Whether contents were compared is not known of differences from before migration 20, and of those that processes of an earlier version
-- find. A comparison of numbers must not take back what may be one of contents.
ALTER TABLE qbo.differences ALTER COLUMN is_deep SET DEFAULT true;
UPDATE qbo.differences SET is_deep = true
WHERE NOT is_deep AND found_utc < (SELECT applied_at_utc FROM qbo.migrations WHERE number = 20);
