-- Merges the staging table into the raw table, and counts what became of each record. A row is
-- replaced only by one that differs and is not older (qbo-facts 3.5).
--
-- Rows that stay as they are are left out before they are inserted: a conflict would lock each of
-- them, which is written to disk like a change. They are looked up one by one, by a subquery, which
-- the planner cannot turn into a join: a join would put whole payloads into its hash table, and
-- that onto disk. The lookup is null for a record that the table does not hold. The conflict's own
-- condition is for rows that others commit meanwhile. A record that was read after its deletion is no
-- longer deleted. QuickBooks tells deletions by the second: one of a second may be later than a read of
-- that second.
WITH requests AS MATERIALIZED (
    SELECT request::jsonb, request_place
    FROM unnest($4::text[]) WITH ORDINALITY AS sent(request, request_place)
), pages AS (
    SELECT * FROM unnest($1::int[], $2::int[], $3::timestamptz[], $7::bigint[]) WITH ORDINALITY
        AS page(page_number, page_size, ingested_at, request_place, place)
), judged AS MATERIALIZED (
    SELECT staged.seq, (
        SELECT CASE WHEN there.payload = staged.payload
            THEN coalesce({there_is_deleted}, true)
            ELSE {there_is_newer} END
        FROM {table} there WHERE there.id = staged.id
    ) AS stays
    FROM qbo_staging staged JOIN pages page USING (place)
), merged AS (
    INSERT INTO {table} AS known (id, payload, ingested_at_utc, extract_window_start_utc,
        extract_window_end_utc, page_number, page_size, request_payload, deleted_at_utc)
    SELECT staged.id, staged.payload, page.ingested_at, $5, $6, page.page_number, page.page_size,
        requests.request, NULL
    FROM qbo_staging staged JOIN pages page USING (place) JOIN requests USING (request_place)
    JOIN judged USING (seq)
    WHERE judged.stays IS NOT TRUE
    ON CONFLICT (id) DO UPDATE SET
        payload = EXCLUDED.payload, ingested_at_utc = EXCLUDED.ingested_at_utc,
        extract_window_start_utc = EXCLUDED.extract_window_start_utc,
        extract_window_end_utc = EXCLUDED.extract_window_end_utc,
        page_number = EXCLUDED.page_number,
        page_size = EXCLUDED.page_size, request_payload = EXCLUDED.request_payload,
        deleted_at_utc = CASE
            WHEN {known_is_deleted} THEN known.deleted_at_utc END
    WHERE (known.payload IS DISTINCT FROM EXCLUDED.payload
        OR NOT {known_is_deleted})
      AND NOT {known_is_newer}
    RETURNING {is_new} AS is_new
)
SELECT count(*) FILTER (WHERE is_new) AS inserted, count(*) FILTER (WHERE NOT is_new) AS updated,
    (SELECT count(*) FROM judged WHERE stays) AS unchanged,
    (SELECT count(*) FROM judged WHERE stays IS NULL) AS absent
FROM merged
