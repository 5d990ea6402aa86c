-- How each entity of each company stands with `qbo-rs sync`. The checkpoint is what qbo.windows has as committed; it stands
-- here for people.
CREATE TABLE IF NOT EXISTS qbo.sync_state (
    schema_name          text NOT NULL,
    realm_id             text NOT NULL,
    entity               text NOT NULL,
    status               text NOT NULL DEFAULT 'pending'
        CHECK (status IN ('pending', 'in_progress', 'success', 'failed')),
    last_attempt_at_utc  timestamptz,
    last_success_at_utc  timestamptz,
    checkpoint_utc       timestamptz,
    -- Deletions up to this instant are in the table.
    deletions_until_utc  timestamptz,
    -- When the ids of the table were last compared with those of QuickBooks.
    reconciled_at_utc    timestamptz,
    consecutive_failures int NOT NULL DEFAULT 0,
    -- Of the last failure.
    message              text,
    PRIMARY KEY (schema_name, realm_id, entity)
);
-- When each company is to be synced next, by `qbo-rs sync --every`.
CREATE TABLE IF NOT EXISTS qbo.sync_accounts (
    realm_id             text PRIMARY KEY,
    next_sync_at_utc     timestamptz NOT NULL,
    consecutive_failures int NOT NULL DEFAULT 0,
    message              text
);
