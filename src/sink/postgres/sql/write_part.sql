-- Writes that a window is committed up to $7, and goes on: its row stays that of an attempt that is under
-- way. An attempt that gets further does not count as one that has crashed. The rejects of the time
-- that was read are gone: of a window that has any, no part is committed.
--
-- A row that another run has begun or committed meanwhile stays as it is: no row is returned.
--
-- The window is committed as of the begin of its first part; see write_ledger.sql for a window of
-- which only the end is read. That it was found to lack records stays said of the rest.
WITH attempt AS (
    SELECT $7 AS read_until, $9 > $4 AS is_end_only, $10 AS known_at, $11 AS first_part_at
), sums AS (
    SELECT {sums} FROM jsonb_populate_record(NULL::qbo.windows, $8)
), gone AS (
    DELETE FROM qbo.rejects WHERE schema_name = $1 AND realm_id = $2 AND entity = $3
        AND changed_at_utc >= $9 AND changed_at_utc < $7
)
INSERT INTO qbo.windows AS known (schema_name, realm_id, entity, window_start_utc, window_end_utc,
    run_id, {sums}, read_until_utc, part_until_utc, status, committed_at_utc)
SELECT $1, $2, $3, $4, $5, $6, sums.*, read_until, read_until, 'running',
    coalesce(first_part_at, CASE WHEN is_end_only THEN known_at - interval '5 minutes' ELSE now() END)
FROM attempt, sums, qbo.schema_realms AS realm WHERE realm.schema_name = $1 AND realm.realm_id = $2
ON CONFLICT (schema_name, realm_id, entity, window_start_utc, window_end_utc) DO UPDATE SET
    attempts = 1, ({sums}) = (SELECT * FROM sums),
    read_until_utc = EXCLUDED.read_until_utc, part_until_utc = EXCLUDED.part_until_utc,
    committed_at_utc = greatest(EXCLUDED.committed_at_utc,
        (SELECT CASE WHEN is_end_only THEN known.committed_at_utc END FROM attempt))
WHERE known.run_id = EXCLUDED.run_id AND known.status = 'running'
RETURNING committed_at_utc
