-- Counts an attempt if the one before did not end. No row is returned once the limit ($7) is
-- reached. Keeps what the last attempt that ended left, in case this one is taken back. The commit is not awaited on disk: the row says what is going on, not what is done.
INSERT INTO qbo.windows AS known (schema_name, realm_id, entity, window_start_utc, window_end_utc,
    run_id, status, attempts, started_at_utc)
SELECT $1, $2, $3, $4, $5, $6, 'running', 1, now()
FROM (SELECT set_config('synchronous_commit', 'off', true)) AS unsynced
ON CONFLICT (schema_name, realm_id, entity, window_start_utc, window_end_utc) DO UPDATE SET
    status = 'running', run_id = EXCLUDED.run_id, started_at_utc = now(), error = NULL,
    previous_attempt = CASE
        WHEN known.status = 'running' THEN known.previous_attempt
        ELSE jsonb_build_object('status', known.status, 'error', known.error,
            'run_id', known.run_id, 'started_at', known.started_at_utc,
            'attempts', known.attempts) END,
    attempts = CASE
        WHEN known.status NOT IN ('running', 'stuck') THEN 1
        WHEN known.run_id = EXCLUDED.run_id THEN known.attempts
        ELSE known.attempts + 1 END
WHERE known.status NOT IN ('running', 'stuck') OR known.run_id = EXCLUDED.run_id
    OR known.attempts < $7 OR $7 = 0
RETURNING committed_at_utc, read_until_utc, is_part
