//! The tables: created where missing, checked and upgraded where present, bound to one company.

use deadpool_postgres::Object;
use serde::Serialize;
use tokio_postgres::GenericClient;
use tokio_postgres::types::{ToSql, Type};

use super::shape::{self, Shape};
use crate::domain::EntitySpec;
use crate::error::{Error, Result};
use crate::postgres::migrations::{self, table_exists};
use crate::postgres::{database_error, quote_identifier};

const RAW_TABLE: &str = include_str!("raw_table.sql");

/// The statements that create everything, for people who want to run them by hand.
pub fn ddl(schema: &str, entities: &[EntitySpec]) -> Result<String> {
    check_name(schema)?;
    let mut text = format!(
        "CREATE SCHEMA IF NOT EXISTS {};\n",
        quote_identifier(schema)
    );
    for entity in entities {
        text.push_str(&raw_table(schema, entity));
    }
    text.push_str(&migrations::sql());
    Ok(text)
}

/// Whether a schema's name can be used.
pub(super) fn check_name(schema: &str) -> Result<()> {
    let reason = match schema {
        "" => "empty",
        "qbo" => "'qbo' is taken by the ledger",
        name if name.len() > 63 => "longer than the 63 bytes that Postgres keeps",
        name if name.contains('\0') => "holds a NUL",
        _ => return Ok(()),
    };
    Err(Error::config("schema", reason))
}

fn raw_table(schema: &str, entity: &EntitySpec) -> String {
    RAW_TABLE
        .replace("{schema}", &quote_identifier(schema))
        .replace("{table}", &quote_identifier(&entity.table()))
}

/// Creates, checks and binds, in one transaction.
pub(super) async fn prepare(
    connection: &mut Object,
    schema: &str,
    realm_id: &str,
    entities: &[EntitySpec],
) -> Result<()> {
    let transaction = connection.transaction().await.map_err(database_error)?;
    migrations::lock(&*transaction).await?;
    create_missing(&*transaction, schema, entities).await?;
    for entity in entities {
        check_shape(&*transaction, schema, &entity.table()).await?;
    }
    bind_realm(&*transaction, schema, realm_id).await?;
    transaction.commit().await.map_err(database_error)
}

/// Only what is missing: `IF NOT EXISTS` asks for the right to create even where there is nothing
/// to create.
async fn create_missing(
    client: &impl GenericClient,
    schema: &str,
    entities: &[EntitySpec],
) -> Result<()> {
    let parameters: [(&(dyn ToSql + Sync), Type); 1] = [(&schema, Type::TEXT)];
    let found = client
        .query_typed("SELECT 1 FROM pg_namespace WHERE nspname = $1", &parameters)
        .await;
    if found.map_err(database_error)?.is_empty() {
        execute(
            client,
            &format!("CREATE SCHEMA {}", quote_identifier(schema)),
        )
        .await?;
    }
    for entity in entities {
        if !table_exists(client, schema, &entity.table()).await? {
            execute(client, &raw_table(schema, entity)).await?;
        }
    }
    add_deletion_time(client, schema, entities).await
}

/// Tables made before deletions were known lack their column; adding it rewrites nothing.
async fn add_deletion_time(
    client: &impl GenericClient,
    schema: &str,
    entities: &[EntitySpec],
) -> Result<()> {
    let tables: Vec<String> = entities.iter().map(EntitySpec::table).collect();
    let parameters: [(&(dyn ToSql + Sync), Type); 2] =
        [(&schema, Type::TEXT), (&tables, Type::TEXT_ARRAY)];
    let statement = "SELECT c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
                     WHERE n.nspname = $1 AND c.relname = ANY($2) AND NOT EXISTS (SELECT 1 FROM pg_attribute a \
                     WHERE a.attrelid = c.oid AND a.attname = 'deleted_at_utc' AND NOT a.attisdropped)";
    for row in client
        .query_typed(statement, &parameters)
        .await
        .map_err(database_error)?
    {
        let table = format!(
            "{}.{}",
            quote_identifier(schema),
            quote_identifier(row.get(0))
        );
        execute(
            client,
            &format!("ALTER TABLE {table} ADD COLUMN deleted_at_utc timestamptz"),
        )
        .await?;
    }
    Ok(())
}

async fn execute(client: &impl GenericClient, statement: &str) -> Result<()> {
    client
        .batch_execute(statement)
        .await
        .map_err(database_error)
}

