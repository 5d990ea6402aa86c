//! Views with the tables and columns that Fivetran makes of QuickBooks, as the dbt package
//! `fivetran/dbt_quickbooks` reads them. They are made from `facts/fivetran.tsv`.

mod address;
mod path;
mod table;
mod variables;

use self::table::{Column, Rows, Table, Type};
pub(super) use self::variables::advice;
use super::cast::{array_at, sql_type, text_at, value_at};
use super::definition::{View, ViewColumn};
use super::rows::{LINE, RECORD};
use super::source::Source;
use crate::domain::{ColumnType, EntitySpec, FieldTable, FieldType, fields};
use crate::error::{Error, Result};

/// The schema of the views unless another one is named: what the package reads by default.
pub(super) const DEFAULT_INTO: &str = "quickbooks";

/// Begins the last line of the comment of these views.
pub(super) const MARK: &str = "[qbo_rs fivetran ";

/// Column of the raw tables that these views read beside those that all views read.
pub(super) const NEEDED_COLUMN: &str = "ingested_at_utc timestamp with time zone";

/// Time at which a record was last loaded, or was found to be deleted. Postgres leaves a NULL out.
const SYNCED: &str = "greatest(r.ingested_at_utc, r.deleted_at_utc)";

/// Returns the views of all tables whose records are there.
pub(super) fn all_views(schema: &str, entities: &[&EntitySpec]) -> Result<Vec<View>> {
    let table_of_fields = fields()?;
    let mut views = Vec::new();
    for table in table::tables()? {
        let sources = sources(table, schema, entities, table_of_fields);
        if sources.is_empty() {
            continue;
        }
        let mut view = match table.name {
            address::TABLE => address::view(table, &sources)?,
            _ => view(table, &sources)?,
        };
        view.mark = MARK;
        views.push(view);
    }
    Ok(views)
}

/// Returns the names of the tables that the package reads and for which no records are there.
pub(super) fn left_out(entities: &[&EntitySpec]) -> Result<Vec<String>> {
    let tables = table::tables()?.iter();
    let missing = tables.filter(|table| !is_there(table, entities));
    Ok(missing.map(|table| table.name.to_owned()).collect())
}

fn is_there(table: &Table, entities: &[&EntitySpec]) -> bool {
    let mut rows = table.rows.iter();
    rows.any(|rows| entities.iter().any(|entity| entity.qbo_name == rows.entity))
}

/// Returns the raw tables that a table is made of, each with what its rows are.
fn sources<'a>(
    table: &'a Table,
    schema: &'a str,
    entities: &[&'a EntitySpec],
    table_of_fields: &'a FieldTable,
) -> Vec<(Source<'a>, &'a Rows)> {
    let source = |rows: &'a Rows| {
        let entity = entities
            .iter()
            .find(|entity| entity.qbo_name == rows.entity)?;
        let source = Source {
            schema,
            entity,
            table: table_of_fields,
        };
        Some((source, rows))
    };
    table.rows.iter().filter_map(source).collect()
}

