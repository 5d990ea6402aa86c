//! Raw tables: created if missing, checked and upgraded if present, bound to one company.

use deadpool_postgres::Object;
use serde::Serialize;
use tokio_postgres::GenericClient;

use super::shape::{self, Shape};
use super::{obstacles, reports};
use crate::domain::EntitySpec;
use crate::error::{Error, Result};
use crate::postgres::migrations;
use crate::postgres::{
    Columns, PIN_SETTINGS, Query, database_error, params, quote_identifier, rights, server,
    table_name,
};

use crate::store::{FORGET_UNBOUND, is_left};

const RAW_TABLE: &str = include_str!("sql/raw_table.sql");

/// Returns the statements that create everything, for people who want to run them by hand.
///
/// # Errors
/// [`Error::Config`] if the schema's name cannot be used.
pub fn ddl(schema: &str, entities: &[EntitySpec]) -> Result<String> {
    check_name(schema)?;
    let mut text = format!(
        "CREATE SCHEMA IF NOT EXISTS {};\n",
        quote_identifier(schema)
    );
    for entity in entities {
        text.push_str(&raw_table(schema, entity));
    }
    text.push_str(&reports::ddl(schema));
    text.push_str(&migrations::sql());
    Ok(text)
}

/// Checks that a schema's name can be used.
///
/// # Errors
/// [`Error::Config`] that says why not.
pub(crate) fn check_name(schema: &str) -> Result<()> {
    let reason = match schema {
        "" => "empty",
        "qbo" => "'qbo' is taken by the ledger",
        name if name.len() > 63 => "longer than the 63 bytes that Postgres keeps",
        name if name.contains('\0') => "holds a NUL",
        name if name.starts_with("pg_") || name == "information_schema" => {
            "names that begin with pg_ and information_schema belong to Postgres"
        }
        _ => return Ok(()),
    };
    Err(Error::config("schema", reason))
}

fn raw_table(schema: &str, entity: &EntitySpec) -> String {
    RAW_TABLE
        .replace("{schema}", &quote_identifier(schema))
        .replace("{table}", &quote_identifier(&entity.table()))
}

/// The choice of a schema for a company, which matters if another company has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SchemaChoice {
    /// Somebody has named it for this company: it is taken from the other one if no row of it is stored, else
    /// refused.
    Named,
    /// It seemed to be free: it is left to the other one.
    Free,
}

/// Creates, checks and binds the tables of a schema, in one transaction. If all is as it should be, which
/// is so at every sync but the first, nothing is written, and nobody waits for it. Returns false, and leaves
/// all as it was, if the schema is another company's and stays so.
pub(super) async fn prepare(
    connection: &mut Object,
    schema: &str,
    realm_id: &str,
    entities: &[EntitySpec],
    choice: SchemaChoice,
) -> Result<bool> {
    let tables: Vec<String> = entities.iter().map(EntitySpec::table).collect();
    let transaction = connection.transaction().await.map_err(database_error)?;
    transaction.batch(PIN_SETTINGS).await?;
    obstacles::check_temporary(&*transaction).await?;
    obstacles::check_schema(&*transaction, schema).await?;
    if !missing(&*transaction, schema, entities)
        .await?
        .sql
        .is_empty()
    {
        migrations::lock(&*transaction).await?;
        transaction
            .batch(&missing(&*transaction, schema, entities).await?.sql)
            .await
            .map_err(|error| may_not_create(error, schema))?;
    }
    obstacles::check(&*transaction, schema, &tables).await?;
    add_deletion_time(&*transaction, schema, &tables).await?;
    check_shapes(&*transaction, schema, &tables).await?;
    if !bind_company(&*transaction, schema, realm_id, choice).await? {
        return Ok(false);
    }
    transaction.commit().await.map_err(database_error)?;
    Ok(true)
}

/// Tables that a schema lacks.
#[derive(Debug, Default)]
struct Missing {
    /// Names of tables.
    tables: Vec<String>,
    /// The statements that create them, and the schema.
    sql: String,
}

/// Returns what is missing. `IF NOT EXISTS` alone would need the right to create even if nothing
/// is.
async fn missing(
    client: &(impl GenericClient + Sync),
    schema: &str,
    entities: &[EntitySpec],
) -> Result<Missing> {
    let mut missing = Missing::default();
    let find = "SELECT 1 FROM pg_namespace WHERE nspname = $1";
    if client.rows(find, params![schema]).await?.is_empty() {
        missing.sql = format!("CREATE SCHEMA {};\n", quote_identifier(schema));
    }
    let find = "
        SELECT c.relname::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE n.nspname = $1";
    let rows = client.rows(find, params![schema]).await?;
    let present: Vec<String> = rows
        .iter()
        .map(|row| row.column(0))
        .collect::<Result<_>>()?;
    for entity in entities {
        let table = entity.table();
        if !present.contains(&table) {
            missing.sql.push_str(&raw_table(schema, entity));
            missing.tables.push(format!("{schema}.{table}"));
        }
    }
    Ok(missing)
}

