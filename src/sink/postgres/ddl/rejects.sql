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
