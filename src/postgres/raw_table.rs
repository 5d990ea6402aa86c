//! Names of raw tables, and the query of their live rows.

use super::quote_identifier;
use crate::domain::{EntitySpec, Identity};

/// The schema of raw tables unless another one is named.
pub(crate) const DEFAULT_SCHEMA: &str = "raw";

/// Begins the last line of the comment of every view, table and function that `qbo-rs db views` has made.
pub(crate) const VIEWS_MARK: &str = "[qbo_rs views ";

/// Days that exist, in years of four digits.
macro_rules! day_pattern {
    () => {
        concat!(
            "(?:[1-9][0-9]{3}-(?:(?:0[13578]|1[02])-(?:0[1-9]|[12][0-9]|3[01])|(?:0[469]|11)-(?:0[1-9]|[12][0-9]|30)",
            "|02-(?:0[1-9]|1[0-9]|2[0-8]))",
            // 29 February of leap years.
            "|(?:[1-9][0-9](?:0[48]|[2468][048]|[13579][26])|(?:[2468][048]|[13579][26])00)-02-29)"
        )
    };
}

/// Matches, as a part of a pattern, exactly those days of four-digit years that a cast to `date` takes.
pub(crate) const DAY_PATTERN: &str = day_pattern!();

/// Matches exactly those times that a cast to `timestamptz` takes: days that exist, in years of four
/// digits, with an offset of less than 15 hours. A table may hold rows that others have inserted,
/// and a cast that fails would fail every statement that reads the table.
pub(crate) const TIME_PATTERN: &str = concat!(
    "^",
    day_pattern!(),
    "T(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](?:[.][0-9]{1,20})?(?:Z|[+-](?:0[0-9]|1[0-4])(?::?[0-5][0-9])?)?$",
);

/// The time of change that a payload tells; null if it is none.
const CHANGED_AT: &str = "CASE WHEN {updated} ~ '{time}' THEN ({updated})::timestamptz END";

/// The rows that are not deleted. The time of change is read from the payload.
const LIVE_ROWS: &str = r"
SELECT id,
    {changed_at} AS at,
    token
FROM (
    SELECT id,
        {told} AS updated,
        {token} AS token
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
        .replace("{changed_at}", &changed_at("updated"))
        .replace("{told}", &told_change(entity))
        .replace("{table}", &table_name(schema, entity))
        .replace("{token}", &told_token(entity))
}

/// Returns the SQL of a live row's version, of which the columns are named without a table: the time of
/// change and the token.
pub(crate) fn version_of(entity: &EntitySpec) -> [String; 2] {
    [changed_at(&told_change(entity)), told_token(entity)]
}

/// Returns the condition that a row, of which the columns are named without a table, is live and was
/// last changed before a parameter. It looks at nothing but the row: so it is looked at again when the
/// row was changed meanwhile.
pub(crate) fn is_live_before(entity: &EntitySpec, parameter: &str) -> String {
    let changed_at = changed_at(&told_change(entity));
    format!("deleted_at_utc IS NULL AND {changed_at} < {parameter}")
}

fn changed_at(updated: &str) -> String {
    CHANGED_AT
        .replace("{time}", TIME_PATTERN)
        .replace("{updated}", updated)
}

fn told_token(entity: &EntitySpec) -> String {
    let record = record_of(entity, "payload");
    format!("coalesce(substring({record} ->> 'SyncToken' from '^[0-9]{{1,18}}$')::bigint, 0)")
}

fn told_change(entity: &EntitySpec) -> String {
    let record = record_of(entity, "payload");
    format!("({record} #>> '{{MetaData,LastUpdatedTime}}')")
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

/// Returns the SQL of a time that fits into the types of this program, whatever others have stored:
/// `infinity` and years before 1 or after 9999 become the nearest time that does.
pub(crate) fn bounded_time(column: &str) -> String {
    format!(
        "CASE WHEN {column} IS NOT NULL THEN greatest(timestamptz '0001-01-01Z', \
         least({column}, timestamptz '9999-12-31Z')) END"
    )
}

#[cfg(test)]
mod tests {
    use super::TIME_PATTERN;

    #[test]
    fn the_checks_for_people_read_times_by_the_same_pattern() {
        let checks = include_str!("../../docs/validation.sql");
        assert!(checks.contains(&format!("changed ~\n    '{TIME_PATTERN}'")));
    }
}
