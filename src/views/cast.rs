//! SQL that turns JSON into columns and never fails: a value of another type is NULL.

use crate::domain::{Column, ColumnType};
use crate::postgres::{DAY_PATTERN, TIME_PATTERN};

/// Numbers that were written as text, as short as amounts and rates are; a longer one could be more
/// than `numeric` holds. Reports write `.00`.
const NUMBER_PATTERN: &str =
    "^[+-]?(?:[0-9]{1,64}(?:[.][0-9]{0,64})?|[.][0-9]{1,64})(?:[eE][+-]?[0-9]{1,2})?$";

/// Days as almost all are written. A long pattern costs more than all else about a day, so that the
/// one that knows every month and leap year is asked only for the others.
pub(super) const COMMON_DAY: &str = "^[1-9][0-9]{3}-(?:0[1-9]|1[0-2])-(?:0[1-9]|1[0-9]|2[0-8])$";

/// Times as almost all are written.
pub(super) const COMMON_TIME: &str = concat!(
    "^[1-9][0-9]{3}-(?:0[1-9]|1[0-2])-(?:0[1-9]|1[0-9]|2[0-8])",
    "T(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](?:Z|[+-](?:0[0-9]|1[0-4]):[0-5][0-9])$"
);

/// Name of a type as `format_type` of Postgres writes it.
pub(super) fn sql_type(column_type: ColumnType) -> &'static str {
    match column_type {
        ColumnType::Text => "text",
        ColumnType::Numeric => "numeric",
        ColumnType::Boolean => "boolean",
        ColumnType::Date => "date",
        ColumnType::Timestamptz => "timestamp with time zone",
        ColumnType::Json => "jsonb",
    }
}

/// Returns a column's value, read from the object `record`.
pub(super) fn value_of(record: &str, column: &Column) -> String {
    value_at(record, &column.path, column.column_type)
}

/// Returns the value at a path of the object `record`, as a type.
///
/// The planner evaluates only what a query reads, and a branch only where its condition holds. So a
/// number, which is one already within `jsonb`, costs no text.
pub(super) fn value_at(record: &str, path: &[&str], column_type: ColumnType) -> String {
    let json = json_at(record, path);
    let text = text_at(record, path);
    match column_type {
        ColumnType::Json => json,
        ColumnType::Text => {
            // Few texts begin like an object or an array, so that the type is asked for seldom.
            format!(
                "CASE WHEN ({text})::\"char\" IN ('{{', '[') THEN \
                 CASE WHEN jsonb_typeof({json}) NOT IN ('object', 'array') THEN {text} END ELSE {text} END"
            )
        }
        // Named once, a payload that is compressed is unpacked once. Strict, a list is no number.
        ColumnType::Numeric => format!(
            "coalesce(jsonb_path_query_first({json}, 'strict $ ? (@.type() == \"number\")')::numeric, \
             CASE jsonb_typeof({json}) WHEN 'string' THEN \
             CASE WHEN {text} ~ '{NUMBER_PATTERN}' THEN ({text})::numeric END END)"
        ),
        ColumnType::Boolean => format!(
            "CASE lower({text}) WHEN 'true' THEN true WHEN 'false' THEN false \
             WHEN 'on' THEN true WHEN 'off' THEN false END"
        ),
        // Some days are documented with slashes; an offset means nothing for a day.
        ColumnType::Date => format!(
            "coalesce(substring({text} from '{COMMON_DAY}')::date, CASE WHEN replace({text}, '/', '-') ~ \
             '^{DAY_PATTERN}(?:T[0-9:.]{{1,30}})?(?:Z|[+-][0-9]{{2}}:?[0-9]{{2}})?$' \
             THEN left(replace({text}, '/', '-'), 10)::date END)"
        ),
        // Without an offset it is UTC, whatever the session's time zone.
        ColumnType::Timestamptz => format!(
            "coalesce(substring({text} from '{COMMON_TIME}')::timestamptz, \
             CASE WHEN {text} ~ '{TIME_PATTERN}' THEN ({text} || CASE WHEN \
             {text} ~ '(?:Z|[+-][0-9]{{2}}(?::?[0-9]{{2}})?)$' THEN '' ELSE 'Z' END)::timestamptz END)"
        ),
    }
}

/// Returns an amount times the rate of the object `record`, NULL if it could be more than `numeric` holds, which
/// would be an error, or if the rate is no number. It is the amount where the record has no rate.
pub(super) fn at_rate(amount: &str, record: &str, path: &[&str]) -> String {
    let fits = |number: &str| format!("abs({number}) < 1e1000 AND scale({number}) < 8000");
    let rate = value_at(record, path, ColumnType::Numeric);
    format!(
        "CASE WHEN {} AND {} THEN {amount} * {rate} WHEN ({}) IS NULL THEN {amount} END",
        fits(&rate),
        fits(amount),
        text_at(record, path)
    )
}

/// Returns the array at a path, or an empty one if something else is there.
pub(super) fn array_at(record: &str, path: &[&str]) -> String {
    let json = json_at(record, path);
    format!("CASE jsonb_typeof({json}) WHEN 'array' THEN {json} ELSE '[]'::jsonb END")
}

/// Returns an object without the keys that have columns, or NULL if nothing is left.
pub(super) fn without_keys(record: &str, keys: &[&str]) -> String {
    let keys: Vec<String> = keys.iter().map(|key| literal(key)).collect();
    format!(
        "CASE jsonb_typeof({record}) WHEN 'object' THEN nullif({record} - ARRAY[{}]::text[], '{{}}'::jsonb) \
         ELSE {record} END",
        keys.join(", ")
    )
}

/// Returns the JSON at a path.
pub(super) fn json_at(record: &str, path: &[&str]) -> String {
    step(record, path, "->", "#>")
}

/// Returns the text at a path.
pub(super) fn text_at(record: &str, path: &[&str]) -> String {
    step(record, path, "->>", "#>>")
}

/// One operator for the whole path, which builds nothing in between.
fn step(record: &str, path: &[&str], one: &str, many: &str) -> String {
    match path {
        [name] => format!("{record} {one} {}", literal(name)),
        names => format!(
            "{record} {many} {}",
            literal(&format!("{{{}}}", names.join(",")))
        ),
    }
}

/// Returns a text as a literal.
pub(super) fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}
