//! Columns of a model: its properties, with those of the objects inside it beside them.

use super::{Field, FieldTable, FieldType, column_name};

/// Type of a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ColumnType {
    /// Text.
    Text,
    /// Exact number.
    Numeric,
    /// True or false.
    Boolean,
    /// Day.
    Date,
    /// Instant.
    Timestamptz,
    /// JSON as it is.
    Json,
}

/// One column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    /// Name, such as `bill_addr_line1`.
    pub name: String,
    /// Place of the value in the record: names of properties.
    pub path: Vec<&'static str>,
    /// Type.
    pub column_type: ColumnType,
    /// Meaning, in one line; may be empty.
    pub meaning: String,
}

/// Objects are followed so far; the deepest of Intuit's are three in one another.
const MAX_DEPTH: usize = 5;

/// Returns the columns of a model, without the properties named in `without`.
pub fn columns(table: &FieldTable, model: &str, without: &[&str]) -> Vec<Column> {
    let fields = table.of(model).iter();
    let fields = fields.filter(|field| !without.contains(&field.path));
    let below = fields.map(|field| columns_below(table, field, &[]));
    below.flatten().collect()
}

/// Returns the columns of a property of the object at `place`.
pub fn columns_below(table: &FieldTable, field: &Field, place: &[&'static str]) -> Vec<Column> {
    let mut path = place.to_vec();
    path.push(field.path);
    let column = |path: Vec<&'static str>, column_type, meaning: String| Column {
        name: name_of(&path),
        path,
        column_type,
        meaning,
    };
    let column_type = match field.field_type {
        FieldType::Text => ColumnType::Text,
        FieldType::Numeric => ColumnType::Numeric,
        FieldType::Boolean => ColumnType::Boolean,
        FieldType::Date => ColumnType::Date,
        FieldType::Timestamptz => ColumnType::Timestamptz,
        FieldType::Reference => {
            let mut parts = vec![("value", field.meaning.to_owned())];
            let words = match field.meaning {
                "" => column_name(field.path).replace('_', " "),
                meaning => meaning.to_owned(),
            };
            parts.push(("name", format!("{words}; its name, not always there")));
            if field.of.is_some() {
                parts.push(("type", format!("{words}; its type")));
            }
            let parts = parts.into_iter().map(|(part, meaning)| {
                let mut path = path.clone();
                path.push(part);
                column(path, ColumnType::Text, meaning)
            });
            return parts.collect();
        }
        FieldType::Object => match field.of {
            Some(of) if path.len() < MAX_DEPTH => {
                let inner = table.of(of).iter();
                let inner = inner.flat_map(|inner| columns_below(table, inner, &path));
                return inner
                    .map(|inner| with_context(inner, field.meaning))
                    .collect();
            }
            _ => ColumnType::Json,
        },
        FieldType::List => ColumnType::Json,
    };
    vec![column(path, column_type, field.meaning.to_owned())]
}

/// Longest name that Postgres keeps, in bytes.
const MAX_NAME: usize = 63;

/// Returns the name of a column. One that is too long loses the names of the outermost objects.
fn name_of(path: &[&str]) -> String {
    let name = column_name(&path.join("."));
    match path {
        [_, inner @ ..] if name.len() > MAX_NAME && !inner.is_empty() => name_of(inner),
        _ => name,
    }
}

/// Adds the meaning of the object to that of its property.
fn with_context(mut column: Column, context: &str) -> Column {
    column.meaning = match (column.meaning.as_str(), context) {
        (own, "") => own.to_owned(),
        ("", context) => context.to_owned(),
        (own, context) => format!("{own} ({context})"),
    };
    column
}
