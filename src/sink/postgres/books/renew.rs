//! Replaces the entries that differ, transaction by transaction. In a large ledger that is much less work than to
//! write all, above all for the indexes, and leaves less for VACUUM. Readers see the old entries until the commit.
//!
//! All transactions are posted each time, because what one posts may follow from any other: a bill that was entered
//! late changes the cost of later sales. So a changed rule, a list and a deletion need no care here, and whatever
//! somebody has done to the table is put right.

use std::collections::{HashMap, HashSet};

use futures_util::{TryStreamExt, pin_mut};
use ring::digest::{SHA256, digest};
use tokio_postgres::Transaction;

use super::copy::copy;
use super::rows::{ENTRY_COLUMNS, Rows};
use crate::books::Entry;
use crate::error::{Error, Result};
use crate::postgres::copy_text::unescaped;
use crate::postgres::{Query, database_error, params};

/// Entity and id of a transaction, as COPY writes them.
type Key = (String, String);

/// The rows that a transaction has in the table, or should have: the sum of their digests. Their order does not
/// matter, because each row has its number.
type Digests = HashMap<Key, u128>;

/// Columns before those of the key in a row.
const BEFORE_KEY: usize = 1;

/// Replaces the entries of the transactions that differ.
pub(super) async fn renew<'l>(
    client: &Transaction<'_>,
    table: &str,
    entries: impl Iterator<Item = &'l Entry> + Clone,
    rows: &Rows<'_>,
) -> Result<()> {
    let written = written(client, table).await?;
    let wanted = wanted(entries.clone(), rows)?;
    let is_other = |key: &Key, digest: &u128| written.get(key) != Some(digest);
    let new: HashSet<&Key> = wanted
        .iter()
        .filter(|(key, digest)| is_other(key, digest))
        .map(|(key, _)| key)
        .collect();
    let is_old = |key: &&Key| !wanted.contains_key(*key) || new.contains(*key);
    let old: Vec<&Key> = written.keys().filter(is_old).collect();
    delete(client, table, &old).await?;
    let mut row = String::new();
    let write = |out: &mut String, entry: &Entry| {
        row.clear();
        rows.entry(&mut row, entry);
        if key_of(&row).is_some_and(|key| new.contains(&key)) {
            out.push_str(&row);
        }
    };
    match new.is_empty() {
        true => Ok(()),
        false => copy(client, (table, ENTRY_COLUMNS), entries, write).await,
    }
}

async fn delete(client: &Transaction<'_>, table: &str, old: &[&Key]) -> Result<()> {
    if old.is_empty() {
        return Ok(());
    }
    let [entities, ids]: [Vec<String>; 2] = [
        old.iter().map(|(entity, _)| unescaped(entity)).collect(),
        old.iter().map(|(_, id)| unescaped(id)).collect(),
    ];
    let delete = format!(
        "DELETE FROM {table} e USING unnest($1::text[], $2::text[]) AS old (entity, id) \
         WHERE e.entity = old.entity AND e.id = old.id"
    );
    client.change(&delete, params![entities, ids]).await?;
    Ok(())
}

/// Reads what the table has.
async fn written(client: &Transaction<'_>, table: &str) -> Result<Digests> {
    let copy = format!("COPY (SELECT {ENTRY_COLUMNS} FROM {table}) TO STDOUT");
    let rows = client.copy_out(&copy).await.map_err(database_error)?;
    pin_mut!(rows);
    let mut found = Digests::new();
    let mut rest: Vec<u8> = Vec::new();
    while let Some(chunk) = rows.try_next().await.map_err(database_error)? {
        rest.extend_from_slice(&chunk);
        let Some(end) = rest.iter().rposition(|byte| *byte == b'\n') else {
            continue;
        };
        let lines = std::str::from_utf8(&rest[..=end]);
        let lines = lines.map_err(|e| Error::Internal(e.to_string()))?;
        for line in lines.split_inclusive('\n') {
            add(&mut found, line)?;
        }
        rest.drain(..=end);
    }
    Ok(found)
}

/// Returns what the table should have.
fn wanted<'l>(entries: impl Iterator<Item = &'l Entry>, rows: &Rows<'_>) -> Result<Digests> {
    let mut found = Digests::new();
    let mut row = String::new();
    for entry in entries {
        row.clear();
        rows.entry(&mut row, entry);
        add(&mut found, &row)?;
    }
    Ok(found)
}

fn add(digests: &mut Digests, row: &str) -> Result<()> {
    let unreadable = || Error::Internal("a row of gl_entries has no key".to_owned());
    let key = key_of(row).ok_or_else(unreadable)?;
    let digest = digest(&SHA256, row.as_bytes());
    let half = digest.as_ref().first_chunk().copied();
    let held = digests.entry(key).or_default();
    *held = held.wrapping_add(u128::from_le_bytes(half.unwrap_or_default()));
    Ok(())
}

fn key_of(row: &str) -> Option<Key> {
    let mut columns = row.split('\t').skip(BEFORE_KEY);
    Some((columns.next()?.to_owned(), columns.next()?.to_owned()))
}
