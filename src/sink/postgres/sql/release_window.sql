-- Takes the attempt of a run back. Status and error are those of the attempt before it, and what an
-- earlier run committed of the window stays committed. A window without an earlier attempt has no
-- row, or has failed if a part of it is committed. The commit is not awaited on disk.
WITH unsynced AS MATERIALIZED (
    SELECT set_config('synchronous_commit', 'off', true)
), begun AS (
    DELETE FROM qbo.windows USING unsynced
    WHERE schema_name = $1 AND realm_id = $2 AND entity = $3
      AND window_start_utc = $4 AND window_end_utc = $5
      AND run_id = $6 AND status = 'running'
      AND committed_at_utc IS NULL AND previous_attempt IS NULL
)
UPDATE qbo.windows SET
    status = coalesce(previous_attempt ->> 'status', CASE WHEN is_part THEN 'failed' ELSE 'done' END),
    error = coalesce(previous_attempt ->> 'error',
        CASE WHEN is_part AND previous_attempt IS NULL THEN 'it was ended before it had read all of this window' END),
    run_id = coalesce(previous_attempt ->> 'run_id', run_id),
    started_at_utc = coalesce((previous_attempt ->> 'started_at')::timestamptz, started_at_utc),
    attempts = coalesce((previous_attempt ->> 'attempts')::int, attempts),
    previous_attempt = NULL
WHERE schema_name = $1 AND realm_id = $2 AND entity = $3
  AND window_start_utc = $4 AND window_end_utc = $5
  AND run_id = $6 AND status = 'running'
  AND (committed_at_utc IS NOT NULL OR previous_attempt IS NOT NULL)
