-- Removes rejects of records that are stored now. Such a record may have been set aside at a time of
-- change that this window does not contain, or that was not read again.
DELETE FROM qbo.rejects reject WHERE schema_name = $1 AND realm_id = $2 AND entity = $3
    AND EXISTS (
        SELECT FROM qbo_staging stored
        WHERE stored.id = reject.id AND stored.updated_at >= reject.changed_at_utc)
