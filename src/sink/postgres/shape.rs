//! The shape of raw tables: differences of a table that was made by hand, and the statements that
//! upgrade it in place and keep every row. Users' earlier projects made text windows, times without
//! zone, `varchar` ids, and no `page_size` and `request_payload`.

use std::collections::HashMap;

use tokio_postgres::{GenericClient, Row};

use crate::domain::EntitySpec;
use crate::error::Result;
use crate::postgres::{Columns, Query, id_of, params, quote_identifier, record_of};

/// The columns that a raw table must have, with their types as `format_type` names them.
const COLUMNS: [(&str, &str); 9] = [
    ("id", "text"),
    ("payload", "jsonb"),
    ("ingested_at_utc", TIMESTAMPTZ),
    ("extract_window_start_utc", TIMESTAMPTZ),
    ("extract_window_end_utc", TIMESTAMPTZ),
    ("page_number", "integer"),
    ("page_size", "integer"),
    ("request_payload", "jsonb"),
    (DELETION_TIME, TIMESTAMPTZ),
];

/// Returns the names of the columns that a raw table must have.
pub(super) fn columns() -> impl Iterator<Item = &'static str> {
    COLUMNS.iter().map(|(name, _)| *name)
}

/// The column of deletions, which tables of an earlier version lack.
pub(super) const DELETION_TIME: &str = "deleted_at_utc";
const TIMESTAMPTZ: &str = "timestamp with time zone";

/// A column of an existing table.
#[derive(Debug, Clone)]
struct Column {
    name: String,
    type_name: String,
    is_not_null: bool,
    has_default: bool,
    computed: Option<Computed>,
}

/// The way in which the server fills a column, so that no value can be given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Computed {
    /// `GENERATED ALWAYS AS IDENTITY`, or `BY DEFAULT`.
    Identity { always: bool },
    /// `GENERATED ALWAYS AS (...) STORED`.
    Stored,
    /// `GENERATED ALWAYS AS (...) VIRTUAL`, since Postgres 18.
    Virtual,
}

/// Returns the names of our columns.
pub(super) fn column_names() -> Vec<&'static str> {
    COLUMNS.iter().map(|(name, _)| *name).collect()
}

/// The shape of an existing table.
#[derive(Debug, Default)]
pub(super) struct Shape {
    columns: Vec<Column>,
    /// A unique index on `id` alone.
    has_unique_id: bool,
    has_primary_key: bool,
}

/// A difference between a table and the required shape.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Difference {
    /// Description for people.
    pub what: String,
    /// The change that removes it, if there is one.
    pub remedy: Option<Remedy>,
}

/// A change that removes a difference.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Remedy {
    /// An action of `ALTER TABLE` that has to be done before the others.
    AlterFirst(String),
    /// An action of `ALTER TABLE`.
    Alter(String),
    /// Several statements; `{table}` stands for the table.
    Statements(String),
}

const SELECT_COLUMNS: &str = "
SELECT a.attname::text, format_type(a.atttypid, NULL), a.attnotnull,
    a.atthasdef OR a.attidentity <> '', concat(a.attidentity, a.attgenerated), c.relname::text
FROM pg_attribute a
    JOIN pg_class c ON c.oid = a.attrelid
    JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = $1 AND c.relname = ANY($2) AND a.attnum > 0 AND NOT a.attisdropped
ORDER BY c.relname, a.attnum";

/// Whether `id` alone is unique, and whether there is a primary key. A merge cannot use an index
/// that is checked at the end of the transaction.
const SELECT_KEYS: &str = "
SELECT
    coalesce(bool_or(i.indisunique AND i.indimmediate AND i.indisvalid AND i.indpred IS NULL
        AND i.indnkeyatts = 1 AND a.attname = 'id'), false),
    coalesce(bool_or(i.indisprimary), false), c.relname::text
FROM pg_index i
    JOIN pg_class c ON c.oid = i.indrelid
    JOIN pg_namespace n ON n.oid = c.relnamespace
    LEFT JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = i.indkey[0]
WHERE n.nspname = $1 AND c.relname = ANY($2)
GROUP BY c.relname";

fn column_of(row: &Row) -> Result<Column> {
    Ok(Column {
        name: row.column(0)?,
        type_name: row.column(1)?,
        is_not_null: row.column(2)?,
        has_default: row.column(3)?,
        computed: match row.column(4)? {
            "a" => Some(Computed::Identity { always: true }),
            "d" => Some(Computed::Identity { always: false }),
            "s" => Some(Computed::Stored),
            "v" => Some(Computed::Virtual),
            _ => None,
        },
    })
}

