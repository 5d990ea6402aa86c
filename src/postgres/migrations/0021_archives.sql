-- Files into which records were moved: a row is written in the transaction that takes them out of the table.
CREATE TABLE IF NOT EXISTS qbo.archives (
    archive_id      bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    schema_name     text NOT NULL,
    realm_id        text NOT NULL,
    entity          text NOT NULL,
    -- Records that were last changed before this instant were moved.
    before_utc      timestamptz NOT NULL,
    file            text NOT NULL,
    records         bigint NOT NULL,
    -- Whether no row was left in the table.
    has_emptied     boolean NOT NULL DEFAULT false,
    archived_at_utc timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX IF NOT EXISTS archives_of_entity ON qbo.archives (schema_name, realm_id, entity);
-- The records that are in a file and, since then, in no table, in the version that the file has.
CREATE TABLE IF NOT EXISTS qbo.archived_records (
    archive_id     bigint NOT NULL,
    id             text NOT NULL,
    changed_at_utc timestamptz NOT NULL,
    sync_token     bigint NOT NULL,
    PRIMARY KEY (archive_id, id)
);
