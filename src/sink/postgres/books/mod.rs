//! The general ledger of a company: reads its raw tables, posts, and writes the tables of entries.

mod rows;
mod write;

use futures_util::{StreamExt, pin_mut};
use tokio_postgres::{GenericClient, IsolationLevel};

use super::DEFAULT_SCHEMA;
use crate::books::{Drafts, LISTS, Ledger, Lists, POSTING};
use crate::domain::{EntitySpec, find_entity};
use crate::error::{Error, Result};
use crate::postgres::{
    Columns, Db, PIN_SEARCH_PATH, Query, database_error, migrations, params, server, table_name,
};
use crate::store::Schemas;

/// The ledger that was written, and what it is made of.
pub(crate) struct Posted {
    pub(crate) ledger: Ledger,
    /// Entities without a raw table, whose transactions are therefore not in it.
    pub(crate) missing: Vec<&'static str>,
}

/// Posts the records of `schema`, and writes the general ledger into `into`. `complete` is called with
/// the lists before transactions are posted.
///
/// # Errors
/// [`Error::Config`] if there are no accounts, or another object has the name of a table of the ledger;
/// nothing has been changed then. [`Error::Database`].
pub(crate) async fn post_ledger(
    db: &Db,
    (schema, into): (&str, &str),
    complete: impl FnOnce(&mut Lists, &mut Drafts),
) -> Result<Posted> {
    let mut connection = db.connection().await?;
    server::check(&mut connection).await?;
    migrations::apply(&mut connection).await?;
    let realm_id = Schemas::new(db.clone()).company_of(schema).await?;
    let (mut lists, mut drafts) = (Lists::default(), Drafts::default());
    let missing = read(&mut connection, schema, &mut lists, &mut drafts).await?;
    if lists.accounts.is_empty() {
        return Err(no_accounts(schema));
    }
    complete(&mut lists, &mut drafts);
    let posted = tokio::task::spawn_blocking(move || {
        let ledger = drafts.post(&lists);
        (ledger, lists)
    });
    let posted = posted.await.map_err(|e| Error::Internal(e.to_string()));
    let (ledger, lists) = posted?;
    let names = (schema, into);
    write::write(&mut connection, names, realm_id.as_deref(), &ledger, &lists).await?;
    Ok(Posted { ledger, missing })
}

fn no_accounts(schema: &str) -> Error {
    let flag = match schema {
        DEFAULT_SCHEMA => String::new(),
        other => format!(" --schema {other}"),
    };
    let reason = format!("'{schema}' holds no accounts; `qbo-rs sync{flag}` copies all entities");
    Error::config("schema", reason)
}

/// Reads all records that are not deleted as of one instant, and returns the entities without a table.
async fn read(
    connection: &mut tokio_postgres::Client,
    schema: &str,
    lists: &mut Lists,
    drafts: &mut Drafts,
) -> Result<Vec<&'static str>> {
    let builder = connection.build_transaction().read_only(true);
    let transaction = builder
        .isolation_level(IsolationLevel::RepeatableRead)
        .start();
    let transaction = transaction.await.map_err(database_error)?;
    transaction.batch(PIN_SEARCH_PATH).await?;
    transaction.batch(server::SETTINGS_OF_LATER_SERVERS).await?;
    let tables = tables(&transaction, schema).await?;
    let mut missing = Vec::new();
    for entity in LISTS.iter().chain(POSTING.iter()) {
        let spec = find_entity(entity)?;
        if !tables.contains(&spec.table()) {
            missing.push(spec.name);
            continue;
        }
        read_entity(&transaction, schema, spec, lists, drafts).await?;
    }
    transaction.commit().await.map_err(database_error)?;
    Ok(missing)
}

async fn tables(client: &(impl GenericClient + Sync), schema: &str) -> Result<Vec<String>> {
    let find = "
        SELECT c.relname::text AS name FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE n.nspname = $1 AND c.relkind IN ('r', 'p', 'f', 'v', 'm')";
    let rows = client.rows(find, params![schema]).await?;
    rows.iter().map(|row| row.column("name")).collect()
}

/// Streams the payloads: they need not fit into memory.
async fn read_entity(
    client: &(impl GenericClient + Sync),
    schema: &str,
    entity: &EntitySpec,
    lists: &mut Lists,
    drafts: &mut Drafts,
) -> Result<()> {
    let table = table_name(schema, entity);
    let select = format!("SELECT payload::text FROM {table} WHERE deleted_at_utc IS NULL");
    let none: [(&str, tokio_postgres::types::Type); 0] = [];
    let rows = client
        .query_typed_raw(&select, none)
        .await
        .map_err(database_error)?;
    pin_mut!(rows);
    while let Some(row) = rows.next().await {
        let row = row.map_err(database_error)?;
        let payload: &str = row.column(0)?;
        match lists.add(entity.qbo_name, payload.as_bytes()) {
            Ok(true) => {}
            Ok(false) => drafts.add(entity.qbo_name, payload.as_bytes()),
            Err(reason) => drafts.reject(entity.qbo_name, payload.as_bytes(), &reason),
        }
    }
    Ok(())
}
