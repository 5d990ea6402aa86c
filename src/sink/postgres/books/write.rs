//! The tables of the general ledger: made if they are missing, refused if they are not ours, filled anew.

use tokio_postgres::{GenericClient, Transaction};

use super::copy::copy;
use super::renew::renew;
use super::rows::{ENTRY_COLUMNS, Rows, UNBALANCED_COLUMNS};
use crate::books::{Entry, Lists, Unbalanced};
use crate::error::{Error, Result};
use crate::postgres::{Columns, Query, params, quote_identifier, server};

const CREATE_ENTRIES: &str = include_str!("../sql/gl_tables.sql");
const CREATE_UNBALANCED: &str = include_str!("../sql/gl_unbalanced.sql");

/// Begins the end of the comments of our tables.
const MARK: &str = "[qbo_rs ledger 1, schema ";

/// The rows of both tables.
pub(super) struct LedgerRows<'l, E> {
    pub(super) entries: E,
    pub(super) unbalanced: &'l [Unbalanced],
}

/// Replaces the rows of both tables, in a transaction that holds the lock of table changes.
pub(super) async fn write<'l>(
    transaction: &Transaction<'_>,
    (schema, into): (&str, &str),
    realm_id: Option<&str>,
    ledger: LedgerRows<'l, impl Iterator<Item = &'l Entry> + Clone>,
    lists: &Lists,
) -> Result<()> {
    transaction.batch(server::SETTINGS_OF_LATER_SERVERS).await?;
    prepare(transaction, schema, into).await?;
    let rows = Rows::new(realm_id, lists);
    let entries = ledger.entries;
    let table = full_name(into, "gl_entries");
    renew(transaction, &table, entries, &rows).await?;
    let unbalanced = ledger.unbalanced.iter();
    let table = full_name(into, "gl_unbalanced");
    fill(
        transaction,
        (&table, UNBALANCED_COLUMNS),
        unbalanced,
        |out, listed| {
            rows.unbalanced(out, listed);
        },
    )
    .await
}

pub(super) fn full_name(schema: &str, table: &str) -> String {
    format!("{}.{}", quote_identifier(schema), quote_identifier(table))
}

/// Makes the schema and the tables that are missing.
async fn prepare(client: &(impl GenericClient + Sync), schema: &str, into: &str) -> Result<()> {
    let find = "SELECT 1 FROM pg_namespace WHERE nspname = $1";
    if client.rows(find, params![into]).await?.is_empty() {
        let create = format!("CREATE SCHEMA {}", quote_identifier(into));
        client.batch(&create).await?;
    }
    let mark = format!("{MARK}{schema}]").replace('\'', "''");
    for (name, create, columns) in [
        ("gl_entries", CREATE_ENTRIES, ENTRY_COLUMNS),
        ("gl_unbalanced", CREATE_UNBALANCED, UNBALANCED_COLUMNS),
    ] {
        if !is_there(client, (schema, into), name, columns).await? {
            let create = create
                .replace("{entries}", &full_name(into, name))
                .replace("{unbalanced}", &full_name(into, name))
                .replace("{mark}", &mark);
            client.batch(&create).await?;
        }
    }
    Ok(())
}

const RELATION: &str = "
SELECT c.relkind::text AS kind, coalesce(obj_description(c.oid, 'pg_class'), '') AS comment,
    ARRAY(
        SELECT a.attname::text FROM pg_attribute a
        WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum
    ) AS columns
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = $1 AND c.relname = $2";

/// Returns whether our table is there. Another object of its name, a table of another company and one that
/// somebody has changed are left alone.
pub(super) async fn is_there(
    client: &(impl GenericClient + Sync),
    (schema, into): (&str, &str),
    name: &str,
    columns: &str,
) -> Result<bool> {
    let rows = client.rows(RELATION, params![into, name]).await?;
    let Some(row) = rows.first() else {
        return Ok(false);
    };
    let refused = |reason: &str| Err(Error::config(format!("{into}.{name}"), reason));
    let comment: String = row.column("comment")?;
    if row.column::<String>("kind")? != "r" || !comment.contains(MARK) {
        return refused(
            "is an object that this command has not made; rename it, or write the ledger into another \
             schema with --into; nothing was changed",
        );
    }
    if !comment.ends_with(&format!("{MARK}{schema}]")) {
        return refused(
            "is the ledger of another schema, so of another company; write this one into a schema of \
             its own with --into; nothing was changed",
        );
    }
    let found: Vec<String> = row.column("columns")?;
    let all_there = columns
        .split(", ")
        .all(|column| found.iter().any(|it| it == column));
    if !all_there {
        return refused("lacks columns; drop it and run this command again; nothing was changed");
    }
    Ok(true)
}

/// Replaces the rows of a table. Readers see the old ones until the commit.
async fn fill<T>(
    client: &Transaction<'_>,
    (table, columns): (&str, &str),
    items: impl Iterator<Item = T>,
    write: impl FnMut(&mut String, T),
) -> Result<()> {
    client.batch(&format!("DELETE FROM {table}")).await?;
    copy(client, (table, columns), items, write).await
}
