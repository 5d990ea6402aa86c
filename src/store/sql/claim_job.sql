UPDATE qbo.jobs SET
    status = 'running',
    attempts = attempts + 1,
    alive_at_utc = now(),
    started_at_utc = coalesce(started_at_utc, now())
WHERE job_id = (
    SELECT job_id FROM qbo.jobs job
    WHERE (status = 'queued'
           OR status = 'running' AND alive_at_utc < now() - make_interval(secs => $1))
      AND NOT EXISTS (
          SELECT 1 FROM qbo.jobs other
          WHERE other.status = 'running' AND other.job_id <> job.job_id
            AND other.alive_at_utc >= now() - make_interval(secs => $1)
            AND other.request -> 'accounts' = job.request -> 'accounts')
    ORDER BY created_at_utc LIMIT 1 FOR UPDATE SKIP LOCKED)
RETURNING *
