-- Looks every staged record up again, after the merge. Counts records that the table does not hold
-- (a trigger dropped them), and rows whose payload is not the one that was given (a trigger has
-- changed it). A row that stayed was not locked, so others may have stored another version of it
-- since: it is not dropped.
--
-- Rows that this transaction has written carry its number as xmin, or a later one if a trigger wrote
-- them within a block that catches errors. In a table without triggers, xmax is set on those that
-- replaced a row, which had to be locked first. OFFSET 0 keeps the lookup one by one.
SELECT count(*) FILTER (WHERE is_written AND is_new) AS inserted,
    count(*) FILTER (WHERE is_written AND is_other) AS rewritten,
    count(*) FILTER (WHERE is_held IS NOT TRUE) AS dropped,
    coalesce((array_agg(id ORDER BY seq) FILTER (WHERE is_held IS NOT TRUE))[1:5], '{}')
        AS dropped_ids
FROM qbo_staging staged LEFT JOIN LATERAL (
    SELECT own.is_written, there.xmax = 0 AS is_new, there.payload <> staged.payload AS is_other,
        age(there.xmin) <= 0 OR there.payload = staged.payload OR {is_of_others} AS is_held
    FROM {table} there, LATERAL (
        SELECT there.xmin = pg_current_xact_id()::xid AS is_written
    ) AS own
    WHERE there.id = staged.id
    OFFSET 0
) AS found ON true
