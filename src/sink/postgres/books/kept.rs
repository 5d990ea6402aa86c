//! The entries that earlier comparisons found in reports only.

use deadpool_postgres::Object;

use crate::books::{Entry, EntryKind, EntrySource, parse_amount};
use crate::error::{Error, Result};
use crate::postgres::{Columns, Db, Query, params};

use super::rows::ENTRY_COLUMNS;
use super::write::{full_name, is_there};

/// Returns them; none if there is no ledger yet.
///
/// # Errors
/// [`Error::Config`] if another object has the name of the table.
pub(super) async fn report_entries(db: &Db, names: (&str, &str)) -> Result<Vec<Entry>> {
    db.alone(async |connection: &Object| entries(connection, names).await)
        .await
}

async fn entries(connection: &Object, (schema, into): (&str, &str)) -> Result<Vec<Entry>> {
    let names = (schema, into);
    if !is_there(&***connection, names, "gl_entries", ENTRY_COLUMNS).await? {
        return Ok(Vec::new());
    }
    let table = full_name(into, "gl_entries");
    let select = format!(
        "SELECT entity, id, line, txn_date::text AS day, account_id, (debit - credit)::text AS amount, \
         party_type, party_id, memo FROM {table} WHERE source = 'report' ORDER BY entity, id, line"
    );
    let rows = connection.rows(&select, params![]).await?;
    rows.iter().map(entry).collect()
}

fn entry(row: &tokio_postgres::Row) -> Result<Entry> {
    let unreadable = |what: &str| Error::Internal(format!("gl_entries holds an unreadable {what}"));
    let (day, amount): (String, String) = (row.column("day")?, row.column("amount")?);
    let line: i32 = row.column("line")?;
    let (kind, id): (Option<String>, Option<String>) =
        (row.column("party_type")?, row.column("party_id")?);
    Ok(Entry {
        entity: row.column("entity")?,
        id: row.column("id")?,
        line: u32::try_from(line).map_err(|_| unreadable("line"))?,
        date: day.parse().map_err(|_| unreadable("date"))?,
        account_id: row.column("account_id")?,
        amount: parse_amount(&amount).ok_or_else(|| unreadable("amount"))?,
        foreign: None,
        party: kind.zip(id),
        memo: row.column("memo")?,
        number: None,
        kind: EntryKind::Line,
        source: EntrySource::Report,
    })
}
