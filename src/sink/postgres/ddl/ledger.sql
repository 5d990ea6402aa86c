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
