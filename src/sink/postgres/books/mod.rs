//! The general ledger of a company: reads its raw tables, posts, and writes the tables of entries.

mod kept;
mod renew;
mod rows;
mod write;

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use futures_util::{StreamExt, pin_mut};
use tokio_postgres::{GenericClient, IsolationLevel};

use crate::books::{Drafts, Entry, LISTS, Ledger, Lists, OpeningStock, POSTING};
use crate::domain::{EntitySpec, Record, find_entity};
use crate::error::{Error, Result};
use crate::postgres::{
    Columns, Db, PIN_SEARCH_PATH, Query, database_error, migrations, params, server, table_name,
};
use crate::store::Schemas;

/// The schema of the ledger unless another one is named.
pub(crate) const DEFAULT_LEDGER_SCHEMA: &str = "books";

/// The general ledger of one company: where its records are, and where the ledger is.
pub(crate) struct Books<'d> {
    db: &'d Db,
    schema: &'d str,
    into: &'d str,
}

/// Entity and id of a record, and when it was changed.
pub(crate) type ChangedAt = HashMap<(String, String), DateTime<Utc>>;

/// The records of a company, posted.
#[derive(Default)]
pub(crate) struct PostedRecords {
    pub(crate) lists: Lists,
    pub(crate) ledger: Ledger,
    /// The transactions that are not deleted.
    pub(crate) changed_at: ChangedAt,
    /// Entities without a raw table, whose transactions are therefore not in the ledger.
    pub(crate) missing: Vec<&'static str>,
    drafts: Drafts,
}

impl PostedRecords {
    /// Adds a transaction that was stored after the others were read. It is posted with the next
    /// [`repost`](Self::repost).
    pub(crate) fn add(&mut self, entity: &str, record: &Record) {
        self.drafts.add(entity, record.payload.as_bytes());
        let key = (entity.to_owned(), record.id.clone());
        self.changed_at.insert(key, record.updated_at);
    }

    /// Posts the records again, with another stock at their beginning.
    ///
    /// # Errors
    /// [`Error::Internal`] if the work cannot be done beside other work.
    pub(crate) async fn repost(&mut self, opening: Vec<OpeningStock>) -> Result<()> {
        let mut lists = std::mem::take(&mut self.lists);
        lists.opening_stock = opening;
        self.post(lists).await
    }

    async fn post(&mut self, lists: Lists) -> Result<()> {
        let mut drafts = std::mem::take(&mut self.drafts);
        let posted = tokio::task::spawn_blocking(move || {
            let ledger = drafts.post(&lists);
            (ledger, lists, drafts)
        });
        let posted = posted.await.map_err(|e| Error::Internal(e.to_string()));
        (self.ledger, self.lists, self.drafts) = posted?;
        Ok(())
    }
}

impl<'d> Books<'d> {
    pub(crate) fn new(db: &'d Db, schema: &'d str, into: &'d str) -> Self {
        Self { db, schema, into }
    }

    /// Checks that the records are those of a company.
    ///
    /// # Errors
    /// [`Error::Config`] if they are those of another one; [`Error::Database`].
    pub(crate) async fn check_company(&self, realm_id: &str) -> Result<()> {
        let found = Schemas::new(self.db.clone())
            .company_of(self.schema)
            .await?;
        match found.filter(|found| found != realm_id) {
            None => Ok(()),
            Some(other) => Err(Error::config(
                "schema",
                format!(
                    "'{}' holds the records of company {other}, and the reports are those of {realm_id}",
                    self.schema
                ),
            )),
        }
    }

    /// Reads and posts the records. `complete` is called with the lists before transactions are posted.
    ///
    /// # Errors
    /// [`Error::Config`] if there are no accounts; [`Error::Database`].
    pub(crate) async fn read(
        &self,
        complete: impl FnOnce(&mut Lists, &mut Drafts),
    ) -> Result<PostedRecords> {
        let entities: Vec<&str> = LISTS.iter().chain(&POSTING).copied().collect();
        let (mut lists, mut landed) = self.read_entities(&entities).await?;
        complete(&mut lists, &mut landed.drafts);
        landed.post(lists).await?;
        Ok(landed)
    }

