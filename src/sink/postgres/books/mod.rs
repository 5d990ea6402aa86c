//! The general ledger of a company: reads its raw tables, posts, and writes the tables of entries.

mod copy;
mod kept;
mod posted;
mod read;
mod renew;
mod rows;
mod write;

pub(crate) use self::posted::PostedRecords;
use deadpool_postgres::Object;
use tokio_postgres::Transaction;

use crate::books::{Drafts, Entry, LISTS, Lists, POSTING};
use crate::error::{Error, Result};
use crate::postgres::{Db, PIN_SETTINGS, Query, database_error, migrations, server};
use crate::store::{ArchivedRecords, KeptTieOut, OtherRun, Schemas, archived_records, writer_of};

/// The schema of the ledger unless another one is named.
pub(crate) const DEFAULT_LEDGER_SCHEMA: &str = "books";

/// The general ledger of one company: where its records are, and where the ledger is.
pub(crate) struct Books<'d> {
    db: &'d Db,
    schema: &'d str,
    into: &'d str,
}

impl<'d> Books<'d> {
    pub(crate) fn new(db: &'d Db, schema: &'d str, into: &'d str) -> Self {
        Self { db, schema, into }
    }

    /// Checks that the records are those of a company.
    ///
    /// # Errors
    /// [`Error::Config`] if they are those of another one, if nothing was ever loaded into the database, or
    /// if the role lacks a right;
    /// [`Error::Database`].
    pub(crate) async fn check_company(&self, realm_id: &str) -> Result<()> {
        if !self.db.has_table("qbo", "schema_realms").await? {
            return Err(no_accounts(self.schema));
        }
        // Before QuickBooks is asked for anything.
        server::check(&mut *self.db.connection().await?).await?;
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
        let (mut lists, mut landed) = self.read_entities(&all_entities()).await?;
        complete(&mut lists, &mut landed.drafts);
        landed.post(lists).await?;
        Ok(landed)
    }

    /// Returns a sync or a run that is writing records which the ledger is posted from.
    ///
    /// # Errors
    /// [`Error::Database`].
    pub(crate) async fn writer(&self) -> Result<Option<OtherRun>> {
        if !self.db.has_table("qbo", "sync_turns").await? {
            return Ok(None);
        }
        let names = read::names(&all_entities())?;
        let find = async |connection: &Object| writer_of(&***connection, self.schema, &names).await;
        self.db.alone(find).await
    }

    /// Reads lists and transactions, and posts nothing yet.
    async fn read_entities(&self, entities: &[&str]) -> Result<(Lists, PostedRecords)> {
        let mut connection = self.db.connection().await?;
        server::check(&mut connection).await?;
        migrations::apply(&mut connection).await?;
        let read = read::read(&mut connection, self.schema, entities);
        let (lists, landed) = read.await?;
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

    /// Returns the records that are in files of archives, and not in the tables.
    ///
    /// # Errors
    /// [`Error::Database`].
    pub(crate) async fn archived(&self) -> Result<ArchivedRecords> {
        archived_records(self.db, self.schema).await
    }

    /// Replaces the ledger: the entries of records, and those of reports.
    ///
    /// # Errors
    /// [`Error::Config`] if another object has the name of a table of the ledger; nothing has been
    /// changed then. [`Error::Database`].
    pub(crate) async fn write(&self, landed: &PostedRecords, from_reports: &[Entry]) -> Result<()> {
        let realm_id = self.company().await?;
        let mut connection = self.db.connection().await?;
        let transaction = connection.transaction().await.map_err(database_error)?;
        transaction.batch(PIN_SETTINGS).await?;
        migrations::lock(&*transaction).await?;
        let rows = (landed, from_reports);
        self.write_in(&transaction, realm_id.as_deref(), rows)
            .await?;
        transaction.commit().await.map_err(database_error)
    }

    /// Keeps a comparison, all of it or nothing: the ledger, what the next one starts from, and the outcome. One
    /// comparison is kept after the other, and after changes of tables, whose lock is taken first: they change these
    /// tables, too. It ends by itself if its process is stopped.
    ///
    /// # Errors
    /// See [`write`](Self::write).
    pub(crate) async fn keep(
        &self,
        ledger: Option<(&PostedRecords, &[Entry])>,
        tie_out: &KeptTieOut<'_>,
    ) -> Result<()> {
        let realm_id = self.company().await?;
        let mut connection = self.db.connection().await?;
        let transaction = connection.transaction().await.map_err(database_error)?;
        transaction.batch(PIN_SETTINGS).await?;
        migrations::lock(&*transaction).await?;
        tie_out.keep(&transaction).await?;
        if let Some(rows) = ledger {
            self.write_in(&transaction, realm_id.as_deref(), rows)
                .await?;
        }
        transaction.commit().await.map_err(database_error)
    }

    /// Returns the company of the schema. It is asked for before a transaction begins: the pool may have one connection.
    async fn company(&self) -> Result<Option<String>> {
        let schemas = Schemas::new(self.db.clone());
        schemas.company_of(self.schema).await
    }

    /// Replaces the ledger within a transaction that holds the lock of table changes, and whose search path is pinned.
    async fn write_in(
        &self,
        transaction: &Transaction<'_>,
        realm_id: Option<&str>,
        (landed, from_reports): (&PostedRecords, &[Entry]),
    ) -> Result<()> {
        let names = (self.schema, self.into);
        let rows = write::LedgerRows {
            entries: landed.ledger.entries.iter().chain(from_reports),
            unbalanced: &landed.ledger.unbalanced,
        };
        write::write(transaction, names, realm_id, rows, &landed.lists).await
    }
}

fn all_entities() -> Vec<&'static str> {
    LISTS.iter().chain(&POSTING).copied().collect()
}

fn no_accounts(schema: &str) -> Error {
    let reason = format!("'{schema}' holds no accounts; `qbo-rs sync` copies all entities");
    Error::config("schema", reason)
}
