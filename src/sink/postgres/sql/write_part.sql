-- Writes that a window is committed up to $7, and goes on: its row stays that of an attempt that is under
-- way. An attempt that gets further does not count as one that has crashed. The rejects of the time
-- that was read are gone: of a window that has any, no part is committed.
--
-- A row that another run has begun or committed meanwhile stays as it is: no row is returned.
--
-- The window is committed as of the begin of its first part ($20); see write_ledger.sql for a window of
-- which only the end is read ($18, $19). That it was found to lack records stays said of the rest.
WITH gone AS (
    DELETE FROM qbo.rejects WHERE schema_name = $1 AND realm_id = $2 AND entity = $3
        AND changed_at_utc >= $18 AND changed_at_utc < $7
)
INSERT INTO qbo.windows AS known (schema_name, realm_id, entity, window_start_utc, window_end_utc,
    run_id, read_until_utc, part_until_utc, pages, rows, inserted, updated, unchanged, rejected, requests,
    retries, bytes, extract_ms, load_ms, status, committed_at_utc)
SELECT $1, $2, $3, $4, $5, $6, $7, $7, $8, $9, $10, $11, $12, 0, $13, $14, $15, $16, $17, 'running',
    coalesce($20::timestamptz,
        CASE WHEN $18 > $4 THEN $19::timestamptz - interval '5 minutes' ELSE now() END)
FROM qbo.schema_realms WHERE schema_name = $1 AND realm_id = $2
ON CONFLICT (schema_name, realm_id, entity, window_start_utc, window_end_utc) DO UPDATE SET
    attempts = 1, pages = EXCLUDED.pages, rows = EXCLUDED.rows,
    inserted = EXCLUDED.inserted, updated = EXCLUDED.updated, unchanged = EXCLUDED.unchanged,
    rejected = EXCLUDED.rejected, requests = EXCLUDED.requests, retries = EXCLUDED.retries,
    bytes = EXCLUDED.bytes, extract_ms = EXCLUDED.extract_ms, load_ms = EXCLUDED.load_ms,
    read_until_utc = EXCLUDED.read_until_utc, part_until_utc = EXCLUDED.part_until_utc,
    committed_at_utc = greatest(
        EXCLUDED.committed_at_utc, CASE WHEN $18 > $4 THEN known.committed_at_utc END)
WHERE known.run_id = EXCLUDED.run_id AND known.status = 'running'
RETURNING committed_at_utc
