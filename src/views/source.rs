//! The rows of an entity as a source of views.

use super::cast::{literal, value_at};
use super::definition::ViewColumn;
use super::rows::{Base, RECORD, Rows};
use crate::domain::{ColumnType, EntitySpec, Field, FieldTable, FieldType, Identity};
use crate::postgres::{record_of, table_name};

/// The columns that every view reads, with their types.
pub(super) const NEEDED_COLUMNS: [&str; 3] = [
    "id text",
    "payload jsonb",
    "deleted_at_utc timestamp with time zone",
];

/// Names of the columns of [`Source::head`] that are values of the record or of its company.
pub(super) const HEAD_VALUES: [&str; 4] = ["realm_id", "sync_token", "created_at", "updated_at"];

/// The place of the factor from the transaction's currency to the company's.
pub(super) const EXCHANGE_RATE: [&str; 1] = ["ExchangeRate"];

/// Properties that become rows of views of their own, or that begin every view.
pub(super) const NOT_IN_RECORDS: [&str; 6] = [
    "Id",
    "SyncToken",
    "Line",
    "LinkedTxn",
    "CustomField",
    "CustomExtensions",
];

/// An entity's table.
#[derive(Debug, Clone, Copy)]
pub(super) struct Source<'a> {
    /// Schema of the raw tables.
    pub schema: &'a str,
    /// The entity.
    pub entity: &'a EntitySpec,
    /// The field table.
    pub table: &'a FieldTable,
}

impl Source<'_> {
    /// Returns a property of the entity.
    pub(super) fn field(&self, path: &str) -> Option<&Field> {
        self.table.field(self.entity.qbo_name, path)
    }

    /// Returns the model of a list's elements, if the entity has such a list.
    pub(super) fn list(&self, path: &str) -> Option<&'static str> {
        let field = self.field(path)?;
        field.of.filter(|_| field.field_type == FieldType::List)
    }

    /// Returns the text after `FROM` that gives the rows as `r`, whose `payload` is the record.
    pub(super) fn from(&self) -> String {
        let table = table_name(self.schema, self.entity);
        match self.entity.identity {
            Identity::Wrapped => format!(
                "(\n    SELECT q.id, q.deleted_at_utc, {} AS payload,\n        \
                 jsonb_path_query_first(q.payload, 'strict $.keyvalue() ? (exists (@.value.Id)).key', '{{}}', true) #>> '{{}}' \
                 AS template_type\n    FROM {table} AS q\n) AS r",
                record_of(self.entity, "q.payload")
            ),
            Identity::Id | Identity::Single | Identity::Properties(_) => format!("{table} AS r"),
        }
    }

    /// Returns the entity's records, lines, or elements of a list, as rows.
    pub(super) fn rows(&self, base: Base) -> Rows {
        Rows {
            records: self.from(),
            base,
            lists: Vec::new(),
        }
    }

    /// Returns the SQL of the company's id.
    pub(super) fn realm_id(&self) -> String {
        format!(
            "(SELECT s.realm_id FROM qbo.schema_realms AS s WHERE s.schema_name = {})",
            literal(self.schema)
        )
    }

    /// Returns the columns with which every view begins.
    pub(super) fn head(&self) -> Vec<ViewColumn> {
        let text = |path: &[&str]| value_at(RECORD, path, ColumnType::Text);
        let time = |path: &[&str]| value_at(RECORD, path, ColumnType::Timestamptz);
        let instant = "timestamp with time zone";
        vec![
            ViewColumn::new("realm_id", "text", "Id of the company.", self.realm_id()),
            ViewColumn::new(
                "id",
                "text",
                "Id of the record, unique within the company.",
                "r.id",
            ),
            ViewColumn::new(
                "sync_token",
                "text",
                "SyncToken: version of the record; not every change raises it.",
                text(&["SyncToken"]),
            ),
            ViewColumn::new(
                "created_at",
                instant,
                "MetaData.CreateTime: when it was made in QuickBooks.",
                time(&["MetaData", "CreateTime"]),
            ),
            ViewColumn::new(
                "updated_at",
                instant,
                "MetaData.LastUpdatedTime: when it was last changed in QuickBooks.",
                time(&["MetaData", "LastUpdatedTime"]),
            ),
            ViewColumn::new(
                "deleted_at",
                instant,
                "When QuickBooks deleted it; NULL for a record that is there. The other columns are as they were.",
                "r.deleted_at_utc",
            ),
        ]
    }

    /// Returns the number that the entity has at a property, if it has one.
    pub(super) fn number(&self, path: &str) -> Option<String> {
        let field = self.field(path)?;
        (field.field_type == FieldType::Numeric)
            .then(|| value_at(RECORD, &[field.path], ColumnType::Numeric))
    }

    /// Returns whether the entity has a factor from the transaction's currency to the company's. Records have
    /// none where the two are the same.
    pub(super) fn has_exchange_rate(&self) -> bool {
        let field = self.field(EXCHANGE_RATE[0]);
        field.is_some_and(|field| field.field_type == FieldType::Numeric)
    }
}
