-- Sets records aside that were looked up by id, unless they are set aside already.
INSERT INTO qbo.rejects (schema_name, realm_id, entity, window_start_utc, window_end_utc, run_id, id,
    changed_at_utc, error, intuit_tid, payload, request_payload)
SELECT $1, $2, $3, reject.changed_at, reject.changed_at + interval '1 second', $4, reject.id,
    reject.changed_at, reject.error, reject.tid, reject.payload, reject.request::jsonb
FROM unnest($5::text[], $6::timestamptz[], $7::text[], $8::text[], $9::text[], $10::text[])
    AS reject(id, changed_at, error, tid, payload, request)
WHERE NOT EXISTS (
    SELECT FROM qbo.rejects known
    WHERE known.schema_name = $1 AND known.realm_id = $2 AND known.entity = $3
      AND known.id = reject.id)
