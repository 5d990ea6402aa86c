//! Schemas of raw tables, and the company that each belongs to.

use tokio_postgres::GenericClient;

use super::other_run::OtherRun;
use super::writers::writer_of_company;
use crate::domain::{ENTITIES, EntitySpec};
use crate::error::Result;
use crate::postgres::{
    Columns, DEFAULT_SCHEMA, Db, PIN_SETTINGS, Query, database_error, migrations, params,
    quote_identifier, server,
};

/// The table of QuickBooks reports.
const REPORTS: &str = "qb_reports";

/// Rows of a schema, as tables of all schemas tell of them: windows that are committed, those that are not any more, or
/// were never, because records are missing, and those that the file of an archive has filled; records that are set aside,
/// and those that were moved into a file.
const HAS_ROWS_IN_LEDGER: &str = "
SELECT 1 WHERE EXISTS (SELECT FROM qbo.windows WHERE schema_name = $1
        AND (committed_at_utc IS NOT NULL OR incomplete_since_utc IS NOT NULL OR rows > 0))
    OR EXISTS (SELECT FROM qbo.rejects WHERE schema_name = $1)
    OR EXISTS (SELECT FROM qbo.archives WHERE schema_name = $1)";

/// The raw tables among $2. One that the role may not read is one that it has not filled.
const RAW_TABLES: &str = "
SELECT c.relname::text AS name, EXISTS (
        SELECT FROM pg_attribute a
        WHERE a.attrelid = c.oid AND a.attname = 'deleted_at_utc' AND NOT a.attisdropped) AS has_deletions
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = $1 AND c.relkind IN ('r', 'p') AND c.relname = ANY($2)
  AND has_table_privilege(c.oid, 'SELECT')
  AND (c.relname = 'qb_reports' OR EXISTS (
      SELECT FROM pg_attribute a
      WHERE a.attrelid = c.oid AND a.attname = 'ingested_at_utc' AND NOT a.attisdropped
        AND a.atttypid = 'timestamptz'::regtype))";

/// Waits until nobody takes a schema from its company, and lets nobody do so until the end of the transaction. For writers
/// that look at the binding and write no row of the ledger, which holds it, too.
pub(crate) const HOLD_BINDING: &str = "LOCK TABLE qbo.windows IN ROW EXCLUSIVE MODE";

/// Waits until everybody has committed who has seen the binding of a schema.
const CHANGE_BINDING: &str = "LOCK TABLE qbo.windows IN SHARE ROW EXCLUSIVE MODE";

const GIVE_BACK: &str = "DELETE FROM qbo.schema_realms WHERE schema_name = $1 AND realm_id = $2";

/// Removes the states of syncs into schemas that a company does not have: no sync would ever end them.
pub(crate) const FORGET_UNBOUND: &str = "
DELETE FROM qbo.sync_state AS state WHERE realm_id = $1 AND NOT EXISTS (
    SELECT FROM qbo.schema_realms AS bound
    WHERE bound.schema_name = state.schema_name AND bound.realm_id = state.realm_id)";

/// Removes what runs of a company have failed to read into schemas that it does not have. A run that goes on is
/// not removed.
const FORGET_FAILURES: &str = concat!(
    "
WITH dead AS (
    DELETE FROM qbo.runs AS run WHERE realm_id = $1 AND NOT EXISTS (
        SELECT FROM qbo.schema_realms AS bound
        WHERE bound.schema_name = run.schema_name AND bound.realm_id = run.realm_id)
    AND NOT ",
    crate::store::run_is_alive!("run"),
    "
    RETURNING 1
), unread AS (
    DELETE FROM qbo.windows AS unread WHERE realm_id = $1 AND committed_at_utc IS NULL
        AND incomplete_since_utc IS NULL AND rows = 0 AND NOT EXISTS (
            SELECT FROM qbo.schema_realms AS bound
            WHERE bound.schema_name = unread.schema_name AND bound.realm_id = unread.realm_id)
    RETURNING 1
)
SELECT (SELECT count(*) FROM dead) + (SELECT count(*) FROM unread) AS forgotten"
);

const BOUND: &str = "
SELECT bound.schema_name FROM qbo.schema_realms AS bound
WHERE bound.realm_id = $1
ORDER BY (
    SELECT max(state.last_attempt_at_utc) FROM qbo.sync_state AS state
    WHERE state.schema_name = bound.schema_name AND state.realm_id = bound.realm_id
) DESC NULLS LAST, bound.schema_name <> $2, bound.bound_at_utc, bound.schema_name
LIMIT 1";

