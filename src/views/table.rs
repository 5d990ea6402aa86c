//! A view's columns as a table, which triggers keep equal to the view.

use std::fmt::Write as _;

use super::cast::literal;
use super::definition::{MARK, Part, View, ViewColumn, digest_of, mark_of};
use super::source::Source;
use crate::postgres::quote_identifier;

/// Begins the names of everything that this program makes beside tables and columns.
pub(super) const OURS: &str = "qbo_rs_";

/// Columns by which people look records up.
const LOOKED_UP: [&str; 5] = [
    "customer_ref_value",
    "vendor_ref_value",
    "item_ref_value",
    "account_ref_value",
    "linked_id",
];

/// A table in place of a view.
#[derive(Debug, Clone, Copy)]
pub(super) struct Table<'a> {
    /// The view that it equals.
    pub view: &'a View,
    /// Schema of the table.
    pub into: &'a str,
}

impl Table<'_> {
    /// Returns the name as SQL.
    pub(super) fn name(&self) -> String {
        let (into, name) = (self.into, &self.view.name);
        format!("{}.{}", quote_identifier(into), quote_identifier(name))
    }

    /// Returns whether the table holds the rows of several entities.
    pub(super) fn is_shared(&self) -> bool {
        self.view
            .columns()
            .iter()
            .any(|column| column.name == "entity")
            && self.view.parts.len() > 1
    }

    /// Returns the columns as the catalogue describes them.
    pub(super) fn signatures(&self) -> Vec<String> {
        let columns = self.view.columns().iter();
        columns.map(ViewColumn::signature).collect()
    }

    /// Returns the statement that makes the empty table.
    pub(super) fn create(&self) -> String {
        let columns =
            self.view.columns().iter().map(|column| {
                format!("    {} {}", quote_identifier(&column.name), column.sql_type)
            });
        let columns: Vec<String> = columns.collect();
        format!(
            "CREATE TABLE {} (\n{}\n);\n",
            self.name(),
            columns.join(",\n")
        )
    }

    /// Returns the names of the indexes, and the statements that make them. A text may be longer than
    /// a B-tree takes, and no value may fail a load, so texts are in SP-GiST indexes; ids are in a
    /// B-tree of the raw table already.
    pub(super) fn indexes(&self) -> Vec<(String, String)> {
        let table = self.name();
        let view = &self.view.name;
        let mut all = Vec::new();
        let mut index = |method: &str, column: &str| {
            let name = format!("{OURS}{view}_{column}");
            let sql = format!(
                "CREATE INDEX {} ON {table} USING {method} ({});\n",
                quote_identifier(&name),
                quote_identifier(column)
            );
            all.push((name, sql));
        };
        let has = |name: &str| self.view.columns().iter().any(|column| column.name == name);
        if has("line_number") {
            index("btree", "id");
        }
        if has("txn_date") {
            index("btree", "txn_date");
        }
        // Such an index costs as much as the row, and a record has many lines; links are few.
        for column in LOOKED_UP {
            if has(column) && (column == "linked_id" || !has("line_number")) {
                index("spgist", column);
            }
        }
        if !has("line_number") {
            let name = format!("{view}_pkey");
            let key = quote_identifier(&name);
            let sql = format!("ALTER TABLE {table} ADD CONSTRAINT {key} PRIMARY KEY (id);\n");
            all.push((name, sql));
        }
        all
    }

    /// Returns the comment of the table, with the mark and a digest of everything but its rows.
    pub(super) fn marked_comment(&self, schema: &str) -> String {
        let mut all = self.create();
        for (_, sql) in self.indexes() {
            all.push_str(&sql);
        }
        for column in self.view.columns() {
            all.push_str(&column.comment);
        }
        all.push_str(&self.view.comment);
        // The rows of an entity whose table is gone have to go too.
        if self.is_shared() {
            for part in &self.view.parts {
                all.push_str(&part.from);
            }
        }
        format!(
            "{}\n{}{}]",
            self.view.comment,
            mark_of(MARK, schema),
            digest_of(&all)
        )
    }

    /// Returns the comments of table and columns.
    pub(super) fn comments(&self, schema: &str) -> String {
        let name = self.name();
        let comment = literal(&self.marked_comment(schema));
        let mut sql = format!("COMMENT ON TABLE {name} IS {comment};\n");
        for column in self.view.columns() {
            let comment = literal(&column.comment);
            let column = quote_identifier(&column.name);
            let _ = writeln!(sql, "COMMENT ON COLUMN {name}.{column} IS {comment};");
        }
        sql
    }

    /// Returns the parts of the view that read an entity.
    pub(super) fn parts_of(&self, source: &Source<'_>) -> Vec<&Part> {
        let records = source.from();
        let is_read = |part: &&Part| {
            let rows = part.rows.as_ref();
            rows.is_some_and(|rows| rows.records == records)
        };
        self.view.parts.iter().filter(is_read).collect()
    }

    /// Returns the statement that removes an entity's rows `t`, those that meet a condition.
    pub(super) fn delete(&self, source: &Source<'_>, condition: Option<&str>) -> String {
        let entity = format!("t.entity = {}", literal(source.entity.qbo_name));
        let conditions: Vec<&str> = self
            .is_shared()
            .then_some(entity.as_str())
            .into_iter()
            .chain(condition)
            .collect();
        match conditions.is_empty() {
            true => format!("DELETE FROM {} AS t;\n", self.name()),
            false => format!(
                "DELETE FROM {} AS t WHERE {};\n",
                self.name(),
                conditions.join(" AND ")
            ),
        }
    }
}