/// Refuses a table that was made by hand in another shape: loading into it would fail halfway or
/// mean something else.
async fn check_shape(client: &impl GenericClient, schema: &str, table: &str) -> Result<()> {
    let Some(shape) = Shape::of(client, schema, table).await? else {
        return Ok(());
    };
    let differences: Vec<String> = shape
        .differences()
        .into_iter()
        .map(|difference| difference.what)
        .collect();
    if differences.is_empty() {
        return Ok(());
    }
    let flag = if schema == super::DEFAULT_SCHEMA {
        String::new()
    } else {
        format!(" --schema {schema}")
    };
    Err(Error::config(
        format!("{schema}.{table}"),
        format!(
            "has another shape: {}; `qbo-rs db migrate{flag}` upgrades it in place and keeps every row, with --print it only \
             shows how",
            differences.join("; ")
        ),
    ))
}

/// What upgrading the tables of a schema takes, or took.
#[derive(Debug, Clone, Serialize)]
pub struct Upgrade {
    /// Tables of another shape.
    pub tables: Vec<String>,
    /// The statements, in one transaction.
    pub sql: String,
}

/// Upgrades tables that were made by hand in another shape, all of them or none. `is_dry`: only
/// says how.
pub(super) async fn upgrade(
    connection: &mut Object,
    schema: &str,
    entities: &[EntitySpec],
    is_dry: bool,
) -> Result<Upgrade> {
    let transaction = connection.transaction().await.map_err(database_error)?;
    migrations::lock(&*transaction).await?;
    let mut done = Upgrade {
        tables: Vec::new(),
        sql: String::new(),
    };
    for entity in entities {
        let Some(shape) = Shape::of(&*transaction, schema, &entity.table()).await? else {
            continue;
        };
        let differences = shape.differences();
        if differences.is_empty() {
            continue;
        }
        let name = format!("{schema}.{}", entity.table());
        let table = format!(
            "{}.{}",
            quote_identifier(schema),
            quote_identifier(&entity.table())
        );
        let sql = shape::upgrade(&table, &differences).map_err(|reason| {
            Error::config(
                name.clone(),
                format!("cannot be upgraded: {reason}; nothing was changed"),
            )
        })?;
        done.sql.push_str(&sql);
        done.tables.push(name);
    }
    if done.tables.is_empty() {
        return Ok(done);
    }
    // Text without an offset is UTC, as the columns' names say.
    done.sql = format!("SET LOCAL timezone = 'UTC';\n{}", done.sql);
    if !is_dry {
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

/// Binds a schema anew of whose company nothing was ever committed: a realm id that was mistyped
/// must not keep it. Commits look at the binding, and wait for this.
async fn take_over(client: &impl GenericClient, schema: &str, realm_id: &str) -> Result<bool> {
    let parameters: [(&(dyn ToSql + Sync), Type); 2] =
        [(&schema, Type::TEXT), (&realm_id, Type::TEXT)];
    let committed =
        "SELECT 1 FROM qbo.windows WHERE schema_name = $1 AND committed_at_utc IS NOT NULL LIMIT 1";
    if !client
        .query_typed(committed, &parameters[..1])
        .await
        .map_err(database_error)?
        .is_empty()
    {
        return Ok(false);
    }
    execute(client, "LOCK TABLE qbo.windows IN SHARE ROW EXCLUSIVE MODE").await?;
    let rebind = "UPDATE qbo.schema_realms SET realm_id = $2 WHERE schema_name = $1 AND NOT EXISTS (SELECT FROM qbo.windows \
                  WHERE schema_name = $1 AND committed_at_utc IS NOT NULL) RETURNING 1";
    let rebound = client
        .query_typed(rebind, &parameters)
        .await
        .map_err(database_error)?;
    Ok(!rebound.is_empty())
}

/// The first load binds a schema to its company; any other company is refused, since ids of two
/// companies collide.
async fn bind_realm(client: &impl GenericClient, schema: &str, realm_id: &str) -> Result<()> {
    let parameters: [(&(dyn ToSql + Sync), Type); 2] =
        [(&schema, Type::TEXT), (&realm_id, Type::TEXT)];
    let insert = "INSERT INTO qbo.schema_realms (schema_name, realm_id) VALUES ($1, $2) ON CONFLICT DO NOTHING";
    client
        .query_typed(insert, &parameters)
        .await
        .map_err(database_error)?;
    let select = "SELECT realm_id FROM qbo.schema_realms WHERE schema_name = $1";
    let rows = client
        .query_typed(select, &parameters[..1])
        .await
        .map_err(database_error)?;
    let bound: String = rows
        .first()
        .map_or_else(|| realm_id.to_owned(), |row| row.get(0));
    if bound == realm_id || take_over(client, schema, realm_id).await? {
        return Ok(());
    }
    let reason = format!(
        "'{schema}' holds company {bound}, not {realm_id}; ids of two companies collide, so load this one into a \
         schema of its own (--schema raw_{realm_id})"
    );
    Err(Error::config("schema", reason))
}
