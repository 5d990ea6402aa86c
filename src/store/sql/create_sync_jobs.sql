-- Entities of companies whose jobs have just failed, perhaps before any sync state was recorded. They rest for a minute,
-- longer after each failure in a row, up to half an hour.
WITH resting AS MATERIALIZED (
    SELECT failed.request -> 'accounts' AS accounts, entity
    FROM qbo.jobs failed, jsonb_array_elements_text(failed.request -> 'entities') AS entity
    WHERE failed.status = 'failed' AND failed.finished_at_utc > now() - interval '3 hours'
      AND NOT EXISTS (
          SELECT 1 FROM qbo.jobs done
          WHERE done.status = 'done' AND done.finished_at_utc > failed.finished_at_utc
            AND done.request -> 'accounts' = failed.request -> 'accounts'
            AND done.request -> 'entities' ? entity)
    GROUP BY 1, 2
    HAVING max(failed.finished_at_utc) > now() - make_interval(
        secs => least(30 * power(2, least(count(*), 6)), 1800))
-- Events that have waited long enough. An event waits longer while its company has a job of its
-- own, must be connected again ($4), or its entity has just failed.
), due AS (
    SELECT event_id FROM qbo.webhook_events event
    WHERE processed_at_utc IS NULL
      AND received_at_utc < now() - make_interval(secs => $2)
      AND realm_id <> ALL($4)
      AND NOT EXISTS (
          SELECT 1 FROM qbo.jobs
          WHERE status IN ('queued', 'running')
            AND request -> 'accounts' = jsonb_build_array(event.realm_id))
      AND NOT EXISTS (
          SELECT 1 FROM qbo.sync_state state
          WHERE state.realm_id = event.realm_id AND state.entity = event.entity
            AND consecutive_failures > 0
            AND last_attempt_at_utc > now() - make_interval(
                secs => least(15 * power(2, least(consecutive_failures, 8)), 3600)))
      AND NOT EXISTS (
          SELECT 1 FROM resting
          WHERE resting.accounts = jsonb_build_array(event.realm_id) AND resting.entity = event.entity)
    ORDER BY received_at_utc LIMIT 10000 FOR UPDATE SKIP LOCKED
), taken AS (
    UPDATE qbo.webhook_events event SET processed_at_utc = now() FROM due
    WHERE event.event_id = due.event_id
    RETURNING event.realm_id, event.entity
), jobs AS (
    INSERT INTO qbo.jobs (job_id, request)
    SELECT gen_random_uuid()::text, jsonb_build_object(
        'accounts', jsonb_build_array(realm_id),
        'entities', jsonb_agg(DISTINCT entity))
    FROM taken WHERE entity = ANY($3) AND realm_id = ANY($1)
    GROUP BY realm_id
    RETURNING 1
)
SELECT count(*) FROM jobs
