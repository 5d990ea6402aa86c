//! A view as SQL, with a comment on it and on every column.

use std::fmt::Write as _;

use ring::digest::{SHA256, digest};

use super::cast::{literal, sql_type, value_of};
use super::rows::Rows;
use crate::domain::Column;
use crate::postgres::quote_identifier;

/// Version of the views, which goes up with every release that changes them.
const VERSION: u32 = 1;

pub(super) use crate::postgres::VIEWS_MARK as MARK;

/// A column of a view.
#[derive(Debug, Clone)]
pub(super) struct ViewColumn {
    /// Name.
    pub name: String,
    /// Type as `format_type` of Postgres writes it.
    pub sql_type: &'static str,
    /// Text of its comment.
    pub comment: String,
    /// Value.
    pub expression: String,
}

impl ViewColumn {
    pub(super) fn new(
        name: &str,
        sql_type: &'static str,
        comment: &str,
        expression: impl Into<String>,
    ) -> Self {
        Self {
            name: name.to_owned(),
            sql_type,
            comment: comment.to_owned(),
            expression: expression.into(),
        }
    }

    /// Returns the column of a property of the object `record`.
    pub(super) fn of(record: &str, column: &Column) -> Self {
        let path = column.path.join(".");
        let comment = match column.meaning.as_str() {
            "" => path,
            meaning => format!("{path}: {meaning}"),
        };
        Self {
            name: column.name.clone(),
            sql_type: sql_type(column.column_type),
            comment,
            expression: value_of(record, column),
        }
    }

    /// Returns the column as the catalogue describes it.
    pub(super) fn signature(&self) -> String {
        format!("{} {}", self.name, self.sql_type)
    }
}

/// One `SELECT` of a view.
#[derive(Debug, Clone)]
pub(super) struct Part {
    /// Columns; all parts of a view have the same names and types.
    pub columns: Vec<ViewColumn>,
    /// Text after `FROM`.
    pub from: String,
    /// The same, if it can be a table.
    pub rows: Option<Rows>,
}

impl Part {
    pub(super) fn of(columns: Vec<ViewColumn>, rows: Rows) -> Self {
        Self {
            columns,
            from: rows.from(),
            rows: Some(rows),
        }
    }

    /// Returns the part's query.
    pub(super) fn select(&self) -> String {
        let columns = self.columns.iter().map(|column| {
            format!(
                "    {} AS {}",
                column.expression,
                quote_identifier(&column.name)
            )
        });
        let columns: Vec<String> = columns.collect();
        format!("SELECT\n{}\nFROM {}", columns.join(",\n"), self.from)
    }
}

/// A view.
#[derive(Debug, Clone)]
pub(super) struct View {
    /// Name without the schema.
    pub name: String,
    /// Text of its comment.
    pub comment: String,
    /// Its rows, one part after the other.
    pub parts: Vec<Part>,
    /// Begins the last line of its comment, by which the next run knows it.
    pub mark: &'static str,
}

impl View {
    pub(super) fn new(
        name: String,
        comment: String,
        columns: Vec<ViewColumn>,
        from: String,
    ) -> Self {
        Self {
            name,
            comment,
            parts: vec![Part {
                columns,
                from,
                rows: None,
            }],
            mark: MARK,
        }
    }

    /// Returns a view that can be a table, too.
    pub(super) fn of(name: String, comment: String, columns: Vec<ViewColumn>, rows: Rows) -> Self {
        Self {
            name,
            comment,
            parts: vec![Part::of(columns, rows)],
            mark: MARK,
        }
    }

    /// Returns the columns.
    pub(super) fn columns(&self) -> &[ViewColumn] {
        self.parts.first().map_or(&[], |part| &part.columns)
    }

    /// Returns whether the rows are records of raw tables, or parts of them.
    pub(super) fn is_of_records(&self) -> bool {
        let mut columns = self.columns().iter();
        columns.any(|column| column.name == "id")
    }

    /// Returns the view's query.
    fn query(&self) -> String {
        let parts: Vec<String> = self.parts.iter().map(Part::select).collect();
        parts.join("\nUNION ALL\n")
    }

    /// Returns the comment of the view with the mark in its last line: version, schema of the raw
    /// tables, and a digest of everything that makes the view, so that one that is as it should be
    /// is left alone.
    pub(super) fn marked_comment(&self, schema: &str) -> String {
        let mut all = self.query();
        for column in self.columns() {
            all.push_str(&column.signature());
            all.push_str(&column.comment);
        }
        all.push_str(&self.comment);
        format!(
            "{}\n{}{}]",
            self.comment,
            mark_of(self.mark, schema),
            digest_of(&all)
        )
    }

    /// Returns the statements that make or replace the view in the schema `into`.
    pub(super) fn create(&self, schema: &str, into: &str) -> String {
        let name = format!(
            "{}.{}",
            quote_identifier(into),
            quote_identifier(&self.name)
        );
        let mut sql = format!(
            "CREATE OR REPLACE VIEW {name} AS\n{};\nCOMMENT ON VIEW {name} IS {};\n",
            self.query(),
            literal(&self.marked_comment(schema))
        );
        for column in self.columns() {
            let comment = literal(&column.comment);
            let column = quote_identifier(&column.name);
            let _ = writeln!(sql, "COMMENT ON COLUMN {name}.{column} IS {comment};");
        }
        sql
    }
}

/// Returns the mark of views over a schema, up to the digest.
pub(super) fn mark_of(mark: &str, schema: &str) -> String {
    format!("{mark}{VERSION}, schema {schema}, ")
}

/// Returns the digest of a text, as short as a mark needs it.
pub(super) fn digest_of(text: &str) -> String {
    let hash = digest(&SHA256, text.as_bytes());
    let mut digest = String::new();
    for byte in hash.as_ref().iter().take(8) {
        let _ = write!(digest, "{byte:02x}");
    }
    digest
}
