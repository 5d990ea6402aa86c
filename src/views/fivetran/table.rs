//! The table of what the dbt package reads, `facts/fivetran.tsv`.

use std::sync::LazyLock;

use super::path::{Condition, Path};
use crate::domain::ColumnType;
use crate::error::{Error, Result};

/// A table that the package reads.
#[derive(Debug)]
pub(super) struct Table {
    pub name: &'static str,
    /// Variable of dbt that switches it on; none for one that the package always reads.
    pub variable: Option<&'static str>,
    /// Its rows; several only for addresses.
    pub rows: Vec<Rows>,
    pub comment: &'static str,
    pub columns: Vec<Column>,
}

/// Rows of a table: records, or the elements of a list in them.
#[derive(Debug)]
pub(super) struct Rows {
    /// Entity, in the word of QuickBooks.
    pub entity: &'static str,
    /// Condition that its records have to meet.
    pub condition: Option<Condition>,
    /// Properties that lead to the list; none for the records themselves.
    pub list: Vec<&'static str>,
}

/// A column of a table.
#[derive(Debug)]
pub(super) struct Column {
    pub name: &'static str,
    pub column_type: Type,
    pub source: Source,
    pub meaning: &'static str,
}

/// Type of a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Type {
    /// Type of a value in a record.
    Of(ColumnType),
    /// Place in a list.
    Integer,
}

/// Source of a value.
#[derive(Debug)]
pub(super) enum Source {
    /// Nowhere: always NULL.
    Nothing,
    /// `@id`: id of the record.
    Id,
    /// `@synced`: when the record was loaded.
    Synced,
    /// `@deleted`: whether it was deleted.
    Deleted,
    /// `@index`: place in the list, from 0.
    Index,
    /// `@parent`: place of the line that the list is in, from 0.
    Parent,
    /// `@group_account`: account of the members of a group, if they have the same.
    GroupAccount,
    /// `@address P`: id of the address that is property P.
    Address(&'static str),
    /// The first that has a value.
    Paths(Vec<Path>),
}

impl Rows {
    fn parse(text: &'static str) -> Option<Self> {
        let (entity, condition, rest) = match text.split_once('[') {
            Some((entity, rest)) => {
                let (condition, rest) = rest.split_once(']')?;
                (entity, Some(Condition::parse(condition)?), rest)
            }
            None => {
                let (entity, rest) = text.split_once('.').unwrap_or((text, ""));
                (entity, None, rest)
            }
        };
        let list = rest.split('.').filter(|name| !name.is_empty()).collect();
        Some(Self {
            entity,
            condition,
            list,
        })
    }
}

impl Source {
    fn parse(text: &'static str) -> Option<Self> {
        Some(match text {
            "" => Self::Nothing,
            "@id" => Self::Id,
            "@synced" => Self::Synced,
            "@deleted" => Self::Deleted,
            "@index" => Self::Index,
            "@parent" => Self::Parent,
            "@group_account" => Self::GroupAccount,
            _ => match text.strip_prefix("@address ") {
                Some(property) => Self::Address(property),
                None => Self::Paths(text.split(" | ").map(Path::parse).collect::<Option<_>>()?),
            },
        })
    }
}

impl Type {
    fn parse(text: &str) -> Option<Self> {
        Some(Self::Of(match text {
            "text" => ColumnType::Text,
            "numeric" => ColumnType::Numeric,
            "boolean" => ColumnType::Boolean,
            "date" => ColumnType::Date,
            "timestamptz" => ColumnType::Timestamptz,
            "integer" => return Some(Self::Integer),
            _ => return None,
        }))
    }
}

/// Reads the table; a row that makes no sense is named.
fn parse(text: &'static str) -> Result<Vec<Table>> {
    let mut tables: Vec<Table> = Vec::new();
    let rows = text.lines().filter(|line| !line.starts_with('#'));
    for line in rows.skip(1) {
        let wrong = || Error::Internal(format!("facts/fivetran.tsv: {line}"));
        let cells: Vec<&'static str> = line.split('\t').collect();
        let [name, column, kind, source, meaning] = cells[..] else {
            return Err(wrong());
        };
        if column == "*" {
            let rows = source.split(" | ").map(Rows::parse).collect::<Option<_>>();
            tables.push(Table {
                name,
                variable: Some(kind).filter(|variable| *variable != "-"),
                rows: rows.ok_or_else(wrong)?,
                comment: meaning,
                columns: Vec::new(),
            });
            continue;
        }
        let table = tables.last_mut().filter(|table| table.name == name);
        let column = Column {
            name: column,
            column_type: Type::parse(kind).ok_or_else(wrong)?,
            source: Source::parse(source).ok_or_else(wrong)?,
            meaning,
        };
        table.ok_or_else(wrong)?.columns.push(column);
    }
    Ok(tables)
}

static TABLES: LazyLock<Result<Vec<Table>, String>> = LazyLock::new(|| {
    parse(include_str!("../../../facts/fivetran.tsv")).map_err(|error| error.to_string())
});

/// Returns the tables of this version.
///
/// # Errors
/// [`Error::Internal`] if they cannot be read, which a test rules out.
pub(super) fn tables() -> Result<&'static [Table]> {
    let tables = TABLES.as_ref();
    let tables = tables.map_err(|error| Error::Internal(error.clone()))?;
    Ok(tables)
}
