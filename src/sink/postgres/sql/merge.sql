-- Merges the staging table into the raw table. A row is replaced only by one that differs and is
-- not older (qbo-facts 3.5). The time of the existing row is read from its payload, guarded by a
-- pattern, because a table may hold rows that others have inserted. {known} and {new} are the
-- objects that hold the time: the payloads, or the objects inside them.
--
-- Rows that exist already are left out before they are inserted: a conflict would lock each of
-- them, which is written to disk like a change. They are looked up one by one: a join would put
-- whole payloads into its hash table, and that onto disk. A record that was received after its
-- deletion is no longer deleted.
WITH pages AS (
    SELECT * FROM unnest($1::int[], $2::int[], $3::timestamptz[], $4::jsonb[])
        AS page(page_number, page_size, ingested_at, request)
), merged AS (
    INSERT INTO {table} AS known (id, payload, ingested_at_utc, extract_window_start_utc,
        extract_window_end_utc, page_number, page_size, request_payload)
    SELECT staged.id, staged.payload, page.ingested_at, $5, $6, page.page_number, page.page_size,
        page.request
    FROM qbo_staging staged JOIN pages page USING (page_number)
    WHERE (SELECT there.payload = staged.payload
        AND coalesce(there.deleted_at_utc >= page.ingested_at, true)
        FROM {table} there WHERE there.id = staged.id) IS NOT TRUE
    ON CONFLICT (id) DO UPDATE SET
        payload = EXCLUDED.payload, ingested_at_utc = EXCLUDED.ingested_at_utc,
        extract_window_start_utc = EXCLUDED.extract_window_start_utc,
        extract_window_end_utc = EXCLUDED.extract_window_end_utc,
        page_number = EXCLUDED.page_number,
        page_size = EXCLUDED.page_size, request_payload = EXCLUDED.request_payload,
        deleted_at_utc = CASE
            WHEN known.deleted_at_utc >= EXCLUDED.ingested_at_utc THEN known.deleted_at_utc END
    WHERE (known.payload IS DISTINCT FROM EXCLUDED.payload
        OR known.deleted_at_utc < EXCLUDED.ingested_at_utc)
      AND CASE
        WHEN {known} #>> '{MetaData,LastUpdatedTime}'
            !~ '^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d' THEN true
        ELSE coalesce(({known} #>> '{MetaData,LastUpdatedTime}')::timestamptz
                 < ({new} #>> '{MetaData,LastUpdatedTime}')::timestamptz
             OR ({known} #>> '{MetaData,LastUpdatedTime}')::timestamptz
                 = ({new} #>> '{MetaData,LastUpdatedTime}')::timestamptz
             AND coalesce(substring({known} ->> 'SyncToken' from '^\d{1,18}$')::bigint, 0)
                 <= coalesce(
                     substring({new} ->> 'SyncToken' from '^\d{1,18}$')::bigint, 0),
             true)
      END
    RETURNING (known.xmax = 0) AS is_new
)
SELECT count(*) FILTER (WHERE is_new) AS inserted, count(*) FILTER (WHERE NOT is_new) AS updated
FROM merged
