-- Parts of signed webhook deliveries that are no events, for people: the deliveries are answered
-- with success, since QuickBooks repeats others without end and withholds later events meanwhile.
CREATE TABLE IF NOT EXISTS qbo.webhook_rejects (
    text_md5        text PRIMARY KEY,
    reason          text NOT NULL,
    -- The beginning of the text.
    text            text NOT NULL,
    deliveries      bigint NOT NULL DEFAULT 1,
    -- When it came last.
    received_at_utc timestamptz NOT NULL DEFAULT now()
);
