//! Names of raw tables, and the query of their live rows.

use super::quote_identifier;
use crate::domain::{EntitySpec, Identity};

/// The schema of raw tables unless another one is named.
pub(crate) const DEFAULT_SCHEMA: &str = "raw";

/// The rows that are not deleted. The time of change is read from the payload, guarded by a
/// pattern, because a table may hold rows that others have inserted.
const LIVE_ROWS: &str = r"
SELECT id,
    CASE WHEN updated ~ '^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d' THEN updated::timestamptz END AS at,
    token
FROM (
    SELECT id,
        {record} #>> '{MetaData,LastUpdatedTime}' AS updated,
        coalesce(substring({record} ->> 'SyncToken' from '^\d{1,18}$')::bigint, 0) AS token
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
    LIVE_ROWS
        .replace("{table}", &table_name(schema, entity))
        .replace("{record}", &record_of(entity, "payload"))
}

/// Returns the SQL of the object that holds a record's `Id`, `SyncToken` and `MetaData`: the payload
/// itself, or the object inside it (qbo-facts 8). `payload` is the SQL of the payload.
pub(crate) fn record_of(entity: &EntitySpec, payload: &str) -> String {
    match entity.identity {
        // Strict, so that an array of objects with ids is not taken for a record.
        Identity::Wrapped => format!(
            "coalesce(jsonb_path_query_first({payload}, 'strict $.* ? (exists (@.Id))', '{{}}', true), {payload})"
        ),
        Identity::Id | Identity::Single | Identity::Properties(_) => payload.to_owned(),
    }
}

/// Returns the SQL of a record's id, as [`Record::read`](crate::domain::Record::read) finds it.
pub(crate) fn id_of(entity: &EntitySpec, payload: &str) -> String {
    let id = format!("{} ->> 'Id'", record_of(entity, payload));
    match entity.identity {
        Identity::Id | Identity::Wrapped => id,
        Identity::Single => format!("coalesce({id}, '1')"),
        Identity::Properties(names) => {
            let texts: Vec<String> = names
                .iter()
                .map(|name| format!("({payload} ->> '{name}')"))
                .collect();
            texts.join(" || ':' || ")
        }
    }
}
