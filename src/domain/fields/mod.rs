//! The field table: every property of QuickBooks' records that has a column, with its type and
//! meaning. Views and Arrow schemas are made from it; a new field is one row.

mod columns;
mod name;

use std::collections::BTreeMap;
use std::sync::LazyLock;

pub use self::columns::{Column, ColumnType, columns, columns_below};
pub use self::name::column_name;
use crate::error::{Error, Result};

/// Number of the table's version; the next one for every change that users can see.
pub const FIELDS_VERSION: u32 = 1;

/// Type of a property (`facts/README.md`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FieldType {
    /// Text, ids included.
    Text,
    /// Number of any size and scale.
    Numeric,
    /// True or false, also as text.
    Boolean,
    /// Day, perhaps with an offset that means nothing.
    Date,
    /// Instant.
    Timestamptz,
    /// Object of `value` and, not always, `name`.
    Reference,
    /// Array.
    List,
    /// Object.
    Object,
}

impl FieldType {
    fn parse(text: &str) -> Option<Self> {
        Some(match text {
            "text" => Self::Text,
            "numeric" => Self::Numeric,
            "boolean" => Self::Boolean,
            "date" => Self::Date,
            "timestamptz" => Self::Timestamptz,
            "reference" => Self::Reference,
            "list" => Self::List,
            "object" => Self::Object,
            _ => return None,
        })
    }
}

/// One row of the table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Field {
    /// Name of the property in the JSON.
    pub path: &'static str,
    /// Type of its value.
    pub field_type: FieldType,
    /// Model of the object or of the list's elements; for a reference with a `type`, any text.
    pub of: Option<&'static str>,
    /// Meaning, in one line; may be empty.
    pub meaning: &'static str,
}

/// The rows by their model, in the order of the file.
#[derive(Debug, Default)]
pub struct FieldTable(BTreeMap<&'static str, Vec<Field>>);

impl FieldTable {
    /// Reads the text of the table.
    ///
    /// # Errors
    /// [`Error::Internal`] that names the line: a row without five columns, an unknown type, a
    /// property that is there twice, a model of `of` without rows.
    pub fn parse(text: &'static str) -> Result<Self> {
        let mut table = Self::default();
        let rows = text.lines().enumerate();
        let rows = rows.filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
        for (number, line) in rows.skip(1) {
            let wrong = |why: &str| {
                let line_number = number + 1;
                Error::Internal(format!(
                    "facts/fields.tsv, line {line_number}: {why}: {line}"
                ))
            };
            let cells: Vec<&str> = line.split('\t').collect();
            let [model, path, field_type, of, meaning] = cells[..] else {
                return Err(wrong("not five columns"));
            };
            let field_type = FieldType::parse(field_type).ok_or_else(|| wrong("unknown type"))?;
            let fields = table.0.entry(model).or_default();
            if fields.iter().any(|field| field.path == path) {
                return Err(wrong("a property that is there already"));
            }
            fields.push(Field {
                path,
                field_type,
                of: Some(of).filter(|of| !of.is_empty()),
                meaning,
            });
        }
        table.check_models()?;
        Ok(table)
    }

    fn check_models(&self) -> Result<()> {
        let fields = self.0.iter().flat_map(|(model, fields)| {
            let pair = move |field| (*model, field);
            fields.iter().map(pair)
        });
        for (model, field) in fields {
            let is_nested = matches!(field.field_type, FieldType::List | FieldType::Object);
            if let Some(of) = field.of.filter(|of| is_nested && !self.0.contains_key(of)) {
                let path = field.path;
                return Err(Error::Internal(format!(
                    "facts/fields.tsv: {model} {path} is of {of}, which has no rows"
                )));
            }
        }
        Ok(())
    }

    /// Returns the properties of a model; none of an unknown one.
    pub fn of(&self, model: &str) -> &[Field] {
        self.0.get(model).map_or(&[], Vec::as_slice)
    }

    /// Returns a property of a model.
    pub fn field(&self, model: &str, path: &str) -> Option<&Field> {
        self.of(model).iter().find(|field| field.path == path)
    }

    /// Returns the names of all models.
    pub fn models(&self) -> impl Iterator<Item = &'static str> + '_ {
        self.0.keys().copied()
    }
}

static FIELDS: LazyLock<Result<FieldTable, String>> = LazyLock::new(|| {
    FieldTable::parse(include_str!("../../../facts/fields.tsv")).map_err(|error| error.to_string())
});

/// Returns the table of this version.
///
/// # Errors
/// [`Error::Internal`] if it cannot be read, which a test rules out.
pub fn fields() -> Result<&'static FieldTable> {
    FIELDS
        .as_ref()
        .map_err(|error| Error::Internal(error.clone()))
}

#[cfg(test)]
mod tests;
