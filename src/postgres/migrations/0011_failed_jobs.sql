-- For the jobs that failed a moment ago, and for the webhook events that they give back.
CREATE INDEX IF NOT EXISTS jobs_ended ON qbo.jobs (status, finished_at_utc);
CREATE INDEX IF NOT EXISTS webhook_events_processed ON qbo.webhook_events (processed_at_utc);
