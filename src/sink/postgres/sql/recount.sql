-- Looks every staged record up again, after the merge, and says what became of it. Rows that this
-- transaction has written carry its number as xmin; xmax is set on those that replaced a row, which
-- had to be locked first. Counts records that the table does not hold (a trigger dropped them), and
-- rows whose payload is not the one that was given (a trigger has changed it). OFFSET 0 keeps the
-- lookup one by one.
SELECT count(*) FILTER (WHERE outcome = 'inserted') AS inserted,
    count(*) FILTER (WHERE outcome = 'updated') AS updated,
    count(*) FILTER (WHERE outcome = 'unchanged') AS unchanged,
    count(*) FILTER (WHERE outcome IN ('inserted', 'updated') AND is_other) AS rewritten,
    count(*) FILTER (WHERE outcome IS NULL) AS dropped,
    coalesce((array_agg(id ORDER BY seq) FILTER (WHERE outcome IS NULL))[1:5], '{}') AS dropped_ids
FROM qbo_staging staged LEFT JOIN LATERAL (
    SELECT there.payload <> staged.payload AS is_other, CASE
        WHEN there.xmin = pg_current_xact_id()::xid
            THEN CASE WHEN there.xmax = 0 THEN 'inserted' ELSE 'updated' END
        WHEN there.payload = staged.payload OR {there_is_newer} THEN 'unchanged' END AS outcome
    FROM {table} there WHERE there.id = staged.id
    OFFSET 0
) AS found ON true
