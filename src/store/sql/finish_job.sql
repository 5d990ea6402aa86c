-- Ends a job. One that failed gives back the webhook events that it had taken, so that another one takes them: all ($6 is
-- null), or those of the entities that failed. They were taken by the statement that created the job, so their time is its
-- own.
WITH ended AS (
    UPDATE qbo.jobs SET status = $3, report = $4, error = $5, finished_at_utc = now()
    WHERE job_id = $1 AND attempts = $2 AND status = 'running'
    RETURNING status, created_at_utc, request
)
UPDATE qbo.webhook_events event SET processed_at_utc = NULL
FROM ended
WHERE ended.status = 'failed'
  AND event.processed_at_utc = ended.created_at_utc
  AND ended.request -> 'accounts' = jsonb_build_array(event.realm_id)
  AND ended.request -> 'entities' ? event.entity
  AND ($6 IS NULL OR event.entity = ANY($6))
