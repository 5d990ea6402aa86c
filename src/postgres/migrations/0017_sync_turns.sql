-- Syncs that go on: each entity of a company is synced by one sync at a time.
CREATE TABLE IF NOT EXISTS qbo.sync_turns (
    schema_name    text NOT NULL,
    realm_id       text NOT NULL,
    entity         text NOT NULL,
    -- One sync of a company.
    turn_id        text NOT NULL,
    host           text NOT NULL,
    pid            bigint NOT NULL,
    -- One process: ids of processes are used again.
    owner          text NOT NULL,
    started_at_utc timestamptz NOT NULL DEFAULT clock_timestamp(),
    -- A sync that is killed leaves its rows, without a pulse.
    alive_at_utc   timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (schema_name, realm_id, entity)
);
