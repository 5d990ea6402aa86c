//! The windows whose last attempt did not succeed.

/// The condition that a row of the ledger, or of what is known beside it, is about the company that the schema belongs
/// to, or that the schema belongs to none. A company that lost the schema before it had records in it goes on in another.
macro_rules! of_its_schema {
    ($row:literal) => {
        concat!(
            "NOT EXISTS (
        SELECT FROM qbo.schema_realms AS bound
        WHERE bound.schema_name = ",
            $row,
            ".schema_name AND bound.realm_id <> ",
            $row,
            ".realm_id)"
        )
    };
}

/// Unfinished windows of all schemas, but for those of which the whole time was committed by other windows since: each
/// begin of a time that could be lacking lies in one. Parts of a window stay committed when a later
/// attempt at it begins. Of a window that reaches into the future, the time is needed that had settled when
/// the attempt began, as of a run; one that lies in the future lacks nothing. A sync that is at one is told by its
/// turn, and what a sync has left the next one reads.
macro_rules! unfinished {
    () => {
        concat!(
            "
SELECT odd.*, EXISTS (
    SELECT FROM qbo.runs AS run WHERE odd.status = 'running' AND run.run_id = odd.run_id AND ",
            $crate::store::run_is_alive!("run"),
            ") AS is_under_way, EXISTS (
    SELECT FROM qbo.sync_state AS state WHERE state.schema_name = odd.schema_name AND state.realm_id = odd.realm_id
      AND state.entity = odd.entity AND state.status IN ('failed', 'pending', 'in_progress')
) AND NOT EXISTS (SELECT FROM qbo.runs AS run WHERE run.run_id = odd.run_id) AS is_of_sync
FROM qbo.windows AS odd
WHERE status <> 'done' AND ",
            $crate::store::unfinished::of_its_schema!("odd"),
            " AND (odd.window_start_utc > odd.started_at_utc + interval '1 day') IS NOT TRUE AND EXISTS (
    SELECT FROM (
        SELECT odd.window_start_utc UNION ALL
        SELECT CASE WHEN is_part THEN read_until_utc ELSE ledger.window_end_utc END
        FROM qbo.windows AS ledger
        WHERE ledger.schema_name = odd.schema_name AND ledger.realm_id = odd.realm_id
          AND ledger.entity = odd.entity
          AND ledger.window_end_utc > odd.window_start_utc AND ledger.window_start_utc < odd.window_end_utc
    ) AS bound(at)
    WHERE at >= odd.window_start_utc AND at < CASE
          WHEN odd.started_at_utc - interval '10 minutes' > odd.window_start_utc
          THEN least(odd.window_end_utc, odd.started_at_utc - interval '10 minutes')
          ELSE odd.window_end_utc END
      AND NOT EXISTS (
        SELECT FROM qbo.windows AS ledger
        WHERE ledger.schema_name = odd.schema_name AND ledger.realm_id = odd.realm_id
          AND ledger.entity = odd.entity AND (ledger.committed_at_utc > odd.started_at_utc
            OR ledger.is_part AND ledger.committed_at_utc IS NOT NULL
            AND ledger.window_start_utc = odd.window_start_utc AND ledger.window_end_utc = odd.window_end_utc)
          AND ledger.window_start_utc <= at 
          AND CASE WHEN ledger.is_part THEN ledger.read_until_utc ELSE ledger.window_end_utc END > at))"
        )
    };
}

/// The condition that the last run of an entity did not end well: the run may have begun with none of its windows,
/// as one of several whose process was killed at the first of them. Syncs are told by their own state.
macro_rules! last_run_is_open {
    ($schema:literal, $realm_id:literal, $entity:literal) => {
        concat!(
            "EXISTS (
        SELECT FROM (
            SELECT status FROM qbo.runs AS run
            WHERE run.schema_name = ",
            $schema,
            " AND run.realm_id = ",
            $realm_id,
            " AND run.entity = ",
            $entity,
            "
              AND (to_jsonb(run) ->> 'is_sync') IS DISTINCT FROM 'true'
            ORDER BY started_at_utc DESC LIMIT 1
        ) AS last WHERE status <> 'ok')"
        )
    };
}

pub(super) use {last_run_is_open, of_its_schema, unfinished};
