-- Events as QuickBooks sent them. They only say what to look at: the truth is asked for.
CREATE TABLE IF NOT EXISTS qbo.webhook_events (
    event_id         text PRIMARY KEY,
    realm_id         text NOT NULL,
    -- Our name; none where we have no such entity.
    entity           text,
    entity_id        text NOT NULL,
    operation        text NOT NULL,
    occurred_at      text NOT NULL,
    event            jsonb NOT NULL,
    received_at_utc  timestamptz NOT NULL DEFAULT now(),
    -- When a sync was asked for on its account; reset it to have that done again.
    processed_at_utc timestamptz
);
CREATE INDEX IF NOT EXISTS webhook_events_waiting ON qbo.webhook_events (received_at_utc) WHERE processed_at_utc IS NULL;
