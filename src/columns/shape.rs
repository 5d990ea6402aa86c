//! Shapes of columns: flat or not, a row for each record or for each element of a list.

use serde::Deserialize;

use crate::domain::{Column, ColumnType, FieldTable, FieldType, column_name, columns_below};

/// Property whose times begin every schema.
const META_DATA: &str = "MetaData";

/// The shape in which records become columns.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Shape {
    /// Give the members of objects and references columns of their own; otherwise each is one column
    /// of JSON text.
    pub flatten: bool,
    /// Make a row for each element of this list, such as `Line`.
    pub explode: Option<String>,
}

impl Default for Shape {
    fn default() -> Self {
        Self {
            flatten: true,
            explode: None,
        }
    }
}

/// Returns the columns of a model, one for each property.
pub(super) fn whole_properties(table: &FieldTable, model: &str, without: &[&str]) -> Vec<Column> {
    let fields = table.of(model).iter();
    let fields = fields.filter(|field| field.path != META_DATA && !without.contains(&field.path));
    let whole = fields.map(|field| match field.field_type {
        FieldType::Reference | FieldType::Object | FieldType::List => vec![Column {
            name: column_name(field.path),
            path: vec![field.path],
            column_type: ColumnType::Json,
            meaning: field.meaning.to_owned(),
        }],
        _ => columns_below(table, field, &[]),
    });
    whole.flatten().collect()
}