fn view(table: &Table, sources: &[(Source<'_>, &Rows)]) -> Result<View> {
    let (source, rows) = sources.first().ok_or_else(|| no_such(table, "rows"))?;
    let shape = Shape::of(source, rows).ok_or_else(|| no_such(table, "rows"))?;
    let columns = table.columns.iter();
    let columns = columns.map(|column| {
        let value = shape.value(source, rows, column);
        let (expression, comment) = value.ok_or_else(|| no_such(table, column.name))?;
        Ok(view_column(column, comment, expression))
    });
    let columns: Vec<ViewColumn> = columns.collect::<Result<_>>()?;
    let comment = comment(table, &[rows]);
    Ok(View::new(
        table.name.to_owned(),
        comment,
        columns,
        shape.from,
    ))
}

fn no_such(table: &Table, column: &str) -> Error {
    let name = table.name;
    Error::Internal(format!(
        "facts/fivetran.tsv: {name} {column} is of no known property"
    ))
}

fn comment(table: &Table, rows: &[&Rows]) -> String {
    let place = |rows: &&Rows| {
        let mut place = vec![rows.entity];
        place.extend(&rows.list);
        place.join(".")
    };
    let places: Vec<String> = rows.iter().map(place).collect();
    format!(
        "{} As Fivetran names it, from {} of QuickBooks.",
        table.comment,
        places.join(", ")
    )
}

fn view_column(column: &Column, comment: String, expression: String) -> ViewColumn {
    let sql_type = match column.column_type {
        Type::Of(column_type) => sql_type(column_type),
        Type::Integer => "integer",
    };
    ViewColumn::new(column.name, sql_type, &comment, expression)
}

/// Rows of a table, in SQL.
struct Shape {
    /// Text after `FROM`.
    from: String,
    /// The record or element.
    element: &'static str,
    /// Models of its properties.
    models: Vec<&'static str>,
}

impl Shape {
    fn of(source: &Source<'_>, rows: &Rows) -> Option<Self> {
        let mut shape = Self {
            from: source.from(),
            element: RECORD,
            models: vec![source.entity.qbo_name],
        };
        let mut path = Vec::new();
        for name in &rows.list {
            let mut models = shape.models.iter();
            let field = models.find_map(|model| source.table.field(model, name))?;
            path.push(*name);
            shape.models = vec![field.of?];
            if field.field_type != FieldType::List {
                continue;
            }
            // The innermost list is `l`; one around it, of which there is at most one, is `t`.
            let (alias, element) = match shape.element {
                RECORD if rows.list.iter().filter(|name| **name == "Line").count() > 1 => {
                    ("t", "t.value")
                }
                _ => ("l", LINE),
            };
            let array = array_at(shape.element, &path);
            shape.from.push_str(&format!(
                "\nCROSS JOIN LATERAL jsonb_array_elements({array})\n    WITH ORDINALITY AS {alias}(value, place)"
            ));
            shape.element = element;
            path.clear();
            if field.of == Some("Line") {
                shape.models.extend(details_of(source));
            }
        }
        if let Some(condition) = &rows.condition {
            shape
                .from
                .push_str(&format!("\nWHERE {}", condition.sql(RECORD, &[])));
        }
        Some(shape)
    }

    /// Returns the SQL of a column's value, and its comment.
    fn value(&self, source: &Source<'_>, rows: &Rows, column: &Column) -> Option<(String, String)> {
        let entity = source.entity.qbo_name;
        let meant = || column.meaning.to_owned();
        Some(match &column.source {
            table::Source::Nothing => {
                let name = match column.column_type {
                    Type::Of(column_type) => sql_type(column_type),
                    Type::Integer => "integer",
                };
                (format!("NULL::{name}"), meant())
            }
            table::Source::Id if rows.list.is_empty() => {
                ("r.id".to_owned(), "Id of the record.".to_owned())
            }
            table::Source::Id => ("r.id".to_owned(), format!("Id of the {entity}.")),
            table::Source::Synced => (SYNCED.to_owned(), meant()),
            table::Source::Deleted => ("r.deleted_at_utc IS NOT NULL".to_owned(), meant()),
            table::Source::Index => ("(l.place - 1)::integer".to_owned(), meant()),
            table::Source::Parent => ("(t.place - 1)::integer".to_owned(), meant()),
            table::Source::GroupAccount => (group_account(), meant()),
            table::Source::Address(property) => {
                let field = source.field(property)?;
                let comment = format!("{property}: {}", column.meaning);
                (field.of.map(|_| address::id_of(entity, property))?, comment)
            }
            table::Source::Paths(paths) => {
                let Type::Of(column_type) = column.column_type else {
                    return None;
                };
                let places = paths.iter();
                let places = places.map(|path| path.place(source.table, &self.models));
                let places: Vec<_> = places.collect::<Option<_>>()?;
                let values = paths.iter().zip(&places);
                let values =
                    values.map(|(path, place)| path.sql(self.element, *place, column_type));
                let values: Vec<String> = values.collect();
                let value = match values.as_slice() {
                    [value] => value.clone(),
                    values => format!("coalesce({})", values.join(", ")),
                };
                let names: Vec<String> = paths.iter().map(path::Path::text).collect();
                let meaning = match column.meaning {
                    "" => places.first()?.meaning,
                    own => own,
                };
                let comment = match meaning {
                    "" => names.join(", "),
                    meaning => format!("{}: {meaning}", names.join(", ")),
                };
                (value, comment)
            }
        })
    }
}

/// Returns the model of the details that lines of the entity may have; none if they only link.
fn details_of(source: &Source<'_>) -> Option<&'static str> {
    let name = format!("{}.Line", source.entity.qbo_name);
    source.table.models().find(|model| *model == name)
}

/// Returns the account to which all members of a group are posted, or NULL if they differ. Without
/// it, the package would post a bundle to no account.
fn group_account() -> String {
    let members = array_at(LINE, &["GroupLineDetail", "Line"]);
    let account = ["SalesItemLineDetail", "ItemAccountRef", "value"];
    format!(
        "(SELECT CASE WHEN count(DISTINCT g.account) = 1 AND count(g.account) = count(*) THEN min(g.account) END\n        \
         FROM (SELECT {} AS account FROM jsonb_array_elements({members}) AS m(value)\n            \
         WHERE {} = 'SalesItemLineDetail') AS g)",
        value_at("m.value", &account, ColumnType::Text),
        text_at("m.value", &["DetailType"])
    )
}

#[cfg(test)]
mod tests;