    /// Reads lists and transactions, and posts nothing yet.
    async fn read_entities(&self, entities: &[&str]) -> Result<(Lists, PostedRecords)> {
        let mut connection = self.db.connection().await?;
        server::check(&mut connection).await?;
        migrations::apply(&mut connection).await?;
        let (mut lists, mut landed) = (Lists::default(), PostedRecords::default());
        let read = read(
            &mut connection,
            self.schema,
            entities,
            (&mut lists, &mut landed),
        );
        read.await?;
        match lists.accounts.is_empty() {
            true => Err(no_accounts(self.schema)),
            false => Ok((lists, landed)),
        }
    }

    /// Reads the lists only: accounts, and what is known of them.
    ///
    /// # Errors
    /// See [`read`](Self::read).
    pub(crate) async fn read_lists(&self) -> Result<PostedRecords> {
        let (lists, mut landed) = self.read_entities(LISTS).await?;
        landed.lists = lists;
        Ok(landed)
    }

    /// Returns the entries that earlier comparisons found in reports only.
    ///
    /// # Errors
    /// [`Error::Database`].
    pub(crate) async fn report_entries(&self) -> Result<Vec<Entry>> {
        kept::report_entries(self.db, (self.schema, self.into)).await
    }

    /// Replaces the ledger: the entries of records, and those of reports.
    ///
    /// # Errors
    /// [`Error::Config`] if another object has the name of a table of the ledger; nothing has been
    /// changed then. [`Error::Database`].
    pub(crate) async fn write(&self, landed: &PostedRecords, from_reports: &[Entry]) -> Result<()> {
        let realm_id = Schemas::new(self.db.clone())
            .company_of(self.schema)
            .await?;
        let mut connection = self.db.connection().await?;
        let names = (self.schema, self.into);
        let rows = write::LedgerRows {
            entries: landed.ledger.entries.iter().chain(from_reports),
            unbalanced: &landed.ledger.unbalanced,
        };
        write::write(
            &mut connection,
            names,
            realm_id.as_deref(),
            rows,
            &landed.lists,
        )
        .await
    }
}

fn no_accounts(schema: &str) -> Error {
    let reason = format!("'{schema}' holds no accounts; `qbo-rs sync` copies all entities");
    Error::config("schema", reason)
}

/// Reads all records that are not deleted as of one instant.
async fn read(
    connection: &mut tokio_postgres::Client,
    schema: &str,
    entities: &[&str],
    (lists, landed): (&mut Lists, &mut PostedRecords),
) -> Result<()> {
    let builder = connection.build_transaction().read_only(true);
    let transaction = builder
        .isolation_level(IsolationLevel::RepeatableRead)
        .start();
    let transaction = transaction.await.map_err(database_error)?;
    transaction.batch(PIN_SEARCH_PATH).await?;
    transaction.batch(server::SETTINGS_OF_LATER_SERVERS).await?;
    let tables = tables(&transaction, schema).await?;
    for entity in entities {
        let spec = find_entity(entity)?;
        if !tables.contains(&spec.table()) {
            landed.missing.push(spec.name);
            continue;
        }
        read_entity(&transaction, schema, spec, lists, landed).await?;
    }
    transaction.commit().await.map_err(database_error)
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
    landed: &mut PostedRecords,
) -> Result<()> {
    let table = table_name(schema, entity);
    let select = format!(
        "SELECT payload::text, id, payload #>> '{{MetaData,LastUpdatedTime}}' FROM {table} \
         WHERE deleted_at_utc IS NULL"
    );
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
            Ok(false) => {
                landed.drafts.add(entity.qbo_name, payload.as_bytes());
                let changed: Option<&str> = row.column(2)?;
                let key = (entity.qbo_name.to_owned(), row.column(1)?);
                landed.changed_at.insert(key, instant_of(changed));
            }
            Err(reason) => landed
                .drafts
                .reject(entity.qbo_name, payload.as_bytes(), &reason),
        }
    }
    Ok(())
}

/// Reads the time of a change. A record without one counts as very old.
fn instant_of(text: Option<&str>) -> DateTime<Utc> {
    let instant = text.and_then(|text| DateTime::parse_from_rfc3339(text).ok());
    instant.map_or(DateTime::UNIX_EPOCH, |instant| instant.to_utc())
}
