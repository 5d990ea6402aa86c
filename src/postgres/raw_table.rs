//! Names of raw tables, and the query of their live rows.

use super::quote_identifier;
use crate::domain::EntitySpec;

/// The schema of raw tables unless another one is named.
pub(crate) const DEFAULT_SCHEMA: &str = "raw";

/// The rows that are not deleted. The time of change is read from the payload, guarded by a
/// pattern, because a table may hold rows that others have inserted. A record inside a wrapper has
/// it one level deeper.
const LIVE_ROWS: &str = r"
SELECT id,
    CASE WHEN updated ~ '^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d' THEN updated::timestamptz END AS at,
    token
FROM (
    SELECT id,
        coalesce(
            payload #>> '{MetaData,LastUpdatedTime}',
            (SELECT inner_record.value #>> '{MetaData,LastUpdatedTime}'
             FROM jsonb_each(payload) AS inner_record LIMIT 1)
        ) AS updated,
        coalesce(substring(payload ->> 'SyncToken' from '^\d{1,18}$')::bigint, 0) AS token
    FROM {table} WHERE deleted_at_utc IS NULL
) AS found";

/// Returns the quoted name of an entity's table.
pub(crate) fn table_name(schema: &str, entity: &EntitySpec) -> String {
    format!(
        "{}.{}",
        quote_identifier(schema),
        quote_identifier(&entity.table())
    )
}

/// Returns a query for the live rows of a table: `id`, `at` (time of change) and `token`.
pub(crate) fn live_rows(schema: &str, entity: &EntitySpec) -> String {
    LIVE_ROWS.replace("{table}", &table_name(schema, entity))
}