impl Shape {
    /// Reads the shapes of those of the tables that there are.
    pub(super) async fn of_all(
        client: &(impl GenericClient + Sync),
        schema: &str,
        tables: &[String],
    ) -> Result<HashMap<String, Self>> {
        let mut shapes: HashMap<String, Self> = HashMap::new();
        for row in client.rows(SELECT_COLUMNS, params![schema, tables]).await? {
            let shape = shapes.entry(row.column(5)?).or_default();
            shape.columns.push(column_of(&row)?);
        }
        for row in client.rows(SELECT_KEYS, params![schema, tables]).await? {
            if let Some(shape) = shapes.get_mut(row.column::<&str>(2)?) {
                (shape.has_unique_id, shape.has_primary_key) = (row.column(0)?, row.column(1)?);
            }
        }
        Ok(shapes)
    }

    /// Returns the differences from the required shape. Columns that allow nulls are accepted.
    pub(super) fn differences(&self) -> Vec<Difference> {
        let mut differences: Vec<Difference> = COLUMNS
            .iter()
            .flat_map(|(name, wanted)| self.column(name, wanted))
            .collect();
        if !self.has_unique_id {
            let what = match self.has_primary_key {
                true => "id is not unique",
                false => "id is not the primary key",
            };
            let key = if self.has_primary_key {
                "UNIQUE"
            } else {
                "PRIMARY KEY"
            };
            differences.push(Difference {
                what: what.to_owned(),
                remedy: Some(Remedy::Statements(format!(
                    "ALTER TABLE {{table}} ADD {key} (id)"
                ))),
            });
        }
        for column in &self.columns {
            let is_ours = COLUMNS.iter().any(|(name, _)| *name == column.name);
            if !is_ours && column.is_not_null && !column.has_default {
                let name = &column.name;
                differences.push(Difference {
                    what: format!("column {name} must be given, and is unknown here"),
                    remedy: Some(Remedy::Alter(format!(
                        "ALTER COLUMN {} DROP NOT NULL",
                        quote_identifier(name)
                    ))),
                });
            }
        }
        differences
    }

    /// Returns the differences of a column.
    fn column(&self, name: &str, wanted: &str) -> Vec<Difference> {
        let Some(found) = self.columns.iter().find(|column| column.name == name) else {
            return vec![Difference {
                what: format!("column {name} is missing"),
                remedy: addition(name, wanted),
            }];
        };
        let is_other_type = found.type_name != wanted;
        let mut differences: Vec<Difference> = computed(found, is_other_type).into_iter().collect();
        if !is_other_type {
            return differences;
        }
        let remedy = conversion(name, &found.type_name, wanted).map(|using| {
            // A default of the old type would prevent the conversion.
            let change = format!("ALTER COLUMN {name} TYPE {wanted} USING {using}");
            Remedy::Alter(match found.has_default && found.computed.is_none() {
                true => format!("ALTER COLUMN {name} DROP DEFAULT, {change}"),
                false => change,
            })
        });
        differences.push(Difference {
            what: format!("column {name} is {}, not {wanted}", found.type_name),
            remedy,
        });
        differences
    }

    /// Returns the columns whose type is to be changed.
    pub(super) fn retyped(&self) -> Vec<String> {
        let is_retyped = |column: &&Column| {
            COLUMNS
                .iter()
                .any(|(name, wanted)| *name == column.name && *wanted != column.type_name)
        };
        let columns = self.columns.iter().filter(is_retyped);
        columns.map(|column| column.name.clone()).collect()
    }
}

/// Returns the difference of a column that the server fills by itself. An identity that takes given
/// values is one only if the column's type has to change.
fn computed(column: &Column, is_other_type: bool) -> Option<Difference> {
    let Column { name, computed, .. } = column;
    let (what, remedy) = match (*computed)? {
        Computed::Identity { always: false } if !is_other_type => return None,
        Computed::Identity { .. } => ("an identity", Some("DROP IDENTITY")),
        Computed::Stored => ("generated", Some("DROP EXPRESSION")),
        Computed::Virtual => ("generated", None),
    };
    Some(Difference {
        what: format!("column {name} is {what}, so that no value can be stored in it"),
        remedy: remedy.map(|drop| Remedy::AlterFirst(format!("ALTER COLUMN {name} {drop}"))),
    })
}

/// Returns the statements that add a column. `{table}`, `{id}` and `{record}` stand for the table,
/// the id of a payload, and the object that holds its time. Existing rows get 0 or `{}` for values that are not
/// known any more.
fn addition(name: &str, wanted: &str) -> Option<Remedy> {
    let filled = |value: &str| {
        let add = format!("ALTER TABLE {{table}} ADD COLUMN {name} {wanted}");
        let fill = format!("UPDATE {{table}} SET {name} = {value}");
        let close = format!("ALTER TABLE {{table}} ALTER COLUMN {name} SET NOT NULL");
        Some(Remedy::Statements(format!("{add};\n{fill};\n{close}")))
    };
    let constant = |value: &str| {
        let add =
            format!("ALTER TABLE {{table}} ADD COLUMN {name} {wanted} NOT NULL DEFAULT {value}");
        Some(Remedy::Statements(format!(
            "{add};\nALTER TABLE {{table}} ALTER COLUMN {name} DROP DEFAULT"
        )))
    };
    match name {
        DELETION_TIME => Some(Remedy::Alter(format!("ADD COLUMN {name} {wanted}"))),
        "page_number" | "page_size" => constant("0"),
        "request_payload" => constant("'{}'"),
        "ingested_at_utc" => constant("now()"),
        "id" => filled("{id}"),
        // The second in which the record was changed: the narrowest window that holds it.
        "extract_window_start_utc" => filled(
            "coalesce(({record} #>> '{MetaData,LastUpdatedTime}')::timestamptz, ingested_at_utc)",
        ),
        "extract_window_end_utc" => filled(
            "coalesce(({record} #>> '{MetaData,LastUpdatedTime}')::timestamptz, ingested_at_utc) + interval '1 second'",
        ),
        _ => None,
    }
}