/// The schema of a company, and the company of `raw`, as of one instant: another process may bind `raw` to
/// this very company between two looks, and it would then seem to be taken.
const CHOICE: &str = "
SELECT ({bound}) AS own, (
    SELECT realm_id FROM qbo.schema_realms WHERE schema_name = $2) AS owner_of_default";

/// The reason why a schema stays its company's.
#[derive(Debug)]
enum Use {
    /// It holds a row of the company.
    Rows,
    /// A sync or a run is about to store one.
    Writer(OtherRun),
}

/// Returns true if a schema holds no row of its company and nobody is about to store one. Lets no row be stored until the
/// end of the transaction: who stores one looks at the binding, and waits.
///
/// # Errors
/// [`Error::Database`](crate::error::Error::Database).
pub(crate) async fn is_left(
    client: &(impl GenericClient + Sync),
    schema: &str,
    realm_id: &str,
) -> Result<bool> {
    let found = locked_use_of(client, schema, realm_id).await?;
    Ok(found.is_none())
}

/// Returns why a schema stays its company's; `None` if nothing speaks for it, and nothing will until the end of the
/// transaction.
async fn locked_use_of(
    client: &(impl GenericClient + Sync),
    schema: &str,
    realm_id: &str,
) -> Result<Option<Use>> {
    // A schema that is in use costs nobody a wait.
    let found = use_of(client, schema, realm_id).await?;
    if found.is_some() {
        return Ok(found);
    }
    client.batch(CHANGE_BINDING).await?;
    use_of(client, schema, realm_id).await
}

async fn use_of(
    client: &(impl GenericClient + Sync),
    schema: &str,
    realm_id: &str,
) -> Result<Option<Use>> {
    if holds_rows(client, schema).await? {
        return Ok(Some(Use::Rows));
    }
    let writer = writer_of_company(client, schema, realm_id).await?;
    Ok(writer.map(Use::Writer))
}

/// Returns true if a schema holds a row that was stored for the company that it is bound to, whether or not a window says
/// so: the rows of an archive come without one. Rows that were there when the company was bound, as in tables made by hand,
/// are nobody's.
async fn holds_rows(client: &(impl GenericClient + Sync), schema: &str) -> Result<bool> {
    let known = client.rows(HAS_ROWS_IN_LEDGER, params![schema]).await?;
    if !known.is_empty() {
        return Ok(true);
    }
    let mut looks = Vec::new();
    let mut tables: Vec<String> = ENTITIES.iter().map(EntitySpec::table).collect();
    tables.push(REPORTS.to_owned());
    for row in client.rows(RAW_TABLES, params![schema, tables]).await? {
        let name: &str = row.column("name")?;
        let is_of_company = match (name, row.column("has_deletions")?) {
            (REPORTS, _) => "true",
            (_, true) => "ingested_at_utc >= bound.bound_at_utc OR deleted_at_utc IS NOT NULL",
            (_, false) => "ingested_at_utc >= bound.bound_at_utc",
        };
        let table = format!("{}.{}", quote_identifier(schema), quote_identifier(name));
        looks.push(format!(
            "EXISTS (SELECT FROM {table} WHERE {is_of_company})"
        ));
    }
    if looks.is_empty() {
        return Ok(false);
    }
    let stored = format!(
        "SELECT 1 FROM qbo.schema_realms AS bound WHERE bound.schema_name = $1 AND ({})",
        looks.join(" OR ")
    );
    let stored = client.rows(&stored, params![schema]).await?;
    Ok(!stored.is_empty())
}

/// Result of forgetting a company.
#[derive(Debug, Default)]
pub(crate) struct Forgotten {
    /// Number of rows that told of it.
    pub rows: u64,
    /// A sync or a run of it that goes on, and for which its schema is kept.
    pub writer: Option<OtherRun>,
}

/// The binding of schemas to companies, in `qbo.schema_realms`. All errors are
/// [`Error::Database`](crate::error::Error).
#[derive(Debug, Clone)]
pub struct Schemas(Db);

impl Schemas {
    /// Returns the schemas of a database.
    pub fn new(db: Db) -> Self {
        Self(db)
    }

    /// Creates or upgrades the schema `qbo` of operational tables.
    pub async fn prepare_operations(&self) -> Result<()> {
        let mut connection = self.0.connection().await?;
        server::check(&mut connection).await?;
        migrations::apply(&mut connection).await
    }

