-- Writes the ledger row, and the rejects of the time that was read in place of earlier ones. No row is written if the schema now belongs to
-- another company. The time before `read_start` was not read, so its rejects stay; a record that was set
-- aside there and is set aside again is listed once.
-- With an error the window has failed, and its good records are kept. Its committed time then
-- must not grow. If it was read from its start, it is not committed any more: records are missing
-- from it, also if a row of a larger window was committed before. If only its end was read, what was
-- committed before is complete.
--
-- Two instants are compared to find out whether a window was found to lack records after a larger one
-- was committed: so a window is committed at the begin of its transaction, and lacks records from the
-- end on. A window of which only the end was read is no newer than what was known of the rest
-- (`known_at`), less a time for failures that were being committed then, which is the same in `write_part.sql` and in
-- the simulated ledger (`WHILE_COMMITTED`).
--
-- A window of which parts are committed is no newer than its first part.
--
-- Records of an archive are no read: they are "read until" the begin of their window. Such a window commits no time and
-- takes none back, what the attempt before has failed in stays failed, and the rejects of its time stay.
WITH given AS (
    SELECT $7 AS read_until, $9 AS error, $10 AS read_start, $11 AS known_at, $12 AS first_part_at
), attempt AS (
    SELECT *, error IS NOT NULL AS has_failed, read_start > $4 AS is_end_only,
        coalesce(read_until <= $4, false) AS is_archive
    FROM given
), outcome AS (
    SELECT *, NOT has_failed AND NOT is_archive AS is_read, NOT has_failed AND is_archive AS is_loaded FROM attempt
), sums AS (
    SELECT {sums} FROM jsonb_populate_record(NULL::qbo.windows, $8)
), gone AS (
    DELETE FROM qbo.rejects WHERE schema_name = $1 AND realm_id = $2 AND entity = $3
        AND ((SELECT NOT is_archive FROM outcome) AND changed_at_utc >= $10 AND changed_at_utc < $5
            OR id = ANY($13))
), rejected AS (
    INSERT INTO qbo.rejects (schema_name, realm_id, entity, window_start_utc, window_end_utc,
        run_id, id, changed_at_utc, error, intuit_tid, payload, request_payload)
    SELECT $1, $2, $3, $4, $5, $6, reject.id, reject.changed_at, reject.error, reject.tid,
        reject.payload, reject.request::jsonb
    FROM unnest($13, $14, $15, $16, $17, $18) AS reject(id, changed_at, error, tid, payload, request)
)
INSERT INTO qbo.windows AS known (schema_name, realm_id, entity, window_start_utc, window_end_utc,
    run_id, {sums}, read_until_utc, status, error, committed_at_utc, incomplete_since_utc, records_failed)
SELECT $1, $2, $3, $4, $5, $6, sums.*,
    CASE WHEN NOT has_failed THEN read_until END,
    CASE WHEN has_failed THEN 'failed' ELSE 'done' END,
    outcome.error,
    CASE WHEN is_read THEN coalesce(first_part_at,
        CASE WHEN is_end_only THEN known_at - interval '5 minutes' ELSE now() END) END,
    CASE WHEN has_failed AND NOT is_end_only THEN clock_timestamp() END,
    has_failed
FROM outcome, sums, qbo.schema_realms AS realm WHERE realm.schema_name = $1 AND realm.realm_id = $2
ON CONFLICT (schema_name, realm_id, entity, window_start_utc, window_end_utc) DO UPDATE SET
    run_id = EXCLUDED.run_id, previous_attempt = NULL, ({sums}) = (SELECT * FROM sums),
    (records_failed, status, error, started_at_utc, read_until_utc, part_until_utc, committed_at_utc,
        incomplete_since_utc) = (SELECT
        CASE WHEN is_loaded THEN known.records_failed ELSE EXCLUDED.records_failed END,
        CASE WHEN is_loaded THEN coalesce(known.previous_attempt ->> 'status',
            CASE WHEN known.is_part THEN 'failed' ELSE 'done' END) ELSE EXCLUDED.status END,
        CASE WHEN is_loaded THEN coalesce(known.previous_attempt ->> 'error',
            CASE WHEN known.is_part AND known.previous_attempt IS NULL
                THEN 'it was ended before it had read all of this window' END) ELSE EXCLUDED.error END,
        CASE WHEN is_loaded
            THEN coalesce((known.previous_attempt ->> 'started_at')::timestamptz, known.started_at_utc)
            ELSE known.started_at_utc END,
        CASE WHEN is_read THEN EXCLUDED.read_until_utc ELSE known.read_until_utc END,
        CASE WHEN NOT is_read THEN known.part_until_utc END,
        CASE WHEN is_loaded THEN known.committed_at_utc
            WHEN is_read THEN greatest(EXCLUDED.committed_at_utc,
                CASE WHEN is_end_only THEN known.committed_at_utc END)
            WHEN is_end_only THEN known.committed_at_utc END,
        CASE WHEN is_loaded OR has_failed AND is_end_only THEN known.incomplete_since_utc
            ELSE EXCLUDED.incomplete_since_utc END
        FROM outcome)
RETURNING 1
