-- Marks rows as deleted, adds rows of records that were never seen, and records up to when
-- deletions are known. Returns how many deletions were new. Rejects of deleted records are removed:
-- nothing is missing any more. Nothing is written unless the schema still has its company and the
-- sync ($10), if it is one, still has its turn: the row says which of them it has.
WITH held AS (
    SELECT EXISTS (SELECT FROM qbo.schema_realms WHERE schema_name = $1 AND realm_id = $2) AS has_schema,
        $10::text IS NULL OR EXISTS (
            SELECT FROM qbo.sync_turns AS turn
            WHERE turn.schema_name = $1 AND turn.realm_id = $2 AND turn.entity = $3 AND turn.turn_id = $10
        ) AS has_turn
), gone AS (
    SELECT gone.* FROM held, unnest($4::text[], $5::timestamptz[], $6::text[]) AS gone(id, at, stub)
    WHERE has_schema AND has_turn
), marked AS (
    UPDATE {table} known SET deleted_at_utc = gone.at FROM gone
    WHERE known.id = gone.id AND known.deleted_at_utc IS NULL
    RETURNING known.id
), unseen AS (
    INSERT INTO {table} (id, payload, ingested_at_utc, extract_window_start_utc,
        extract_window_end_utc, page_number, page_size, request_payload, deleted_at_utc)
    SELECT id, stub::jsonb, now(), at, at + interval '1 second', 1, 1, $9::text::jsonb, at
    FROM gone WHERE stub IS NOT NULL
    ON CONFLICT (id) DO NOTHING RETURNING id
), resolved AS (
    DELETE FROM qbo.rejects reject USING gone
    WHERE schema_name = $1 AND realm_id = $2 AND entity = $3
        AND reject.id = gone.id AND reject.changed_at_utc <= gone.at
), recorded AS (
    UPDATE qbo.sync_state SET
        deletions_until_utc = coalesce($7, deletions_until_utc),
        reconciled_at_utc = CASE WHEN $8 THEN now() ELSE reconciled_at_utc END
    FROM held
    WHERE has_schema AND has_turn AND schema_name = $1 AND realm_id = $2 AND entity = $3
)
SELECT (SELECT count(*) FROM marked) + (SELECT count(*) FROM unseen) AS deletions, has_schema, has_turn
FROM held