    /// Returns the schema for a company's records: its own one ([`Self::bound_schema`]); otherwise `raw` if
    /// no company has it; otherwise one named after the company.
    pub async fn schema_for(&self, realm_id: &str) -> Result<String> {
        let choice = CHOICE.replace("{bound}", BOUND);
        let params = params![realm_id, DEFAULT_SCHEMA];
        let Some(row) = self.0.optional(&choice, params).await? else {
            return Ok(DEFAULT_SCHEMA.to_owned());
        };
        if let Some(own) = row.column("own")? {
            return Ok(own);
        }
        let owner: Option<String> = row.column("owner_of_default")?;
        Ok(match owner {
            Some(_) => format!("{DEFAULT_SCHEMA}_{realm_id}"),
            None => DEFAULT_SCHEMA.to_owned(),
        })
    }

    /// Returns the schema that a company is synced into. A load into another one never moves a sync: of
    /// several schemas it is the one that was synced last, otherwise `raw`, otherwise the oldest one.
    pub async fn bound_schema(&self, realm_id: &str) -> Result<Option<String>> {
        let row = self
            .0
            .optional(BOUND, params![realm_id, DEFAULT_SCHEMA])
            .await?;
        row.map(|row| row.column("schema_name")).transpose()
    }

    /// Gives back the schema of a company of which no record was stored: its id may be mistyped, and the right company
    /// needs the schema. A company that has records keeps it, and so does one that a run or a sync reads, which is returned.
    pub(crate) async fn give_back(&self, realm_id: &str, schema: &str) -> Result<Option<OtherRun>> {
        // A call that fails or is stopped at its very begin has bound nothing yet.
        if !self.0.has_table("qbo", "schema_realms").await? {
            return Ok(None);
        }
        let kept_for = self.try_give_back(realm_id, schema).await?;
        Ok(match kept_for {
            Some(Use::Writer(writer)) => Some(writer),
            Some(Use::Rows) | None => None,
        })
    }

    /// Gives back a schema as [`give_back`](Self::give_back) does. Returns why it stays the company's.
    async fn try_give_back(&self, realm_id: &str, schema: &str) -> Result<Option<Use>> {
        // Before the lock, so that a schema that is in use costs nobody a wait.
        let look = self
            .0
            .alone(async |connection| use_of(&***connection, schema, realm_id).await);
        let found = look.await?;
        if found.is_some() {
            return Ok(found);
        }
        let mut connection = self.0.connection().await?;
        let transaction = connection.transaction().await.map_err(database_error)?;
        transaction.batch(PIN_SETTINGS).await?;
        // No other process binds it meanwhile.
        migrations::lock(&*transaction).await?;
        let found = locked_use_of(&*transaction, schema, realm_id).await?;
        if found.is_none() {
            transaction
                .change(GIVE_BACK, params![schema, realm_id])
                .await?;
        }
        transaction.commit().await.map_err(database_error)?;
        Ok(found)
    }

    /// Gives back the schemas in which no record of a company was stored, and forgets its syncs and what has failed in
    /// them. A schema into which a run or a sync of the company goes on stays its own.
    pub(crate) async fn forget(&self, realm_id: &str) -> Result<Forgotten> {
        let mut forgotten = Forgotten::default();
        let select = "SELECT schema_name FROM qbo.schema_realms WHERE realm_id = $1";
        for row in self.0.rows(select, params![realm_id]).await? {
            let schema: String = row.column("schema_name")?;
            match self.try_give_back(realm_id, &schema).await? {
                None => forgotten.rows += 1,
                Some(Use::Writer(writer)) => forgotten.writer = Some(writer),
                Some(Use::Rows) => {}
            }
        }
        forgotten.rows += self.0.execute(FORGET_UNBOUND, params![realm_id]).await?;
        let failures = self.0.one(FORGET_FAILURES, params![realm_id]).await?;
        forgotten.rows += failures.count("forgotten")?;
        Ok(forgotten)
    }

    /// Returns the company that a schema is bound to, if it is bound.
    pub async fn company_of(&self, schema: &str) -> Result<Option<String>> {
        let select = "SELECT realm_id FROM qbo.schema_realms WHERE schema_name = $1";
        let row = self.0.optional(select, params![schema]).await?;
        row.map(|row| row.column("realm_id")).transpose()
    }
}
