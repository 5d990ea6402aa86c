//! Stored records with typed columns, a few at a time, for people.

use std::str::FromStr;

use serde::ser::{Serialize, SerializeMap, Serializer};

use super::App;
use super::request::{default_schema, setters};
use crate::domain::{EntitySpec, find_entity};
use crate::error::{Error, Result};
use crate::postgres::Db;
#[cfg(feature = "cli")]
use crate::sink::postgres::DEFAULT_SCHEMA;
use crate::sink::postgres::check_name;
use crate::store::{Archive, archives};
use crate::views::{EntityRows, ShownCondition};

/// Most records at a time: everything is in memory.
const MAX_LIMIT: u32 = 10_000;

/// Columns that say most about a record, in the order in which they are shown.
const TELLING: [&str; 18] = [
    "doc_number",
    "display_name",
    "name",
    "company_name",
    "acct_num",
    "account_type",
    "type",
    "txn_date",
    "due_date",
    "customer_ref_name",
    "vendor_ref_name",
    "entity_ref_name",
    "unit_price",
    "total_amt",
    "balance",
    "current_balance",
    "qty_on_hand",
    "active",
];
/// Most columns that are shown unasked, the id included.
const MAX_COLUMNS: usize = 8;

/// A request for stored records.
#[derive(Debug, Clone)]
#[cfg_attr(feature = "cli", derive(clap::Args))]
#[non_exhaustive]
pub struct ShowRequest {
    /// Entity, such as invoices; `qbo-rs entities` lists all
    #[cfg_attr(feature = "cli", arg(value_name = "ENTITY"))]
    pub entity: String,
    /// Most records to show
    #[cfg_attr(feature = "cli", arg(long, default_value_t = 20, value_name = "N",
        value_parser = clap::value_parser!(u32).range(1..=i64::from(MAX_LIMIT))))]
    pub limit: u32,
    /// Columns, such as id,total_amt, or all; default: those that say most
    #[cfg_attr(
        feature = "cli",
        arg(long, value_delimiter = ',', value_name = "COLUMN")
    )]
    pub columns: Vec<String>,
    /// Only records like this: id=17, 'total_amt>=100', due_date=; repeatable
    #[cfg_attr(feature = "cli", arg(long = "where", value_name = "CONDITION"))]
    pub conditions: Vec<Condition>,
    /// Schema of the raw tables
    #[cfg_attr(feature = "cli", arg(long, default_value = DEFAULT_SCHEMA))]
    pub schema: String,
}

impl ShowRequest {
    /// Returns a request for the twenty records of an entity that were changed last.
    pub fn new(entity: impl Into<String>) -> Self {
        Self {
            entity: entity.into(),
            limit: 20,
            columns: Vec::new(),
            conditions: Vec::new(),
            schema: default_schema(),
        }
    }
}

setters!(ShowRequest {
    limit: u32,
    columns: Vec<String>,
    conditions: Vec<Condition>,
    schema: String,
});

/// A condition, such as `total_amt>=100`. Without a value, as in `due_date=`, the column has none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Condition {
    column: String,
    operator: &'static str,
    value: String,
}

/// Operators as they are written, and in SQL; the longer ones first.
const OPERATORS: [(&str, &str); 6] = [
    ("!=", "<>"),
    (">=", ">="),
    ("<=", "<="),
    ("=", "="),
    (">", ">"),
    ("<", "<"),
];

impl FromStr for Condition {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let place = text.find(['=', '!', '<', '>']);
        let (column, rest) = text.split_at(place.unwrap_or(text.len()));
        let found = OPERATORS
            .iter()
            .find_map(|(written, sql)| Some((rest.strip_prefix(written)?, *sql)));
        match found {
            Some((value, operator)) if !column.trim().is_empty() => Ok(Self {
                column: column.trim().to_owned(),
                operator,
                value: value.trim().to_owned(),
            }),
            _ => Err(Error::config(
                "where",
                format!("'{text}' is not a condition such as id=17 or total_amt>=100"),
            )),
        }
    }
}

/// A shown column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ColumnHead {
    /// Name.
    pub name: String,
    /// True for numbers.
    pub is_number: bool,
    /// True for texts, which may be long. Other values say something else if a part is missing.
    pub is_text: bool,
    /// True for truth values.
    is_boolean: bool,
}

/// Stored records.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShowReport {
    /// Name of the entity.
    pub entity: &'static str,
    /// Schema of its table.
    pub schema: String,
    /// Columns.
    pub columns: Vec<ColumnHead>,
    /// Records.
    pub rows: Vec<RecordRow>,
    /// More records fit the conditions.
    pub has_more: bool,
    /// Only records that fit conditions were asked for.
    pub is_filtered: bool,
    /// Files into which records were moved that are still there alone.
    pub archives: Vec<Archive>,
}

/// A record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordRow {
    /// True if QuickBooks has deleted it.
    pub is_deleted: bool,
    /// Values as text.
    pub cells: Vec<Option<String>>,
}

