-- Writes the ledger row, and the rejects of the time that was read in place of earlier ones. No row is written if the schema now belongs to
-- another company. The time before $26 was not read, so its rejects stay; a record that was set
-- aside there and is set aside again is listed once.
-- With an error ($25) the window has failed, and its good records are kept. Its committed time then
-- must not grow. If it was read from its start, it is not committed any more: records are missing
-- from it, also if a row of a larger window was committed before. If only its end was read, what was
-- committed before is complete.
--
-- Two instants are compared to find out whether a window was found to lack records after a larger one
-- was committed: so a window is committed at the begin of its transaction, and lacks records from the
-- end on. A window of which only the end was read is no newer than what was known of the rest ($27),
-- less a time for failures that were being committed then.
--
-- A window of which parts are committed ($28: when the first one was) is no newer than its first part.
--
-- Records of an archive are no read ($29): they are "read until" the begin of their window ($7). Such a window commits no time and
-- takes none back, what the attempt before has failed in stays failed, and the rejects of its time stay.
WITH gone AS (
    DELETE FROM qbo.rejects WHERE schema_name = $1 AND realm_id = $2 AND entity = $3
        AND (NOT $29::boolean AND changed_at_utc >= $26 AND changed_at_utc < $5
            OR id = ANY($19::text[]))
), rejected AS (
    INSERT INTO qbo.rejects (schema_name, realm_id, entity, window_start_utc, window_end_utc,
        run_id, id, changed_at_utc, error, intuit_tid, payload, request_payload)
    SELECT $1, $2, $3, $4, $5, $6, reject.id, reject.changed_at, reject.error, reject.tid,
        reject.payload, reject.request::jsonb
    FROM unnest(
        $19::text[], $20::timestamptz[], $21::text[], $22::text[], $23::text[], $24::text[])
        AS reject(id, changed_at, error, tid, payload, request)
)
INSERT INTO qbo.windows AS known (schema_name, realm_id, entity, window_start_utc, window_end_utc,
    run_id, read_until_utc, pages, rows, inserted, updated, unchanged, rejected, requests, retries,
    bytes, extract_ms, load_ms, status, error, committed_at_utc, incomplete_since_utc,
    records_failed)
SELECT $1, $2, $3, $4, $5, $6, CASE WHEN $25::text IS NULL THEN $7::timestamptz END,
    $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18,
    CASE WHEN $25::text IS NULL THEN 'done' ELSE 'failed' END, $25,
    CASE WHEN $25::text IS NULL AND NOT $29::boolean THEN coalesce($28::timestamptz,
        CASE WHEN $26 > $4 THEN $27::timestamptz - interval '5 minutes' ELSE now() END) END,
    CASE WHEN $25::text IS NOT NULL AND $26 <= $4 THEN clock_timestamp() END,
    $25::text IS NOT NULL
FROM qbo.schema_realms WHERE schema_name = $1 AND realm_id = $2
ON CONFLICT (schema_name, realm_id, entity, window_start_utc, window_end_utc) DO UPDATE SET
    run_id = EXCLUDED.run_id, pages = EXCLUDED.pages, rows = EXCLUDED.rows,
    inserted = EXCLUDED.inserted, updated = EXCLUDED.updated, unchanged = EXCLUDED.unchanged,
    rejected = EXCLUDED.rejected, requests = EXCLUDED.requests, retries = EXCLUDED.retries,
    bytes = EXCLUDED.bytes, extract_ms = EXCLUDED.extract_ms, load_ms = EXCLUDED.load_ms,
    records_failed = CASE WHEN $25::text IS NULL AND $29::boolean THEN known.records_failed
        ELSE EXCLUDED.records_failed END,
    status = CASE WHEN $25::text IS NULL AND $29::boolean
        THEN coalesce(known.previous_attempt ->> 'status',
            CASE WHEN known.is_part THEN 'failed' ELSE 'done' END) ELSE EXCLUDED.status END,
    error = CASE WHEN $25::text IS NULL AND $29::boolean
        THEN coalesce(known.previous_attempt ->> 'error',
            CASE WHEN known.is_part AND known.previous_attempt IS NULL THEN 'it was ended before it had read all of this window' END) ELSE EXCLUDED.error END,
    started_at_utc = CASE WHEN $25::text IS NULL AND $29::boolean
        THEN coalesce((known.previous_attempt ->> 'started_at')::timestamptz, known.started_at_utc)
        ELSE known.started_at_utc END,
    previous_attempt = NULL,
    read_until_utc = CASE
        WHEN $25::text IS NULL AND NOT $29::boolean THEN EXCLUDED.read_until_utc ELSE known.read_until_utc END,
    part_until_utc = CASE
        WHEN $25::text IS NULL AND NOT $29::boolean THEN NULL ELSE known.part_until_utc END,
    committed_at_utc = CASE
        WHEN $25::text IS NULL AND $29::boolean THEN known.committed_at_utc
        WHEN $25::text IS NULL THEN greatest(EXCLUDED.committed_at_utc,
            CASE WHEN $26 > $4 THEN known.committed_at_utc END)
        WHEN $26 > $4 THEN known.committed_at_utc END,
    incomplete_since_utc = CASE
        WHEN $25::text IS NOT NULL AND $26 > $4 THEN known.incomplete_since_utc
        WHEN $25::text IS NULL AND $29::boolean THEN known.incomplete_since_utc
        ELSE EXCLUDED.incomplete_since_utc END
RETURNING 1
