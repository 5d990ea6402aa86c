CREATE TABLE IF NOT EXISTS {schema}.{table} (
    id                       text PRIMARY KEY,
    payload                  jsonb NOT NULL,
    ingested_at_utc          timestamptz NOT NULL,
    extract_window_start_utc timestamptz NOT NULL,
    extract_window_end_utc   timestamptz NOT NULL,
    page_number              int NOT NULL,
    page_size                int NOT NULL,
    request_payload          jsonb NOT NULL,
    -- When QuickBooks deleted it; the payload is the last one seen.
    deleted_at_utc           timestamptz
);