/// Returns the flag that names a schema in a command, where it needs one.
fn schema_flag(schema: &str) -> String {
    match schema {
        super::DEFAULT_SCHEMA => String::new(),
        other => format!(" --schema {other}"),
    }
}

/// Says who can create what is missing.
fn may_not_create(error: Error, schema: &str) -> Error {
    rights::explained(error, "schema", |reason| {
        format!(
            "{reason}: this role may not create the tables that are missing in {schema}; let their owner run \
             `qbo-rs db migrate{}` and grant this role their use (docs/loading.md, Rights)",
            schema_flag(schema)
        )
    })
}

/// Tables that lack the column of deletions and that the role may change.
const WITHOUT_DELETION_TIME: &str = "
SELECT c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = $1 AND c.relname = ANY($2) AND pg_has_role(c.relowner, 'USAGE')
  AND NOT EXISTS (
      SELECT 1 FROM pg_attribute a
      WHERE a.attrelid = c.oid AND a.attname = 'deleted_at_utc' AND NOT a.attisdropped)";

/// Adds the column of deletions to tables of an earlier version, which rewrites nothing. For a role
/// that does not own them, `db migrate` of the owner does it.
async fn add_deletion_time(
    client: &(impl GenericClient + Sync),
    schema: &str,
    tables: &[String],
) -> Result<()> {
    let asked = params![schema, tables];
    if client.rows(WITHOUT_DELETION_TIME, asked).await?.is_empty() {
        return Ok(());
    }
    migrations::lock(client).await?;
    for row in client.rows(WITHOUT_DELETION_TIME, asked).await? {
        let table = format!(
            "{}.{}",
            quote_identifier(schema),
            quote_identifier(row.column("relname")?)
        );
        let add = format!("ALTER TABLE {table} ADD COLUMN deleted_at_utc timestamptz");
        client.batch(&add).await?;
    }
    Ok(())
}

/// Refuses tables that were made by hand in another shape, because loading into them would fail
/// halfway or store wrong values.
pub(super) async fn check_shapes(
    client: &(impl GenericClient + Sync),
    schema: &str,
    tables: &[String],
) -> Result<()> {
    let mut shapes = Shape::of_all(client, schema, tables).await?;
    for table in tables {
        if let Some(shape) = shapes.remove(table) {
            check_shape(schema, table, &shape)?;
        }
    }
    Ok(())
}

fn check_shape(schema: &str, table: &str, shape: &Shape) -> Result<()> {
    let differences: Vec<String> = shape
        .differences()
        .into_iter()
        .map(|difference| difference.what)
        .collect();
    if differences.is_empty() {
        return Ok(());
    }
    let flag = schema_flag(schema);
    Err(Error::config(
        format!("{schema}.{table}"),
        format!(
            "has another shape: {}; `qbo-rs db migrate{flag}` upgrades it in place and keeps every row, with --print it only \
             shows how",
            differences.join("; ")
        ),
    ))
}

/// An upgrade of the tables of a schema, done or planned.
#[derive(Debug, Clone, Serialize)]
pub struct Upgrade {
    /// Tables of another shape.
    pub tables: Vec<String>,
    /// Tables that were missing.
    pub created: Vec<String>,
    /// The statements, in one transaction.
    pub sql: String,
}