/// Returns the expression that converts a column from one type to another. Times without zone are
/// UTC, as their names say.
fn conversion(name: &str, found: &str, wanted: &str) -> Option<String> {
    let is_text = matches!(found, "text" | "character varying" | "character");
    let is_number = matches!(found, "bigint" | "smallint" | "integer" | "numeric");
    match wanted {
        "text" => (is_text || is_number || found == "uuid").then(|| format!("rtrim({name}::text)")),
        "jsonb" if found == "json" => Some(format!("{name}::jsonb")),
        // A request kept as text may be a bare statement.
        "jsonb" if is_text && name == "request_payload" => Some(format!(
            "CASE WHEN {name} ~ '^[[:space:]]*[[{{]' THEN {name}::jsonb ELSE to_jsonb({name}::text) END"
        )),
        "jsonb" if is_text => Some(format!("{name}::jsonb")),
        "integer" => (is_text || is_number).then(|| format!("{name}::integer")),
        TIMESTAMPTZ if is_text => Some(format!("nullif(trim({name}), '')::timestamptz")),
        TIMESTAMPTZ if matches!(found, "timestamp without time zone" | "date") => {
            Some(format!("{name}::timestamp AT TIME ZONE 'UTC'"))
        }
        _ => None,
    }
}

/// Returns the statements that upgrade the table of an entity.
///
/// # Errors
/// The differences that cannot be removed.
pub(super) fn upgrade(
    table: &str,
    entity: &EntitySpec,
    differences: &[Difference],
) -> Result<String, String> {
    let cannot: Vec<&str> = differences
        .iter()
        .filter(|found| found.remedy.is_none())
        .map(|found| found.what.as_str())
        .collect();
    if !cannot.is_empty() {
        return Err(cannot.join("; "));
    }
    let mut sql = String::new();
    for found in differences {
        if let Some(Remedy::AlterFirst(action)) = &found.remedy {
            sql.push_str(&format!("ALTER TABLE {table} {action};\n"));
        }
    }
    // All actions in one statement, so that the table is rewritten once.
    let alter = differences.iter().filter_map(|found| match &found.remedy {
        Some(Remedy::Alter(action)) => Some(action.as_str()),
        _ => None,
    });
    let alter: Vec<&str> = alter.collect();
    if !alter.is_empty() {
        sql.push_str(&format!(
            "ALTER TABLE {table}\n    {};\n",
            alter.join(",\n    ")
        ));
    }
    for found in differences {
        if let Some(Remedy::Statements(statements)) = &found.remedy {
            let statements = statements
                .replace("{table}", table)
                .replace("{id}", &id_of(entity, "payload"))
                .replace("{record}", &record_of(entity, "payload"));
            sql.push_str(&format!("{statements};\n"));
        }
    }
    Ok(sql)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::ENTITIES;

    fn column(name: &str, type_name: &str) -> Column {
        Column {
            name: name.into(),
            type_name: type_name.into(),
            is_not_null: false,
            has_default: false,
            computed: None,
        }
    }

    fn right() -> Vec<Column> {
        COLUMNS
            .iter()
            .map(|(name, type_name)| column(name, type_name))
            .collect()
    }

    #[test]
    fn a_table_that_is_right_but_for_nulls_and_more_columns_is_taken() {
        let mut columns = right();
        columns.push(column("notes", "text"));
        let shape = Shape {
            columns,
            has_unique_id: true,
            has_primary_key: true,
        };
        assert_eq!(shape.differences(), []);
    }

    #[test]
    fn what_cannot_be_converted_is_named() {
        let mut columns = right();
        columns[1].type_name = "bytea".into();
        columns[5].type_name = "jsonb".into();
        let shape = Shape {
            columns,
            has_unique_id: false,
            has_primary_key: true,
        };
        let differences = shape.differences();
        assert_eq!(differences.len(), 3);
        assert_eq!(
            upgrade("t", &ENTITIES[0], &differences).unwrap_err(),
            "column payload is bytea, not jsonb; column page_number is jsonb, not integer"
        );
        assert_eq!(
            upgrade("t", &ENTITIES[0], &differences[2..]).unwrap(),
            "ALTER TABLE t ADD UNIQUE (id);\n"
        );
    }
}
