-- An entity that a company's plan or country does not have is neither in step nor failed. It is
-- looked at again a day after last_attempt_at_utc.
ALTER TABLE qbo.sync_state DROP CONSTRAINT IF EXISTS sync_state_status_check;
ALTER TABLE qbo.sync_state ADD CONSTRAINT sync_state_status_check
    CHECK (status IN ('pending', 'in_progress', 'success', 'failed', 'unavailable'));