/// Creates missing tables, and upgrades those that were made by hand in another shape, all of them
/// or none. With `dry_run`, only the statements are returned.
pub(super) async fn upgrade(
    connection: &mut Object,
    schema: &str,
    entities: &[EntitySpec],
    dry_run: bool,
) -> Result<Upgrade> {
    let transaction = connection.transaction().await.map_err(database_error)?;
    transaction.batch(PIN_SETTINGS).await?;
    migrations::lock(&*transaction).await?;
    let tables: Vec<String> = entities.iter().map(EntitySpec::table).collect();
    obstacles::check_kinds(&*transaction, schema, &tables).await?;
    let missing = missing(&*transaction, schema, entities).await?;
    let mut done = Upgrade {
        tables: Vec::new(),
        created: missing.tables,
        sql: missing.sql,
    };
    let mut shapes = Shape::of_all(&*transaction, schema, &tables).await?;
    for entity in entities {
        let Some(shape) = shapes.remove(&entity.table()) else {
            continue;
        };
        let differences = shape.differences();
        if differences.is_empty() {
            continue;
        }
        let name = format!("{schema}.{}", entity.table());
        let table = table_name(schema, entity);
        let refused = |reason: String| {
            Error::config(
                name.clone(),
                format!("cannot be upgraded: {reason}; nothing was changed"),
            )
        };
        let retyped = shape.retyped();
        if let Some(views) = obstacles::dependent_views(&*transaction, &table, &retyped).await? {
            return Err(refused(format!(
                "views read columns whose type has to change ({}): {views}; keep their definitions \
                 (SELECT pg_get_viewdef('...'::regclass)), drop them in this order, upgrade, and \
                 create them again",
                retyped.join(", ")
            )));
        }
        let sql = shape::upgrade(&table, entity, &differences).map_err(refused)?;
        done.sql.push_str(&sql);
        done.tables.push(name);
    }
    if done.sql.is_empty() {
        return Ok(done);
    }
    // Text without an offset is UTC, as the columns' names say.
    done.sql = format!("SET LOCAL timezone = 'UTC';\n{}", done.sql);
    if !dry_run {
        transaction.batch(server::SETTINGS_OF_LATER_SERVERS).await?;
        transaction
            .batch_execute(&done.sql)
            .await
            .map_err(upgrade_failed)?;
        transaction.commit().await.map_err(database_error)?;
    }
    Ok(done)
}

fn upgrade_failed(error: tokio_postgres::Error) -> Error {
    let hint = match error.code().map(|code| code.code()) {
        Some("23505") => {
            "; rows of the same id have to be made one first: SELECT id FROM ... GROUP BY id HAVING count(*) > 1"
        }
        Some("23502") => "; an id that is null has to go first",
        _ => "",
    };
    match database_error(error) {
        Error::Database { reason, .. } => {
            Error::config("db migrate", format!("{reason}{hint}; nothing was changed"))
        }
        other => other,
    }
}

/// Rebinds a schema to another company as long as no row of the company that it is bound to was stored in it, and no run or
/// sync of that one goes on, so that a mistyped realm id does not keep the schema.
async fn rebind_if_empty(
    client: &(impl GenericClient + Sync),
    schema: &str,
    (bound, realm_id): (&str, &str),
) -> Result<bool> {
    if !is_left(client, schema, bound).await? {
        return Ok(false);
    }
    let rebind = "UPDATE qbo.schema_realms SET realm_id = $2 WHERE schema_name = $1";
    Ok(client.change(rebind, params![schema, realm_id]).await? > 0)
}

async fn company_of(client: &(impl GenericClient + Sync), schema: &str) -> Result<Option<String>> {
    let select = "SELECT realm_id FROM qbo.schema_realms WHERE schema_name = $1";
    let rows = client.rows(select, params![schema]).await?;
    rows.first().map(|row| row.column("realm_id")).transpose()
}

/// Binds a schema to its company at the first load. Another company is refused, because the ids of
/// two companies collide; false if the schema seemed to be free and is another's by now.
async fn bind_company(
    client: &(impl GenericClient + Sync),
    schema: &str,
    realm_id: &str,
    choice: SchemaChoice,
) -> Result<bool> {
    if company_of(client, schema).await?.as_deref() == Some(realm_id) {
        return Ok(true);
    }
    migrations::lock(client).await?;
    let insert = "
        INSERT INTO qbo.schema_realms (schema_name, realm_id) VALUES ($1, $2)
        ON CONFLICT DO NOTHING";
    if client.change(insert, params![schema, realm_id]).await? > 0 {
        // What it has failed to sync into a schema that it had before.
        client.change(FORGET_UNBOUND, params![realm_id]).await?;
    }
    let bound = company_of(client, schema).await?;
    let bound = bound.unwrap_or_else(|| realm_id.to_owned());
    if bound == realm_id {
        return Ok(true);
    }
    if choice == SchemaChoice::Free {
        return Ok(false);
    }
    if rebind_if_empty(client, schema, (&bound, realm_id)).await? {
        return Ok(true);
    }
    let own = "SELECT schema_name FROM qbo.schema_realms WHERE realm_id = $1 ORDER BY bound_at_utc, schema_name";
    let own = client.rows(own, params![realm_id]).await?;
    let reason = match own.first() {
        Some(row) => {
            let own: String = row.column("schema_name")?;
            format!(
                "'{schema}' holds company {bound}, and the records of {realm_id} are in another schema: add --schema {own}"
            )
        }
        None => format!(
            "'{schema}' holds company {bound}, not {realm_id}: check QBO_REALM_ID first. If both are \
             right, load this one into a schema of its own (--schema raw_{realm_id}), since ids of two \
             companies collide"
        ),
    };
    Err(Error::config("schema", reason))
}
