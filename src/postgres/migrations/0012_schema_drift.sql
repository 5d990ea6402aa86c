-- What records have and the table of fields does not say: see docs/drift.md. No value is kept.
CREATE TABLE IF NOT EXISTS qbo.schema_drift (
    realm_id       text NOT NULL,
    entity         text NOT NULL,
    -- Names of the members, joined by dots; lists add nothing.
    path           text NOT NULL,
    -- unknown, type, unfit or enum.
    kind           text NOT NULL,
    -- Type of the value, in the words of the table of fields.
    found          text NOT NULL,
    -- Type that the table names; NULL for what it does not know.
    expected       text,
    -- Records that were loaded with it; one that is loaded again counts again.
    records        bigint NOT NULL,
    -- Id of the last of them.
    example_id     text NOT NULL,
    first_seen_utc timestamptz NOT NULL DEFAULT now(),
    last_seen_utc  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (realm_id, entity, path, kind, found)
);
