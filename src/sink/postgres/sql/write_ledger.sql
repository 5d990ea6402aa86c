-- Writes the ledger row, and the window's rejects in place of earlier ones: one statement, so that
-- an empty window costs one. No row is written if the schema now belongs to another company.
-- With an error ($25) the window has failed, and its good records are kept.
WITH gone AS (
    DELETE FROM qbo.rejects WHERE schema_name = $1 AND realm_id = $2 AND entity = $3
        AND changed_at_utc >= $4 AND changed_at_utc < $5
), rejected AS (
    INSERT INTO qbo.rejects (schema_name, realm_id, entity, window_start_utc, window_end_utc,
        run_id, id, changed_at_utc, error, intuit_tid, payload, request_payload)
    SELECT $1, $2, $3, $4, $5, $6, reject.id, reject.changed_at, reject.error, reject.tid,
        reject.payload, reject.request::jsonb
    FROM unnest(
        $19::text[], $20::timestamptz[], $21::text[], $22::text[], $23::text[], $24::text[])
        AS reject(id, changed_at, error, tid, payload, request)
)
INSERT INTO qbo.windows (schema_name, realm_id, entity, window_start_utc, window_end_utc, run_id,
    read_until_utc, pages, rows, inserted, updated, unchanged, rejected, requests, retries, bytes,
    extract_ms, load_ms, status, committed_at_utc)
SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18,
    CASE WHEN $25::text IS NULL THEN 'done' ELSE 'failed' END,
    CASE WHEN $25::text IS NULL THEN now() END
FROM qbo.schema_realms WHERE schema_name = $1 AND realm_id = $2
ON CONFLICT (schema_name, realm_id, entity, window_start_utc, window_end_utc) DO UPDATE SET
    run_id = EXCLUDED.run_id, read_until_utc = EXCLUDED.read_until_utc, pages = EXCLUDED.pages,
    rows = EXCLUDED.rows, inserted = EXCLUDED.inserted, updated = EXCLUDED.updated,
    unchanged = EXCLUDED.unchanged, rejected = EXCLUDED.rejected, requests = EXCLUDED.requests,
    retries = EXCLUDED.retries, bytes = EXCLUDED.bytes, extract_ms = EXCLUDED.extract_ms,
    load_ms = EXCLUDED.load_ms, status = EXCLUDED.status, error = $25,
    committed_at_utc = coalesce(EXCLUDED.committed_at_utc, windows.committed_at_utc)
RETURNING 1