impl Serialize for ShowReport {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let rows: Vec<_> = self
            .rows
            .iter()
            .map(|row| NamedRow(&self.columns, row))
            .collect();
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("entity", self.entity)?;
        map.serialize_entry("schema", &self.schema)?;
        map.serialize_entry("rows", &rows)?;
        map.serialize_entry("more", &self.has_more)?;
        if !self.archives.is_empty() {
            map.serialize_entry("archives", &self.archives)?;
        }
        map.end()
    }
}

/// A record as an object. Numbers are text, so that no program rounds them.
struct NamedRow<'a>(&'a [ColumnHead], &'a RecordRow);

impl Serialize for NamedRow<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self(columns, row) = self;
        let mut map = serializer.serialize_map(Some(columns.len() + 1))?;
        for (column, cell) in columns.iter().zip(&row.cells) {
            match cell {
                Some(value) if column.is_boolean => {
                    map.serialize_entry(&column.name, &(value == "true"))?;
                }
                value => map.serialize_entry(&column.name, value)?,
            }
        }
        map.serialize_entry("deleted", &row.is_deleted)?;
        map.end()
    }
}

impl App {
    /// Returns stored records of an entity, those that QuickBooks has changed last first. Only the
    /// database is asked, in a transaction that cannot write.
    ///
    /// # Errors
    /// Settings; an entity or a column that is unknown, a table that is not there, a value of another
    /// type; errors of the database.
    pub async fn show(&self, request: &ShowRequest) -> Result<ShowReport> {
        let entity: &'static EntitySpec = find_entity(&request.entity)?;
        check_name(&request.schema)?;
        if !(1..=MAX_LIMIT).contains(&request.limit) {
            let reason = format!("'{}' is not between 1 and {MAX_LIMIT}", request.limit);
            return Err(Error::config("limit", reason));
        }
        let table = EntityRows::new(&request.schema, entity)?;
        let names = chosen(&table, &request.columns);
        let db = Db::open(&self.settings.postgres()?, 1).await?;
        let conditions: Vec<ShownCondition<'_>> = request
            .conditions
            .iter()
            .map(|condition| ShownCondition {
                column: &condition.column,
                operator: condition.operator,
                value: &condition.value,
            })
            .collect();
        let mut rows = table
            .read(&db, &names, &conditions, request.limit + 1)
            .await?;
        // Who reads records may have no right to the ledger, and the records are what is asked for.
        let archives = archives(&db, Some(&request.schema)).await;
        let mut archives = archives.unwrap_or_default();
        archives.retain(|archive| archive.entity == entity.name);
        let has_more = rows.len() > request.limit as usize;
        rows.truncate(request.limit as usize);
        let heads = names.iter().filter_map(|name| {
            let column = table.columns().find(|column| column.name == *name)?;
            Some(ColumnHead {
                is_number: column.sql_type == "numeric",
                is_text: matches!(column.sql_type, "text" | "jsonb") && column.name != "id",
                is_boolean: column.sql_type == "boolean",
                name: column.name,
            })
        });
        let rows = rows.into_iter().map(|row| RecordRow {
            is_deleted: row.is_deleted,
            cells: row.cells,
        });
        Ok(ShowReport {
            entity: entity.name,
            schema: request.schema.clone(),
            columns: heads.collect(),
            rows: rows.collect(),
            has_more,
            is_filtered: !request.conditions.is_empty(),
            archives,
        })
    }
}

/// Returns the names of the columns to show.
fn chosen(table: &EntityRows<'_>, wanted: &[String]) -> Vec<String> {
    let all: Vec<String> = table.columns().map(|column| column.name).collect();
    match wanted {
        [] => {
            let telling = TELLING.iter().map(|name| (*name).to_owned());
            let telling = telling.filter(|name| all.contains(name));
            let telling: Vec<String> = std::iter::once("id".to_owned()).chain(telling).collect();
            match telling.len() {
                // None of them is known: the first properties after those that every record has.
                1 => ["id", "updated_at"]
                    .map(str::to_owned)
                    .into_iter()
                    .chain(all.into_iter().skip(6))
                    .take(MAX_COLUMNS)
                    .collect(),
                _ => telling.into_iter().take(MAX_COLUMNS).collect(),
            }
        }
        [one] if one == "all" => all,
        some => some.iter().map(|name| name.trim().to_owned()).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::ENTITIES;

    #[test]
    fn conditions_are_a_column_an_operator_and_a_value() {
        for (text, column, operator, value) in [
            ("id=17", "id", "=", "17"),
            ("total_amt >= 1.50", "total_amt", ">=", "1.50"),
            ("private_note!=a=b", "private_note", "<>", "a=b"),
            ("due_date=", "due_date", "=", ""),
        ] {
            let condition: Condition = text.parse().unwrap();
            assert_eq!(
                (
                    condition.column.as_str(),
                    condition.operator,
                    condition.value.as_str()
                ),
                (column, operator, value)
            );
        }
        for text in ["", "id", "=17", "id!17"] {
            assert!(text.parse::<Condition>().is_err(), "{text}");
        }
    }

    #[test]
    fn every_entity_has_columns_to_show() {
        for entity in ENTITIES {
            let names = chosen(&EntityRows::new("raw", entity).unwrap(), &[]);
            assert!(
                (2..=MAX_COLUMNS).contains(&names.len()),
                "{}: {names:?}",
                entity.name
            );
            assert_eq!(names[0], "id");
        }
    }
}
