-- Which company a schema of raw tables belongs to: QBO ids are per company and collide.
CREATE TABLE IF NOT EXISTS qbo.schema_realms (
    schema_name  text PRIMARY KEY,
    realm_id     text NOT NULL,
    bound_at_utc timestamptz NOT NULL DEFAULT now()
);
-- The ledger: a row is written in the transaction that commits the window's records.
CREATE TABLE IF NOT EXISTS qbo.windows (
    schema_name      text NOT NULL,
    realm_id         text NOT NULL,
    entity           text NOT NULL,
    window_start_utc timestamptz NOT NULL,
    window_end_utc   timestamptz NOT NULL,
    run_id           text NOT NULL,
    pages            int NOT NULL,
    rows             bigint NOT NULL,
    inserted         bigint NOT NULL,
    updated          bigint NOT NULL,
    unchanged        bigint NOT NULL,
    rejected         bigint NOT NULL,
    requests         bigint NOT NULL,
    retries          bigint NOT NULL,
    committed_at_utc timestamptz NOT NULL DEFAULT now(),
    -- What changed after this instant is not in the window; null: the window is whole.
    read_until_utc   timestamptz,
    PRIMARY KEY (schema_name, realm_id, entity, window_start_utc, window_end_utc)
);
-- For ledgers made before it was there.
ALTER TABLE qbo.windows ADD COLUMN IF NOT EXISTS read_until_utc timestamptz;
-- Records that could not be had or not be stored. A window's rejects are replaced when it is read again.
CREATE TABLE IF NOT EXISTS qbo.rejects (
    reject_id        bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    schema_name      text NOT NULL,
    realm_id         text NOT NULL,
    entity           text NOT NULL,
    window_start_utc timestamptz NOT NULL,
    window_end_utc   timestamptz NOT NULL,
    run_id           text NOT NULL,
    -- Null where the page that held it could not be read.
    id               text,
    -- When it was changed, or a neighbour of it.
    changed_at_utc   timestamptz NOT NULL,
    error            text NOT NULL,
    intuit_tid       text,
    -- As it was received: not always JSON, and nothing that jsonb takes.
    payload          text,
    request_payload  jsonb NOT NULL,
    rejected_at_utc  timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX IF NOT EXISTS rejects_by_window ON qbo.rejects (schema_name, realm_id, entity, changed_at_utc);
