-- Commits windows in which nothing was new, one of each entity, and records the success of their sync. A window is left as it is unless
-- its last attempt was committed, the sync ($3) still has its turn and the schema its company. Returns the entities whose windows are committed.
-- Each instant is that which write_ledger.sql and begin_window.sql would write: the window was begun when it was known what to read.
WITH quiet AS (
    SELECT * FROM unnest(
        $4::text[], $5::timestamptz[], $6::timestamptz[], $7::text[], $8::timestamptz[], $9::timestamptz[],
        $10::timestamptz[], $11::int[], $12::bigint[], $13::bigint[], $14::bigint[], $15::timestamptz[],
        $16::timestamptz[])
        AS quiet(entity, first, last, run_id, read_start, known_at, read_until, pages, requests, retries,
            extract_ms, checkpoint, deletions_until)
), committed AS (
    UPDATE qbo.windows AS known SET
        run_id = quiet.run_id, attempts = 1, error = NULL, previous_attempt = NULL, records_failed = false,
        started_at_utc = coalesce(quiet.known_at, now()),
        read_until_utc = quiet.read_until, part_until_utc = NULL, incomplete_since_utc = NULL,
        committed_at_utc = CASE WHEN quiet.read_start > quiet.first
            THEN greatest(quiet.known_at - interval '5 minutes', known.committed_at_utc) ELSE now() END,
        pages = quiet.pages, requests = quiet.requests, retries = quiet.retries,
        extract_ms = quiet.extract_ms, load_ms = 0, bytes = 0,
        rows = 0, inserted = 0, updated = 0, unchanged = 0, rejected = 0
    FROM quiet
    WHERE known.schema_name = $1 AND known.realm_id = $2 AND known.entity = quiet.entity
        AND known.window_start_utc = quiet.first AND known.window_end_utc = quiet.last
        AND known.status = 'done'
        AND EXISTS (SELECT FROM qbo.schema_realms WHERE schema_name = $1 AND realm_id = $2)
        AND EXISTS (
            SELECT FROM qbo.sync_turns AS turn
            WHERE turn.schema_name = $1 AND turn.realm_id = $2 AND turn.entity = quiet.entity AND turn.turn_id = $3)
    RETURNING known.entity
), gone AS (
    DELETE FROM qbo.rejects AS reject USING quiet JOIN committed USING (entity)
    WHERE reject.schema_name = $1 AND reject.realm_id = $2 AND reject.entity = quiet.entity
        AND reject.changed_at_utc >= quiet.read_start AND reject.changed_at_utc < quiet.last
), recorded AS (
    UPDATE qbo.sync_state AS state SET
        status = 'success', last_success_at_utc = now(), consecutive_failures = 0, message = NULL,
        checkpoint_utc = coalesce(quiet.checkpoint, state.checkpoint_utc),
        deletions_until_utc = coalesce(quiet.deletions_until, state.deletions_until_utc)
    FROM quiet JOIN committed USING (entity)
    WHERE state.schema_name = $1 AND state.realm_id = $2 AND state.entity = quiet.entity
)
SELECT entity FROM committed
