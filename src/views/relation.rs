//! Relations in the schema of the views: whose they are, and whether they may be replaced.

use std::collections::HashMap;

use tokio_postgres::GenericClient;

use crate::error::{Error, Result};
use crate::postgres::{Columns, Query, params, quote_identifier};

/// A relation in the schema of the views.
#[derive(Debug)]
pub(super) struct Relation {
    pub kind: String,
    pub comment: String,
    pub columns: Vec<String>,
    pub grants: String,
    /// Names of our indexes.
    pub indexes: Vec<String>,
    /// Statements that make those of others again.
    pub indexes_of_others: Vec<String>,
    /// Other objects that others have put on a table.
    pub additions_of_others: Vec<String>,
}

impl Relation {
    pub(super) fn is_ours(&self, mark: &str, schema: &str) -> bool {
        self.comment.contains(mark) && self.comment.contains(&format!(", schema {schema}, "))
    }
}

const RELATIONS: &str = include_str!("sql/relations.sql");

pub(super) fn full_name(schema: &str, name: &str) -> String {
    format!("{}.{}", quote_identifier(schema), quote_identifier(name))
}

/// Returns the statement that drops a view or table of ours. The indexes that others have made on a
/// table would be lost with it.
pub(super) fn removal(relation: &Relation, into: &str, name: &str) -> Result<String> {
    let full = full_name(into, name);
    if relation.kind != "r" {
        return Ok(format!("DROP VIEW {full};\n"));
    }
    if let Some(index) = relation.indexes_of_others.first() {
        let reason = format!(
            "is a table that has an index of others, which a view cannot have; drop it first: {index}; \
             nothing was changed"
        );
        return Err(Error::config(format!("{into}.{name}"), reason));
    }
    refuse_additions(relation, into, name)?;
    Ok(format!("DROP TABLE {full};\n"))
}

/// Refuses to drop a table with which something of others would be lost.
pub(super) fn refuse_additions(relation: &Relation, into: &str, name: &str) -> Result<()> {
    if relation.additions_of_others.is_empty() {
        return Ok(());
    }
    let additions = relation.additions_of_others.join(", ");
    Err(Error::config(
        format!("{into}.{name}"),
        format!(
            "has to be made anew, and others have put on it: {additions}; drop that, run this command \
             again, and create it anew; nothing was changed"
        ),
    ))
}

/// Refuses to touch what somebody else has made, and views over other tables.
pub(super) fn check_is_ours(
    relation: &Relation,
    mark: &str,
    (schema, into): (&str, &str),
    name: &str,
) -> Result<()> {
    let setting = format!("{into}.{name}");
    if !["v", "r"].contains(&relation.kind.as_str()) || !relation.comment.contains(mark) {
        let kind = match relation.kind.as_str() {
            "v" => "a view that this command has not made",
            "r" | "p" => "a table",
            "m" => "a materialised view",
            _ => "another object",
        };
        return Err(Error::config(
            setting,
            format!(
                "is {kind}; rename it, or make the views in another schema with --into; nothing was changed"
            ),
        ));
    }
    if !relation.is_ours(mark, schema) {
        return Err(Error::config(
            setting,
            format!(
                "is a view over another schema than {schema}, so of another company; make these \
                 views in a schema of their own with --into; nothing was changed"
            ),
        ));
    }
    Ok(())
}

/// Returns whether the schema exists, and the relations in it by their names.
pub(super) async fn relations(
    client: &(impl GenericClient + Sync),
    into: &str,
) -> Result<(bool, HashMap<String, Relation>)> {
    let find = "SELECT 1 FROM pg_namespace WHERE nspname = $1";
    let exists = !client.rows(find, params![into]).await?.is_empty();
    let mut relations = HashMap::new();
    for row in client.rows(RELATIONS, params![into]).await? {
        let relation = Relation {
            kind: row.column("kind")?,
            comment: row.column("comment")?,
            columns: row.column("columns")?,
            grants: row.column("grants")?,
            indexes: row.column("indexes")?,
            indexes_of_others: row.column("indexes_of_others")?,
            additions_of_others: row.column("additions_of_others")?,
        };
        relations.insert(row.column("name")?, relation);
    }
    Ok((exists, relations))
}
